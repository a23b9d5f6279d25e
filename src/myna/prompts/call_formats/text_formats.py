"""Regular expressions of the formats of strings in JSON schemas (`format`), in the syntax of grammars.

Some allow less than the format does; all that they allow conforms to it. Pure.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

_DATE: Final = (
    "[0-9]{4}-(((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01]))|((0[469]|11)-(0[1-9]|[12][0-9]|30))"
    "|(02-(0[1-9]|1[0-9]|2[0-8])))"
)
_TIME: Final = (
    "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,6})?(Z|[+\\-]([01][0-9]|2[0-3]):[0-5][0-9])"
)
_LABEL: Final = "[a-zA-Z0-9]([a-zA-Z0-9\\-]{0,61}[a-zA-Z0-9])?"
_HOST: Final = f"{_LABEL}(\\.{_LABEL}){{0,6}}"
_BYTE: Final = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_GROUP: Final = "[0-9a-fA-F]{1,4}"
_SHORT_IPV6: Final = "|".join(
    f"({_GROUP}(:{_GROUP}){{0,{before}}})?::({_GROUP}(:{_GROUP}){{0,{5 - before}}})?" for before in range(6)
)
_CLOCK: Final = "T([0-9]{1,9}H([0-9]{1,9}M)?([0-9]{1,9}S)?|[0-9]{1,9}M([0-9]{1,9}S)?|[0-9]{1,9}S)"
_DAYS: Final = "([0-9]{1,9}Y([0-9]{1,9}M)?([0-9]{1,9}D)?|[0-9]{1,9}M([0-9]{1,9}D)?|[0-9]{1,9}D)"
_NAME: Final = "[a-zA-Z0-9!#$%&'*+=?^_`{|}~\\-]"
_IN_URI: Final = "([a-zA-Z0-9\\-._~!$&'()*+,;=:@\\/]|%[0-9a-fA-F]{2})*"

FORMATS: Final[Mapping[str, str]] = MappingProxyType({
    "date": _DATE,
    "time": _TIME,
    "date-time": f"({_DATE})T{_TIME}",
    "duration": f"P({_DAYS}({_CLOCK})?|{_CLOCK}|[0-9]{{1,9}}W)",
    "email": f"{_NAME}+(\\.{_NAME}+)*@{_HOST}",
    "hostname": _HOST,
    "ipv4": f"{_BYTE}(\\.{_BYTE}){{3}}",
    "ipv6": f"({_GROUP}(:{_GROUP}){{7}}|{_SHORT_IPV6})",
    "uuid": "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
    "uri": f"[a-zA-Z][a-zA-Z0-9+.\\-]*:(\\/\\/{_HOST}(:[0-9]{{1,5}})?(\\/{_IN_URI})?|[a-zA-Z0-9]{_IN_URI})"
    f"(\\?{_IN_URI})?(#{_IN_URI})?",
})  # fmt: skip
