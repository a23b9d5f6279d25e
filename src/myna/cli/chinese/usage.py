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
}
