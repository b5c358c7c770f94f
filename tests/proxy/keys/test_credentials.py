"""Tests of API keys: reading them from headers, generating and hashing them."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standby.proxy.asgi import Headers
from standby.proxy.errors import Refusal
from standby.proxy.keys.credentials import MAX_KEY, PREFIX, credential, digests, new_secret, same

__all__: list[str] = []


def code(*headers: tuple[bytes, bytes]) -> str | None:
    """The error code of the refusal, or the credential."""
    try:
        return credential(headers)
    except Refusal as refusal:
        return refusal.code


@pytest.mark.parametrize(
    "headers",
    [
        ((b"authorization", b"Bearer k-1"),),
        ((b"authorization", b"bEARER k-1"),),
        ((b"authorization", b" Bearer k-1\t"),),
        ((b"x-api-key", b"k-1"),),
        ((b"x-goog-api-key", b"k-1"),),
        ((b"authorization", b"Bearer k-1"), (b"x-api-key", b"k-1"), (b"x-goog-api-key", b"k-1")),
        ((b"authorization", b"Bearer k-1"), (b"authorization", b"Bearer k-1")),
        ((b"connection", b"close"), (b"x-api-key", b"k-1")),
    ],
)
def test_a_key_is_found_wherever_the_sdks_put_it(headers: Headers) -> None:
    """The headers of the OpenAI, Anthropic and Google SDKs are read. Equal keys count as one."""
    assert code(*headers) == "k-1"


def test_no_key_is_none() -> None:
    """Without a key the result is None. A header with underscores is another header."""
    assert code() is code((b"x_api_key", b"k-1")) is code((b"cookie", b"k-1")) is None


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (((b"authorization", b"Bearer a"), (b"x-api-key", b"b")), "ambiguous_credentials"),
        (((b"authorization", b"Bearer a"), (b"authorization", b"Bearer b")), "ambiguous_credentials"),
        (((b"x-api-key", b"a"), (b"x-goog-api-key", b"b")), "ambiguous_credentials"),
        (((b"authorization", b"Basic YTpi"),), "invalid_api_key"),
        (((b"authorization", b"Bearer"),), "invalid_api_key"),
        (((b"authorization", b"Bearer  a"),), "invalid_api_key"),
        (((b"x-api-key", b""),), "invalid_api_key"),
        (((b"x-api-key", b"a b"),), "invalid_api_key"),
        (((b"x-api-key", "schlüssel".encode()),), "invalid_api_key"),
        (((b"x-api-key", b"a\r\nx: y"),), "invalid_api_key"),
        (((b"x-api-key", b"a\n"),), "invalid_api_key"),
        (((b"x-api-key", b"a" * 10_000),), "invalid_api_key"),
        (((b"authorization", b"Bearer " + b"a" * (MAX_KEY + 1)),), "invalid_api_key"),
        (((b"connection", b"close, Authorization"), (b"authorization", b"Bearer a")), "invalid_header"),
        (((b"connection", b"x-api-key"),), "invalid_header"),
    ],
)
def test_what_cannot_be_one_key_is_refused(headers: Headers, expected: str) -> None:
    """Different keys, malformed keys, and a credential header named by `Connection` are refused."""
    assert code(*headers) == expected


@given(st.binary(max_size=700))
def test_whatever_the_header_holds_is_a_key_or_refused(value: bytes) -> None:
    """Any header value is either the key, without surrounding blanks, or refused."""
    assert code((b"x-api-key", value)) in {"invalid_api_key", value.strip(b" \t").decode("latin-1")}


def test_a_new_secret_has_256_random_bits() -> None:
    """A new key has the prefix and 32 random bytes in URL-safe base64, and is unique."""
    secrets = {new_secret() for _ in range(100)}
    assert len(secrets) == 100
    for secret in secrets:
        assert secret.startswith(PREFIX)
        assert len(base64.urlsafe_b64decode(secret.removeprefix(PREFIX) + "=")) == 32
        assert credential(((b"x-api-key", secret.encode()),)) == secret


def test_a_key_is_known_by_its_hash() -> None:
    """A key has a plain hash. With a pepper, the peppered hash comes first, so that older keys still work."""
    plain = f"sha256:{hashlib.sha256(b'k-1').hexdigest()}"
    peppered = f"hmac-sha256:{hmac.new(b'pepper', b'k-1', 'sha256').hexdigest()}"
    assert digests("k-1") == (plain,)
    assert digests("k-1", "pepper") == (peppered, plain)
    assert same(plain, plain)
    assert not same(plain, peppered)
