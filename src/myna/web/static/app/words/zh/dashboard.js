// 仪表盘的中文文字。

/** @type {Record<string, string>} */
export const dashboard = {
  "dashboard.models": "模型",
  "dashboard.model": "模型",
  "dashboard.owner": "来源",
  "dashboard.created": "发布时间",
  "dashboard.none": "此密钥无权列出模型。",
};
