"""Errors of the parts below the command line: settings, keys, engines, databases, workers."""

from typing import Final

MESSAGES: Final = {
    # --- settings ---
    "{0} sets {1}, which is no setting of Myna's; {2}": "{0} 设置了 {1}，Myna 没有这项设置；{2}",
    "did you mean {0}?": "你是想用 {0} 吗？",
    "known are {0}.": "已知的有 {0}。",
    "{0}: {1} takes {2}, not {3}.": "{0}：{1} 应为{2}，而不是 {3}。",
    "{0}: {1} takes {2}{3}.": "{0}：{1} 应为{2}{3}。",
    'a model\'s id, or { model = "...", kind = "instruct" }': (
        '模型的 id，或 { model = "...", kind = "instruct" }'
    ),
    "text in quotes": "引号里的文字",
    "true or false": " true 或 false",
    "a list of names": "名字的列表",
    "a table": "一个表",
    "a whole number from {0} to {1}": "从 {0} 到 {1} 的整数",
    "one of {0}": " {0} 之一",
    "name=value pairs with commas between them": "用逗号隔开的 名字=值",
    'a size such as "4G" or "512M"': '大小，例如 "4G" 或 "512M"',
    'a time such as "30s" or "5m"': '时间，例如 "30s" 或 "5m"',
    "Can't read the configuration {0}: {1}.": "无法读取配置文件 {0}：{1}。",
    "{0} is not valid TOML: {1}.": "{0} 不是合法的 TOML：{1}。",
    # --- keys ---
    "Others may read the {0} file {1}. Close it with: chmod 600 {2}": (
        "别人也能读 {0} 文件 {1}；请收回权限：chmod 600 {2}"
    ),
    "The {0} file {1} holds no {2}; delete it and start again.": (
        "{0} 文件 {1} 里没有 {2}；请删除它后重新启动。"
    ),
    "{0} is shorter than {1} characters.": "{0} 不足 {1} 个字符。",
    "{0} has characters that an HTTP header can't carry.": "{0} 含有 HTTP 头不能携带的字符。",
    "The API key": "密钥",
    "Key {0} in {1}": "{1} 中的第 {0} 个密钥",
    "There is no API key; set MYNA_API_KEY or run: myna key new": (
        "没有密钥；请设置 MYNA_API_KEY，或运行：myna key new"
    ),
    "Can't read the {0} file {1}: {2}.": "无法读取 {0} 文件 {1}：{2}。",
    # --- engines ---
    "The model {0} can't be loaded. {1}": "模型 {0} 无法加载。{1}",
    "In this installation {0} there; bring one with: pip install 'myna[llamacpp]'": (
        "这份安装里{0}；可以安装一个：pip install 'myna[llamacpp]'"
    ),
    "The model {0} can't be loaded. {1} An engine with a tokenizer of its own could run it: {2}.": (
        "模型 {0} 无法加载。{1} 自带分词器的引擎可以运行它：{2}。"
    ),
    "No backend that is set up here runs models such as {0}.": "这里没有设置能运行 {0} 这类模型的后端。",
    "no engine is": "没有任何引擎",
    "the engine {0} is not": "没有引擎 {0}",
    "The fake model {0} is broken, as its name says.": "假模型 {0} 是坏的，正如它的名字所说。",
    "There is no model file {0}.": "没有模型文件 {0}。",
    "{0} MiB hold less than {1} tokens of this model's KV cache.": (
        "{0} MiB 装不下这个模型 {1} 个 token 的 KV 缓存。"
    ),
    "llama.cpp can't load {0}: {1}": "llama.cpp 无法加载 {0}：{1}",
    "llama.cpp can't make room for {0} tokens: {1}": "llama.cpp 没有 {0} 个 token 的空间：{1}",
    "A context of {0} tokens is more than this model and memory allow ({1}).": (
        "{0} 个 token 的上下文超过了这个模型和内存的上限（{1}）。"
    ),
    "Myna's own engine is not built here ({0}); llama.cpp's comes with: pip install 'myna[llamacpp]'": (
        "这里没有编译 Myna 自己的引擎（{0}）；可以安装 llama.cpp 的：pip install 'myna[llamacpp]'"
    ),
    "Myna's own engine can't run {0}: {1}. {2}": "Myna 自己的引擎不能运行 {0}：{1}。{2}",
    "{0} can't be loaded: {1}.": "{0} 无法加载：{1}。",
    "There is not enough memory to load {0}.": "内存不足，无法加载 {0}。",
    "The engine refused the batch: {0}.": "引擎拒绝了这一批：{0}。",
    "There is no engine {0}; choose one of {1}.": "没有引擎 {0}；请选择 {1} 之一。",
    "The engine {0} is not installed ({1}). Install it with: pip install 'myna[{2}]'": (
        "引擎 {0} 没有安装（{1}）；请安装：pip install 'myna[{2}]'"
    ),
    # --- prompts ---
    "A JSON value is nested too deeply.": "JSON 嵌套得太深。",
    "The JSON of {0} can't be read.": "{0} 的 JSON 无法读取。",
    "The messages hold every private-use character.": "消息里用到了所有的私用区字符。",
    "The vocabulary's special tokens are nested too deeply.": "词表的特殊 token 嵌套得太深。",
    "The vocabulary has no token for the byte {0}.": "词表里没有字节 {0} 的 token。",
    "The model's chat template refuses these messages: {0}": "模型的对话模板拒绝了这些消息：{0}",
    "The model's chat template was stopped: {0}.": "模型的对话模板被中止：{0}。",
    "The model's chat template can't render these messages ({0}).": "模型的对话模板无法处理这些消息（{0}）。",
    "The model's chat template can't be used: {0}.": "模型的对话模板无法使用：{0}。",
    "The model's chat template takes too long for this many requests at once.": (
        "模型的对话模板运行太久，无法同时处理这么多请求。"
    ),
    # --- databases ---
    "The database {0} can't be opened: {1}": "无法打开数据库 {0}：{1}",
    "The database was written by a newer Myna (its schema is {0}). Update Myna, or point it to another "
    "database.": "数据库是更新版本的 Myna 写的（模式为 {0}）；请更新 Myna，或换一个数据库。",
    "There is no store for {0} URLs; choose one of {1}.": "没有 {0} 类型的存储；请选择 {1} 之一。",
    "The database driver for {0} is not installed ({1}). Install it with: pip install 'myna[{2}]'": (
        "{0} 的数据库驱动没有安装（{1}）；请安装：pip install 'myna[{2}]'"
    ),
    "The file of the limits {0} can't be opened: {1}": "无法打开限额文件 {0}：{1}",
    "The database can't be used: {0}": "数据库无法使用：{0}",
    # --- workers ---
    "The model's worker process is {0}.": "模型的工作进程{0}。",
    "The model was unloaded.": "模型已被卸载。",
    "The model's worker process died while it answered; please try again.": (
        "模型的工作进程在回答时退出了；请再试一次。"
    ),
    "The model's worker process died and can't be started again.": "模型的工作进程退出了，而且无法重新启动。",
    "The worker process ended while it loaded {0}: {1}.{2}": "工作进程在加载 {0} 时退出：{1}。{2}",
    "The step lock {0} is not a file of this user's own.": "步进锁 {0} 不是当前用户自己的文件。",
    "The step lock {0} can't be opened: {1}.": "步进锁 {0} 无法打开：{1}。",
}
