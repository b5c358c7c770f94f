"""The tables of those who operate the gateway: `[admin]`, `[alerts]` and `[decisions]`."""

from __future__ import annotations

import re
from typing import Annotated, Final, Self, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from .addresses import is_loopback
from .secret import Secret
from .table import Table
from .values import Duration, Remark, objection, quoted

__all__ = ["Admin", "Alerts", "Decisions"]

_LISTEN: Final = re.compile(r"(?:(?P<host>[A-Za-z0-9.-]+)|\[(?P<v6>[0-9A-Fa-f:.]+)\]):(?P<port>[0-9]{1,5})")


def _address(value: str) -> str:
    found = _LISTEN.fullmatch(value)
    if found is None or int(found["port"]) > 65535:
        raise objection(
            Remark(f"{quoted(value)} is not an address", 'write "127.0.0.1:8081" or "[::1]:8081"')
        )
    return value


class Admin(Table):
    """The admin listener of `standby serve`: metrics, status and explanations. Off without this table."""

    listen: Annotated[str, AfterValidator(_address)] = "127.0.0.1:8081"
    """Host and port. Anything but a loopback address needs a token."""
    token: Secret | None = None
    """What callers must send as `authorization: Bearer TOKEN`."""

    @property
    def host(self) -> str:
        """The host of `listen`, without brackets."""
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The port of `listen`."""
        return int(self.listen.rpartition(":")[2])

    @model_validator(mode="after")
    def _is_protected(self) -> Self:
        if self.token is None and not is_loopback(self.host):
            message = f"{quoted(self.host)} can be reached from elsewhere, and nothing protects it"
            raise objection(Remark(message, 'add token = "env:STANDBY_ADMIN_TOKEN"', at=("listen",)))
        return self


def _posted_to(secret: Secret) -> Secret:
    """Check the URL of a webhook. The message does not show it. Without its value nothing is checked."""
    value = secret.reveal()
    if value:
        try:
            url = urlsplit(value)
            usable = url.scheme in {"http", "https"} and bool(url.hostname) and url.port != 0
        except ValueError:
            usable = False
        if not usable:
            raise objection(Remark(f"{secret.source} does not hold an http or https URL"))
    return secret


WebhookURL: TypeAlias = Annotated[Secret, AfterValidator(_posted_to)]


class Alerts(Table):
    """Where alerts are sent, and after how long. Without a webhook they are only logged."""

    webhook: WebhookURL | None = None
    """The URL to which each alert is posted as JSON."""
    slack: WebhookURL | None = None
    """The URL of a Slack incoming webhook, or of what takes the same."""
    after: Duration = 10.0
    """How long something must last until it is an alert."""
    resolve_after: Duration = 60.0
    """How long it must be over until the alert is resolved."""


class Decisions(Table):
    """The decision log: one JSON line for each request, without any of its content."""

    to: Annotated[str, Field(min_length=1)] = "stdout"
    """`stdout`, or the path of a file, relative to the folder of `routes.toml`. The file is appended to, and
    opened again when it has been moved away."""
