"""Tests of `retry_after`: the delay that a provider asks for, in every format."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Final

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from standby.proxy.asgi import Headers
from standby.proxy.classify.provider_errors import MAX_RETRY_AFTER, in_band, refused, retry_after

__all__: list[str] = []

NOON: Final = b"Wed, 21 Oct 2026 12:00:00 GMT"

FORMS: Final[dict[str, tuple[Headers, float | None]]] = {
    "nothing": ((), None),
    "seconds": (((b"retry-after", b"30"),), 30.0),
    "a fraction": (((b"retry-after", b"0.5"),), 0.5),
    "spaces": (((b"retry-after", b" 7 "),), 7.0),
    "milliseconds": (((b"retry-after-ms", b"1500"),), 1.5),
    "milliseconds are exact": (((b"retry-after", b"2"), (b"retry-after-ms", b"1500")), 1.5),
    "milliseconds that are none": (((b"retry-after-ms", b"soon"), (b"retry-after", b"2")), 2.0),
    "the first of two": (((b"retry-after", b"3"), (b"retry-after", b"4")), 3.0),
    "zero": (((b"retry-after", b"0"),), None),
    "negative": (((b"retry-after", b"-1"),), None),
    "negative milliseconds": (((b"retry-after-ms", b"-1"),), None),
    "a fruit": (((b"retry-after", b"banana"),), None),
    "empty": (((b"retry-after", b""),), None),
    "huge": (((b"retry-after", b"1e9"),), MAX_RETRY_AFTER),
    "beyond numbers": (((b"retry-after", b"9" * 400),), None),
    "infinite": (((b"retry-after", b"inf"),), None),
    "no number": (((b"retry-after", b"nan"),), None),
    "bytes": (((b"retry-after", b"\xff\xfe"),), None),
    "a date": (((b"date", NOON), (b"retry-after", b"Wed, 21 Oct 2026 12:00:45 GMT")), 45.0),
    "a date far ahead": (
        ((b"date", NOON), (b"retry-after", b"Fri, 21 Oct 2050 12:00:00 GMT")),
        MAX_RETRY_AFTER,
    ),
    "a date that is past": (((b"date", NOON), (b"retry-after", b"Wed, 21 Oct 2026 11:59:00 GMT")), None),
    "a date, and no clock": (((b"retry-after", b"Wed, 21 Oct 2026 12:00:45 GMT"),), None),
    "a date, and a broken clock": (((b"date", b"noon"), (b"retry-after", NOON)), None),
    "a date without a zone": (((b"date", NOON), (b"retry-after", b"Wed, 21 Oct 2026 12:00:45 -0000")), None),
    "a date beyond the calendar": (
        ((b"date", NOON), (b"retry-after", b"Wed, 21 Oct 99999 12:00:00 GMT")),
        None,
    ),
    "a date beyond integers": (
        ((b"date", NOON), (b"retry-after", b"Wed, 21 Oct 99999999999999999999 12:00:00 GMT")),
        None,
    ),
}


@pytest.mark.parametrize(("headers", "seconds"), FORMS.values(), ids=FORMS.keys())
def test_forms(headers: Headers, seconds: float | None) -> None:
    """A delay is read in every known format, and any other value is ignored."""
    assert retry_after(headers) == seconds


@given(st.binary(max_size=40), st.binary(max_size=40), st.binary(max_size=40))
@example(b"1 Jan 9999999999999999999", b"", NOON)
@example(b"Wed, 21 Oct 2026 12:00:00 +99999999999", b"", NOON)
def test_any_bytes(value: bytes, exact: bytes, date: bytes) -> None:
    """No header value raises an error."""
    headers = ((b"retry-after", value), (b"retry-after-ms", exact), (b"date", date))
    seconds = retry_after(headers)
    assert seconds is None or 0 < seconds <= MAX_RETRY_AFTER


@given(st.text("0123456789 ,:+-GMTWedOctJan", max_size=45))
def test_any_date(text: str) -> None:
    """No value similar to a date raises an error."""
    seconds = retry_after(((b"date", NOON), (b"retry-after", text.encode())))
    assert seconds is None or 0 < seconds <= MAX_RETRY_AFTER


@given(st.integers(1, 300), st.integers(-12, 12), st.integers(-(10**6), 10**6))
def test_a_date_counts_by_the_providers_clock(seconds: int, zone: int, off: int) -> None:
    """The delay until a date is relative to the provider's clock, even if that is wrong."""
    now = datetime(2026, 10, 21, 12, tzinfo=timezone(timedelta(hours=zone))) + timedelta(seconds=off)
    headers = (
        (b"date", format_datetime(now).encode()),
        (b"retry-after", format_datetime(now + timedelta(seconds=seconds)).encode()),
    )
    assert retry_after(headers) == float(seconds)


GOOGLE: Final[dict[str, tuple[object, float | None]]] = {
    "seconds": ([{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "37s"}], 37.0),
    "behind other details": ([{"@type": "x"}, {"retryDelay": "1.5s"}], 1.5),
    "too long": ([{"retryDelay": "86400s"}], MAX_RETRY_AFTER),
    "negative": ([{"retryDelay": "-1s"}], None),
    "another unit": ([{"retryDelay": "37m"}], None),
    "no text": ([{"retryDelay": 37}], None),
    "no list": ({"retryDelay": "37s"}, None),
    "no objects": (["37s", None], None),
    "infinite": ([{"retryDelay": "infs"}], None),
}


@pytest.mark.parametrize(("details", "seconds"), GOOGLE.values(), ids=GOOGLE.keys())
def test_googles_delay(details: object, seconds: float | None) -> None:
    """Google sends the delay in the body, both in an error answer and in a stream."""
    error = {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "No.", "details": details}
    assert refused(429, (), orjson.dumps({"error": error})).retry_after == seconds
    assert refused(429, (), orjson.dumps([{"error": error}])).retry_after == seconds
    assert in_band(error).retry_after == seconds


def test_the_header_goes_before_the_body() -> None:
    """If there is a delay in the header and in the body, the header has precedence."""
    body = orjson.dumps({"error": {"details": [{"retryDelay": "37s"}]}})
    assert refused(429, ((b"retry-after", b"5"),), body).retry_after == 5.0
    assert refused(429, ((b"retry-after", b"banana"),), body).retry_after == 37.0
