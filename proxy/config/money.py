"""Money as `routes.toml` spells it: decimal text in dollars, held as integer nano-dollars."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Final, TypeAlias

from pydantic import BeforeValidator, ValidationInfo

from .values import Remark, objection

__all__ = ["NANO", "Money", "UnitPrice", "dollars", "nano"]

NANO: Final = 1_000_000_000
"""Nano-dollars in a dollar."""

_AMOUNT: Final = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")


def nano(value: object, info: ValidationInfo) -> int:
    """Nano-dollars from the text of an amount; code that passes none of a file's passes nano-dollars."""
    if info.context is None and isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise objection(Remark("money is text, so that no digit is lost", f'did you mean "{value}"?'))
    if not isinstance(value, str) or _AMOUNT.fullmatch(value) is None:
        raise objection(Remark("not an amount of money", 'write dollars, as "50.00" or "0.075"'))
    return int(Decimal(value) * NANO)


def dollars(nano: int) -> str:
    """An amount as text in dollars, exact, with at least two decimals: 75_000_000 -> "0.075"."""
    whole, rest = divmod(abs(nano), NANO)
    decimals = f"{rest:09d}".rstrip("0").ljust(2, "0")
    return f"{'-' if nano < 0 else ''}{whole}.{decimals}"


Money: TypeAlias = Annotated[int, BeforeValidator(nano)]
"""Nano-dollars; in the file dollars, as `"50.00"`."""

UnitPrice: TypeAlias = Money
"""Nano-dollars for a million tokens (so that `"0.0375"` is exact); in the file dollars per million."""
