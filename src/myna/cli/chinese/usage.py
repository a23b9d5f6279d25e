"""The ledger of usage, its prices and its journal."""

from typing import Final

MESSAGES: Final[dict[str, str]] = {
    "The database can't be used: {0}": "数据库无法使用：{0}",
    "The journal of usage can't be made in {0}: {1}. Make room there, or serve with MYNA_USAGE=false.": (
        "无法在 {0} 中建立用量日志：{1}；请腾出空间，或用 MYNA_USAGE=false 启动。"
    ),
    "The usage of this request can't be written down now.": "现在无法记录这个请求的用量。",
    "dollars a million tokens, from 0 to 1000000": "每百万 token 的美元数，从 0 到 1000000",
    "{ prompt = 0.1, cached = 0.05, completion = 0.4 }, dollars a million tokens": (
        "{ prompt = 0.1, cached = 0.05, completion = 0.4 }，单位是每百万 token 的美元数"
    ),
    "Traces need OpenTelemetry ({0}). Install it with: pip install 'myna[otel]'": (
        "链路追踪需要 OpenTelemetry（{0}）；请安装：pip install 'myna[otel]'"
    ),
    # --- the verb ---
    "Show what was used today, by model and by key.\n\n"
    "Days are those of this machine's clock; in a CSV file, days of UTC.\n\n"
    "**Examples**\n\n"
    "- `myna usage`\n"
    "- `myna usage --days 30 --csv > usage.csv`\n"
    "- `myna usage --json | jq .total.completion_tokens`": (
        "显示今天的用量，按模型和密钥列出。\n\n"
        "日期以本机时钟为准；CSV 文件里是 UTC 日期。\n\n"
        "**示例**\n\n"
        "- `myna usage`\n"
        "- `myna usage --days 30 --csv > usage.csv`\n"
        "- `myna usage --json | jq .total.completion_tokens`"
    ),
    "How many days, today included.": "多少天，包括今天。",
    "Print the sums as JSON.": "以 JSON 打印合计。",
    "Print a line a day, project, key and model.": "每天、每个项目、密钥和模型打印一行。",
    "The setting `database` keeps everything in a server's memory; name a file or a PostgreSQL there to keep "
    "usage.": "设置 `database` 把一切都放在服务器内存里；请在那里填写文件或 PostgreSQL 以保留用量。",
    "Nothing was asked since {0}.": "自 {0} 以来没有任何请求。",
    "Since {0}:": "自 {0} 起：",
    "REQUESTS": "请求",
    "ERRORS": "错误",
    "PROMPT": "提示",
    "CACHED": "缓存",
    "ANSWER": "回答",
    "FIRST TOKEN": "首个 TOKEN",
    "TIME": "用时",
    "COST": "费用",
}
