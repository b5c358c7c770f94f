"""The way to providers: proxies and authorities, of the environment and of the configuration."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest
from standby.proxy.config import Routes, Timeouts, parse_routes
from standby.proxy.errors import ConfigError
from standby.proxy.gateway import Gateway
from standby.proxy.upstream.environment import proxy_of_environment
from standby.proxy.upstream.timeouts import AttemptTimeouts
from standby.proxy.upstream.transports import Transports, Unreachable

from tests.proxy.harness import routes_to
from tests.proxy.upstream.forward_proxy import ProxyServer, forward_proxy
from tests.proxy.upstream.http1.peer import BODY, CERTIFICATE, EXPIRED, OK, Peer, peer, respond_with

__all__: list[str] = []

pytestmark = pytest.mark.anyio

PROVIDER: Final = "https://provider.test/v1"
"""A name that only the proxy can resolve."""
_VARIABLES: Final = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment that says nothing of the way."""
    for name in _VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    return monkeypatch


def routes(url: str, provider: str = "", folder: Path | None = None) -> Routes:
    """Routes to one provider, with what is said of it in TOML."""
    text = routes_to(url, provider="insecure = true").source.replace("insecure = true", provider)
    return parse_routes(text, environ={"PROXY": "http://ada:s%40crt@127.0.0.1:1"}, folder=folder)


async def ask(routes: Routes) -> int:
    """The status of one request to the provider. Raises Unreachable."""
    transports = Transports()
    upstream = transports.to(routes.targets["a"])
    clocks = AttemptTimeouts(Timeouts(), 15.0)
    try:
        response = await upstream.send("/chat/completions", (), (), BODY, clocks)
        await response.release()
        return response.status
    finally:
        await transports.aclose()


@asynccontextmanager
async def behind_a_proxy(*, tls: bool = True) -> AsyncGenerator[tuple[ProxyServer, Peer]]:
    """A provider, and a proxy that leads to it."""
    async with peer(respond_with(OK), tls=tls) as provider, forward_proxy(provider.port) as proxy:
        yield proxy, provider


async def test_https_through_the_proxy_of_the_environment(environment: pytest.MonkeyPatch) -> None:
    """Https passes through a tunnel. The proxy resolves the name, and sees no credential but its own."""
    async with behind_a_proxy() as (proxy, provider):
        environment.setenv("HTTPS_PROXY", f"http://ada:s%40crt@{proxy.address}")
        environment.setenv("SSL_CERT_FILE", str(CERTIFICATE))
        assert await ask(routes(PROVIDER)) == 200
        assert proxy.heads == [
            b"CONNECT provider.test:443 HTTP/1.1\r\nHost: provider.test:443\r\n"  # noqa: ISC004  (one head)
            b"Proxy-Authorization: Basic YWRhOnNAY3J0\r\n\r\n"
        ]
        assert provider.received.startswith(b"POST /v1/chat/completions HTTP/1.1\r\nhost: provider.test\r\n")
        assert b"Proxy-Auth" not in provider.received


async def test_http_through_the_proxy_of_the_environment(environment: pytest.MonkeyPatch) -> None:
    """Plain http is forwarded, with the whole URL in the request."""
    async with behind_a_proxy(tls=False) as (proxy, _):
        environment.setenv("http_proxy", f"ada:secret@{proxy.address}")
        assert await ask(routes("http://provider.test:8000/v1", "insecure = true")) == 200
        [head] = proxy.heads
        assert head.startswith(
            b"POST http://provider.test:8000/v1/chat/completions HTTP/1.1\r\n"
            b"Proxy-Authorization: Basic YWRhOnNlY3JldA==\r\nhost: provider.test:8000\r\n"
        )


async def test_a_provider_s_own_proxy_and_authorities(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`proxy` and `ca` of a provider win over the environment, also for a host of NO_PROXY."""
    (tmp_path / "own.pem").write_bytes(b"# in-house \xe9\n" + CERTIFICATE.read_bytes())
    async with behind_a_proxy() as (proxy, _):
        environment.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
        environment.setenv("NO_PROXY", "*")
        environment.setenv("SSL_CERT_FILE", str(EXPIRED))
        own = f'proxy = "http://{proxy.address}"\nca = "file:own.pem"'
        assert await ask(routes(PROVIDER, own, tmp_path)) == 200
        assert len(proxy.heads) == 1


async def test_a_folder_of_authorities(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """SSL_CERT_DIR is trusted, under OpenSSL's names for the files in it; without it the provider is not."""
    async with peer(respond_with(OK), tls=True) as provider:
        url = f"https://127.0.0.1:{provider.port}/v1"
        with pytest.raises(Unreachable):
            await ask(routes(url))
        (tmp_path / "ce275665.0").write_bytes(CERTIFICATE.read_bytes())
        environment.setenv("SSL_CERT_DIR", f"{tmp_path}/none:{tmp_path}")
        assert await ask(routes(url)) == 200


@pytest.mark.parametrize(
    ("no_proxy", "direct"),
    [
        ("*", True),
        ("provider.test", True),
        (" other.test , PROVIDER.test", True),
        ("test", True),
        (".test", True),
        ("other.test provider.test.", True),
        ("*.test", True),
        ("provider.test:443", True),
        ("provider.test:8443", False),
        ("rovider.test", False),
        ("api.provider.test", False),
        ("", False),
        (",", False),
        ("10.0.0.0/8,::1", False),
    ],
)
def test_what_needs_no_proxy(environment: pytest.MonkeyPatch, no_proxy: str, direct: bool) -> None:
    """NO_PROXY has domains with all below them, with or without a port, and `*`."""
    environment.setenv("HTTPS_PROXY", "http://proxy.test:3128")
    environment.setenv("NO_PROXY", no_proxy)
    assert (proxy_of_environment(PROVIDER) is None) is direct


@pytest.mark.parametrize(
    ("url", "direct"),
    [
        ("https://10.1.2.3/v1", True),
        ("https://11.1.2.3/v1", False),
        ("https://192.0.2.7:8443/v1", True),
        ("https://192.0.2.7/v1", False),
        ("https://10.1.2.3:8443/v1", True),
        ("https://172.16.0.1:8443/v1", True),
        ("https://172.16.0.1/v1", False),
        ("https://[fd00::7]/v1", True),
        ("https://[fe80::8]:8443/v1", True),
        ("https://[fe80::7]/v1", False),
        ("https://localhost:8443/v1", True),
        ("https://127.0.0.1:8443/v1", True),
        ("http://provider.test/v1", True),
    ],
)
def test_which_addresses_need_no_proxy(environment: pytest.MonkeyPatch, url: str, direct: bool) -> None:
    """NO_PROXY has addresses and networks too. This machine needs no proxy, nor a scheme that has none."""
    environment.setenv("HTTPS_PROXY", "http://proxy.test:3128")
    environment.setenv("NO_PROXY", "10.0.0.0/8,192.0.2.7:8443,172.16.0.0/12:8443,fd00::/8,[fe80::8]:8443")
    assert (proxy_of_environment(url) is None) is direct


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("HTTPS_PROXY", "socks5://ada:secret@proxy.test", "for https: only http proxies are supported"),
        ("ALL_PROXY", "http://ada:secret@proxy.test:99999", "for https: not the address of a proxy"),
        ("HTTPS_PROXY", "http://ada:secret@", "for https: not the address of a proxy"),
        ("HTTPS_PROXY", "http://ada:secret@proxy.test:0", "for https: not the address of a proxy"),
        ("HTTPS_PROXY", "http://ad\udce9:secret@proxy.test", "for https: not the address of a proxy"),
        ("HTTPS_PROXY", "http://proxy%0d%0a.test", "for https: not the address of a proxy"),
        ("SSL_CERT_FILE", "/nowhere.pem", "SSL_CERT_FILE: no certificates in /nowhere.pem: No such file"),
        ("SSL_CERT_FILE", __file__, "SSL_CERT_FILE: no certificates in "),
        ("SSL_CERT_DIR", "/nowhere", "SSL_CERT_DIR: there is no folder /nowhere"),
    ],
)
def test_an_environment_that_cannot_work(
    environment: pytest.MonkeyPatch, name: str, value: str, message: str
) -> None:
    """It is refused at the start, with the provider it matters to and without what is secret in it."""
    environment.setenv(name, value)
    with pytest.raises(ConfigError) as caught:
        Gateway(routes(PROVIDER))
    assert message in str(caught.value)
    assert "providers.at-a.base_url" in str(caught.value)
    assert "secret" not in str(caught.value)
    Gateway(routes("http://127.0.0.1:9/v1"))
    Gateway(parse_routes(routes(PROVIDER).source, lenient=True))


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "the proxy requires other credentials (407)"),
        (b"HTTP/1.1 403 Forbidden\r\ncontent-length: 3\r\n\r\nno!", "the proxy opens no connection (403)"),
        (b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", "the proxy sent more than it was asked for"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "the proxy gave no answer that is HTTP"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000, "the proxy gave no answer that is HTTP"),
    ],
)
async def test_a_proxy_that_opens_no_tunnel(
    caplog: pytest.LogCaptureFixture, answer: bytes, reason: str
) -> None:
    """The target counts as unreachable, nothing is sent to the provider, and the log says why."""
    async with behind_a_proxy() as (proxy, provider):
        proxy.refusal = answer
        with caplog.at_level(logging.WARNING, "standby.upstream"), pytest.raises(Unreachable) as caught:
            await ask(routes(PROVIDER, f'proxy = "http://{proxy.address}"'))
        assert (caught.value.kind, provider.accepted) == ("connect", 0)
        assert caplog.messages == [f"no connection to target a: {reason}"]
        async with asyncio.timeout(20):
            while proxy.open:  # noqa: ASYNC110  (nobody says when)
                await asyncio.sleep(0)


async def test_a_proxy_that_forwards_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Where plain http is forwarded, a 407 is the proxy's word too, and no answer for the caller."""
    async with behind_a_proxy(tls=False) as (proxy, _):
        proxy.refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n"
        own = f'insecure = true\nproxy = "http://{proxy.address}"'
        with (
            caplog.at_level(logging.WARNING, "standby.upstream"),
            pytest.raises(Unreachable, match="connect"),
        ):
            await ask(routes("http://provider.test/v1", own))
        assert caplog.messages == ["no connection to target a: the proxy requires other credentials (407)"]


async def test_a_proxy_that_is_not_there(caplog: pytest.LogCaptureFixture) -> None:
    """The log says that it is the proxy that is missing, not the provider."""
    with caplog.at_level(logging.WARNING, "standby.upstream"), pytest.raises(Unreachable, match="connect"):
        await ask(routes(PROVIDER, 'proxy = "http://127.0.0.1:9"'))
    [message] = caplog.messages
    assert message == "no connection to target a: the proxy is not reached: ConnectionRefusedError"


@pytest.mark.parametrize(
    ("certificate", "ca", "url", "reason"),
    [
        (EXPIRED, EXPIRED, PROVIDER, "TLS: the certificate has expired"),
        (CERTIFICATE, CERTIFICATE, "https://other.test/v1", "TLS: the certificate is for another host"),
        (CERTIFICATE, CERTIFICATE, "https://192.0.2.1/v1", "TLS: the certificate is for another address"),
        (CERTIFICATE, EXPIRED, PROVIDER, "TLS: the certificate is self-signed, by nobody who is trusted"),
        (None, CERTIFICATE, PROVIDER, "TLS: WRONG_VERSION_NUMBER"),
    ],
)
async def test_a_tls_failure_is_named(
    caplog: pytest.LogCaptureFixture, certificate: Path | None, ca: Path, url: str, reason: str
) -> None:
    """Expired, for another host, of an unknown authority: the log says which, once, without the URL."""

    async def no_tls(listening: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del listening
        await reader.read(100)
        writer.write(OK)
        writer.close()

    serve = respond_with(OK) if certificate else no_tls
    secure = {"tls": True, "certificate": certificate} if certificate else {}
    async with peer(serve, **secure) as provider, forward_proxy(provider.port) as proxy:  # type: ignore[arg-type]
        own = f'proxy = "http://{proxy.address}"\nca = "file:{ca}"'
        transports = Transports()
        upstream = transports.to(routes(url, own).targets["a"])
        with caplog.at_level(logging.WARNING, "standby.upstream"):
            for _ in range(2):
                clocks = AttemptTimeouts(Timeouts(), 15.0)
                with pytest.raises(Unreachable, match="connect"):
                    await upstream.send("/chat/completions?key=secret", (), (), BODY, clocks)
        assert provider.requests == 0
        assert caplog.messages == [f"no connection to target a: {reason}"]
        await transports.aclose()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ('proxy = "socks5://proxy.test"', "proxy: only http proxies are supported"),
        ('proxy = "proxy.test:3128"', "proxy: only http proxies are supported"),
        ('proxy = "http://proxy.test/path"', "proxy: not the address of a proxy"),
        ('proxy = "http://ada:secret@proxy.test"', "proxy: a password is never a literal"),
        ('proxy = "env:MISSING"', "proxy: environment variable MISSING is not set"),
        ("proxy = 3128", "proxy: must be text"),
        ('ca = "own.pem"', 'ca: must name a file of certificates; write "file:path"'),
        ('ca = "file:nowhere.pem"', "ca: file nowhere.pem cannot be read: No such file or directory"),
        (f'ca = "file:{__file__}"', "holds no certificates in PEM form"),
        (
            'proxy = "http://proxy.test"\nbase_url = "http://127.0.0.1:9/v1"',
            "proxy: plain http would show keys and prompts to it",
        ),
        ("ca = true", "ca: must name a file of certificates"),
    ],
)
def test_a_setting_that_cannot_work(setting: str, message: str) -> None:
    """It is refused with its line, and without what is secret in it."""
    text = routes(PROVIDER, "#").source.replace("#", setting)
    if "base_url" in setting:
        text = text.replace(f'base_url = "{PROVIDER}"\n', "")
    with pytest.raises(ConfigError, match=message.replace("(", r"\(")) as caught:
        parse_routes(text, environ={})
    assert "secret" not in str(caught.value)


def test_a_proxy_s_password_is_never_shown() -> None:
    """The address of a secret has its source's name in whatever shows it."""
    proxy = routes(PROVIDER, 'proxy = "env:PROXY"').providers["at-a"].proxy
    assert proxy is not None
    assert (proxy.host, proxy.port, proxy.authorization) == ("127.0.0.1", 1, b"Basic YWRhOnNAY3J0")
    assert (str(proxy), "s@crt" in repr(proxy), "YWRh" in repr(proxy)) == ("env:PROXY", False, False)


def test_other_connections_for_another_way() -> None:
    """After a reload with another proxy or other authorities, no old connection is used."""
    first = Transports()
    upstream = first.to(routes(PROVIDER).targets["a"])
    for other in ('proxy = "http://127.0.0.1:9"', f'ca = "file:{CERTIFICATE}"'):
        after = first.following()
        after.adopt(routes(PROVIDER, other).targets.values())
        assert after.to(routes(PROVIDER, other).targets["a"]) is not upstream
    same = first.following()
    same.adopt(routes(PROVIDER).targets.values())
    assert same.to(routes(PROVIDER).targets["a"]) is upstream
