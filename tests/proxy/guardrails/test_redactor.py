"""What a text becomes does not depend on how it was cut (I8)."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations, pairwise
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from standby.proxy.guardrails.pattern import Pattern, PatternSet
from standby.proxy.guardrails.personal_data import PERSONAL_DATA
from standby.proxy.guardrails.redactor import Redactor
from standby.proxy.guardrails.rewriter import Blocked
from standby.proxy.guardrails.secrets import SECRETS
from standby.proxy.guardrails.text_scan import Span, TextScan
from standby.proxy.guardrails.words import words

__all__: list[str] = []

KEY: Final = "sk-" + "aB3dE5fG7hJ9kL1mN2pQ4rS6"
PATTERNS: Final = PatternSet(
    [*SECRETS, *PERSONAL_DATA, words("word", ["Project X", "né"]), Pattern("pattern", r"\b(?:ab){1,9}c\b")]
)
TEXTS: Final = (
    f"my key {KEY} ok",
    "mail bob@example.com. or bob@example",
    "card 1 4111 1111 1111 1111 yes 12",
    f"password = hunter2hunter2{KEY} end",
    "s\u200bk-aB3\u200bdE5fG7hJ9kL1mN2pQ4\u200b\u200brS6\u200b done",
    "АKIAQ3EXTPLN7VAMDXYZ é中文 bob@exämple.com 中文bob@example.com",
    "PROJECT   x and né, project x",
    f"{KEY}@example.com",
    f"{KEY}\u0301\u0301abc d 😀",
    "xababababcab ababc abc",
    "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\nAbc= rest\n-----END PRIVATE KEY----- x",
    "call +49 30 901820 11 now, https://u:p4ssw0rd!@host/x and +49 30 1",
)
DOCUMENTS: Final[tuple[Any, ...]] = (
    {"to": "bob@example.com", "n": 4111111111111111, "k": f'a"{KEY}\n"', "p": 'password: "hunter2hunter2"'},
    {"password": "hunter2hunter2", "x": [1, -4111111111111111, 1.5], "bob@example.com": None},
    {"é": f"s\u200b{KEY[1:]}", "t": '\\"', "emoji": "😀 bob@example.com"},
)


def label(span: Span, original: str) -> str:
    """What stands for a finding."""
    del original
    return f"<{PATTERNS.patterns[span.pattern].pattern.code}>"


def redacted(pieces: Iterable[str], *, json: bool = False) -> str:
    """What comes out for these pieces."""
    redactor = Redactor(PATTERNS, label, json=json)
    return "".join(redactor.feed(piece) for piece in pieces) + redactor.feed("", last=True)


def cut(text: str, places: Sequence[int]) -> list[str]:
    """The text in pieces."""
    return [text[begin:end] for begin, end in pairwise((0, *places, len(text)))]


def partitions(text: str, most: int) -> Iterator[list[str]]:
    """All ways to cut a text up to `most` times; of a long text, a sample of those with three."""
    chance = random.Random(1)
    for count in range(1, most + 1):
        for places in combinations(range(1, len(text)), count):
            if count < 3 or len(text) <= 34 or chance.random() < 0.01:
                yield cut(text, places)


def matches(text: str) -> list[str]:
    """What is found in a text."""
    scan = TextScan(PATTERNS)
    return [span.value for span in scan.feed(text, last=True)]


@pytest.mark.parametrize("text", TEXTS)
def test_any_cut_gives_the_same(text: str) -> None:
    """For up to three cuts, and for single characters; and no match is left."""
    whole = redacted([text])
    assert whole != text
    assert matches(whole) == []
    assert redacted(list(text)) == whole
    for pieces in partitions(text, 3):
        assert redacted(pieces) == whole, pieces


@pytest.mark.parametrize("document", DOCUMENTS)
@pytest.mark.parametrize("ascii_only", [True, False])
def test_json_stays_json(document: object, ascii_only: bool) -> None:
    """The text of a document is redacted behind its escapes, however it is cut, and can still be parsed."""
    plain = json.dumps(document, ensure_ascii=ascii_only)
    for text in (plain, plain.replace("sk-", "\\u0073k\\u002d"), plain.replace("@", "\\u0040")):
        whole = redacted([text], json=True)
        assert json.loads(whole) != document
        assert not matches(json.dumps(json.loads(whole), ensure_ascii=False))
        assert redacted(list(text), json=True) == whole
        for place in range(1, len(text)):
            assert redacted(cut(text, [place]), json=True) == whole


FRAGMENTS: Final = st.sampled_from(
    [
        *TEXTS,
        KEY,
        "bob@",
        "example.com",
        "4111",
        " ",
        "1111 ",
        "sk-",
        "\u200b",
        "password: ",
        "a",
        ".",
        "\n",
        "é",
        '"',
    ]
)


@settings(max_examples=60, deadline=None)
@given(st.lists(FRAGMENTS, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_random_texts_and_cuts(fragments: list[str], chance: random.Random) -> None:
    """Texts of fragments that begin, break and join matches, cut at random."""
    text = "".join(fragments)
    whole = redacted([text])
    for _ in range(4):
        places = sorted(chance.sample(range(len(text) + 1), min(len(text), chance.randint(1, 8))))
        assert redacted(cut(text, places)) == whole


def test_only_what_may_be_a_match_is_held() -> None:
    """What no further character can make a match of goes out at once."""
    redactor = Redactor(PATTERNS, label)
    assert redactor.feed("All is well, and so ") == "All is well, and so "
    assert redactor.feed("sk-") == ""
    assert redactor.held == 3
    assert redactor.feed("ating is fun ") == "sk-ating is fun "


def test_a_tail_is_left_out_to_its_end() -> None:
    """A finding longer than its pattern's own length goes on over its tail, whatever its length."""
    assert redacted(["a ", KEY, *["x9" * 50] * 100, " b"]) == "a <openai_key> b"


def test_a_block_ends_the_text_before_the_match() -> None:
    """What stands before the match is returned, and nothing of it, for every cut."""

    def block(span: Span, original: str) -> None:
        raise Blocked

    def fed(pieces: list[str]) -> str:
        redactor, out = Redactor(PATTERNS, block), ""
        try:
            for piece in (*pieces, ""):
                out += redactor.feed(piece, last=not piece)
        except Blocked as blocked:
            return out + blocked.before
        return "not blocked"

    text = f"it is {KEY} ok"
    assert {fed(cut(text, [place])) for place in range(len(text))} == {"it is "}
