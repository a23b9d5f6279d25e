"""Streams the tool calls of a choice: functions, custom tools, and the older `functions` format."""

import orjson

from myna.api.chat.response_spec import ResponseSpec
from myna.prompts.call_formats.base import CallArguments, CallStarted
from myna.wire.ids import call_id


class CallDeltas:
    """Renders one choice's calls as parts of its deltas."""

    def __init__(self, spec: ResponseSpec, choice: int) -> None:
        self._spec = spec
        self._choice = choice
        self._is_custom = False
        self.num_calls = 0

    def header(self, call: CallStarted) -> bytes:
        """The delta that starts a call."""
        self._is_custom = call.is_custom
        name = orjson.dumps(call.name)
        if self._spec.has_functions:
            return b'"function_call":{"name":%s,"arguments":""}' % name
        id = call_id(self._spec.id, self._choice, call.index).encode()
        body = (
            b'"custom":{"name":%s,"input":""}' if call.is_custom else b'"function":{"name":%s,"arguments":""}'
        )
        kind = b"custom" if call.is_custom else b"function"
        return b'"tool_calls":[{"index":%d,"id":"%s","type":"%s",%s}]' % (call.index, id, kind, body % name)

    def more(self, piece: CallArguments) -> bytes:
        """The delta with the next part of a call's arguments or input."""
        text = orjson.dumps(piece.text)
        if self._spec.has_functions:
            return b'{"function_call":{"arguments":%s}}' % text
        body = b'"custom":{"input":%s}' if self._is_custom else b'"function":{"arguments":%s}'
        return b'{"tool_calls":[{"index":%d,%s}]}' % (piece.index, body % text)
