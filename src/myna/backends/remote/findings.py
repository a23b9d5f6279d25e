"""What `myna doctor` reports about the upstreams."""

import asyncio
from collections.abc import Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

from myna.backends.remote.section import UpstreamConfig
from myna.backends.remote.upstream import Upstream
from myna.core.errors import ConfigurationError, UpstreamFailed
from myna.core.finding import Finding, Findings, advice, ok, wrong
from myna.core.translatable import N_


def upstream_findings(configs: Sequence[tuple[str, UpstreamConfig]]) -> Findings:
    """Query all upstreams concurrently, for a few seconds. Must not be called in a thread with an event
    loop."""
    for findings in asyncio.run(_check_all(configs)) if configs else ():
        yield from findings


async def _check_all(configs: Sequence[tuple[str, UpstreamConfig]]) -> list[list[Finding]]:
    return await asyncio.gather(*(_check(name, config) for name, config in configs))


async def _check(name: str, config: UpstreamConfig) -> list[Finding]:
    upstream = Upstream(name, config)
    section = f"upstreams.{name}"
    findings = []
    try:
        num_models = await upstream.list_models()
    except ConfigurationError as exc:
        remedy = N_("Set that variable or write that file, for the server too.")
        return [
            wrong(
                N_("The upstream {name!r} can't be asked. {reason}", name=name, reason=exc.text),
                remedy=remedy,
            )
        ]
    except UpstreamFailed as exc:
        remedy = N_("Correct {section} in myna.toml, or start that server.", section=section)
        return [
            wrong(N_("The upstream {name!r} failed: {reason}", name=name, reason=exc.message), remedy=remedy)
        ]
    finally:
        await upstream.aclose()
    findings.append(
        ok(
            N_(
                "The upstream {name!r} answers; {offered} of its {total} models are offered.",
                name=name,
                offered=len(upstream.models),
                total=num_models,
            )
        )
    )
    if not upstream.models:
        findings.append(
            advice(
                N_("No model of the upstream {name!r} matches its setting models.", name=name),
                remedy=N_("Correct models of {section} in myna.toml.", section=section),
            )
        )
    if (config.key_env or config.key_file) and not _is_private(config.url):
        findings.append(
            advice(
                N_(
                    "The key of the upstream {name!r} is sent over a connection that is not encrypted.",
                    name=name,
                ),
                remedy=N_("Use an https url in {section}.", section=section),
            )
        )
    return findings


def _is_private(url: str) -> bool:
    """Whether the connection is encrypted or stays on this machine."""
    parts = urlsplit(url)
    if parts.scheme == "https" or parts.hostname == "localhost":
        return True
    try:
        return ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False
