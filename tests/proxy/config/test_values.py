"""Tests of durations, sizes and names, as written in the file."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from standby.proxy.config import Duration, ImportString, ModelName, Name, Size, spelled
from standby.proxy.config.values import Surroundings

__all__: list[str] = []

FROM_FILE: Final = Surroundings({}, Path())


def read(kind: Any, value: object) -> Any:
    """`value` parsed as text of the file for `kind`."""
    return TypeAdapter[Any](kind).validate_python(value, strict=True, context=FROM_FILE)


def refusal(kind: Any, value: object) -> str:
    """The reason why `value` is rejected in a file."""
    with pytest.raises(ValidationError) as caught:
        read(kind, value)
    return caught.value.errors()[0]["msg"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("250ms", 0.25), ("8s", 8.0), ("1.5s", 1.5), ("2m", 120.0), ("1h", 3600.0), ("8760h", 31_536_000.0)],
)
def test_a_duration_becomes_seconds(text: str, seconds: float) -> None:
    """Milliseconds, seconds, minutes and hours are parsed to a float of seconds."""
    assert read(Duration, text) == seconds


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (8, "with a unit"),
        (0.5, "with a unit"),
        ("8", "not a duration"),
        ("8 s", "not a duration"),
        (" 8s", "not a duration"),
        ("8s\n", "not a duration"),
        ("-8s", "not a duration"),
        ("1e3s", "not a duration"),
        ("٨s", "not a duration"),
        ("8d", "not a duration"),
        ("8S", "not a duration"),
        ("", "not a duration"),
        (True, "not a duration"),
        (["8s"], "not a duration"),
        ("0s", "more than zero"),
        ("0.0ms", "more than zero"),
        ("8761h", "than a year"),
        ("9" * 400 + "h", "not a duration"),
    ],
)
def test_what_is_no_duration_is_refused(value: object, reason: str) -> None:
    """A bare number, another notation, zero and a too long duration are rejected, each with its reason."""
    assert reason in refusal(Duration, value)


@given(st.integers(1, 500_000), st.sampled_from([("ms", 1), ("s", 1000), ("m", 60_000)]))
def test_every_whole_amount_is_read_exactly(amount: int, unit: tuple[str, int]) -> None:
    """A duration is the float nearest to the text."""
    suffix, milliseconds = unit
    assert read(Duration, f"{amount}{suffix}") == amount * milliseconds / 1000


@given(st.integers(1, 10**9))
def test_a_spelled_duration_reads_back(milliseconds: int) -> None:
    """`spelled` returns the notation of the file, without loss."""
    seconds = milliseconds / 1000
    assert math.isclose(read(Duration, spelled(seconds)), seconds, rel_tol=1e-9)


@given(st.text(max_size=12))
def test_any_text_is_a_duration_or_refused(text: str) -> None:
    """No text gives a duration that is not a positive, finite number."""
    try:
        seconds = read(Duration, text)
    except ValidationError:
        return
    assert 0 < seconds < math.inf


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.25, "250ms"), (8.0, "8s"), (90.0, "90s"), (120.0, "2m"), (7200.0, "2h")]
)
def test_a_duration_is_spelled_in_its_largest_whole_unit(seconds: float, text: str) -> None:
    """Seconds are shown in the notation of the file."""
    assert spelled(seconds) == text


@pytest.mark.parametrize(
    ("text", "size"), [("512B", 512), ("64KiB", 65_536), ("4MiB", 4_194_304), ("1GiB", 2**30)]
)
def test_a_size_becomes_bytes(text: str, size: int) -> None:
    """Sizes are binary multiples of a byte."""
    assert read(Size, text) == size


@pytest.mark.parametrize("value", [4, 4.0, "4", "4MB", "4mib", "0B", "1.5MiB", "-1B", "9999999GiB", True, ""])
def test_what_is_no_size_is_refused(value: object) -> None:
    """A bare number, decimal units, fractions, zero and a too large size are rejected."""
    assert "size" in refusal(Size, value)


def test_code_gives_plain_numbers() -> None:
    """Without a file there is no text: valid numbers of seconds and bytes are accepted."""
    assert TypeAdapter[Any](Duration).validate_python(8) == 8.0
    assert TypeAdapter[Any](Size).validate_python(4096) == 4096
    for seconds in (-1, 0, math.nan, math.inf):
        with pytest.raises(ValidationError):
            TypeAdapter[Any](Duration).validate_python(seconds)
    for size in (-1, 0, 1.5):
        with pytest.raises(ValidationError):
            TypeAdapter[Any](Size).validate_python(size)


@pytest.mark.parametrize("name", ["a", "gpt-4.1", "eu_west.1", "9lives", "a" * 64])
def test_a_name_is_plain(name: str) -> None:
    """Letters, digits, dots, dashes and underscores make a name."""
    assert read(Name, name) == name


@pytest.mark.parametrize("name", ["", "-a", ".a", "_a", "a b", "a/b", "é", "a\n", "a" * 65])
def test_what_is_no_name_is_refused(name: str) -> None:
    """A name begins with a letter or digit, is ASCII, and has at most 64 characters."""
    assert refusal(Name, name).startswith("a name is")


@pytest.mark.parametrize("name", ["gpt-4.1", "meta/llama:8b", "~", "a" * 256])
def test_a_model_name_may_be_a_path(name: str) -> None:
    """Vendors use slashes, colons and more; a model's name is any printable ASCII."""
    assert read(ModelName, name) == name


@pytest.mark.parametrize("name", ["", "a b", "a\tb", "a\x7f", "modèle", "a" * 257])
def test_what_is_no_model_name_is_refused(name: str) -> None:
    """Spaces, control characters, other scripts, empty and too long names are rejected."""
    assert refusal(ModelName, name).startswith("a model name is")


@pytest.mark.parametrize("text", ["a:b", "acme.llm:HouseRules", "_a.b.c1:make_2"])
def test_an_import_string_names_a_module_and_an_attribute(text: str) -> None:
    """An import string is a module and an attribute, separated by one colon."""
    assert read(ImportString, text) == text


@pytest.mark.parametrize(
    "text", ["", "a", "a:", ":b", "a:b:c", "a:b.c", "a..b:c", "a b:c", "a:b()", "1a:b", "a/b:c"]
)
def test_what_is_no_import_string_is_refused(text: str) -> None:
    """Anything but two dotted names is rejected before anything is imported."""
    assert refusal(ImportString, text) == "not an import string"
