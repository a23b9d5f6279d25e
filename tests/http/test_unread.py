"""Whole answers that nobody reads: held within bounds, and those unread for longest go first."""

from contextlib import ExitStack

from myna.http.unread import UnreadAnswers


class Clients:
    """Clients with an answer each, and those that were disconnected."""

    def __init__(self, unread: UnreadAnswers, stack: ExitStack) -> None:
        self._unread = unread
        self._stack = stack
        self.dropped: list[str] = []

    def hold(self, name: str, num_bytes: int, key_id: str = "a") -> "Reading":
        has_read = self._stack.enter_context(
            self._unread.hold(key_id, num_bytes, lambda: self.dropped.append(name))
        )
        return Reading(has_read)


class Reading:
    def __init__(self, has_read: object) -> None:
        assert callable(has_read)
        self.read = has_read


def test_a_key_holds_no_more_than_its_part() -> None:
    unread = UnreadAnswers(max_bytes=100, max_key_bytes=50)
    with ExitStack() as stack:
        clients = Clients(unread, stack)
        clients.hold("first", 30)
        clients.hold("other key", 30, "b")
        clients.hold("second", 30)
        assert clients.dropped == ["first"]
        assert (len(unread), unread.num_bytes) == (2, 60)
    assert len(unread) == 0


def test_all_keys_together_hold_no_more_than_the_whole() -> None:
    unread = UnreadAnswers(max_bytes=100, max_key_bytes=50)
    with ExitStack() as stack:
        clients = Clients(unread, stack)
        for key_id in "abcd":
            clients.hold(key_id, 40, key_id)
        assert clients.dropped == ["a", "b"]


def test_who_reads_stays() -> None:
    unread = UnreadAnswers(max_bytes=100, max_key_bytes=50)
    with ExitStack() as stack:
        clients = Clients(unread, stack)
        reader = clients.hold("reads", 20)
        clients.hold("does not", 20)
        reader.read()
        clients.hold("new", 20)
        assert clients.dropped == ["does not"]
        reader.read()


def test_a_single_answer_may_be_as_large_as_it_is() -> None:
    unread = UnreadAnswers(max_bytes=100, max_key_bytes=50)
    with ExitStack() as stack:
        clients = Clients(unread, stack)
        clients.hold("large", 1000)
        assert clients.dropped == []
