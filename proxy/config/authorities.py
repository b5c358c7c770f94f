"""The certificate authorities that are trusted for a provider instead of those of the system."""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationInfo
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from .secret import contents_of
from .values import Remark, Surroundings, objection

__all__ = ["Authorities"]

_CERTIFICATE: Final = re.compile(r"-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----")
_LIMIT: Final = 4 * 1024 * 1024  # bytes; the bundles of whole systems have a quarter of a MiB


@dataclass(frozen=True)
class Authorities:
    """Certificates in PEM form, read when the configuration is loaded. `source` is `"file:path"`.

    `pem` is empty if the file is not there and the configuration is only looked at.
    """

    source: str
    pem: str

    def context(self) -> ssl.SSLContext:
        """A context that trusts them and no others. Raises ssl.SSLError if one of them is none."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # an intermediate authority is trusted too
        context.load_verify_locations(cadata=self.pem)
        return context

    def __str__(self) -> str:
        return self.source

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: Any) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(
            _authorities, serialization=core_schema.to_string_ser_schema()
        )


def _authorities(value: object, info: ValidationInfo) -> Authorities:
    around = info.context
    if not isinstance(value, str) or not isinstance(around, Surroundings) or not value.startswith("file:"):
        raise objection(Remark("must name a file of certificates", 'write "file:path"'))
    name = value.removeprefix("file:")
    try:
        found = _CERTIFICATE.findall(contents_of(around.folder, name, _LIMIT))
    except PydanticCustomError:
        if around.lenient or around.environ is None:
            return Authorities(value, "")  # like a secret that is not there and not needed
        raise
    authorities = Authorities(value, "\n".join(found))
    try:
        authorities.context()
    except (ssl.SSLError, TypeError, ValueError):  # the last two: not ASCII, or nothing at all
        raise objection(Remark(f"file {name} holds no certificates in PEM form")) from None
    return authorities
