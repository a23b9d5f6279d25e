"""`myna doctor`: its help and what it finds."""

from typing import Final

MESSAGES: Final = {
    """Look at the machine and the installation, and say what to mend.

Nothing is changed. The exit code is 1 if something is wrong; what could merely be better is marked !.

**Examples**

- `myna doctor`
- `myna doctor --quick --json | jq '.[] | select(.state == "wrong")'`""": """\
检查这台机器和这份安装，并说明该修什么。

不会改动任何东西。有问题时退出码为 1；只是可以更好的，用 ! 标出。

**例子**

- `myna doctor`
- `myna doctor --quick --json | jq '.[] | select(.state == "wrong")'`""",
    "Don't read the models to check their hashes.": "不读取模型来核对哈希。",
    "Nothing is wrong.": "没有问题。",
    "Wrong: {0}. What to do stands beside each.": "有 {0} 个问题；每个旁边写着该怎么做。",
    "Configuration": "配置",
    "Processor": "处理器",
    "Memory": "内存",
    "Disk": "磁盘",
    "Engines": "引擎",
    "Models": "模型",
    "Sources of models": "模型来源",
    "Port": "端口",
    "Keys": "密钥",
    "Database": "数据库",
    # --- configuration ---
    "Read {0}.": "已读取 {0}。",
    "No myna.toml is read; there is none here or in ~/.config/myna.": (
        "没有读取 myna.toml；当前文件夹和 ~/.config/myna 里都没有。"
    ),
    "The environment sets {0}.": "环境变量设置了 {0}。",
    "Until then the rest of this page looks at the defaults.": "在此之前，下面各项按默认设置检查。",
    # --- machine ---
    "{0}: {1} cores, {2} threads.": "{0}：{1} 个核心，{2} 个线程。",
    "Instruction sets for arithmetic: {0}.": "用于运算的指令集：{0}。",
    "It has none of the instruction sets that make a model fast.": "它没有能让模型变快的指令集。",
    "Expect a few tokens a second; choose the smallest model.": "每秒只会有几个 token；请选择最小的模型。",
    "This process may use {0} of them.": "本进程可以使用其中 {0} 个。",
    "The control group allows {0} processors and shows {1} threads.": "控制组允许 {0} 个处理器，却显示 {1} 个线程。",
    "Set threads = {0}, or give the container more processors.": "请设置 threads = {0}，或给容器更多处理器。",
    "The control group allows {0} of {1}.": "控制组允许使用 {1} 中的 {0}。",
    "{0} are free, and the default model needs {1}.": "空闲 {0}，而默认模型需要 {1}。",
    "Close other programs, or choose a smaller model with MYNA_MODEL.": (
        "请关闭其他程序，或用 MYNA_MODEL 选择更小的模型。"
    ),
    "{0} of {1} are free.": "{1} 中空闲 {0}。",
    "{0} can't be written.": "{0} 不可写。",
    "Set MYNA_HOME to a folder of your own.": "请把 MYNA_HOME 设为你自己的文件夹。",
    "The disk of {0} has {1} free, and {2} are needed.": "{0} 所在的磁盘剩余 {1}，而需要 {2}。",
    "Make room, or set MYNA_HOME to a folder on another disk.": "请腾出空间，或把 MYNA_HOME 设为另一块磁盘上的文件夹。",
    "The disk of {0} has {1} free.": "{0} 所在的磁盘剩余 {1}。",
    # --- engines ---
    "Install an engine, then look again.": "请安装一个引擎，然后再检查。",
    "{0} runs every model, since the setting engine names it.": "所有模型由 {0} 运行，因为设置 engine 指定了它。",
    "{0} runs a model where it can, else {1} does.": "能由 {0} 运行的模型就由它运行，否则由 {1} 运行。",
    "{0} runs every model, since no other engine is installed.": "所有模型由 {0} 运行，因为没有安装其他引擎。",
    "{0} is here: batch-invariant, so a request and seed get the same answer whatever else it is doing.": (
        "有 {0}：批次无关，所以同样的请求和种子得到同样的回答，不管它同时还在做什么。"
    ),
    "{0} is here: not batch-invariant, so an answer may change while others run.": (
        "有 {0}：不保证批次无关，所以有其他请求时回答可能变化。"
    ),
    "Myna's own engine is not built here.": "这里没有编译 Myna 自己的引擎。",
    "Install a C++ compiler and make, then install Myna again.": "请安装 C++ 编译器和 make，然后重新安装 Myna。",
    "It computes with {0}, as MYNA_CPU asks.": "按 MYNA_CPU 的要求，用 {0} 计算。",
    "Unset MYNA_CPU for the fastest.": "取消 MYNA_CPU 可用最快的。",
    "It computes with portable C++, as no faster kernels fit this processor.": (
        "用可移植的 C++ 计算，因为没有更快的内核适合这个处理器。"
    ),
    "It computes with {0} on {1} threads.": "用 {0} 计算，{1} 个线程。",
    # --- models and their sources ---
    "Reading {0} …": "正在读取 {0} …",
    "{0} is here ({1}).": "{0} 在本机（{1}）。",
    "{0} is here ({1}), and its hash is right.": "{0} 在本机（{1}），哈希正确。",
    "{0} is here ({1}); its hash was checked when it came.": "{0} 在本机（{1}）；下载时核对过哈希。",
    "{0} has other bytes than its publisher's.": "{0} 的内容与发布者的不同。",
    "Fetch it again: myna rm {0}; myna pull {1}": "请重新下载：myna rm {0}; myna pull {1}",
    "Fetch it again: myna rm {0}; myna pull hf:{1}": "请重新下载：myna rm {0}; myna pull hf:{1}",
    "{0} is your own file {1} ({2}).": "{0} 是你自己的文件 {1}（{2}）。",
    "Correct {0} under [models] in myna.toml.": "请更正 myna.toml 中 [models] 下的 {0}。",
    "{0} has {1} bytes, not the {2} of {3}.": "{0} 有 {1} 字节，而不是 {3} 的 {2} 字节。",
    "Delete it, then: myna pull {0}": "请删除它，然后：myna pull {0}",
    "A download was left at {0}: {1}.": "有一个下载停在 {0}：{1}。",
    "Pull the model again to go on, or delete the folder.": "重新下载该模型即可继续，或删除这个文件夹。",
    "No model is here yet.": "本机还没有模型。",
    "Fetch the default with: myna pull": "下载默认模型：myna pull",
    "{0} answers.": "{0} 有应答。",
    "{0} can't be used: {1}": "{0} 无法使用：{1}",
    "it does not answer": "没有应答",
    "Name or service not known": "名称或服务未知",
    "Models come from any that answers; a folder of files can be set as MYNA_MIRROR.": (
        "任何有应答的来源都可以；也可以把放有文件的文件夹设为 MYNA_MIRROR。"
    ),
    "pip's index does not show {0}": "pip 的索引里没有 {0}",
    "pip's index did not answer within {0} s": "pip 的索引在 {0} 秒内没有应答",
    # --- port, keys, database ---
    "The server takes any free port.": "服务器使用任意空闲端口。",
    "{0} is free.": "{0} 空闲。",
    "{0} can't be listened on: {1}.": "无法监听 {0}：{1}。",
    "Set another host or port.": "请设置另一个地址或端口。",
    "A server answers at {0}.": "{0} 有服务器应答。",
    "Another program listens on {0}.": "另一个程序在监听 {0}。",
    "Stop it, or set another port with MYNA_PORT.": "请停止它，或用 MYNA_PORT 设置另一个端口。",
    "The server asks for no key.": "服务器不要求密钥。",
    "Leave out no_auth where others use this machine.": "如果别人也用这台机器，请去掉 no_auth。",
    "The key is the setting api_key.": "密钥取自设置 api_key。",
    "The first start makes a key in {0}.": "第一次启动会在 {0} 生成密钥。",
    "The key is in {0}, which only you can read.": "密钥在 {0}，只有你能读。",
    "The server doesn't start before.": "在此之前服务器无法启动。",
    "Others may read {0}.": "别人也能读 {0}。",
    "Close it with: chmod 600 {0}": "请收回权限：chmod 600 {0}",
    "The database is a {0}; the server connects to it when it starts.": "数据库是 {0}；服务器启动时连接它。",
    "The first start makes the database {0}.": "第一次启动会建立数据库 {0}。",
    "The database {0} is sound.": "数据库 {0} 完好。",
    "The database {0} is damaged ({1}).": "数据库 {0} 已损坏（{1}）。",
    "Put a backup in its place; one lies beside it after an upgrade.": "请换上备份；升级之后旁边会有一份。",
}
