"""Chinese for what the terminal shows: English template to Chinese template, a file a subject.
`{0}`, `{1}`, … are the fields of the English message in their order."""

from typing import Final

from myna.cli.chinese import (
    account_pages,
    accounts,
    bench,
    chat,
    doctor,
    errors,
    help_pages,
    loading,
    models,
    usage,
    verbs,
)

MESSAGES: Final[dict[str, str]] = {
    **help_pages.MESSAGES,
    **verbs.MESSAGES,
    **models.MESSAGES,
    **chat.MESSAGES,
    **doctor.MESSAGES,
    **errors.MESSAGES,
    **loading.MESSAGES,
    **usage.MESSAGES,
    **accounts.MESSAGES,
    **account_pages.MESSAGES,
    **bench.MESSAGES,
}
