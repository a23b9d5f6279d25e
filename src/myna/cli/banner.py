"""What is printed once the server is ready: its address, the key, and a first request to paste."""

import shutil
import sys
import time
from enum import Enum
from pathlib import Path

from rich.cells import cell_len, set_cell_size

from myna.accounts.sign_in_codes import new_sign_in_code
from myna.cli.language import _
from myna.settings import Settings

_ENVIRONMENT = "export OPENAI_BASE_URL={url} OPENAI_API_KEY={key}"
_CHAT = """from openai import OpenAI

client = OpenAI()
answer = client.chat.completions.create(
    model="{model}",
    messages=[{{"role": "user", "content": "Say hello in French, Spanish and Japanese."}}],
    temperature=0,
)
print(answer.choices[0].message.content)"""
_COMPLETION = """from openai import OpenAI

client = OpenAI()
answer = client.completions.create(model="{model}", prompt="The capital of France is", max_tokens=16)
print(answer.choices[0].text)"""
_EMBEDDING = """from openai import OpenAI

client = OpenAI()
answer = client.embeddings.create(model="{model}", input=["a bird", "a song"])
print(len(answer.data[0].embedding))"""
_CURL_CHAT = """curl $OPENAI_BASE_URL/chat/completions \\
  -H "Authorization: Bearer $OPENAI_API_KEY" -H "Content-Type: application/json" \\
  -d '{{"model": "{model}", "temperature": 0,
       "messages": [{{"role": "user", "content": "Say hello in French, Spanish and Japanese."}}]}}'"""
_CURL_COMPLETION = """curl $OPENAI_BASE_URL/completions \\
  -H "Authorization: Bearer $OPENAI_API_KEY" -H "Content-Type: application/json" \\
  -d '{{"model": "{model}", "prompt": "The capital of France is"}}'"""

_CURL_EMBEDDING = """curl $OPENAI_BASE_URL/embeddings \\
  -H "Authorization: Bearer $OPENAI_API_KEY" -H "Content-Type: application/json" \\
  -d '{{"model": "{model}", "input": "a bird"}}'"""


class Kind(Enum):
    """What the default model does: its first requests in Python and with curl."""

    CHAT = (_CHAT, _CURL_CHAT)
    COMPLETION = (_COMPLETION, _CURL_COMPLETION)
    EMBEDDING = (_EMBEDDING, _CURL_EMBEDDING)


class Banner:
    """Printed once, to standard output; the log goes to standard error. `key` is the server's, empty if none
    is needed. The key itself is only shown to a terminal, when it has just been made, since a service's
    output is stored; so is the link with which the browser signs in."""

    def __init__(self, url: str, model: str, key: str, *, is_new_key: bool) -> None:
        self.url = url
        self._model = model
        self._key = key
        self._is_new_key = is_new_key

    def show(self, kind: Kind) -> None:
        program = command_name()
        python, curl = kind.value
        key = f"$({program} key)" if self._key else "none-needed"
        address, secret, page = _("Base URL"), _("API key"), _("Web page")
        width = max(cell_len(name) for name in (address, secret, page))
        lines = [
            "",
            _("Myna serves {model}.", model=self._model),
            "",
            f"  {set_cell_size(address, width)}  {self.url}",
            f"  {set_cell_size(secret, width)}  {self._shown_key(program)}",
            f"  {set_cell_size(page, width)}  {self._page()}",
            "",
            _("A first request. In another terminal:"),
            "",
            f"  {_ENVIRONMENT.format(url=self.url, key=key)}",
            "",
            _("then in Python (pip install openai):"),
            "",
            _indented(python.format(model=self._model)),
            "",
            _("or with curl:"),
            "",
            _indented(curl.format(model=self._model)),
            *_chat(kind, program),
            "",
            _("Stop with Ctrl-C."),
            "",
        ]
        print("\n".join(lines), flush=True)

    def _shown_key(self, program: str) -> str:
        if not self._key:
            return _("none needed")
        if self._is_new_key and sys.stdout.isatty():
            return _("{key}  (shown only now; later: {command})", key=self._key, command=f"{program} key")
        return _("see: {command}", command=f"{program} key")

    def _page(self) -> str:
        page = self.url.removesuffix("v1")
        if not (self._key and sys.stdout.isatty()):
            return page
        link = sign_in_link(self.url, self._key)
        return _("{link}  (signs you in, once)", link=link)


def _chat(kind: Kind, program: str) -> list[str]:
    if kind is Kind.EMBEDDING:
        return []
    return ["", _("or chat in the terminal: {command}", command=f"{program} chat")]


def sign_in_link(url: str, key: str) -> str:
    """The page's address with a code that signs in once. A browser doesn't send what follows the #."""
    return f"{url.removesuffix('v1')}#code={new_sign_in_code(key, time.time())}"


def command_name() -> str:
    """How the user can run this program: `myna` if that is on the path, else its place in the environment."""
    if shutil.which("myna"):
        return "myna"
    script = Path(sys.executable).with_name("myna")
    if not script.exists():
        return f"{sys.executable} -m myna.cli"
    return str(script.relative_to(Path.cwd()) if script.is_relative_to(Path.cwd()) else script)


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" if line else "" for line in text.splitlines())


def base_url(host: str, port: int, settings: Settings) -> str:
    """The address that a client on this machine uses, without a proxy."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    scheme = "https" if settings.tls_cert else "http"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}/v1"
