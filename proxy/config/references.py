"""Validators for references to other tables: they resolve or check names while a table is validated."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

from pydantic import AfterValidator, BeforeValidator, ValidationInfo

from .report import suggestion
from .values import Remark, Surroundings, objection, quoted

__all__ = ["among", "named"]

_ATTRIBUTES: Final = MappingProxyType({"regions": "region", "trusts": "trust"})
"""Sections that are no tables: the values of an attribute of the providers."""


def named(section: Literal["organisations", "providers", "targets", "teams", "users"]) -> BeforeValidator:
    """Returns a validator that replaces the name of a table in `section` with its object.

    Without a file (no `Surroundings`), values pass unchanged, since code passes objects.
    """

    def resolve(value: object, info: ValidationInfo) -> object:
        around = info.context
        if not isinstance(around, Surroundings):
            return value
        what, tables = section[:-1], around.tables.get(section, {})
        if not isinstance(value, str):
            raise objection(Remark(f"must be the name of a {what}"))
        if value not in tables:
            raise objection(Remark(f"there is no {what} {quoted(value)}", suggestion(value, tables)))
        table = tables[value]
        if table is None:
            raise objection()
        return table

    return BeforeValidator(resolve)


def among(
    section: Literal["organisations", "pools", "providers", "regions", "teams", "trusts", "users"],
    *others: str,
    negatable: bool = False,
) -> AfterValidator:
    """Returns a validator that rejects a name which is neither in `section` nor in `others`.

    If it is `negatable`, a "!" may stand before the name. The name is not replaced. The regions and trusts
    are those of the providers. If the section is not available, every name passes, so that a key from a store
    may grant pools that no longer exist.
    """

    def check(value: str, info: ValidationInfo) -> str:
        around = info.context
        if not isinstance(around, Surroundings) or value in others:
            return value
        name = value.removeprefix("!") if negatable else value
        attribute = _ATTRIBUTES.get(section)
        tables = around.tables.get(section) if attribute is None else _values(around, attribute)
        if tables is not None and name not in tables:
            what = section[:-1]
            message = f"there is no {what} {quoted(name)}"
            if attribute is not None:
                message = (
                    f"no provider is in {what} {quoted(name)}"
                    if what == "region"
                    else f"no provider has {what} {quoted(name)}"
                )
            raise objection(Remark(message, suggestion(name, tables)))
        return value

    return AfterValidator(check)


def _values(around: Surroundings, attribute: str) -> Mapping[str, object] | None:
    """Returns the values of an attribute of all providers as keys; None if a provider is invalid."""
    providers = around.tables.get("providers")
    if providers is None or None in providers.values():
        return None
    return dict.fromkeys(
        value for table in providers.values() if isinstance(value := getattr(table, attribute, None), str)
    )
