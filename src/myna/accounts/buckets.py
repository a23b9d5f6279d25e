"""Token buckets and seats, as values: what is there, what is taken, what comes back. Time is passed in."""

import math
import struct
from dataclasses import dataclass
from typing import Final

_BUCKET: Final = struct.Struct("<dd")
_SEAT: Final = struct.Struct("<8sId")
_SLACK: Final = 1e-6
"""Sums of floating-point times are off by less; one request is a million times more."""
_JUMP_S: Final = 60.0
"""A clock that was set back by more is believed; by less, two servers' clocks may differ."""
SEAT_S: Final = 60.0
"""Seats of a server that doesn't say within this time that it lives are free again."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """`level` of what it may hold is there at the time `at`; it fills steadily. Below zero is owed."""

    level: float
    at: float

    def can_give(self, amount: float) -> bool:
        return self.level + _SLACK >= amount

    def less(self, amount: float) -> "Bucket":
        return Bucket(self.level - amount, self.at)

    def more(self, amount: float, capacity: float) -> "Bucket":
        return Bucket(min(capacity, self.level + amount), self.at)

    def wait_s(self, amount: float, per_s: float) -> float:
        """How long until it can give that much, if nothing else is taken."""
        return max(0.0, (amount - self.level) / per_s)

    def encode(self) -> bytes:
        return _BUCKET.pack(self.level, self.at)


def is_bucket(value: bytes) -> bool:
    """Whether `encode` can have made it; a damaged store may hold anything."""
    return len(value) == _BUCKET.size and all(map(math.isfinite, _BUCKET.unpack(value)))


def is_seats(value: bytes) -> bool:
    """The same for seats."""
    if len(value) % _SEAT.size:
        return False
    return all(math.isfinite(at) for _, _, at in _SEAT.iter_unpack(value))


def refilled(value: bytes | None, capacity: float, per_s: float, now: float) -> Bucket:
    """The bucket as it stands now; a new one is full, and so is a damaged one. A clock that goes back gives
    nothing."""
    if not value or not is_bucket(value):
        return Bucket(capacity, now)
    level, at = _BUCKET.unpack(value)
    if at > now + _JUMP_S:
        return Bucket(min(capacity, level), now)
    until = max(at, now)
    return Bucket(min(capacity, level + (until - at) * per_s), until)


@dataclass(frozen=True, slots=True)
class Seats:
    """How many requests run on each server (eight bytes name one), and when it was last heard of."""

    servers: tuple[tuple[bytes, int, float], ...]

    @property
    def num_taken(self) -> int:
        return sum(count for _, count, _ in self.servers)

    def changed(self, server: bytes, change: int, now: float) -> "Seats":
        """With one taken or given back by a server, which is heard of by it."""
        count = sum(count for name, count, _ in self.servers if name == server) + change
        others = tuple(entry for entry in self.servers if entry[0] != server)
        return Seats((*others, (server, count, now)) if count > 0 else others)

    def encode(self) -> bytes:
        return b"".join(_SEAT.pack(*entry) for entry in self.servers)


def live_seats(value: bytes | None, now: float) -> Seats:
    """Those of servers that live; none if the value is damaged. Times that a clock wrote before it was set
    back count as now."""
    entries = _SEAT.iter_unpack(value) if value and is_seats(value) else ()
    return Seats(
        tuple(
            (name, count, now if at > now + _JUMP_S else at)
            for name, count, at in entries
            if now - at < SEAT_S
        )
    )


def is_ahead(value: bytes, now: float) -> bool:
    """Whether a bucket or seats were written by a clock that has been set back since: what `filled` and
    `seated` make of them must be written, or it would never be later than it is now."""
    if is_bucket(value):
        return bool(_BUCKET.unpack(value)[1] > now + _JUMP_S)
    return is_seats(value) and any(at > now + _JUMP_S for _, _, at in _SEAT.iter_unpack(value))


def duration(seconds: float) -> str:
    """A length of time as Go prints it, rounded up to milliseconds: `6ms`, `8.64s`, `1m12s`, `6m0s`."""
    ms = math.ceil(seconds * 1000 - 1e-3)
    if ms <= 0:
        return "0s"
    if ms < 1000:
        return f"{ms}ms"
    minutes, left_ms = divmod(ms, 60_000)
    shown = f"{left_ms / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    if minutes == 0:
        return shown
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{shown}" if hours else f"{minutes}m{shown}"
