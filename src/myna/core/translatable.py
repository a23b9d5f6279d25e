"""Text that can be shown in another language. Knows no language and no catalogue."""

from collections.abc import Iterable

import msgspec


class Translatable(msgspec.Struct, frozen=True):
    """An English template, which is the key of the catalogues, and the values of its `{fields}`.

    `str()` is the finished English text. An argument may be translatable itself. Without arguments the
    template is the text as it is, braces included.
    """

    template: str
    arguments: tuple[tuple[str, "str | int | float | Translatable"], ...] = ()

    def __str__(self) -> str:
        return self.template.format(**dict(self.arguments)) if self.arguments else self.template

    def replaced(self, old: str, new: str) -> "Translatable":
        """The same text with `old` replaced in its arguments."""
        arguments = tuple((name, _replaced(value, old, new)) for name, value in self.arguments)
        return Translatable(self.template, arguments)


def _replaced(
    value: "str | int | float | Translatable", old: str, new: str
) -> "str | int | float | Translatable":
    if isinstance(value, Translatable):
        return value.replaced(old, new)
    return value.replace(old, new) if isinstance(value, str) else value


def N_(template: str, /, **arguments: object) -> Translatable:
    """Mark a text for extraction, as gettext's `N_` does. Arguments that are neither text nor numbers, such
    as paths and exceptions, become their text."""
    return Translatable(
        template,
        tuple(
            (name, value if isinstance(value, str | int | float | Translatable) else str(value))
            for name, value in arguments.items()
        ),
    )


def joined(separator: str, texts: Iterable[str | Translatable]) -> Translatable:
    """Several texts as one, each of which is translated by itself."""
    arguments = tuple((f"part_{number}", text) for number, text in enumerate(texts))
    return Translatable(separator.join(f"{{{name}}}" for name, _ in arguments), arguments)
