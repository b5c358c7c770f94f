"""Names of other tables, resolved to the objects while a table is validated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import AfterValidator, BeforeValidator, ValidationInfo

from .report import suggestion
from .values import Remark, Surroundings, objection, quoted

__all__ = ["among", "named"]


def named(section: Literal["organisations", "providers", "targets", "teams", "users"]) -> BeforeValidator:
    """Turns the name of another table into its object. Code that gives the object is left alone."""

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


def among(section: Literal["pools", "providers", "regions"], *others: str) -> AfterValidator:
    """Refuses a name that is not in a section, and is none of `others`; the name stays a name.

    Regions are those of the providers. Where a section is not there to look into, every name passes: what was
    granted by name stays granted by name when a key from a store is read.
    """

    def check(value: str, info: ValidationInfo) -> str:
        around = info.context
        if not isinstance(around, Surroundings) or value in others:
            return value
        tables = _regions(around) if section == "regions" else around.tables.get(section)
        if tables is not None and value not in tables:
            what = section[:-1]
            message = f"no provider is in region {quoted(value)}" if section == "regions" else None
            raise objection(
                Remark(message or f"there is no {what} {quoted(value)}", suggestion(value, tables))
            )
        return value

    return AfterValidator(check)


def _regions(around: Surroundings) -> Mapping[str, object] | None:
    """The regions of all providers; None where that cannot be told, since the table of one is wrong."""
    providers = around.tables.get("providers")
    if providers is None or None in providers.values():
        return None
    return dict.fromkeys(
        region for each in providers.values() if isinstance(region := getattr(each, "region", None), str)
    )
