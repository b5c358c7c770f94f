"""Validation of provider addresses and static headers: base URLs, hosts, and configured request headers."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Final, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator

from .values import Remark, objection

__all__ = ["BaseURL", "is_loopback", "is_private", "outgoing_headers", "outgoing_query", "splits"]

_URL: Final = re.compile(r"[\x21-\x7e]{1,2048}")
_HOST: Final = re.compile(r"[A-Za-z0-9._-]{1,253}")
_PORT: Final = re.compile(r"(?::[0-9]{1,5})?")

_OPERATIONS: Final = (
    *("/chat/completions", "/completions", "/responses", "/embeddings", "/messages"),
    *("/messages/count_tokens", "/models"),
)
"""What is appended to a base URL, and the path of no API's root."""

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")  # RFC 9110, 5.6.2
_VALUE: Final = re.compile(r"(?:[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?)?")

_PARAMETER: Final = re.compile(r"[A-Za-z0-9._~-]{1,128}")
_CREDENTIAL_PARAMETERS: Final = frozenset(
    {"key", "api-key", "api_key", "apikey", "access_token", "token", "sig"}
)

_CREDENTIALS: Final = frozenset(
    {"api-key", "authorization", "cookie", "proxy-authorization", "x-api-key", "x-goog-api-key"}
)
_RESERVED: Final = frozenset(
    {
        # framing and the connection (RFC 9110, 7.6.1, and RFC 9112, 6)
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        # the format of the body and of the answer: the gateway parses both
        "accept",
        "accept-encoding",
        "content-encoding",
        "content-type",
    }
)


def _base_url(value: str) -> str:
    """Check a base URL and remove trailing slashes. Messages do not repeat it: it may contain a password."""
    if _URL.fullmatch(value) is None or "\\" in value:
        raise objection(Remark("not a URL", 'write "https://host/path"'))
    try:
        parts = urlsplit(value)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise objection(Remark("not a URL: its host or port is malformed")) from None
    if parts.scheme not in ("http", "https"):
        raise objection(Remark("not an http or https URL", 'write "https://host/path"'))
    if "@" in parts.netloc:
        raise objection(Remark("a URL must not hold credentials", 'give them as key = "env:NAME"'))
    if "?" in value or "#" in value:
        raise objection(Remark("a base URL has no query and no fragment"))
    if not host or port == 0 or not _is_authority(parts.netloc):
        raise objection(Remark("not a URL: its host or port is malformed"))
    if any(part.replace("%2e", ".").replace("%2E", ".") in (".", "..") for part in parts.path.split("/")):
        raise objection(Remark('a base URL has no "." or ".." in its path'))
    value = value.rstrip("/")
    for path in _OPERATIONS:
        if value.endswith(path):
            raise objection(Remark("ends in the path of an operation", f"leave {path} out"))
    return value


def _is_authority(netloc: str) -> bool:
    """Whether `netloc` is a valid host with an optional port."""
    if netloc.startswith("["):
        address, _, port = netloc[1:].partition("]")
        try:
            ipaddress.IPv6Address(address)
        except ValueError:
            return False
        return "%" not in address and _PORT.fullmatch(port) is not None
    host, colon, port = netloc.partition(":")
    return _HOST.fullmatch(host) is not None and _PORT.fullmatch(colon + port) is not None


def splits(authority: str) -> tuple[str, str] | None:
    """Splits a URL authority into host (in lower case, without brackets) and port ("" if there is none).

    Returns None if `authority` is not valid.
    """
    if not _is_authority(authority):
        return None
    host, colon, port = authority.lower().rpartition(":")
    if not colon or port.endswith("]"):
        host, port = authority.lower(), ""
    return host.removeprefix("[").removesuffix("]"), port


BaseURL: TypeAlias = Annotated[str, AfterValidator(_base_url)]
"""An `http` or `https` URL with a host and optionally a port and a path; no credentials, query or
fragment."""


def outgoing_query(parameters: Mapping[str, str]) -> Mapping[str, str]:
    """Check the parameters of a provider's URLs. Messages do not repeat values."""
    remarks: list[Remark] = []
    for name, value in parameters.items():
        if _PARAMETER.fullmatch(name) is None or _PARAMETER.fullmatch(value) is None:
            remarks.append(Remark("a parameter is made of letters, digits and . _ ~ -", at=(name,)))
        elif name.lower() in _CREDENTIAL_PARAMETERS:
            message = "a credential is not part of a URL, which is logged"
            remarks.append(Remark(message, 'use key = "env:NAME"', (name,)))
    if remarks:
        raise objection(*remarks)
    return MappingProxyType(dict(parameters))


def is_private(url: str) -> bool:
    """Whether traffic to `url` cannot be read on the network: it uses TLS, or its host is loopback."""
    parts = urlsplit(url)
    return parts.scheme == "https" or is_loopback(parts.hostname or "")


def is_loopback(host: str) -> bool:
    """Whether `host`, in lower case and without brackets, is a loopback address or a `localhost` name."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def outgoing_headers(headers: Mapping[str, str]) -> Mapping[str, str]:
    """Check static request headers and return them with lower-case names. Messages do not repeat values."""
    remarks: list[Remark] = []
    checked: dict[str, str] = {}
    for name, value in headers.items():
        lowered = name.lower()
        if _TOKEN.fullmatch(name) is None:
            remarks.append(Remark("not a header name", at=(name,)))
        elif lowered in _CREDENTIALS:
            remarks.append(Remark("a credential is not a static header", 'use key = "env:NAME"', (name,)))
        elif lowered in _RESERVED or lowered.startswith("x-standby-"):
            remarks.append(Remark("this header is the gateway's own to set", at=(name,)))
        elif lowered in checked:
            remarks.append(Remark("this header is given twice", at=(name,)))
        if _VALUE.fullmatch(value) is None:
            message = "a header value is printable ASCII, without line breaks or spaces at its ends"
            remarks.append(Remark(message, at=(name,)))
        checked[lowered] = value
    if remarks:
        raise objection(*remarks)
    return MappingProxyType(checked)
