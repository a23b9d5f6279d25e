"""The page's modules in the order in which a browser would discover them, so that its document can name all
of them at once. Pure."""

import posixpath
import re
from collections.abc import Mapping
from typing import Final

from myna.web.files import WebFile

# In the page's own modules and in the libraries, some of which are minified.
_STATIC: Final = re.compile(r"""(?:^|[;\n}])\s*(?:import|export)\b[^;"'()]*?["'](\.{1,2}/[^"']+)["']""")
# Dynamic imports are the pages', which are wanted soon, and of libraries, which are loaded when needed.
_PAGE: Final = re.compile(r"""\bimport\(["'](\.{1,2}/(?!.*vendor/)[^"']+)["']\)""")


def module_graph(files: Mapping[str, WebFile], entry: str) -> tuple[str, ...]:
    """The entry and every module that it imports, directly or not."""
    names = [entry]
    for name in names:  # grows while it is read
        text = files[name].data.decode()
        found = _STATIC.findall(text) + _PAGE.findall(text)
        paths = (posixpath.normpath(posixpath.join(posixpath.dirname(name), path)) for path in found)
        names += [path for path in dict.fromkeys(paths) if path not in names]
    return tuple(names)
