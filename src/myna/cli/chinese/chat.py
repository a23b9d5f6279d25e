"""`myna chat`: its help, its commands and what it says beside the conversation."""

from typing import Final

MESSAGES: Final = {
    """Chat with a model in the terminal.

Talks to the server that runs with your settings, or to any other that speaks OpenAI's API; its key is
OPENAI_API_KEY. With a question, or with one piped in, answers it in plain text and leaves.

**Examples**

- `myna chat`: type /help there
- `git diff | myna chat "Explain this change."`
- `myna chat --system "You are a poet." --set temperature=1.2`
- `myna chat --base-url http://127.0.0.1:11434/v1 -m llama3.2`""": """\
在终端里和模型对话。

连接按你的设置运行的服务器，或任何兼容 OpenAI API 的服务器；后者的密钥取自 OPENAI_API_KEY。
如果写了问题，或用管道传入，就以纯文本回答，然后退出。

**例子**

- `myna chat`：在里面输入 /help
- `git diff | myna chat "解释这处改动。"`
- `myna chat --system "你是一位诗人。" --set temperature=1.2`
- `myna chat --base-url http://127.0.0.1:11434/v1 -m llama3.2`""",
    "Ask only this, and leave; what is piped in follows it.": "只问这一句，然后退出；管道传入的内容接在后面。",
    "Who answers; default: the first that the server lists.": "由谁回答；默认：服务器列出的第一个。",
    "Instructions for the whole conversation.": "对整个对话的指示。",
    "A parameter such as temperature=0.2; may be repeated, /set lists them.": (
        "一个参数，例如 temperature=0.2；可以写多次，/set 列出全部。"
    ),
    "Go on with a conversation that /save kept as .json.": "继续 /save 保存为 .json 的对话。",
    "Tell tokens a second and the time to the first.": "显示每秒 token 数和首个 token 的时间。",
    "There is no question; write it after `myna chat`, or pipe it in.": (
        "没有问题；请写在 `myna chat` 后面，或用管道传入。"
    ),
    "A chat needs a terminal; ask one question with: myna chat 'QUESTION'": (
        "对话需要终端；只问一句请用：myna chat '问题'"
    ),
    "Write --set as NAME=VALUE, not {0}.": "--set 要写成 名字=值，而不是 {0}。",
    "What is piped in is not UTF-8 text (byte {0} is {1}); convert it first, for example with: iconv -f GBK "
    "-t UTF-8": "管道传入的不是 UTF-8 文本（第 {0} 字节是 {1}）；请先转换，例如：iconv -f GBK -t UTF-8",
    "No server runs at {0}; start one in another terminal with: myna serve": (
        "{0} 没有服务器在运行；请在另一个终端里启动：myna serve"
    ),
    "{0} at {1}. Type /help for commands; Ctrl-D leaves.": "{0}，位于 {1}。输入 /help 查看命令，按 Ctrl-D 退出。",
    "Press Ctrl-C again, or Ctrl-D, to leave.": "再按一次 Ctrl-C，或按 Ctrl-D 退出。",
    "The answer reached its greatest length; allow more with --set max_tokens=NUMBER.": (
        "回答达到了最大长度；可用 --set max_tokens=数字 放宽。"
    ),
    "The answer reached its greatest length; ask to go on, or see /set max_tokens.": (
        "回答达到了最大长度；可以让它继续，或见 /set max_tokens。"
    ),
    "Stopped; what came is kept.": "已停止；已有的部分会保留。",
    "Stopped; /retry asks again.": "已停止；/retry 重新提问。",
    "{0} tokens, {1} a second, the first after {2} s": "{0} 个 token，每秒 {1} 个，首个在 {2} 秒后",
    # --- what a server's refusal means ---
    "The server refuses the key ({0}); set OPENAI_API_KEY to one of its own.": (
        "服务器拒绝了密钥（{0}）；请把 OPENAI_API_KEY 设为它自己的密钥。"
    ),
    "{0} (What came is kept; /retry asks again.)": "{0}（已有的部分会保留；/retry 重新提问。）",
    "{0} (The question is kept; /retry asks again.)": "{0}（问题会保留；/retry 重新提问。）",
    "{0} (Choose a model with /model.)": "{0}（用 /model 选择模型。）",
    "The conversation is too long for {0} ({1}); /save and /reset it, or shorten the question with /edit.": (
        "对话对 {0} 来说太长了（{1}）；请用 /save 保存后 /reset，或用 /edit 缩短问题。"
    ),
    "The server can't answer now ({0}); /retry in a moment.": "服务器现在无法回答（{0}）；请稍后 /retry。",
    "The server refuses the question ({0}); see /set and /system.": (
        "服务器拒绝了这个问题（{0}）；请看 /set 和 /system。"
    ),
    # --- commands ---
    "this list": "这份列表",
    "show, give or remove instructions for the whole conversation": "查看、设定或取消对整个对话的指示",
    "list the models, or choose the one that answers": "列出模型，或选择由谁回答",
    "show or change how words are drawn": "查看或更改取词的方式",
    "ask the last question again": "重新问上一个问题",
    "change the last question in your editor ($EDITOR) and ask it": "在编辑器（$EDITOR）里修改上一个问题并提问",
    "keep the conversation: .json to load again, .md to read": "保存对话：.json 可再载入，.md 便于阅读",
    "go on with a conversation that was saved as .json": "继续保存为 .json 的对话",
    "copy the last answer, or its last code block": "复制上一个回答，或其中最后一段代码",
    "forget what was said": "忘掉说过的话",
    "tell tokens a second and the time to the first": "显示每秒 token 数和首个 token 的时间",
    "leave, as Ctrl-D does": "退出，与 Ctrl-D 相同",
    "Enter sends; Alt-Enter or a backslash at the end begins another line; a paste is kept whole.": (
        "回车发送；Alt-Enter 或行尾反斜杠换行；粘贴的多行保持完整。"
    ),
    "Tab completes, Ctrl-R searches what you typed, Ctrl-X Ctrl-E opens your editor.": (
        "Tab 补全，Ctrl-R 搜索输入过的内容，Ctrl-X Ctrl-E 打开编辑器。"
    ),
    "Ctrl-C stops an answer; Ctrl-D leaves. A space before / makes a line plain text.": (
        "Ctrl-C 停止回答，Ctrl-D 退出。/ 前加空格，这一行就是普通文字。"
    ),
    "There is no command {0}; {1}": "没有命令 {0}；{1}",
    "/help lists them all.": "/help 列出全部命令。",
    "Instructions: {0}": "指示：{0}",
    "There are no instructions; give some with /system TEXT.": "还没有指示；用 /system 文字 设定。",
    "The server has no model {0}; {1}": "服务器没有模型 {0}；{1}",
    "/model lists them.": "/model 列出全部模型。",
    "{0} answers from now on.": "从现在起由 {0} 回答。",
    "{0} is {1} ({2}: {3}).": "{0} 是 {1}（{2}：{3}）。",
    "/set NAME VALUE changes one, /set NAME default leaves it to the server.": (
        "/set 名字 值 更改一项，/set 名字 default 交给服务器决定。"
    ),
    "There is no question to ask again; type one.": "没有可以重新提的问题；请输入一个。",
    "Nothing was changed.": "没有改动。",
    "Saved in {0}.": "已保存到 {0}。",
    "Loaded {0} turns; {1} answers.": "已载入 {0} 条消息；由 {1} 回答。",
    "There is no answer to copy yet.": "还没有可以复制的回答。",
    "The last answer has no code block; /copy takes all of it.": "上一个回答里没有代码；/copy 复制全部。",
    "/copy takes nothing, or the word code for the last code block.": "/copy 后面什么都不写，或写 code 表示最后一段代码。",
    "Copied {0} characters ({1}).": "已复制 {0} 个字符（{1}）。",
    "The conversation is empty again; model, instructions and settings stay.": (
        "对话已清空；模型、指示和设置保留。"
    ),
    "/stats takes on or off.": "/stats 后面写 on 或 off。",
    "Each answer tells its speed.": "每个回答都会显示速度。",
    "Answers don't tell their speed.": "回答不再显示速度。",
    # --- files ---
    "Say where to: /save FILE.json, or FILE.md for reading.": "请写明保存到哪里：/save 文件.json，或便于阅读的 文件.md。",
    "Nothing was said yet, so there is nothing to save.": "还没有说过话，没有可以保存的。",
    "A conversation is kept as .json or .md, and {0} ends in neither.": "对话保存为 .json 或 .md，而 {0} 两者都不是。",
    "There is a file {0} already; choose another name.": "已有文件 {0}；请换一个名字。",
    "Can't write {0}: {1}.": "无法写入 {0}：{1}。",
    "Say which: /load FILE.json": "请写明载入哪个：/load 文件.json",
    "{0} is too large for a conversation.": "{0} 太大，不会是对话。",
    "{0} is not UTF-8 text, so it holds no conversation.": "{0} 不是 UTF-8 文本，所以里面没有对话。",
    "{0} holds a conversation that can't be read: {1}": "{0} 里的对话无法读取：{1}",
    "{0} holds no conversation; load a file that /save wrote.": "{0} 里没有对话；请载入 /save 写的文件。",
    "The editor {0} failed ({1}); set EDITOR to one that works.": (
        "编辑器 {0} 出错（{1}）；请把 EDITOR 设为可用的编辑器。"
    ),
    # --- parameters ---
    "There is no parameter {0}; {1}": "没有参数 {0}；{1}",
    "{0} takes {1}, not {2}.": "{0} 应为 {1}，而不是 {2}。",
    "default": "默认",
    "parameter": "参数",
    "now": "现在",
    "range": "范围",
    "meaning": "含义",
    "0 to 2": "0 到 2",
    "0 to 1": "0 到 1",
    "0 or more": "0 或更大",
    "1 or more": "1 或更大",
    "-2 to 2": "-2 到 2",
    'JSON such as {"42": -100}': 'JSON，例如 {"42": -100}',
    "a whole number": "整数",
    "text, or a JSON list of up to 4": "文字，或最多 4 项的 JSON 列表",
    "on or off": "on 或 off",
    "none, minimal, low, medium, high or xhigh": "none、minimal、low、medium、high 或 xhigh",
    "how freely words are drawn; 0 takes the likeliest": "取词的自由程度；0 总取最可能的",
    "draw only from the likeliest words that together have this chance": "只从合计达到此概率的最可能的词里取",
    "draw only from so many likeliest words; 0: from all": "只从这么多个最可能的词里取；0 表示全部",
    "leave out words less likely than this share of the likeliest's chance": "略去概率低于最高者此比例的词",
    "above 0: avoid words that were said": "大于 0：避免说过的词",
    "above 0: avoid words the more often they were said": "大于 0：说得越多的词越避免",
    "make tokens, by number, likelier or less: -100 to 100": "按编号让 token 更可能或更不可能：-100 到 100",
    "the same seed gives the same answer": "同样的种子得到同样的回答",
    "the greatest length of an answer": "回答的最大长度",
    "what ends the answer where it comes": "遇到它就结束回答",
    "go on where the model would end its answer": "在模型本要结束的地方继续",
    "how long a model that can think may think before it answers": "会思考的模型在回答前可以思考多久",
}
