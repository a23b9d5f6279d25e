"""Names of models as people type or paste them: ids, those of Ollama and LM Studio, and addresses of hubs."""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urlsplit

from myna.catalog.entries import QUANTIZATION
from myna.core.errors import ModelNotFound
from myna.core.translatable import N_

# Hosts as they appear in addresses, and the hub that each is.
_HOSTS: Final = {
    "huggingface.co": "huggingface",
    "hf.co": "huggingface",
    "modelscope.cn": "modelscope",
    "modelscope.ai": "modelscope",
}
PREFIXES: Final = {"huggingface": "hf", "modelscope": "ms"}
"""How ids are written with their hub: `hf:owner/repository`."""
_HUBS: Final = {short: hub for hub, short in PREFIXES.items()} | {hub: hub for hub in PREFIXES}
_LIBRARY: Final = "ollama.com"
_PART: Final = r"[A-Za-z0-9][\w.-]{0,95}"
_REPOSITORY: Final = re.compile(rf"({_PART}/{_PART})(?::([\w.+/-]{{1,200}}))?")
_IN_REPOSITORY: Final = re.compile(
    rf"({_PART}/{_PART})/(?:(?:resolve|blob|raw|tree)|file/view)/([\w.-]{{1,100}})(?:/([\w.+/-]{{1,300}}))?"
)
_MOST_CHARACTERS: Final = 1000


@dataclass(frozen=True, slots=True)
class HubName:
    """Files in a repository of a hub. `wanted` is a quantization or a file's name; "" leaves the choice to
    Myna. `revision` "" is the hub's main branch."""

    hub: str
    repository: str
    wanted: str = ""
    revision: str = ""

    @property
    def id(self) -> str:
        """The id under which the model is kept."""
        return f"{self.repository}:{self.wanted}" if self.wanted else self.repository


@dataclass(frozen=True, slots=True)
class PlainName:
    """A name without a hub, as in the catalog, and the quantization that was asked for, if any."""

    name: str
    quantization: str = ""


def parse_name(text: str) -> HubName | PlainName:
    """The model that a name refers to. `owner/repository` is one on Hugging Face.

    Raises `ModelNotFound` for an address that is not of a hub, or not of a model."""
    text = text.strip()
    if len(text) > _MOST_CHARACTERS:
        raise _unknown(text[:40] + "…")
    prefix, colon, rest = text.partition(":")
    if colon and prefix.lower() in _HUBS:
        return _hub_name(_HUBS[prefix.lower()], rest.removeprefix("//"), text)
    if "://" in text:
        return _address(text, text)
    if is_address(text):
        return _address(f"https://{text}", text)
    if _REPOSITORY.fullmatch(text):
        return _hub_name("huggingface", text, text)
    return _plain(text)


def is_address(text: str) -> bool:
    """Whether it names a hub, and so is neither an id nor a file's path."""
    host = text.partition("/")[0].lower().removeprefix("www.")
    return "://" in text or text.partition(":")[0].lower() in _HUBS or host in (*_HOSTS, _LIBRARY)


def _address(url: str, text: str) -> HubName | PlainName:
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").removeprefix("www.")
    except ValueError:
        raise _unknown(text) from None
    path = unquote(parts.path).strip("/")
    if parts.scheme in ("http", "https") and host == _LIBRARY:
        return _plain(path.removeprefix("library/"))
    if parts.scheme not in ("http", "https") or host not in _HOSTS:
        raise _unknown(text)
    return _hub_name(_HOSTS[host], path.removeprefix("models/"), text)


def _hub_name(hub: str, path: str, text: str) -> HubName:
    """`owner/repository[:wanted]`, or the path of a page or file in it."""
    path = path.strip("/")
    for page in ("/files", "/summary", "/tree/main", "/tree/master"):
        path = path.removesuffix(page)
    if found := _REPOSITORY.fullmatch(path):
        name = HubName(hub, found[1], found[2] or "")
    elif found := _IN_REPOSITORY.fullmatch(path):
        is_default = found[2] in ("main", "master")
        name = HubName(hub, found[1], found[3] or "", "" if is_default else found[2])
    else:
        raise _unknown(text)
    if ".." in path:
        raise _unknown(text)
    return name


def _plain(text: str) -> PlainName:
    """`qwen3:4b-q4_K_M`, `qwen3-4b@q4_k_m`, `qwen3:latest`."""
    name = text.removesuffix(":latest")
    head, separator, tail = name.rpartition("@")
    if not separator:
        found = re.search(rf"[-:]({QUANTIZATION.pattern})$", name, re.IGNORECASE)
        head, tail = (name[: found.start()], found[1]) if found else ("", "")
    if head and QUANTIZATION.fullmatch(tail):
        return PlainName(head, tail.upper())
    return PlainName(name)


def _unknown(text: str) -> ModelNotFound:
    return ModelNotFound(
        N_(
            "{name!r} is not the name of a model. Write an id from `myna models --available`, "
            "`owner/repository:quantization`, or the address of a repository on Hugging Face or ModelScope.",
            name=text,
        ),
        param="model",
    )
