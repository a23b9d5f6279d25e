"""What every endpoint is given, put together once in `app.py`."""

from concurrent.futures import Executor
from dataclasses import dataclass

from myna.accounts.keys import KeyRing
from myna.accounts.usage import UsageSink
from myna.catalog.pool import ModelPool
from myna.core.stored import CompletionStore


@dataclass(frozen=True, slots=True)
class Services:
    """`keys` None: anyone may ask (loopback alone). Templates and tokenizers run in `text_threads`."""

    pool: ModelPool
    keys: KeyRing | None
    usage: UsageSink
    text_threads: Executor
    completions: CompletionStore
    organization: str = "myna"
    keep_alive_s: float = 10.0
