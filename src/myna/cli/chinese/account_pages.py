"""The help of the verbs of projects, keys and limits."""

from typing import Final

MESSAGES: Final = {
    "Make, list, rotate and revoke keys for others.": "为别人创建、列出、轮换和吊销密钥。",
    "Make, list, rename and archive projects.": "创建、列出、改名和归档项目。",
    "Set and list limits.": "设置和列出限额。",
    """Make a key and print it: the only time that it can be seen.

**Examples**

- `myna keys create "Ana's laptop"`
- `myna keys create ci --model smollm2-135m-instruct --expires 30d`
- `myna keys create dashboard --scope read --scope admin`""": """\
创建密钥并打印出来：只有这一次能看到它。

**例子**

- `myna keys create "小安的电脑"`
- `myna keys create ci --model smollm2-135m-instruct --expires 30d`
- `myna keys create dashboard --scope read --scope admin`""",
    "Whose key it is, or what for.": "这是谁的密钥，或用来做什么。",
    "The project it belongs to.": "它所属的项目。",
    "inference (the default), read or admin; may be repeated.": (
        "inference（默认）、read 或 admin；可以重复。"
    ),
    "A model it may use; may be repeated; all unless said.": "它可以用的模型；可以重复；不写则全部可用。",
    "How long it works, such as 30d or 12h.": "有效多久，例如 30d 或 12h。",
    "Print the result as JSON.": "以 JSON 打印结果。",
    """List the keys, without the keys themselves.

**Example**: `myna keys list --json | jq -r '.[].id'`""": """\
列出密钥，但不显示密钥本身。

**例子**：`myna keys list --json | jq -r '.[].id'`""",
    "Of this project alone.": "只列这个项目的。",
    "Revoked keys too.": "也列已吊销的密钥。",
    """Give a key a new secret and print it; its id, name and limits stay.

**Example**: `myna keys rotate ci --overlap 1h`""": """\
给密钥换一个新的值并打印出来；它的 id、名称和限额不变。

**例子**：`myna keys rotate ci --overlap 1h`""",
    "The key's id, or its name.": "密钥的 id 或名称。",
    "How long the old one still works, such as 1h.": "旧的还能用多久，例如 1h。",
    """End keys for good; running servers refuse them within a second.

**Example**: `myna keys revoke ci`""": """\
永久吊销密钥；运行中的服务器一秒之内就会拒绝它们。

**例子**：`myna keys revoke ci`""",
    "Ids or names of keys.": "密钥的 id 或名称。",
    """Make a project: its keys see its own stored completions and usage alone.

**Example**: `myna keys create web --project $(myna projects create Website)`""": """\
创建项目：它的密钥只能看到自己的存档和用量。

**例子**：`myna keys create web --project $(myna projects create 网站)`""",
    "What it is called.": "它叫什么。",
    "List the projects.": "列出项目。",
    "Archived projects too.": "也列已归档的项目。",
    "Give a project another name; its id stays.": "给项目改名；它的 id 不变。",
    "The project's id, or its name.": "项目的 id 或名称。",
    "What it is called now.": "它现在叫什么。",
    "End a project: its keys open nothing from now on, for good; what it used stays on record.": (
        "结束项目：从此它的密钥永久失效；用量记录会保留。"
    ),
    """Limit a key, a project or everyone; what is not named stays as it is.

**Examples**

- `myna limits set --key ci --requests-per-minute 60 --tokens-per-day 200000`
- `myna limits set --project Website --model smollm2-135m-instruct --concurrent-requests 4`
- `myna limits set --key ci --tokens-per-day none`""": """\
限制一个密钥、一个项目或所有人；没有写到的保持不变。

**例子**

- `myna limits set --key ci --requests-per-minute 60 --tokens-per-day 200000`
- `myna limits set --project 网站 --model smollm2-135m-instruct --concurrent-requests 4`
- `myna limits set --key ci --tokens-per-day none`""",
    "Of this key, by id or name.": "这个密钥的（id 或名称）。",
    "Of all keys of this project together.": "这个项目所有密钥合计。",
    "Of all projects together.": "所有项目合计。",
    "For this model alone; all together unless said.": "只对这个模型；不写则所有模型合计。",
    "A number, or `none`.": "一个数，或 `none`。",
    "Dollars in a calendar month, or `none`.": "每个自然月的美元数，或 `none`。",
    "List the limits that are set.": "列出已设置的限额。",
}
