"""What is in the background is computed when nothing else is, apart from a little now and then."""

from tests.scheduling.model import Model
from tests.scheduling.test_fairness import num_running, request, steps_until_first_text

from myna.core.requests import BACKGROUND, GenerationRequest


def background(text: str, max_tokens: int = 100, owner: str = "batch/a") -> GenerationRequest:
    return request(text, max_tokens, owner=owner, priority=BACKGROUND)


def test_it_fills_an_idle_engine() -> None:
    model = Model(max_sequences=16)
    for number in range(20):
        model.add(background(f"line {number}"))
    for _ in range(3):
        model.step()
    assert num_running(model, "batch/a") == 16
    assert model.step().num_decodes == 16


def test_it_hardly_takes_part_in_the_steps_of_others() -> None:
    model = Model(max_sequences=16)
    lines = [model.add(background(f"line {number}", 1000)) for number in range(8)]
    for _ in range(3):
        model.step()
    before = [model.heard[number].num_tokens() for number in lines]
    chat = model.add(request("chat", 80, owner="a"))
    assert steps_until_first_text(model, chat) <= 2
    sizes = [len(model.step().rows) for _ in range(64)]
    assert sizes.count(1) == 62 and max(sizes) == 5
    assert [model.heard[number].num_tokens() for number in lines] == [count + 1 for count in before]
    model.run()


def test_its_prompts_wait_for_those_of_others() -> None:
    model = Model(max_sequences=16)
    model.add(request("chat", 200, owner="a"))
    for _ in range(3):
        model.step()
    for number in range(4):
        model.add(background(f"line {number} " + "of a long text " * 20))
    sizes = [model.step().num_prompt_tokens for _ in range(96)]
    assert sum(size > 0 for size in sizes) == 3 and max(sizes) <= 16


def test_it_gives_its_slots_to_others() -> None:
    model = Model(max_sequences=4)
    lines = [model.add(background(f"line {number}", 50)) for number in range(8)]
    for _ in range(3):
        model.step()
    chats = [model.add(request(f"chat {number}", 20, owner=owner)) for number, owner in enumerate("abcd")]
    for _ in range(8):
        model.step()
    assert [num_running(model, owner) for owner in ("a", "b", "c", "d", "batch/a")] == [1, 1, 1, 1, 0]
    model.run()
    assert {model.heard[number].num_tokens() for number in lines} == {50}
    assert {model.heard[number].num_tokens() for number in chats} == {20}


def test_it_takes_no_place_from_others() -> None:
    model = Model(max_sequences=4)
    chats = [model.add(request(f"chat {number}", 60)) for number in range(4)]
    for _ in range(3):
        model.step()
    model.add(background("line"))
    for _ in range(40):
        model.step()
    assert (num_running(model, "a"), num_running(model, "batch/a")) == (4, 0)
    model.run()
    assert {model.heard[number].num_tokens() for number in chats} == {60}


def test_its_owners_share_what_is_left() -> None:
    model = Model(max_sequences=8)
    for number in range(40):
        model.add(background(f"line {number}", 200))
    for _ in range(20):
        model.step()
    model.add(background("mine", 200, "batch/b"))
    for _ in range(4):
        model.step()
    assert num_running(model, "batch/b") == 1


def test_answers_are_the_same_as_alone() -> None:
    model, alone = Model(max_sequences=8), Model(max_sequences=8)
    lines = [model.add(background(f"line {number}", 40)) for number in range(8)]
    for number in range(3):
        model.step()
        model.add(request(f"chat {number}", 10, owner="a"))
    model.run()
    for number, line in enumerate(lines):
        assert model.heard[line].text() == alone.ask(request(f"line {number}", 40)).text()
