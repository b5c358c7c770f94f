"""The patterns of personal data, with the checks that tell real numbers from those that look like them.

Checksums and phone numbers are judged by `stdnum` and `phonenumbers`, which are loaded when the first text
has something to judge.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from importlib import import_module
from ipaddress import ip_address
from types import MappingProxyType
from typing import Final

from .pattern import Pattern

__all__ = ["COUNTRIES", "PERSONAL_CODES", "PERSONAL_DATA", "country_of", "national"]

_GROUP_END: Final = re.compile(r"[0-9A-Za-z](?![0-9A-Za-z])")
_SHORTEST_PHONE: Final = 7  # digits
_DIGITS: Final = b"+0123456789"
_PHONE_COST: Final = 3
_IBAN_COST: Final = 8
_MOST_TRIMMED: Final = 3  # groups left out at the end of what may be a phone number, since each try is slow
_NOT_PEOPLE: Final = ("git@", "noreply@", "no-reply@")
_FILES: Final = (".css", ".gif", ".jpeg", ".jpg", ".js", ".png", ".svg", ".webp")
"""What the names of pictures for screens of high density end with, such as `logo@2x.png`."""
_CARD_GROUPS: Final = re.compile(r"\d{13,19}|\d{4}([ -])\d{4}\1\d{4}\1\d{1,7}|\d{4}([ -])\d{6}\2\d{4,5}")
_BRANDS: Final = re.compile(
    r"4(?:\d{15}|\d{18})|5[1-5]\d{14}|2[2-7]\d{14}|3[47]\d{13}|3(?:0[0-5]|[689]\d)\d{11}"
    r"|6(?:011|5\d\d|4[4-9]\d)\d{12}|35\d{14}|62\d{14,17}|(?:50|5[6-9]|6\d)\d{14,17}"
)
"""Visa, Mastercard, American Express, Diners, Discover, JCB, UnionPay, Maestro: first digits and lengths."""


def _trimmed(text: str) -> Iterator[int]:
    """Returns where the groups of letters and digits in `text` end, the last one first."""
    yield from reversed([match.end() for match in _GROUP_END.finditer(text)])


def _card(text: str) -> tuple[int, int] | None:
    for end in _trimmed(text):
        if _CARD_GROUPS.fullmatch(text, 0, end) is None:
            continue
        digits = re.sub(r"\D", "", text[:end])
        if _BRANDS.fullmatch(digits) and len(set(digits)) > 1 and _is_luhn(digits):
            return 0, end
    return None


def _is_luhn(digits: str) -> bool:
    total = 0
    for i, digit in enumerate(reversed(digits)):
        number = int(digit) * (1 + i % 2)
        total += number - 9 if number > 9 else number
    return total % 10 == 0


def _iban(text: str) -> tuple[int, int] | None:
    is_valid: Callable[[str], bool] = import_module("stdnum.iban").is_valid
    return next(((0, end) for end in _trimmed(text) if end >= 15 and is_valid(text[:end])), None)


def _email(text: str) -> tuple[int, int]:
    """Accepts an address of a person: no part of another one is such an address."""
    folded = text.lower()
    nobody = folded.startswith(_NOT_PEOPLE) or folded.endswith(_FILES)
    return (len(text), len(text)) if nobody else (0, len(text))


def _public_ip(text: str) -> tuple[int, int] | None:
    """Accepts an address that belongs to somebody: private and reserved ones are those of nobody. Longer
    dotted numbers are none, and no part of them is."""
    if text.count(".") > 3:
        return len(text), len(text)
    try:
        return (0, len(text)) if ip_address(text).is_global else None
    except ValueError:
        return None


def _phone(region: str | None, text: str) -> tuple[int, int] | None:
    library = import_module("phonenumbers")
    ends = [end for end in _trimmed(text) if sum(map(str.isdigit, text[:end])) >= _SHORTEST_PHONE]
    for end in ends[:_MOST_TRIMMED]:
        try:
            number = library.parse(text[:end], region)
        except library.NumberParseException:
            continue
        if library.is_valid_number(number):
            return 0, end
    return None


def _numbered(module: str, text: str) -> tuple[int, int] | None:
    is_valid: Callable[[str], bool] = import_module(f"stdnum.{module}").is_valid
    if len(set(re.sub(r"\D", "", text))) == 1:
        return None
    return (0, len(text)) if is_valid(text) else None


PERSONAL_DATA: Final = (
    Pattern(
        "email",
        r"(?i)[a-z0-9._%+'-]{1,64}@(?:[a-z0-9-]{1,63}\.){1,4}[a-z]{2,24}\b",
        "",
        _email,
        batch="email",
        needs=b"@",
    ),
    Pattern(
        "phone",
        r"\+\d{1,3}[\d ().\x2F-]{5,20}\d",
        "",
        partial(_phone, None),
        _PHONE_COST,
        batch="digits",
        needs=_DIGITS,
        opens=_DIGITS,
    ),
    Pattern("card", r"\b(?:\d[ -]?){12,18}\d\b", "", _card, batch="digits", needs=_DIGITS, opens=_DIGITS),
    Pattern(
        "iban",
        r"(?i)\b[a-z]{2}\d{2}(?: ?[a-z0-9]{4}){2,7}(?: ?[a-z0-9]{1,3})?\b",
        "",
        _iban,
        _IBAN_COST,
        batch="digits",
        needs=_DIGITS,
        opens=_DIGITS,
    ),
    Pattern(
        "ip",
        r"\b(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.\d{1,9}){0,12}\b"
        r"|(?i:\b(?:[0-9a-f]{1,4}:{1,2}){2,7}[0-9a-f]{1,4}\b)",
        "",
        _public_ip,
        batch="digits",
        needs=b".:",
    ),
)
"""Personal data of every country."""

_CALLED: Final = (
    r"(?i)(?:phone|tel|telefono?|movil|mobile?|handy|cell|call|fax|whatsapp|reach|ring|dial)"
    r"[^\d\n(]{0,24}(\(?\d[\d ().\x2F-]{6,18}\d)\b"
)
"""A number in national form could be anything, so a word must say that it is a phone's."""

_NATIONAL: Final = MappingProxyType(
    {
        "br": (Pattern("br_cpf", r"\b\d{3}\.?\d{3}\.?\d{3}-?\d{2}\b", "", partial(_numbered, "br.cpf")),),
        "de": (Pattern("de_tax_id", r"\b\d{2} ?\d{3} ?\d{3} ?\d{3}\b", "", partial(_numbered, "de.idnr")),),
        "es": (Pattern("es_nif", r"(?i)\b[xyz\d]\d{7}-?[a-z]\b", "", partial(_numbered, "es.nif")),),
        "fr": (
            Pattern(
                "fr_nir",
                r"\b[12] ?\d{2} ?\d{2} ?(?:\d{2}|2[AB]) ?\d{3} ?\d{3} ?\d{2}\b",
                "",
                partial(_numbered, "fr.nir"),
            ),
        ),
        "gb": (
            # The blank may stand before the first digit, so it has a batch of its own.
            Pattern(
                "uk_nino",
                r"(?i)\b[a-ceghj-prstw-z][a-ceghj-nprstw-z] ?\d{2} ?\d{2} ?\d{2} ?[a-d]\b",
                batch="nino",
                needs=_DIGITS,
            ),
        ),
        "in": (
            Pattern("in_aadhaar", r"\b[2-9]\d{3} ?\d{4} ?\d{4}\b", "", partial(_numbered, "in_.aadhaar")),
        ),
        "it": (
            Pattern(
                "it_codice_fiscale",
                r"(?i)\b[a-z]{6}\d{2}[a-z]\d{2}[a-z]\d{3}[a-z]\b",
                "",
                partial(_numbered, "it.codicefiscale"),
            ),
        ),
        "nl": (Pattern("nl_bsn", r"\b(?:\d{9}|\d{4}\.\d{2}\.\d{3})\b", "", partial(_numbered, "nl.bsn")),),
        "pl": (Pattern("pl_pesel", r"\b\d{11}\b", "", partial(_numbered, "pl.pesel")),),
        "us": (
            Pattern("us_ssn", r"\b\d{3}[- ]\d{2}[- ]\d{4}(?:-\d{1,4})?\b", "", partial(_numbered, "us.ssn")),
        ),
    }
)
"""National numbers, by country."""

COUNTRIES: Final = tuple(_NATIONAL)
PERSONAL_CODES: Final = (
    *(pattern.code for pattern in PERSONAL_DATA),
    *(pattern.code for patterns in _NATIONAL.values() for pattern in patterns),
)


def country_of(code: str) -> str | None:
    """Returns the country whose numbers have this code, or None."""
    return next(
        (country for country, known in _NATIONAL.items() if any(each.code == code for each in known)), None
    )


def national(countries: Iterable[str]) -> Iterator[Pattern]:
    """Returns the patterns of the national numbers, and of phone numbers in national form, of these
    countries."""
    for country in countries:
        for pattern in _NATIONAL[country]:
            yield (
                pattern if pattern.batch else replace(pattern, batch="national", needs=_DIGITS, opens=_DIGITS)
            )
        yield Pattern("phone", _CALLED, "", partial(_phone, country.upper()), _PHONE_COST, "phone", _DIGITS)
