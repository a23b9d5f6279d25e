"""The services that every endpoint is given."""

import secrets
import time
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Final

from myna.accounts.keys import KeyRing
from myna.accounts.principal import LOCAL_USER, Principal
from myna.accounts.sealing import Sealer
from myna.accounts.secret import Secret
from myna.accounts.sign_in_codes import SignInCodes
from myna.batches.service import Batches
from myna.catalog.downloads import Downloads
from myna.catalog.pool import ModelPool
from myna.core.stored import CompletionStore
from myna.core.stored_responses import BackgroundStore, ConversationStore, ResponseStore
from myna.generation.budgets import NO_LIMITS, AnswerLimits
from myna.http.json_bodies import LargeBodies
from myna.http.unread import UnreadAnswers
from myna.request.background import BackgroundRuns
from myna.request.foreground import Foreground
from myna.request.limiter import Limiter
from myna.request.live_accounts import LiveAccounts
from myna.stores.database_threads import DatabaseThreads
from myna.stores.files import Files
from myna.stores.retention import Retention
from myna.stores.store_writer import StoreWriter
from myna.usage.ledger import Ledger
from myna.usage.metrics import Instruments
from myna.usage.recorder import UsageSinks

ORGANIZATION: Final = "myna"


@dataclass(frozen=True, slots=True)
class Services:
    """`keys` are the owner's, those of other users are in `accounts`; None: no key is needed (on loopback
    only). Templates and tokenizers run in `text_threads`, calls of stores in `database_threads`; `app.py`
    closes both. `sign_in_codes` None: no page signs in by a link. `ledger` None: no usage is
    recorded. `is_loopback_only`: the server listens on a loopback address, and serves nobody through a proxy.
    `downloads` None: this server downloads no models.
    `sealer` makes opaque tokens. `ignores_unknown`: parameters that aren't supported are dropped, unless a
    key has its own setting."""

    pool: ModelPool
    keys: KeyRing | None
    usage_sinks: UsageSinks
    text_threads: Executor
    database_threads: DatabaseThreads
    completions: CompletionStore
    responses: ResponseStore
    conversations: ConversationStore
    background: BackgroundStore
    background_runs: BackgroundRuns
    store_writer: StoreWriter
    accounts: LiveAccounts
    limiter: Limiter
    files: Files
    batches: Batches
    sign_in_codes: SignInCodes | None = None
    ledger: Ledger | None = None
    instruments: Instruments | None = None
    is_loopback_only: bool = False
    answer_limits: AnswerLimits = NO_LIMITS
    ignores_unknown: bool = False
    organization: str = ORGANIZATION
    keep_alive_s: float = 10.0
    retention: Retention | None = None
    downloads: Downloads | None = None
    sealer: Sealer = field(default_factory=lambda: Sealer(Secret(secrets.token_hex(32))))
    large_bodies: LargeBodies = field(default_factory=LargeBodies)
    unread_answers: UnreadAnswers = field(default_factory=UnreadAnswers)
    foreground: Foreground = field(default_factory=Foreground)
    started: float = field(default_factory=time.monotonic)

    def principal(self, key_id: str) -> Principal | None:
        """The principal of the key with that id, if it is valid."""
        if self.keys is None:
            return LOCAL_USER if key_id == LOCAL_USER.key_id else None
        return self.keys.principal(key_id) or self.accounts.principal(key_id)
