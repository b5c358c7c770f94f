"""Amounts of money: decimal text in dollars in `routes.toml`, integer nano-dollars in the program."""

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
    """Validates an amount: dollars as text become nano-dollars. Values from code are nano-dollars already."""
    if info.context is None and isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise objection(Remark("money is text, so that no digit is lost", f'did you mean "{value}"?'))
    if not isinstance(value, str) or _AMOUNT.fullmatch(value) is None:
        raise objection(Remark("not an amount of money", 'write dollars, as "50.00" or "0.075"'))
    return int(Decimal(value) * NANO)


def dollars(nano: int) -> str:
    """Returns an amount as exact text in dollars with at least two decimals: 75_000_000 -> "0.075"."""
    whole, rest = divmod(abs(nano), NANO)
    decimals = f"{rest:09d}".rstrip("0").ljust(2, "0")
    return f"{'-' if nano < 0 else ''}{whole}.{decimals}"


Money: TypeAlias = Annotated[int, BeforeValidator(nano)]
"""Nano-dollars; in the file, text in dollars such as `"50.00"`."""

UnitPrice: TypeAlias = Money
"""Nano-dollars per million tokens (so that `"0.0375"` is exact); in the file, text in dollars per million."""
