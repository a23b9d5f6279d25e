"""Projects, keys and limits: what their verbs say, and what administrators get wrong."""

from typing import Final

MESSAGES: Final = {
    # --- tables ---
    "ID": "ID",
    "NAME": "名称",
    "PROJECT": "项目",
    "SCOPES": "权限",
    "MODELS": "模型",
    "KEY": "密钥",
    "KEYS": "密钥数",
    "LAST USED": "上次使用",
    "EXPIRES": "到期",
    "STATUS": "状态",
    "MADE": "创建于",
    "OWNER": "归属",
    "REQ/MIN": "请求/分钟",
    "TOKENS/MIN": "token/分钟",
    "TOKENS/DAY": "token/天",
    "CONCURRENT": "并发",
    "BUDGET": "预算",
    "all": "全部",
    "never": "从不",
    "active": "有效",
    "expired": "已过期",
    "revoked": "已吊销",
    "archived": "已归档",
    "everyone": "所有人",
    "no limits": "没有限额",
    # --- what the verbs say ---
    "There are no keys yet; make one with: myna keys create NAME": "还没有密钥；创建一个：myna keys create 名称",
    "{0} ({1}): keep the key now, it is not shown again.": "{0}（{1}）：请现在保存密钥，之后不会再显示。",
    "Revoked {0} ({1}).": "已吊销 {0}（{1}）。",
    "{0} is called {1} now.": "{0} 现在叫 {1}。",
    "Archived {0} ({1}).": "已归档 {0}（{1}）。",
    "{0}: {1}.": "{0}：{1}。",
    "There are no limits yet; set one with: myna limits set --key KEY --requests-per-minute 60": (
        "还没有限额；设置一个：myna limits set --key 密钥 --requests-per-minute 60"
    ),
    # --- mistakes ---
    "The setting `database` keeps everything in a server's memory; name a file or a PostgreSQL there to keep "
    "keys.": "设置 `database` 把一切都留在服务器内存里；要保存密钥，请改为文件或 PostgreSQL。",
    "There is no key {0}; see: myna keys list": "没有密钥 {0}；请看：myna keys list",
    "{0} keys have the name {1}; use an id from: myna keys list": (
        "有 {0} 个密钥叫 {1}；请改用 id，见：myna keys list"
    ),
    "There is no project {0}; see: myna projects list": "没有项目 {0}；请看：myna projects list",
    "{0} projects have the name {1}; use an id from: myna projects list": (
        "有 {0} 个项目叫 {1}；请改用 id，见：myna projects list"
    ),
    "{0} is no length of time; write it like 30d, 12h, 90m or 45s.": (
        "{0} 不是时长；请写成 30d、12h、90m 或 45s 这样。"
    ),
    "Name a limit to set, such as --requests-per-minute 60.": (
        "请写明要设的限额，例如 --requests-per-minute 60。"
    ),
    "Say whose limit it is: one of --key, --project and --everyone.": (
        "请说明是谁的限额：--key、--project、--everyone 三者之一。"
    ),
    "{0} is no whole number; write one, or `none` to take the limit away.": (
        "{0} 不是整数；请写一个整数，或写 `none` 取消限额。"
    ),
    "{0} is no amount of dollars; write it like 20 or 12.50.": "{0} 不是金额；请写成 20 或 12.50 这样。",
    "No API key found with id '{0}'.": "没有 id 为 '{0}' 的密钥。",
    "No project found with id '{0}'.": "没有 id 为 '{0}' 的项目。",
    "The project {0} is archived.": "项目 {0} 已归档。",
    "The default project can't be archived.": "默认项目不能归档。",
    "Too many administrators change the accounts at once; try again.": "同时修改的管理员太多；请重试。",
    "A name needs at least one character.": "名称至少要有一个字符。",
    "A name has at most {0} characters, not {1}.": "名称最多 {0} 个字符，而不是 {1} 个。",
    "A name must not hold line breaks or control characters.": "名称不能含有换行或控制字符。",
    "There is no scope {0}; choose from {1}.": "没有权限 {0}；可选的有 {1}。",
    "A key needs at least one scope; choose from {0}.": "密钥至少要有一项权限；可选的有 {0}。",
    "A list of models needs at least one; leave it out to allow all.": (
        "模型列表至少要有一个；不写则允许全部。"
    ),
    "A list of models has at most {0} names, not {1}.": "模型列表最多 {0} 个名字，而不是 {1} 个。",
    "{0} can't be the name of a model.": "{0} 不能是模型的名字。",
    "A key can't end in the past; give it at least a second.": "密钥不能在过去到期；至少给一秒。",
    "That is more than a hundred years; leave the end out instead.": "这超过一百年；不如不设到期时间。",
    "An overlap can't be negative, nor more than a hundred years.": "重叠时间不能为负，也不能超过一百年。",
    "{0} takes a whole number from 1 to {1}, not {2}.": "{0} 应为 1 到 {1} 的整数，而不是 {2}。",
    # --- the secret ---
    "The secret is shorter than {0} characters; make one with: openssl rand -hex 32": (
        "secret 不足 {0} 个字符；可以这样生成：openssl rand -hex 32"
    ),
    "The keys of this database were made with another secret; set MYNA_SECRET to the one of the server that "
    "made them, or copy its file `secret`.": (
        "这个数据库的密钥是用另一个 secret 生成的；请把 MYNA_SECRET 设为生成它们的服务器的值，"
        "或复制它的 `secret` 文件。"
    ),
    "The database can't be used: {0}": "数据库无法使用：{0}",
    "The file of the limits can't be used: {0}": "限额文件无法使用：{0}",
    "The file of the limits {0} can't be opened: {1}": "无法打开限额文件 {0}：{1}",
}
