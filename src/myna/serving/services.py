"""What every endpoint is given, put together once in `app.py`."""

import time
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from myna.accounts.keys import KeyRing
from myna.accounts.ledger import Ledger
from myna.catalog.pool import ModelPool
from myna.core.stored import CompletionStore
from myna.serving.bill import Accountant
from myna.serving.completion_writer import CompletionWriter
from myna.serving.instruments import Instruments
from myna.serving.json_bodies import LargeBodies
from myna.serving.limiter import Limiter
from myna.serving.live_accounts import LiveAccounts

ORGANIZATION: Final = "myna"
_DATABASE_THREADS: Final = 4


def database_threads() -> Executor:
    """Threads for the endpoints' blocking calls of stores, so that a database that is slow or away
    holds up only those. `stores.database` has a connection for each."""
    return ThreadPoolExecutor(_DATABASE_THREADS, thread_name_prefix="database")


@dataclass(frozen=True, slots=True)
class Services:
    """`keys` are the owner's, those of others are in `accounts`; None: anyone may ask (loopback alone).
    Templates and tokenizers run in `text_threads`, calls of stores in `database_threads`; `app.py` ends both.
    `ledger` None: no usage is kept. `listens_here`: on
    a loopback address."""

    pool: ModelPool
    keys: KeyRing | None
    accountant: Accountant
    text_threads: Executor
    database_threads: Executor
    completions: CompletionStore
    completion_writer: CompletionWriter
    accounts: LiveAccounts
    limiter: Limiter
    ledger: Ledger | None = None
    instruments: Instruments | None = None
    listens_here: bool = False
    max_answer_tokens: int = 0
    organization: str = ORGANIZATION
    keep_alive_s: float = 10.0
    large_bodies: LargeBodies = field(default_factory=LargeBodies)
    started: float = field(default_factory=time.monotonic)
