"""Certificates of upstreams are verified."""

import asyncio
import ssl
from pathlib import Path

import pytest
from tests.backends.raw_upstream import (
    CHAT,
    DONE,
    EVENT,
    LAST,
    STREAM_HEAD,
    RawUpstream,
    asking,
    fronting,
    section,
    send,
)

CERTIFICATE = Path(__file__).parents[1] / "data" / "tls" / "first.crt"


@pytest.mark.parametrize("is_trusted", [True, False])
async def test_only_a_trusted_certificate_is_taken(is_trusted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE, CERTIFICATE.with_suffix(".key"))
    upstream = RawUpstream([send(STREAM_HEAD, EVENT, LAST, DONE)])
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0, ssl=context)
    if is_trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    url = f"https://localhost:{server.sockets[0].getsockname()[1]}/v1"
    async with fronting(section(big={"url": url, "models": ["far-1"]})) as front:
        reply = await front.live.ask("POST", CHAT, asking(is_stream=True))
    server.close()
    if is_trusted:
        assert reply.body == EVENT + LAST + DONE
    else:
        assert (reply.status, "'big' can't be reached" in reply.body.decode()) == (502, True)
        assert not upstream.requests
