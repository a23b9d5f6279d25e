"""HTTPS over a real socket: the certificate, its renewal, and files that are none."""

import asyncio
import shutil
import ssl
from pathlib import Path

import pytest
from tests.http.live import Live, request_bytes, running
from tests.http.scripted import ScriptedGenerator, pool_of, services, words

from myna.core.errors import ConfigurationError
from myna.http.tls import Certificate

FILES = (
    Path(__file__).parents[1] / "data" / "tls"
)  # two self-signed pairs, and the first's key with a password


def trusting(name: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=FILES / f"{name}.crt")
    context.check_hostname = True
    return context


async def connect(live: Live, context: ssl.SSLContext) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", live.port, ssl=context, server_hostname="localhost")


async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    writer.write(request_bytes("POST", "/v1/words", b'{"model": "tiny", "stream": true}'))
    answer = await reader.read()
    writer.close()
    return answer


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate that may be renewed."""
    return put("first", tmp_path)


def put(name: str, folder: Path) -> tuple[Path, Path]:
    for ending in ("crt", "key"):
        shutil.copy(FILES / f"{name}.{ending}", folder / f"server.{ending}")
    return folder / "server.crt", folder / "server.key"


async def test_a_renewed_certificate_serves_new_connections_and_drops_no_old_one(
    tmp_path: Path, files: tuple[Path, Path]
) -> None:
    certificate = Certificate(*files)
    pool = pool_of(ScriptedGenerator([words("one"), words("two")]))
    async with running(services(pool), certificate=certificate) as live:
        old = await connect(live, trusting("first"))
        put("second", tmp_path)
        certificate.reload()
        answer = await say(*await connect(live, trusting("second")))
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"data: 0:one" in answer
        with pytest.raises(ssl.SSLCertVerificationError):
            await connect(live, trusting("first"))
        assert b"data: 0:two" in await say(*old)


async def test_a_broken_renewal_changes_nothing(tmp_path: Path, files: tuple[Path, Path]) -> None:
    certificate = Certificate(*files)
    shutil.copy(FILES / "second.key", tmp_path / "server.key")
    with pytest.raises(ConfigurationError, match="not a certificate chain and its unencrypted key"):
        certificate.reload()
    async with running(services(pool_of(ScriptedGenerator([words("a")]))), certificate=certificate) as live:
        assert b"data: 0:a" in await say(*await connect(live, trusting("first")))


async def test_old_protocols_and_plain_http_are_refused(files: tuple[Path, Path]) -> None:
    old = trusting("first")
    old.minimum_version = ssl.TLSVersion.TLSv1_2
    certificate = Certificate(*files)
    assert certificate.context.minimum_version == ssl.TLSVersion.TLSv1_2
    async with running(services(pool_of(ScriptedGenerator([]))), certificate=certificate) as live:
        reader, writer = await asyncio.open_connection("127.0.0.1", live.port)
        writer.write(request_bytes("GET", "/v1/models"))
        assert not (await reader.read()).startswith(b"HTTP")
        writer.close()


@pytest.mark.parametrize(
    ("cert", "key"),
    [
        ("first.crt", "second.key"),
        ("first.key", "first.key"),
        ("first.crt", "locked.key"),
        ("first.crt", "first.crt"),
    ],
)
def test_files_that_are_not_a_pair_are_named_and_no_password_is_requested(cert: str, key: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{cert} and .*{key} are not a certificate chain"):
        Certificate(FILES / cert, FILES / key)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"Can't read .*gone\.key for TLS"):
        Certificate(FILES / "first.crt", tmp_path / "gone.key")
