"""What `myna doctor` says of the upstreams."""

import asyncio
from collections.abc import Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

from myna.backends.remote.section import UpstreamConfig
from myna.backends.remote.upstream import Upstream
from myna.core.errors import ConfigurationError, UpstreamFailed
from myna.core.finding import Finding, Findings, advice, ok, wrong


def upstream_findings(configs: Sequence[tuple[str, UpstreamConfig]]) -> Findings:
    """Asks all of them, at once, for a few seconds. Not for threads with an event loop."""
    for findings in asyncio.run(_look_at_all(configs)) if configs else ():
        yield from findings


async def _look_at_all(configs: Sequence[tuple[str, UpstreamConfig]]) -> list[list[Finding]]:
    return await asyncio.gather(*(_look_at(name, config) for name, config in configs))


async def _look_at(name: str, config: UpstreamConfig) -> list[Finding]:
    upstream = Upstream(name, config)
    findings = []
    try:
        num_models = await upstream.list_models()
    except ConfigurationError as exc:
        return [wrong(f"The upstream {name!r} can't be asked. {exc.message}", remedy=_KEY_REMEDY)]
    except UpstreamFailed as exc:
        remedy = f"Correct url, key_env or key_file of upstreams.{name} in myna.toml, or start that server."
        return [wrong(exc.message, remedy=remedy)]
    finally:
        await upstream.aclose()
    served = f"The upstream {name!r} answers; {len(upstream.models)} of its {num_models} models are offered."
    findings.append(ok(served))
    if not upstream.models:
        findings.append(
            advice(
                f"No model of the upstream {name!r} matches its setting models.",
                remedy=f"Correct models of upstreams.{name} in myna.toml.",
            )
        )
    if (config.key_env or config.key_file) and not _is_private(config.url):
        findings.append(
            advice(
                f"The key of the upstream {name!r} is sent over a connection that is not encrypted.",
                remedy=f"Let the url of upstreams.{name} begin with https.",
            )
        )
    return findings


_KEY_REMEDY = "Set that variable or write that file, for the server too."


def _is_private(url: str) -> bool:
    """Encrypted, or within this machine."""
    parts = urlsplit(url)
    if parts.scheme == "https" or parts.hostname == "localhost":
        return True
    try:
        return ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False
