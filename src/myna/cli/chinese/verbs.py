"""What the verbs say while they work, and their mistakes."""

from typing import Final

MESSAGES: Final = {
    # --- mistakes in the command line itself, as the library for it words them ---
    "{0} See: {1} --help": "{0}请看：{1} --help",
    "No such command {0}.": "没有 {0} 这个命令。",
    "No such command {0}. Did you mean {1}?": "没有 {0} 这个命令；你是想用 {1} 吗？",
    "No such option: {0}.": "没有选项 {0}。",
    "No such option: {0} Did you mean {1}?": "没有选项 {0}；你是想用 {1} 吗？",
    "No such option: {0} (Possible options: {1}).": "没有选项 {0}（可能是 {1}）。",
    "Missing argument {0}.": "缺少参数 {0}。",
    "Missing option {0}.": "缺少选项 {0}。",
    "Missing command.": "缺少命令。",
    "Got unexpected extra argument(s) ({0}).": "多余的参数：{0}。",
    "Option {0} requires an argument.": "选项 {0} 需要一个值。",
    "Option {0} does not take a value.": "选项 {0} 不带值。",
    "Invalid value for {0}: {1}.": "{0} 的值不对：{1}。",
    "Input should be a valid integer, unable to parse string as an integer": "应为整数",
    "Input should be a valid number, unable to parse string as a number": "应为数字",
    "Input should be less than or equal to {0}": "应不大于 {0}",
    "Input should be greater than or equal to {0}": "应不小于 {0}",
    "Value error, {0} is not one of {1}": "{0} 不在 {1} 之中",
    # --- all verbs ---
    "Stopped.": "已停止。",
    "Can't reach {0} ({1}); start it with: myna serve": "连不上 {0}（{1}）；请先启动：myna serve",
    "{0} is no OpenAI-compatible server: it lists no models.": (
        "{0} 不是兼容 OpenAI 的服务器：它没有列出模型。"
    ),
    "The server at {0} ended the answer before it was whole.": "{0} 的服务器没答完就断开了。",
    "The server broke off: {0}": "服务器中断了回答：{0}",
    "The server answered {0} {1}.": "服务器回答了 {0} {1}。",
    "{0} is no base URL; write it like http://127.0.0.1:8000/v1": (
        "{0} 不是合法的地址；请写成 http://127.0.0.1:8000/v1 这样"
    ),
    # --- complete ---
    "Loading {0} for this one answer; a running server would answer at once.": (
        "正在为这一次回答加载 {0}；如果有服务器在运行，会立即回答。"
    ),
    "Type the text to continue, then Ctrl-D.": "输入要续写的文字，然后按 Ctrl-D。",
    "There is no text to continue; write it after `myna complete`, or pipe it in.": (
        "没有要续写的文字；请写在 `myna complete` 后面，或用管道传入。"
    ),
    # --- check ---
    "The checks use the official client; install it with: pip install 'myna[check]'": (
        "检查要用官方客户端；请安装：pip install 'myna[check]'"
    ),
    "{0} lists no models ({1}); start a server with: myna serve": (
        "{0} 没有列出模型（{1}）；请启动服务器：myna serve"
    ),
    "behaviour": "行为",
    "what was seen instead": "实际看到的",
    "{0} of {1} behaviours": "{1} 项行为中有 {0} 项正确",
    # --- key ---
    "A new key is in {0}; restart a running server to use it.": (
        "新密钥在 {0}；请重启运行中的服务器来使用它。"
    ),
    "MYNA_API_KEY is set, so servers started with it use that one instead.": (
        "设置了 MYNA_API_KEY，所以带着它启动的服务器会用它。"
    ),
    # --- replay ---
    "No completion {0} is stored in the project {1}; send requests with store=True to keep them.": (
        "项目 {1} 里没有保存回答 {0}；要保存，请在请求里加上 store=True。"
    ),
    "identical": "完全相同",
    "fingerprint: {0} then, {1} now": "指纹：当时 {0}，现在 {1}",
    "choice {0} differs {1}: {2} then, {3} now": "选项 {0} {1}开始不同：当时 {2}，现在 {3}",
    "at token {0}": "从第 {0} 个 token ",
    "at character {0}": "从第 {0} 个字符",
    "in call {0} at character {1}": "从第 {0} 个调用的第 {1} 个字符",
    "choice {0} ended with {1} then, {2} now": "选项 {0} 的结束原因不同：当时 {1}，现在 {2}",
    # --- serve ---
    "Loading {0} …": "正在加载 {0} …",
    "--no-auth would open {0} to everyone who can reach this machine; use it with --host 127.0.0.1, or keep "
    "the key.": "--no-auth 会让所有能连到这台机器的人使用 {0}；请配合 --host 127.0.0.1 使用，或保留密钥。",
    "Can't listen on {0}: {1}.": "无法监听 {0}：{1}。",
    "Something listens on {0} already; stop it, or choose another port with --port {1} (0 takes any free "
    "one).": "已有程序在监听 {0}；请停止它，或用 --port {1} 换一个端口（0 表示任意空闲端口）。",
    "You may not listen on {0}; choose a port above 1023.": "你无权监听 {0}；请选择 1023 以上的端口。",
    "The alias {0} has the name of a model; choose another.": "别名 {0} 和一个模型同名；请换一个。",
    "The alias {0} stands for {1}, which is not on this machine; pull it, or name one of {2}.": (
        "别名 {0} 指向 {1}，但它不在本机；请下载它，或换成 {2} 之一。"
    ),
    "Two models have the id {0}; rename one under [models].": (
        "有两个模型的 id 都是 {0}；请在 [models] 里改一个名字。"
    ),
    "Myna serves {0}.": "Myna 正在提供 {0}。",
    "Base URL": "地址",
    "Web page": "网页",
    "API key": "密钥",
    "none needed": "不需要",
    "see `myna key`": "见 `myna key`",
    "A first request, in Python (pip install openai):": "第一个请求，用 Python（pip install openai）：",
    "or with curl:": "或者用 curl：",
    "Stop with Ctrl-C.": "按 Ctrl-C 停止。",
}
