"""Which replica a session belongs to: balance, few moves, and what happens when it is too busy."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from myna.core.requests import EmbeddingRequest, GenerationRequest
from myna.fleet.routing import FREE_LOAD, Rendezvous, SessionAffinity, away, capacity, rank, session_of

NAMES = st.sets(st.text("abcdef0123456789", min_size=4, max_size=8), min_size=2, max_size=12)
SESSIONS = [f"session {number}" for number in range(60)]


def idle(replica: str) -> int:
    return 0


def first(order: Rendezvous, session: str) -> str:
    return rank(order, session, idle, 0)[0]


@given(NAMES)
def test_a_replica_that_leaves_moves_only_its_own_sessions(names: set[str]) -> None:
    gone = min(names)
    before, after = Rendezvous(names), Rendezvous(names - {gone})
    for session in SESSIONS:
        owner = first(before, session)
        if owner != gone:
            assert first(after, session) == owner
        else:
            assert first(after, session) == list(before.walk(session))[1]


def test_sessions_are_spread_evenly() -> None:
    names = [f"replica-{number}" for number in range(20)]
    order = Rendezvous(names)
    counts = Counter(first(order, f"{number}") for number in range(20_000))
    assert set(counts) == set(names)
    assert max(counts.values()) < 1.1 * 1000
    assert min(counts.values()) > 0.9 * 1000


@given(NAMES, st.lists(st.integers(0, 59), max_size=400))
def test_no_replica_gets_more_than_its_bound(names: set[str], arrivals: list[int]) -> None:
    """However unevenly the sessions arrive, nobody takes more than the bound when a request is placed."""
    order, load = Rendezvous(names), Counter[str]()
    for number, arrival in enumerate(arrivals):
        chosen = rank(order, SESSIONS[arrival % 3], load.__getitem__, number)[0]
        load[chosen] += 1
        assert load[chosen] <= capacity(number, len(names))


def test_a_busy_replicas_sessions_go_to_its_successor() -> None:
    order = Rendezvous(["a", "b", "c"])
    own, successor, last = order.walk("s")
    busy = {own: 100, successor: 0, last: 0}
    assert rank(order, "s", busy.__getitem__, 100) == [successor, last, own]
    assert rank(order, "s", idle, 0) == [own, successor, last]


def test_a_new_session_goes_to_the_less_busy_of_two() -> None:
    order = Rendezvous("abcdef")
    first, second, third, *_ = order.walk("s")
    loads = dict.fromkeys("abcdef", 0) | {first: 3, second: 2}
    assert rank(order, "s", loads.__getitem__, 5)[:3] == [second, first, third]


def test_a_session_returns_to_where_it_ran() -> None:
    """As long as that is there, is not to be avoided, and isn't too busy."""
    order = Rendezvous("abcdef")
    last_replica = list(order.walk("s"))[4]
    first = next(order.walk("s"))

    def best(load: int = 3, **more: object) -> str:
        return rank(order, "s", lambda one: load if one == last_replica else 0, load, **more)[0]  # type: ignore[arg-type]

    assert best(last_replica=last_replica) == last_replica
    assert (
        best(last_replica="gone")
        == best(last_replica=last_replica, avoided=[last_replica])
        == best(20, last_replica=last_replica)
        == first
    )


def test_the_replicas_of_the_most_recent_sessions_are_known() -> None:
    affinity = SessionAffinity(100)
    for number in range(100):
        affinity.learn(f"{number}", "a")
    affinity.learn("0", "b")
    affinity.learn("another", "a")
    assert [affinity.of(session) for session in ("0", "1", "2", "another", "none")] == ["b", "", "a", "a", ""]


def test_what_is_avoided_comes_last_but_is_not_forgotten() -> None:
    order = Rendezvous(["a", "b"])
    own, other = order.walk("s")
    assert rank(order, "s", idle, 0, avoided=[own]) == [other, own]
    assert rank(order, "s", idle, 0, avoided=[own, other]) == [own, other]
    assert rank(Rendezvous(), "s", idle, 0) == []


def test_replicas_at_an_avoided_address_are_avoided_unless_no_others_are_left() -> None:
    nodes = {"a": "1", "b": "1", "c": "2"}
    assert away(nodes, ()) == set()
    assert away(nodes, ("a",)) == {"a"}
    assert away(nodes, ("a", "1", "gone")) == {"a", "b"}
    assert away(nodes, ("a", "1", "2")) == {"a"}


def test_the_order_is_the_same_everywhere() -> None:
    """Servers must agree without talking to each other: not a property of this process' hash seed."""
    assert list(Rendezvous(["a", "b", "c"]).walk("a session")) == list(
        Rendezvous(["c", "b", "a"]).walk("a session")
    )
    assert [first(Rendezvous(["a", "b", "c"]), f"{number}") for number in range(8)] == list("cbacbbac")


def test_the_bound_is_a_quarter_above_the_mean_and_what_chance_adds() -> None:
    assert capacity(9_999, 10) == 1250 + 64
    assert capacity(199, 10) == 25 + 9
    assert capacity(0, 10) == FREE_LOAD
    assert capacity(0, 0) == FREE_LOAD


def request(tokens: tuple[int, ...], salt: str = "", session: str = "") -> GenerationRequest:
    return GenerationRequest("id", tokens, 1, cache_salt=salt, session=session)


def test_a_session_is_the_conversation_or_the_prompts_beginning() -> None:
    start = tuple(range(64))
    assert session_of("m", request((*start, 1))) == session_of("m", request((*start, 2)))
    assert session_of("m", request(start)) != session_of("m", request(start, "another project"))
    assert session_of("m", request(start)) != session_of("n", request(start))
    assert session_of("m", request((1,), session="s")) == session_of("m", request((2,), session="s"))
    one, other = (EmbeddingRequest(id, ((1,),)) for id in "ab")
    assert session_of("m", one) != session_of("m", other)
