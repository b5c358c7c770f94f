"""Tests of the decompressor: it decodes correctly, and rejects decompression bombs."""

from __future__ import annotations

import gzip
import zlib
from itertools import pairwise
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standby.proxy.classify.decompression import MAX_RATIO, Decompressor, Undecodable

__all__: list[str] = []

TEXT: Final = b'data: {"choices": [{"delta": {"content": "Hello"}}]}\n\n' * 40


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        (b"gzip", gzip.compress(TEXT)),
        (b"x-gzip", gzip.compress(TEXT)),
        (b" GZip ", gzip.compress(TEXT)),
        (b"deflate", zlib.compress(TEXT)),
    ],
    ids=["gzip", "x-gzip", "spelled", "deflate"],
)
def test_known_encodings_are_read(encoding: bytes, packed: bytes) -> None:
    """Both gzip and deflate are decoded, for any spelling of their names."""
    assert Decompressor(encoding).feed(packed) == TEXT


@pytest.mark.parametrize("encoding", [b"br", b"zstd", b"gzip, gzip", b"", b"identity"])
def test_other_encodings_are_not(encoding: bytes) -> None:
    """An unknown encoding raises an error at once."""
    with pytest.raises(Undecodable):
        Decompressor(encoding)


@given(st.lists(st.integers(0, 200), max_size=6))
def test_chunks_do_not_matter(cuts: list[int]) -> None:
    """For any chunks of the compressed bytes, the decoded chunks together are the text."""
    packed = gzip.compress(TEXT)
    edges = sorted({0, len(packed), *(min(cut, len(packed)) for cut in cuts)})
    decoder = Decompressor(b"gzip")
    assert b"".join(decoder.feed(packed[a:b]) for a, b in pairwise(edges)) == TEXT


def test_what_a_flush_lets_out_comes_at_once() -> None:
    """If a stream is flushed after each event, each event can be decoded immediately."""
    packer, decoder = zlib.compressobj(wbits=31), Decompressor(b"gzip")
    for event in (b"data: one\n\n", b"data: two\n\n"):
        assert decoder.feed(packer.compress(event) + packer.flush(zlib.Z_SYNC_FLUSH)) == event


@pytest.mark.parametrize(
    "packed", [b"plain text", gzip.compress(TEXT)[:10] + b"\xff" * 40], ids=["not packed", "broken"]
)
def test_broken_bytes_are_told(packed: bytes) -> None:
    """Data that does not match the encoding raises an error."""
    decoder = Decompressor(b"gzip")
    with pytest.raises(Undecodable):
        decoder.feed(packed)


@pytest.mark.parametrize("chunk", [1, 100, 16_384, 10**6])
def test_a_bomb_is_told_before_it_goes_off(chunk: int) -> None:
    """16 MiB of zeros in 16 KiB are rejected before more than the allowance has been decoded."""
    bomb = gzip.compress(bytes(16 * 1024 * 1024))
    decoder, unpacked, fed = Decompressor(b"gzip"), 0, 0
    try:
        for at in range(0, len(bomb), chunk):
            fed += len(bomb[at : at + chunk])
            unpacked += len(decoder.feed(bomb[at : at + chunk]))
    except Undecodable:
        assert unpacked <= 64 * 1024 + MAX_RATIO * fed
        assert fed <= max(chunk, 2000)
    else:
        pytest.fail("it went off")


def test_what_merely_compresses_well_passes() -> None:
    """A text of a few dozen KiB may be arbitrarily repetitive."""
    text = TEXT * 30
    packed = gzip.compress(text)
    assert len(text) / len(packed) > MAX_RATIO
    assert Decompressor(b"gzip").feed(packed) == text


def test_what_follows_the_end_is_ignored() -> None:
    """Bytes after the end of the compressed data are ignored."""
    decoder = Decompressor(b"gzip")
    assert decoder.feed(gzip.compress(TEXT) + b"trailing") == TEXT
    assert decoder.feed(b"more") == b""
