"""The forward proxy by which connections to a provider leave the network."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from typing import Any, Final, Self
from urllib.parse import unquote_to_bytes, urlsplit

from pydantic import ValidationInfo
from pydantic_core import CoreSchema, core_schema

from .secret import secret_of
from .values import Remark, Surroundings, objection

__all__ = ["ForwardProxy"]

_HOST: Final = re.compile(r"[A-Za-z0-9._:-]{1,253}")
_HINT: Final = 'write "http://proxy.example:3128", or "env:NAME" for an address with a password'


@dataclass(frozen=True)
class ForwardProxy:
    """An HTTP proxy. `authorization` is the value of `Proxy-Authorization`, if it requires a password.

    `source` is where the address comes from: itself, or the name of the secret that holds it.
    """

    host: str
    port: int
    authorization: bytes | None = field(default=None, repr=False)
    source: str = field(default="", compare=False)

    @classmethod
    def parse(cls, url: str, source: str = "") -> Self:
        """Returns the proxy at `url`. Raises ValueError, whose message never repeats the URL."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
            name, password = unquote_to_bytes(parts.username or ""), unquote_to_bytes(parts.password or "")
        except ValueError:
            raise ValueError("not the address of a proxy") from None
        if parts.scheme != "http":
            raise ValueError("only http proxies are supported")  # TLS to providers passes through them
        if (
            _HOST.fullmatch(host) is None
            or port == 0
            or parts.path.strip("/")
            or parts.query
            or parts.fragment
        ):
            raise ValueError("not the address of a proxy")
        authorization = None
        if parts.username is not None:
            authorization = b"Basic " + base64.b64encode(b"%b:%b" % (name, password))
        shown = f"http://{f'[{host}]' if ':' in host else host}:{port or 80}"
        return cls(host, port or 80, authorization, source or shown)

    def __str__(self) -> str:
        return self.source

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: Any) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(
            _proxy, serialization=core_schema.to_string_ser_schema()
        )


def _proxy(value: object, info: ValidationInfo) -> ForwardProxy | None:
    around = info.context
    if not isinstance(value, str) or not isinstance(around, Surroundings):
        raise objection(Remark("must be text", _HINT))
    url = value
    if value.startswith(("env:", "file:")):
        url = secret_of(value, around).reveal()
        if not url:
            return None
    try:
        proxy = ForwardProxy.parse(url, "" if url is value else value)
    except ValueError as error:
        raise objection(Remark(str(error), _HINT)) from None
    if url is value and proxy.authorization is not None:
        raise objection(Remark("a password is never a literal", 'write "env:NAME" for the whole address'))
    return proxy
