"""Ids have OpenAI's shape and contain their second."""

import re

from myna.wire.ids import call_id, completion_id


def test_an_id_begins_with_its_second_in_base_62() -> None:
    # From a recording: this id's `created`.
    assert completion_id("cmpl-", 1774968007)[:10] == "cmpl-DPUYBt15CHtILCiy8Xm2esGqlf4jU"[:10]


def test_ids_have_openais_length_and_alphabet_and_never_repeat() -> None:
    ids = {completion_id("chatcmpl-", 1774968007) for _ in range(1000)}
    assert len(ids) == 1000
    assert all(re.fullmatch(r"chatcmpl-[0-9A-Za-z]{29}", one) for one in ids)
    assert re.fullmatch(r"call_[0-9A-Za-z]{24}", call_id("chatcmpl-x", 0, 0))
