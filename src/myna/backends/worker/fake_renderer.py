"""The text side of the fake engine, which has no model file to read it from."""

from collections.abc import Sequence

import numpy as np

from myna.engines import fake, fake_embedding
from myna.prompts.gguf import Header, Value
from myna.prompts.renderer import GgufRenderer
from myna.prompts.template import ChatTemplate
from myna.prompts.token_pieces import TokenKind, byte_alphabet
from myna.prompts.tokenizer import Tokenizer
from myna.prompts.vocabulary import Vocabulary


def fake_renderer(
    context_tokens: int, template: ChatTemplate | None = None, *, chat_template: str | None = None
) -> GgufRenderer:
    """A renderer as if from a GGUF file with the fake engine's vocabulary, and with a template or the text of
    one; without any a plain one."""
    if chat_template is not None:
        bos, eos = (fake.VOCABULARY[token].decode() for token in (fake.START, fake.END))
        template = ChatTemplate.load(chat_template, bos=bos, eos=eos)
    alphabet = byte_alphabet()
    texts = ["".join(alphabet[byte] for byte in piece).encode() for piece in fake.VOCABULARY]
    kinds = np.full(len(texts), int(TokenKind.NORMAL), np.int32)
    for name in fake.SPECIAL:
        token = fake.VOCABULARY.index(name.encode())
        texts[token], kinds[token] = name.encode(), int(TokenKind.CONTROL)
    metadata: dict[str, Value] = {
        "general.architecture": "fake",
        "fake.context_length": context_tokens,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "fake",
        "tokenizer.ggml.tokens": texts,
        "tokenizer.ggml.token_type": kinds,
        "tokenizer.ggml.merges": list[bytes](),
        "tokenizer.ggml.bos_token_id": fake.START,
        "tokenizer.ggml.eos_token_id": fake.END,
    }
    header = Header("fake", 3, metadata, (), 0)
    vocabulary = Vocabulary.of(header)
    tokenizer = Tokenizer(vocabulary, lambda text: fake.tokenize(text, parse_special=False))
    return GgufRenderer(header, vocabulary, tokenizer, template or ChatTemplate.plain(is_chatml=False))


class FakeTextEncoder:
    """A `core.embedder.TextEncoder` of the fake embedding model, whose texts end with a special token and
    whose vectors may be cut to any width."""

    widths: range | tuple[int, ...] = range(1, fake_embedding.WIDTH + 1)

    def least_tokens(self, text: str) -> int:
        return 0

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        return [self.with_special(fake.tokenize(text, parse_special=False)) for text in texts]

    def with_special(self, tokens: Sequence[int]) -> list[int]:
        return list(tokens) if tokens and tokens[-1] == fake.END else [*tokens, fake.END]
