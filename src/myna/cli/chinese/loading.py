"""Models in memory, aliases, and a configuration that is read again."""

from typing import Final

MESSAGES: Final = {
    "The alias {0} ends at no model: {1}. Name a model for one of them.": (
        "别名 {0} 最终不指向任何模型：{1}。请为其中一个指定模型。"
    ),
    "The alias {0} stands for itself; name a model for it.": "别名 {0} 指向它自己；请为它指定一个模型。",
    "Two models have the id {0}: {1} and {2}. Rename one under [models].": (
        "有两个模型的 id 都是 {0}：{1} 和 {2}。请在 [models] 里给其中一个改名。"
    ),
    "each name once": "不重复的名字",
    "names of 1 to {0} visible characters": " 1 到 {0} 个可见字符的名字",
    "The model {0} can't be loaded: {1}": "无法加载模型 {0}：{1}",
    "The model file {0} can't be read: {1}.": "无法读取模型文件 {0}：{1}。",
    "The default model {0} is not on this machine; fetch it with: myna pull {1}": (
        "默认模型 {0} 不在本机；请下载：myna pull {1}"
    ),
    "The model {0} takes {1} without its KV cache, and models may take {2} here. Raise models_memory if the "
    "machine has more, or choose a smaller model.": (
        "模型 {0} 不算 KV 缓存就要 {1}，而这里的模型最多可用 {2}。机器内存更多时请调高 models_memory，"
        "否则请选更小的模型。"
    ),
    "{0} and {1} are no certificate chain and its unencrypted key as PEM: {2}.": (
        "{0} 和 {1} 不是一对 PEM 格式的证书链与未加密私钥：{2}。"
    ),
    "TLS takes both tls_cert and tls_key; set the other one, too.": (
        "TLS 需要同时设置 tls_cert 和 tls_key；请把另一个也设上。"
    ),
    'a list of addresses or networks, such as "10.0.0.0/8"': '地址或网段的列表，例如 "10.0.0.0/8"',
    'a path such as "/llm"': '路径，例如 "/llm"',
    "The model {0} runs on another server, which this endpoint can't ask.": (
        "模型 {0} 在另一台服务器上运行，这个端点不能向它请求。"
    ),
    "{0} is not a file of this server and can't be deleted.": "{0} 不是这台服务器上的文件，不能删除。",
    "{0} requests wait for {1} to be loaded.": "有 {0} 个请求在等待 {1} 加载。",
    "The server is shutting down.": "服务器正在关闭。",
    "The model {0} needs {1} of memory ({2}), and models may take {3} here. Lower context or memory, raise "
    "models_memory, or serve a smaller model.": (
        "模型 {0} 需要 {1} 内存（{2}），而这里的模型最多可用 {3}。请调低 context 或 memory，"
        "调高 models_memory，或换一个更小的模型。"
    ),
    "The model {0} needs {1} of memory ({2}), and other programs leave {3} of this machine's. Close some of "
    "them, lower context or memory, or serve a smaller model.": (
        "模型 {0} 需要 {1} 内存（{2}），而其他程序只给这台机器留下 {3}。请关闭其中一些，"
        "调低 context 或 memory，或换一个更小的模型。"
    ),
}
