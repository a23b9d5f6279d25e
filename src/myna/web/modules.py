"""The page's modules in the order in which a browser would discover them, so that its document can name all
of them at once. Pure."""

import posixpath
import re
from collections.abc import Mapping
from typing import Final

from myna.web.files import WebFile

# A library's imports come first in its file; the rest of it is long.
_VENDOR: Final = "vendor/"
_VENDOR_HEAD: Final = 2000
_STATIC: Final = re.compile(r"""\b(?:from|import)\s*["'](\.{1,2}/[^"'\n]+)["']""")
# Dynamic imports are the pages', which are wanted soon, and of libraries, which are loaded when needed.
_PAGE: Final = re.compile(r"""\bimport\(["'](\.{1,2}/(?!.*vendor/)[^"'\n]+)["']\)""")


def module_graph(files: Mapping[str, WebFile], entry: str) -> tuple[str, ...]:
    """The entry and every module that it imports, directly or not."""
    names = [entry]
    for name in names:  # grows while it is read
        text = files[name].data[: _VENDOR_HEAD if name.startswith(_VENDOR) else None].decode(errors="replace")
        found = _STATIC.findall(text) + _PAGE.findall(text)
        paths = (posixpath.normpath(posixpath.join(posixpath.dirname(name), path)) for path in found)
        names += [path for path in dict.fromkeys(paths) if path not in names]
    return tuple(names)
