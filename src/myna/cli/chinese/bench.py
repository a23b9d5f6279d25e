"""`myna bench`: its page and what it says."""

from typing import Final

MESSAGES: Final = {
    """Measure prompts of several lengths and several answers at once, on this machine, without a server.

Beside tokens a second stand the bytes of weights read and the operations done, and what share that is
of what a short probe says the machine can do. Other programs that run meanwhile make all of it slower.

**Examples**

- `myna bench`: the default model
- `myna bench smollm2-135m-instruct --threads 1 --no-peer`
- `myna bench ./my-model.gguf --plot speed.png`
- `myna bench --json | jq '.results[] | select(.kind == "decode")'`""": """\
在本机测量几种长度的提示和同时生成的几份回答，不需要服务器。

每秒的 token 数旁边是读取权重的字节数和完成的运算数，以及它们占短暂探测所得本机能力的比例。
测量时如果有其他程序在运行，结果都会变慢。

**例子**

- `myna bench`：默认模型
- `myna bench smollm2-135m-instruct --threads 1 --no-peer`
- `myna bench ./my-model.gguf --plot speed.png`
- `myna bench --json | jq '.results[] | select(.kind == "decode")'`""",
    "An id from `myna models` or a GGUF file; default: the default model.": (
        "`myna models` 列出的 id，或 GGUF 文件；默认：默认模型。"
    ),
    "Threads; 0 is as many as the process may use.": "线程数；0 为进程可用的全部。",
    "Measurements of each; the median counts.": "每项测量的次数，取中位数。",
    "Measure llama.cpp in turn, if it is installed.": "如果装有 llama.cpp，就轮流测量它。",
    "Draw a picture there, such as out.png; needs 'myna[plot]'.": (
        "把图画到这个文件，例如 out.png；需要 'myna[plot]'。"
    ),
    "Print the figures as JSON.": "以 JSON 打印数字。",
    "This machine can do": "本机的能力",
    "llama.cpp is not installed to compare with; bring it with: pip install 'myna[llamacpp]'": (
        "没有安装用来对比的 llama.cpp；安装：pip install 'myna[llamacpp]'"
    ),
    "llama.cpp is not compared with: {0}": "没有与 llama.cpp 对比：{0}",
    "The picture is drawn by matplotlib; install it with: pip install 'myna[plot]'": (
        "图由 matplotlib 绘制；安装：pip install 'myna[plot]'"
    ),
    "There is no folder {0} to put the picture into.": "没有文件夹 {0}，图放不进去。",
    "The picture can't be written to {0}: {1}.": "图写不到 {0}：{1}。",
    "The picture is at {0}.": "图在 {0}。",
}
