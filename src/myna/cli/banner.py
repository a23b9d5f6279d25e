"""What is printed once the server is ready: its address, the key, and a first request to paste."""

import socket
import sys

from rich.cells import cell_len, set_cell_size

from myna.cli.language import _
from myna.settings import Settings

_CHAT = """from openai import OpenAI

client = OpenAI(base_url="{url}", api_key="{key}")
answer = client.chat.completions.create(
    model="{model}",
    messages=[{{"role": "user", "content": "Say hello in French, Spanish and Japanese."}}],
    temperature=0,
)
print(answer.choices[0].message.content)"""
_COMPLETION = """from openai import OpenAI

client = OpenAI(base_url="{url}", api_key="{key}")
answer = client.completions.create(model="{model}", prompt="The capital of France is", max_tokens=16)
print(answer.choices[0].text)"""
_CURL_CHAT = """curl {url}/chat/completions \\
  -H "Authorization: Bearer {key}" -H "Content-Type: application/json" \\
  -d '{{"model": "{model}", "temperature": 0,
       "messages": [{{"role": "user", "content": "Say hello in French, Spanish and Japanese."}}]}}'"""
_CURL_COMPLETION = """curl {url}/completions \\
  -H "Authorization: Bearer {key}" -H "Content-Type: application/json" \\
  -d '{{"model": "{model}", "prompt": "The capital of France is"}}'"""


class Banner:
    """Printed once, to standard output; the log goes to standard error. With a JSON log, which is most
    likely stored somewhere, the key is not shown."""

    def __init__(self, listener: socket.socket, model: str, key: str, settings: Settings) -> None:
        host, port = listener.getsockname()[:2]
        self._url = base_url(host, port, settings)
        self._model = model
        self._key = key
        self._settings = settings

    def show(self, has_chat_template: bool) -> None:
        is_hidden = self._settings.log_format == "json"
        key = "$(myna key)" if is_hidden else self._key or "none-needed"
        python, curl = (_CHAT, _CURL_CHAT) if has_chat_template else (_COMPLETION, _CURL_COMPLETION)
        words = {"url": self._url, "key": key, "model": self._model}
        shown_key = _("see `myna key`") if is_hidden else self._key
        if not self._key:
            shown_key = _("none needed")
        address, secret, page = _("Base URL"), _("API key"), _("Web page")
        width = max(cell_len(name) for name in (address, secret, page))
        lines = [
            "",
            _("Myna serves {model}.", model=self._model),
            "",
            f"  {set_cell_size(address, width)}  {self._url}",
            f"  {set_cell_size(secret, width)}  {shown_key}",
            f"  {set_cell_size(page, width)}  {self._url.removesuffix('v1')}",
            "",
            _("A first request, in Python (pip install openai):"),
            "",
            _indented(python.format(**words)),
            "",
            _("or with curl:"),
            "",
            _indented(curl.format(**words)),
            "",
            _("Stop with Ctrl-C."),
            "",
        ]
        print("\n".join(lines), flush=True)
        sys.stdout.flush()


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" if line else "" for line in text.splitlines())


def base_url(host: str, port: int, settings: Settings) -> str:
    """The address that a client on this machine uses, without a proxy."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    scheme = "https" if settings.tls_cert else "http"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}/v1"
