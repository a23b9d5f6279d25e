"""The pages of `myna VERB --help`."""

from typing import Final

MESSAGES: Final = {
    "Options": "选项",
    "Arguments": "参数",
    "Commands": "命令",
    "Usage: ": "用法：",
    "[default: {}]": "[默认：{}]",
    "[required]": "[必填]",
    "Show this message and exit.": "显示这段帮助并退出。",
    """Language models on your own machine, behind OpenAI's API.

Start with `myna serve`: it fetches a model the first time and prints a first request to paste.
Every setting can also be a MYNA_* variable or a line of myna.toml (see docs/configuration.md).""": """\
在你自己的电脑上运行语言模型，对外就是 OpenAI 的 API。

从 `myna serve` 开始：第一次运行会下载一个模型，并打印一段可以直接粘贴的请求。
每项设置也可以写成 MYNA_* 环境变量，或 myna.toml 里的一行（见 docs/configuration.md）。""",
    "Show the version and leave.": "显示版本并退出。",
    "Install completion for the current shell.": "为当前的 shell 安装补全。",
    "Show completion for the current shell, to copy it or customize the installation.": (
        "显示当前 shell 的补全脚本，以便复制或自行安装。"
    ),
    """Serve a model to any OpenAI client until Ctrl-C.

A model of the catalog is fetched first if it is not here. What the flags don't say comes from
MYNA_* variables and myna.toml.

**Examples**

- `myna serve`: the default model on http://127.0.0.1:8000/v1
- `myna serve smollm2-135m-instruct --port 8123`
- `myna serve ./my-model.gguf --context 8192 --memory 2G`
- `myna serve --engine fake`: the API without a model, for trying clients""": """\
为任何 OpenAI 客户端提供模型服务，按 Ctrl-C 结束。

目录里的模型如果还不在本机，会先下载。参数里没写的，来自 MYNA_* 环境变量和 myna.toml。

**例子**

- `myna serve`：默认模型，地址 http://127.0.0.1:8000/v1
- `myna serve smollm2-135m-instruct --port 8123`
- `myna serve ./my-model.gguf --context 8192 --memory 2G`
- `myna serve --engine fake`：不带模型的 API，用来试客户端""",
    "An id from `myna models`, a .gguf file, or `hf:org/repo:quantisation`.": (
        "`myna models` 列出的 id、一个 .gguf 文件，或 `hf:组织/仓库:量化`。"
    ),
    "Address to listen on; default 127.0.0.1.": "监听的地址；默认 127.0.0.1。",
    "Default 8000; 0: any free one.": "默认 8000；0 表示任意空闲端口。",
    "Longest prompt plus answer, in tokens.": "提示加回答的最大长度，以 token 计。",
    "Threads of the engine.": "引擎的线程数。",
    "Room for the KV cache, such as 2G.": "KV 缓存的空间，例如 2G。",
    "What runs the model; default auto.": "auto、native、llamacpp 或 fake。",
    "Ask for no key; on loopback alone.": "不要求密钥；只能用于本机回环地址。",
    "How long running requests may go on after Ctrl-C; default 30s.": (
        "按 Ctrl-C 后，正在进行的请求还能继续多久；默认 30s。"
    ),
    "debug, info, warning or error.": "debug、info、warning 或 error。",
    "text or json.": "text 或 json。",
    """Fetch models, so that a later start needs no network.

A broken download goes on where it stopped; a file whose hash is wrong is thrown away.

**Examples**

- `myna pull`: the default model
- `myna pull qwen2.5-coder-1.5b-instruct smollm2-135m-instruct`
- `myna pull hf:Qwen/Qwen2.5-0.5B-Instruct-GGUF:Q4_K_M`: any GGUF of Hugging Face
- `myna pull pyodide`: Python that runs in the playground's page""": """\
下载模型，这样以后启动就不需要网络。

中断的下载会从停下的地方继续；哈希不对的文件会被丢弃。

**例子**

- `myna pull`：默认模型
- `myna pull qwen2.5-coder-1.5b-instruct smollm2-135m-instruct`
- `myna pull hf:Qwen/Qwen2.5-0.5B-Instruct-GGUF:Q4_K_M`：Hugging Face 上的任意 GGUF
- `myna pull pyodide`：在试验场页面里运行的 Python""",
    "Ids from `myna models`, `hf:org/repo[:quantisation]`, pyodide; default: the default model.": (
        "`myna models` 列出的 id、`hf:组织/仓库[:量化]` 或 pyodide；默认：默认模型。"
    ),
    "Print what was pulled as JSON.": "以 JSON 打印下载了什么。",
    """List the models on this machine, and those of the catalog that can be pulled.

**Examples**

- `myna models`
- `myna models --json | jq -r '.[] | select(.here) | .id'`""": """\
列出本机上的模型，以及目录里可以下载的模型。

**例子**

- `myna models`
- `myna models --json | jq -r '.[] | select(.here) | .id'`""",
    "Print the list as JSON.": "以 JSON 打印列表。",
    """Delete models from this machine. They can be pulled again.

**Example**: `myna rm smollm2-135m-instruct`""": """\
从本机删除模型。以后可以重新下载。

**例子**：`myna rm smollm2-135m-instruct`""",
    "Ids as `myna models` lists them.": "`myna models` 列出的 id。",
    "Don't ask.": "不再询问。",
    """Continue a text and print what follows, as it comes.

Uses the server that runs with your settings; where none runs, loads the model for this one answer.

**Examples**

- `myna complete "The capital of France is" -n 8`
- `git diff --staged | myna complete -n 40 --stop $'\\n\\n'`
- `myna complete "def quicksort(a):" --json | jq -r .text`""": """\
接着一段文字往下写，边生成边打印。

如果有按你的设置运行的服务器，就用它；没有的话，为这一次回答加载模型。

**例子**

- `myna complete "从前有一座山，" -n 8`
- `git diff --staged | myna complete -n 40 --stop $'\\n\\n'`
- `myna complete "def quicksort(a):" --json | jq -r .text`""",
    "The text to continue; read from standard input where absent.": "要续写的文字；没写的话从标准输入读取。",
    "Which model; default: the default.": "用哪个模型；默认：默认模型。",
    "Length of the answer.": "回答的长度。",
    "0 takes the likeliest token.": "0 表示总取最可能的 token。",
    "The same seed gives the same answer.": "同样的种子得到同样的回答。",
    "Text that ends the answer; may be repeated.": "遇到这段文字就结束回答；可以写多次。",
    "Another OpenAI-compatible server; its key is OPENAI_API_KEY.": (
        "另一个兼容 OpenAI 的服务器；它的密钥取自 OPENAI_API_KEY。"
    ),
    "Print prompt and answer as JSON.": "以 JSON 打印提示和回答。",
    """Show the server's key, or replace it.

The first start makes the key; only you can read its file. MYNA_API_KEY, where set, is used instead.

**Examples**

- `export OPENAI_API_KEY=$(myna key)`
- `myna key new`: the old key stops working at the next start""": """\
显示服务器的密钥，或换一个新的。

密钥在第一次启动时生成，只有你能读它的文件。如果设置了 MYNA_API_KEY，就用它。

**例子**

- `export OPENAI_API_KEY=$(myna key)`
- `myna key new`：下次启动后旧密钥失效""",
    "`show` it, or make a `new` one in its place.": "`show` 显示密钥，`new` 换一个新的。",
    "Print key and file as JSON.": "以 JSON 打印密钥和文件。",
    """Ask a live server everything that OpenAI's clients rely on, and show what it answers rightly.

The key is OPENAI_API_KEY, or that of your own server. The exit code is 1 if anything was found.

**Examples**

- `myna check`
- `myna check --base-url http://127.0.0.1:11434/v1 --markdown > ollama.md`""": """\
向运行中的服务器逐项询问 OpenAI 客户端所依赖的一切，并显示哪些答得对。

密钥取自 OPENAI_API_KEY，或你自己服务器的密钥。发现任何问题时退出码为 1。

**例子**

- `myna check`
- `myna check --base-url http://127.0.0.1:11434/v1 --markdown > ollama.md`""",
    "Any OpenAI-compatible server; default: OPENAI_BASE_URL, else yours.": (
        "任何兼容 OpenAI 的服务器；默认：OPENAI_BASE_URL，否则是你自己的。"
    ),
    "Default: the first that it lists.": "默认：它列出的第一个。",
    "Only behaviours whose name holds this text.": "只检查名字里含有这段文字的行为。",
    "Print the findings as JSON.": "以 JSON 打印检查结果。",
    "Print a table for a document.": "打印一张用于文档的表格。",
    """Make a stored completion again on the running server and compare the two.

The exit code is 0 if every choice is identical, 1 if one differs. A changed fingerprint says why it
may: other weights, another template, or another arithmetic.

**Example**

- `myna replay chatcmpl-…`""": """\
在运行中的服务器上重新生成一个已保存的回答，并比较两者。

每个选项都相同时退出码为 0，有一个不同则为 1。指纹变了就说明了原因：权重、模板或算法不同。

**例子**

- `myna replay chatcmpl-…`""",
    "The id of a completion sent with `store: true`.": "以 `store: true` 发送的回答的 id。",
    "Whose completion it is.": "这个回答属于哪个项目。",
    "Print the finding as JSON.": "以 JSON 打印结果。",
}
