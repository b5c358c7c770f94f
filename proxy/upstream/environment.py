"""What the variables of the environment that most clients read say of the way to providers.

`HTTPS_PROXY`, `HTTP_PROXY` and `ALL_PROXY` name a forward proxy, `NO_PROXY` the hosts that are reached
without it, `SSL_CERT_FILE` and `SSL_CERT_DIR` the authorities that are trusted instead of the system's.
"""

from __future__ import annotations

import ipaddress
import os
import re
import ssl
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from urllib.request import getproxies_environment

import httpx2

from ..config.addresses import is_loopback
from ..config.forward_proxy import ForwardProxy

__all__ = ["authorities_of_environment", "proxy_of_environment", "trusted_by_environment"]

_WITH_PORT: Final = re.compile(r"(\[[^]]+\]|[^:]+):([0-9]{1,5})")


def proxy_of_environment(url: str) -> ForwardProxy | None:
    """Returns the proxy for `url`; None for a loopback host and for what `NO_PROXY` has.

    Raises ValueError, whose message never repeats the address of the proxy.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    proxies = getproxies_environment()
    address = proxies.get(parts.scheme) or proxies.get("all")
    if not address or is_loopback(host):
        return None
    port = parts.port or (443 if parts.scheme == "https" else 80)
    if any(_covers(entry, host, port) for entry in re.split(r"[,\s]+", proxies.get("no", ""))):
        return None
    try:
        return ForwardProxy.parse(address if "://" in address else f"http://{address}")
    except ValueError as error:
        raise ValueError(f"the proxy that the environment names for {parts.scheme}: {error}") from None


def trusted_by_environment() -> ssl.SSLContext:
    """Returns a context that trusts the authorities of the environment, or of the system if it names none.

    Raises OSError like `authorities_of_environment`.
    """
    return authorities_of_environment() or httpx2.create_ssl_context(trust_env=False)


def authorities_of_environment() -> ssl.SSLContext | None:
    """Returns a context that trusts the authorities of the environment, None if it names none.

    Raises OSError, whose message names the variable.
    """
    file, folders = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    if not file and not folders:
        return None
    if folders and not any(Path(folder).is_dir() for folder in folders.split(os.pathsep)):
        raise OSError(f"SSL_CERT_DIR: there is no folder {folders}")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # an intermediate authority is trusted too
    try:
        context.load_verify_locations(file or None, folders or None)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise OSError(f"SSL_CERT_FILE: no certificates in {file}: {reason}") from None
    return context


def _covers(entry: str, host: str, port: int) -> bool:
    """Whether an entry of `NO_PROXY` covers a host: `*`, an address, a network, or a domain and all below it,
    also with a port."""
    if entry == "*":
        return True
    match = _WITH_PORT.fullmatch(entry)
    name = entry if match is None else match[1]
    if match is not None and int(match[2]) != port:
        return False
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(name.strip("[]"), strict=False)
    except ValueError:
        pass
    name, host = name.lower().removeprefix("*").strip("."), host.removesuffix(".")
    return bool(name) and (host == name or host.endswith(f".{name}"))
