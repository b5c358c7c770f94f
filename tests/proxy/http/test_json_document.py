"""Tests of reading a request body: what is accepted, and the error code of what is not."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from standby.proxy.errors import Refusal
from standby.proxy.http.json_document import read
from standby.proxy.http.request_fields import BINDING

__all__: list[str] = []


def refused(raw: bytes) -> str:
    """The error code for a rejected body."""
    with pytest.raises(Refusal) as caught:
        read(raw)
    assert caught.value.status == 400
    return caught.value.code


@pytest.mark.parametrize("raw", [b"", b" \t\r\n", b"null", b"[]", b"[{}]", b'"x"', b"1", b"-0.5", b"true"])
def test_only_an_object_is_a_request(raw: bytes) -> None:
    """No body, an empty one, and every JSON value but an object are invalid requests."""
    assert refused(raw) == "invalid_request"


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a":1}{"a":1}',
        b'{"a":1}\n{"a":2}\n',
        b'{"a":1},',
        b'{"a":1}]',
        b'{"a":1}\x00',
        b'{"a":1}\x1a',
        b'{"a":1} x',
        b'{"a":NaN}',
        b'{"a":-Infinity}',
        b'{"a":Infinity}',
        b'{"a":1e400}',
        b'{"a":-1e400}',
        b'{"a":1.0e999}',
        b'{"a":' + b"9" * 400 + b".0}",
        b'{"a":' + b"9" * 400 + b"e1}",
        b'{"a":01}',
        b'{"a":-01}',
        b'{"a":+1}',
        b'{"a":.5}',
        b'{"a":1.}',
        b'{"a":1e}',
        b'{"a":0x10}',
        b'{"a":1_000}',
        b'{"a":--1}',
        '{"a":\uff11}'.encode(),
        b'{"a":1,}',
        b'{"a":[1,]}',
        b'{"a":[,1]}',
        b'{,"a":1}',
        b'{"a":1 "b":2}',
        b'{"a" 1}',
        b'{"a"::1}',
        b"{'a':1}",
        b"{a:1}",
        b"{1:1}",
        b'{"a":True}',
        b'{"a":None}',
        b'{"a":nul}',
        b'{"a":undefined}',
        b'{"a":1/*c*/}',
        b'{"a":1}//c',
        b'#c\n{"a":1}',
        b'{"a":"x\ny"}',
        b'{"a":"x\ty"}',
        b'{"a":"\x00"}',
        b'{"a":"\\x41"}',
        b'{"a":"\\\'"}',
        b'{"a":"\\u12"}',
        b'{"a":"\\U00000041"}',
        b'{"a":"x}',
        b'{"a":"x\\"}',
        b'{"a":1',
        b'{"a"',
        b"{",
        b"[",
        b"}",
        b"<html>",
        b"a=1&b=2",
        b'\x0c{"a":1}',
        '\u00a0{"a":1}'.encode(),
        '{"a":1}\u2028'.encode(),
    ],
)
def test_what_is_not_one_json_document_is_invalid_json(raw: bytes) -> None:
    """Anything that RFC 8259 does not allow is rejected, and so is a number that exceeds a double."""
    assert refused(raw) == "invalid_json"


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"{}", {}),
        (b' \r\n\t{ "a" : [ ] } \n', {"a": []}),
        (b'{"":""}', {"": ""}),
        (b'{"a":"\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9"}', {"a": '"\\/\b\f\n\r\tA\u00e9'}),
        (b'{"a":"\\ud83d\\ude00"}', {"a": "\U0001f600"}),
        (b'{"a":"\\u0000\\uffff\\u2028\x7f"}', {"a": "\0\uffff\u2028\x7f"}),
        ('{"\u00e9":"\U0001f600"}'.encode(), {"\u00e9": "\U0001f600"}),
        (b'{"a":[0,-0,1e2,1E+2,1.5e-3,-1.0]}', {"a": [0, 0, 100.0, 100.0, 0.0015, -1.0]}),
        (b'{"a":[1e-400,1e308,1e20,-1E+300]}', {"a": [0.0, 1e308, 1e20, -1e300]}),
        (b'{"a":[true,false,null]}', {"a": [True, False, None]}),
        (b'{"A":1,"a":2,"\\u0061 ":3}', {"A": 1, "a": 2, "a ": 3}),
        (b'{"a":{"x":1},"b":{"x":1},"c":[{"x":1},{"x":1}]}', None),
    ],
)
def test_what_is_json_is_read_as_what_it_says(raw: bytes, value: dict[str, Any] | None) -> None:
    """White space, every escape, every form of number, and equal keys in different objects are accepted."""
    assert read(raw).value == (json.loads(raw) if value is None else value)


@pytest.mark.parametrize(
    "raw",
    [
        b'\xef\xbb\xbf{"a":1}',
        b"\xef\xbb\xbf",
        '{"a":1}'.encode("utf-16"),
        '{"a":1}'.encode("utf-16-le"),
        '{"a":1}'.encode("utf-16-be"),
        '{"a":1}'.encode("utf-32"),
        '{"a":1}'.encode("utf-32-le"),
        '{"a":1}'.encode("utf-32-be"),
        '{"a":"\u00e9"}'.encode("latin-1"),
        b'{"a":"\x80"}',
        b'{"a":"\xff"}',
        b'{"a":"\xc3"}',
        b'{"a":"\xc0\xaf"}',
        b'{"a":"\xe0\x80\xaf"}',
        b'{"a":"\xf4\x90\x80\x80"}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"\xff":1}',
        b'{"a":1}\xff',
        b'{"a":"\\ud800"}',
        b'{"a":"\\uDBFFx"}',
        b'{"a":"\\udc00"}',
        b'{"a":"\\ud800\\u0041"}',
        b'{"a":"\\ud800\\ud800\\udc00"}',
        b'{"a":"\\ude00\\ud83d"}',
        b'{"\\ud800":1}',
        b'{"a":[{"b":{"\\udfff":1}}]}',
    ],
)
def test_only_utf8_is_an_encoding(raw: bytes) -> None:
    """Byte order marks, UTF-16, UTF-32, invalid UTF-8 and lone surrogates, also escaped, are rejected."""
    assert refused(raw) == "invalid_encoding"


@pytest.mark.parametrize(
    "raw",
    [
        b'{"model":"a","model":"b"}',
        b'{"model":"a","model":"a"}',
        b'{"model":"a","\\u006dodel":"b"}',
        b'{"\\u006Dodel":"a","\\u006dodel":"b"}',
        b'{"a":{"b":1,"b":2}}',
        b'{"a":[[{"b":[]},{"b":1,"c":2,"b":[]}]]}',
        b'{"a":{"b":{"c":{"d":1,"e":2,"d":3}}},"f":1}',
        b'{"":1,"":2}',
        b'{"a":null,"a":null}',
        b'{ "a" : 1 , "a" : 2 }',
        b'{"a":1,"b":2,"c":3,"a":4}',
        '{"\u00e9":1,"\\u00e9":2}'.encode(),
        b'{"a:b":1,"a:b":2}',
        b'{"a:b":1,"a\\u003ab":2}',
        b'{"a":":","a":1}',
        b'{"a":1,"a":"\\u003a"}',
        b'{"a":1,"a":"\\u003A\\u003a"}',
        b'{"a":1,"a":"\\\\\\u003a"}',
        b'{"a":":","a":"\\u003a\\u003a"}',
        b'{"a":{"b":":"},"a":"\\u003a"}',
        b'{"a":{"x":1,"x":2},"a":1}',
        b'{"a":1,"b":"' + b":" * 200_000 + b'","a":2}',
    ],
)
def test_a_key_names_one_member(raw: bytes) -> None:
    """Duplicate keys are found at any depth, in any notation, with any colons in nearby strings."""
    assert refused(raw) == "duplicate_key"


@pytest.mark.parametrize(
    "raw",
    [
        b'{ "a":":::","b:":":"}',
        b'{ "a":"\\u003a", "b":":" }',
        b'{ "a":"\\u003A\\u003a:"}',
        b'{ "a":"\\\\u003a"}',
        b'{ "a":"\\\\\\u003a"}',
        b'{ "a":"\\\\\\\\u003a\\\\","b":"\\"\\\\"}',
        b'{ "a\\u003a":1,"a":{"a:":1}}',
        b'{ "a":"{\\"b\\":1,\\"b\\":2}"}',
    ],
)
def test_colons_in_strings_are_no_members(raw: bytes) -> None:
    """A colon in a string, as itself, escaped, or after a backslash, is not a duplicate key."""
    assert read(raw).value == json.loads(raw)


@pytest.mark.parametrize(
    ("raw", "param"),
    [
        (b'{"model":"m","api_base":"http://169.254.169.254/"}', "api_base"),
        (b'{"model":"m","api_base":null}', "api_base"),
        (b'{"model":"m","\\u0061pi_key":"x"}', "api_key"),
        (b'{"messages":[{},{"content":[{"proxy":1}]}]}', "messages[1].content[0].proxy"),
        (b'{"tools":[{"parameters":{"api_key":1},"api_key":2}]}', "tools[0].api_key"),
    ],
)
def test_a_control_field_is_forbidden(raw: bytes, param: str) -> None:
    """Control fields are rejected at any depth, with any value, and reported with their path."""
    with pytest.raises(Refusal) as caught:
        read(raw)
    assert (caught.value.code, caught.value.param) == ("forbidden_field", param)


def test_a_control_name_in_the_callers_own_data_is_allowed() -> None:
    """A parameter of a tool may have the name of a control field, and a prompt may contain it."""
    properties = {"proxy": {"type": "string"}, "api_key": {"type": "string"}}
    value = {
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"properties": properties}}}],
        "messages": [{"role": "user", "content": '{"api_base":"x"}'}],
    }
    assert read(orjson.dumps(value)).value == value


def test_notable_are_the_binding_names_that_occur() -> None:
    """Names that may bind a request to a provider are reported from any depth, and no others."""
    raw = b'{"store":false,"prompt":{"id":"p"},"input":[{"content":[{"file_id":"f"}]}],"user":"container"}'
    assert read(raw).notable == {"store", "prompt", "file_id"}
    assert read(b'{"model":"m"}').notable == frozenset()
    assert read(orjson.dumps(dict.fromkeys(BINDING))).notable == BINDING


def test_what_is_forwarded_is_written_anew() -> None:
    """A provider gets the parsed document, in order, with its own model name, in a new serialization."""
    document = read(b' { "\\u006dodel" : "pool", "b" : 1.50, "a" : "\\u00e9\\/" } ')

    assert document.bytes() == '{"model":"pool","b":1.5,"a":"\u00e9/"}'.encode()
    assert document.bytes("gpt-4.1") == '{"model":"gpt-4.1","b":1.5,"a":"\u00e9/"}'.encode()
    assert document.value["model"] == "pool"


def test_a_change_of_the_document_is_forwarded() -> None:
    """A change to the parsed document changes what is sent."""
    document = read(b'{"model":"m","messages":[{"content":"secret"}]}')
    document.value["messages"][0]["content"] = "[redacted]"
    assert document.bytes("n") == b'{"model":"n","messages":[{"content":"[redacted]"}]}'


@pytest.mark.parametrize("raw", [b'{"a":secret}', b'{"secret":1,"secret":2}', b'{"a":"secret\xff"}'])
def test_a_refusal_keeps_nothing_of_the_body(raw: bytes) -> None:
    """A refusal neither quotes the body nor keeps it alive through its context."""
    with pytest.raises(Refusal) as caught:
        read(raw)
    assert "secret" not in str(caught.value)
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None
