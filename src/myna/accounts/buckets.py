"""Token buckets and permits as immutable values. Time is passed in.

A permit is for one of the concurrent requests that a limit allows; servers hold permits as leases that
expire."""

import math
import struct
from dataclasses import dataclass
from typing import Final

_BUCKET: Final = struct.Struct("<dd")
_PERMIT: Final = struct.Struct("<8sId")
_SLACK: Final = 1e-6
"""Tolerance for rounding errors; a single request is a million times larger."""
_JUMP_S: Final = 60.0
"""Clocks of two servers may differ by less; a larger step back means that a clock was set."""
PERMIT_S: Final = 60.0
"""Permits of a server without a heartbeat for this long are released."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """A token bucket with `level` at the time `at`; it refills steadily. A negative level is debt."""

    level: float
    at: float

    def has(self, amount: float) -> bool:
        return self.level + _SLACK >= amount

    def minus(self, amount: float) -> "Bucket":
        return Bucket(self.level - amount, self.at)

    def plus(self, amount: float, capacity: float) -> "Bucket":
        return Bucket(min(capacity, self.level + amount), self.at)

    def wait_s(self, amount: float, per_s: float) -> float:
        """The time until it can give `amount`, if nothing else is taken."""
        return max(0.0, (amount - self.level) / per_s)

    def encode(self) -> bytes:
        return _BUCKET.pack(self.level, self.at)


def is_encoded_bucket(value: bytes) -> bool:
    """Whether the value is an encoded bucket; a damaged store may contain anything."""
    return len(value) == _BUCKET.size and all(map(math.isfinite, _BUCKET.unpack(value)))


def are_encoded_permits(value: bytes) -> bool:
    """Whether the value is encoded permits."""
    if len(value) % _PERMIT.size:
        return False
    return all(math.isfinite(at) for _, _, at in _PERMIT.iter_unpack(value))


def refilled(value: bytes | None, capacity: float, per_s: float, now: float) -> Bucket:
    """The bucket at the time `now`; a new or damaged one is full. A clock that goes back adds nothing."""
    if not value or not is_encoded_bucket(value):
        return Bucket(capacity, now)
    level, at = _BUCKET.unpack(value)
    if at > now + _JUMP_S:
        return Bucket(min(capacity, level), now)
    until = max(at, now)
    return Bucket(min(capacity, level + (until - at) * per_s), until)


@dataclass(frozen=True, slots=True)
class Permits:
    """(server id of eight bytes, its running requests, time of its last heartbeat) of each server."""

    servers: tuple[tuple[bytes, int, float], ...]

    @property
    def num_taken(self) -> int:
        return sum(count for _, count, _ in self.servers)

    def changed(self, server: bytes, change: int, now: float) -> "Permits":
        """The permits after a server's count has changed by `change`, which also is a heartbeat."""
        count = sum(count for name, count, _ in self.servers if name == server) + change
        others = tuple(entry for entry in self.servers if entry[0] != server)
        return Permits((*others, (server, count, now)) if count > 0 else others)

    def encode(self) -> bytes:
        return b"".join(_PERMIT.pack(*entry) for entry in self.servers)


def live_permits(value: bytes | None, now: float) -> Permits:
    """The permits of live servers; none if the value is damaged. Times in the future, from a clock that was
    set back since, count as now."""
    entries = _PERMIT.iter_unpack(value) if value and are_encoded_permits(value) else ()
    return Permits(
        tuple(
            (name, count, now if at > now + _JUMP_S else at)
            for name, count, at in entries
            if now - at < PERMIT_S
        )
    )


def is_ahead(value: bytes, now: float) -> bool:
    """Whether the value was written by a clock that has been set back since. Then the result of `refilled` or
    `live_permits` must be stored, or time would not advance for it."""
    if is_encoded_bucket(value):
        return bool(_BUCKET.unpack(value)[1] > now + _JUMP_S)
    return are_encoded_permits(value) and any(at > now + _JUMP_S for _, _, at in _PERMIT.iter_unpack(value))


def duration(seconds: float) -> str:
    """A duration as Go prints it, rounded up to milliseconds: `6ms`, `8.64s`, `1m12s`, `6m0s`."""
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
