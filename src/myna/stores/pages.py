"""What the pages of all lists share: the rows that follow the one named by `after`."""

from collections.abc import Iterable
from typing import Any, Protocol, TypeVar

from sqlalchemy import ColumnElement, Connection, Select, select

from myna.core.stored import Order


class HasId(Protocol):
    @property
    def id(self) -> str: ...


Row = TypeVar("Row", bound=HasId)


def rows_after(rows: Iterable[Row], after: str | None, order: Order) -> list[Row] | None:
    """The rows, which are oldest first, in this order, from behind the row `after`; None if it isn't among
    them."""
    ordered = list(rows)
    if order == "desc":
        ordered.reverse()
    if after is None:
        return ordered
    place = next((i for i, row in enumerate(ordered) if row.id == after), None)
    return None if place is None else ordered[place + 1 :]


def only_after(
    connection: Connection,
    query: Select[Any],
    serial: ColumnElement[int],
    place: Iterable[ColumnElement[bool]],
    order: Order,
) -> Select[Any] | None:
    """`query`, limited to what follows the row that fulfils `place`; None if there is no such row."""
    start = connection.scalar(select(serial).where(*place))
    if start is None:
        return None
    return query.where(serial > start if order == "asc" else serial < start)


def by_serial(serial: ColumnElement[int], order: Order) -> ColumnElement[int]:
    return serial.asc() if order == "asc" else serial.desc()
