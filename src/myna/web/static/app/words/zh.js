// 中文。
import { dashboard } from "./zh/dashboard.js";
import { parameters } from "./zh/parameters.js";
import { playground } from "./zh/playground.js";

/** @type {Record<string, string>} */
export const zh = {
  ...dashboard,
  ...parameters,
  ...playground,

  "page.playground": "试验场",
  "page.dashboard": "仪表盘",
  "shell.skip": "跳到正文",
  "shell.pages": "页面",
  "shell.light": "使用浅色主题",
  "shell.dark": "使用深色主题",
  "shell.leave": "退出",
  "notice.close": "关闭此消息",

  "signIn.title": "登录",
  "signIn.how": "此服务器需要密钥。密钥只保存在此标签页中。",
  "signIn.key": "密钥",
  "signIn.show": "显示",
  "signIn.go": "登录",
  "signIn.where": "在运行 Myna 的机器上，命令“myna key”会打印密钥。",
  "signIn.empty": "请先输入密钥。",
  "signIn.strange": "密钥不含空格，只含普通字母、数字和符号；请重新复制。",
  "signIn.wrong": "服务器无法识别此密钥；请重新复制，或向服务器管理员索取。",
  "signIn.usedLink": "此登录链接已过期或已被使用；命令“myna key link”会打印新的链接。",
  "signIn.refused": "服务器不再接受你的密钥，请重新登录。服务器的消息：{message}",

  "away.title": "服务器没有响应",
  "away.again": "重试",

  "error.unreachable": "无法连接服务器。请确认服务器正在运行，然后重试。",
  "error.status": "服务器返回状态码 {status}。",
  "error.comeBack": "请在 {seconds} 秒后重试。",
  "error.comeBackLater": "请稍后重试。",
};
