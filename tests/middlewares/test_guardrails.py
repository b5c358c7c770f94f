"""Guardrails in a gateway with scripted providers: requests, and every attempt."""

from __future__ import annotations

import json
from hashlib import sha256

import pytest

from tests.middlewares.guardrail_scene import AWAY, KEY, MAIL, STACK, guarded, regions, results, said, sent
from tests.middlewares.scene import DONE
from tests.proxy.harness import chunk, virtual_time

__all__ = ["virtual_time"]

pytestmark = pytest.mark.anyio


async def test_a_request_is_blocked() -> None:
    """A secret is refused with 400 and the rule's name, and no provider is asked. No text is repeated."""
    scene = guarded('kind = "secrets"')
    caller = await scene.ask(messages=said("hello", f"my key is {KEY}"))
    assert caller.status == 400
    assert caller.json["error"]["code"] == "guardrail_blocked"
    assert caller.json["error"]["param"] == "secrets"
    assert caller.headers[b"x-standby-guardrail"] == b"secrets"
    assert KEY.encode() not in caller.body
    assert scene.asked == {"a": 0, "b": 0}
    assert results(scene.exchanges[-1]) == [("secrets", "request", "blocked")]


async def test_a_request_is_redacted() -> None:
    """Redaction changes what is found, wherever it stands, and leaves the rest as it is."""
    scene = guarded('kind = "personal_data", action = "redact"')
    tool = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "mail", "arguments": '{"to":"ann@example.com"}'},
    }
    messages = [
        {"role": "system", "content": "Write to ann@example.com"},
        {"role": "user", "content": [{"type": "text", "text": f"or {MAIL} & co"}]},
        {"role": "assistant", "content": None, "tool_calls": [tool]},
        {"role": "tool", "tool_call_id": "call_1", "content": f"sent to {MAIL}"},
    ]
    await scene.ask(messages=messages, metadata={"owner": MAIL}, user="u-1")
    got = sent(scene)
    assert got["messages"][0]["content"] == "Write to [REDACTED:email]"
    assert got["messages"][1]["content"][0]["text"] == "or [REDACTED:email] & co"
    assert got["messages"][2]["tool_calls"][0]["function"]["arguments"] == '{"to":"[REDACTED:email]"}'
    assert got["messages"][3]["content"] == "sent to [REDACTED:email]"
    assert got["metadata"] == {"owner": "[REDACTED:email]"}
    assert got["user"] == "u-1"


async def test_observing_changes_nothing() -> None:
    """`observe` sends the request as it is, and reports what it found."""
    scene = guarded('kind = "secrets", action = "observe"')
    caller = await scene.ask(messages=said(KEY))
    assert caller.status == 200
    assert sent(scene)["messages"][0]["content"] == KEY
    assert results(scene.exchanges[-1]) == [("secrets", "request", "observed")]
    assert scene.exchanges[-1].guardrails[0].codes == ("openai_key",)


@pytest.mark.parametrize(
    "disguised",
    [
        pytest.param(f"{KEY[:5]}\u200b{KEY[5:]}", id="zero width"),
        pytest.param(f"{KEY[:5]}\u00ad{KEY[5:]}", id="soft hyphen"),
        pytest.param(f"{KEY[:5]}\U000e0041{KEY[5:]}", id="tag character"),
        pytest.param(f"\u202d{KEY[:9]}\u202c{KEY[9:]}", id="direction"),
        pytest.param(KEY.replace("s", "ѕ").replace("a", "а"), id="look-alikes"),
        pytest.param("".join(chr(ord(c) + 0xFEE0) for c in KEY), id="full width"),
        pytest.param(f"{KEY[:5]}\u0301\u0316{KEY[5:]}", id="combining marks"),
        pytest.param("c2stYUIzZEU1Zkc3aEo5a0wxbU4ycFE0clM2", id="base64"),
        pytest.param("".join(chr(0xE0000 + ord(c)) for c in KEY), id="hidden in tag characters"),
    ],
)
async def test_disguises(disguised: str) -> None:
    """A disguised secret is found, and a benign text is forwarded as it came (B47)."""
    scene = guarded('kind = "secrets"')
    assert (await scene.ask(messages=said(f"see {disguised} ok"))).status == 400
    plain = "naïve cafe\u0301 — ｆｕｌｌ, זה, \u200bzero"
    await scene.ask(messages=said(plain))
    assert sent(scene)["messages"][0]["content"] == plain


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param(said(f"a {KEY[:12]}", f"{KEY[12:]} b"), id="messages"),
        pytest.param(
            said([{"type": "text", "text": KEY[:9]}, {"type": "text", "text": KEY[9:]}]), id="parts"
        ),
        pytest.param(
            [
                *said("hi"),
                {
                    "role": "assistant",
                    "tool_calls": [
                        {
                            "id": "c",
                            "type": "function",
                            "function": {
                                "name": "f",
                                "arguments": json.dumps({"k": KEY}).replace("s", "\\u0073"),
                            },
                        }
                    ],
                },
            ],
            id="escapes in arguments",
        ),
    ],
)
async def test_split_secrets(messages: list[dict[str, object]]) -> None:
    """A secret that is cut into messages or parts, or escaped in a tool's arguments, is found (B47)."""
    scene = guarded('kind = "secrets"')
    assert (await scene.ask(messages=messages)).status == 400
    assert scene.asked == {"a": 0, "b": 0}


async def test_too_many_marks() -> None:
    """More than 30 combining marks in a row are refused; 80 kB of them are refused as fast (S14)."""
    scene = guarded('kind = "secrets"')
    for text in ("e" + "\u0301\u0316" * 16, "e" + "\u0301\u0316" * 20_000):
        caller = await scene.ask(messages=said(text))
        assert (caller.status, caller.json["error"]["code"]) == (400, "text_not_stream_safe")
    assert (await scene.ask(messages=said("e" + "\u0301" * 30))).status == 200


async def test_what_cannot_be_scanned() -> None:
    """An image is reported as not scanned, never as passed, and refused where the rule says so."""
    image = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]
    scene = guarded('kind = "secrets"')
    assert (await scene.ask(messages=said(image))).status == 200
    assert results(scene.exchanges[-1]) == [("secrets", "request", "not_scanned")]
    scene = guarded('kind = "secrets", on_unscannable = "refuse"')
    caller = await scene.ask(messages=said(image))
    assert (caller.status, caller.json["error"]["code"]) == (400, "guardrail_not_scanned")


async def test_too_many_matches() -> None:
    """A text with more places to judge than any real one is refused, or passes where the rule says so."""
    cards = "4111 1111 1111 1112 " * 51_000
    scene = guarded('kind = "personal_data"')
    caller = await scene.ask(messages=said(cards))
    assert (caller.status, caller.json["error"]["code"]) == (503, "guardrail_unavailable")
    scene = guarded('kind = "personal_data", on_error = "allow"')
    assert (await scene.ask(messages=said(cards))).status == 200
    assert results(scene.exchanges[-1]) == [("personal_data", "request", "undecided")]


async def test_rules_of_pools_and_callers() -> None:
    """A rule applies to the pools, keys, users, teams and organisations that it names, and to no others."""
    tables = ['[organisations.acme]\n[teams.web]\norganisation = "acme"\n[users.ann]\nteam = "web"']
    for name, of in (("one", 'user = "ann"'), ("two", "")):
        tables.append(
            f'[keys.{name}]\nhash = "sha256:{sha256(name.encode()).hexdigest()}"\npools = ["*"]\n{of}'
        )
    for attached, blocked in (
        ('pools = ["support"]', {"one", "two"}),
        ('pools = ["other"]', frozenset[str]()),
        ('keys = ["two"]', {"two"}),
        ('users = ["ann"]', {"one"}),
        ('teams = ["web"]', {"one"}),
        ('organisations = ["acme"], keys = ["two"]', frozenset[str]()),
    ):
        more = '[pools.other]\nprefer = ["a"]'
        scene = guarded(
            f'kind = "secrets", {attached}',
            tables="\n".join([*tables, more]),
            top=STACK.replace("[", '["auth", '),
        )
        for key in ("one", "two"):
            caller = await scene.ask((b"authorization", f"Bearer {key}".encode()), messages=said(KEY))
            assert caller.status == (400 if key in blocked else 200), (attached, key)


# -- every attempt ---------------------------------------------------------------------------------


async def test_a_fallback_that_may_not_see_it() -> None:
    """A rule for other regions lets the preferred target have the request, and the fallback no byte of it."""
    scene = regions(AWAY)
    scene["a"].say(status=500)
    caller = await scene.ask(messages=said(MAIL))
    assert scene.asked == {"a": 1, "b": 0}
    assert sent(scene)["messages"][0]["content"] == MAIL
    assert caller.status == 502
    plan = scene.exchanges[-1].plan or ()
    assert [(each.name, each.rejected, each.limit) for each in plan] == [
        ("a", None, None),
        ("b", "guardrail.blocked", "personal_data"),
    ]
    scene["a"].say(chunk("ok"), DONE)
    assert (await scene.ask(messages=said(MAIL))).status == 200


async def test_no_target_may_see_it() -> None:
    """A request that every target's rules block is refused as one that is blocked at once."""
    scene = regions('kind = "personal_data", when = { region = ["us", "eu"] }')
    caller = await scene.ask(messages=said(MAIL))
    assert (caller.status, caller.json["error"]["code"]) == (400, "guardrail_blocked")
    assert caller.headers[b"x-standby-guardrail"] == b"personal_data"
    assert scene.asked == {"a": 0, "b": 0}


async def test_a_redaction_for_one_target() -> None:
    """A redaction that one target needs does not reach another, and the rules for all hold for both."""
    scene = regions(f'{AWAY}, action = "redact"', 'kind = "words", words = ["Project X"], action = "redact"')
    text = f"{MAIL} asks about project x"
    scene["a"].say(status=500)
    await scene.ask(messages=said(text), user=MAIL)
    assert sent(scene, "a")["messages"][0]["content"] == f"{MAIL} asks about [REDACTED:word]"
    assert sent(scene, "a")["user"] == MAIL
    assert sent(scene, "b")["messages"][0]["content"] == "[REDACTED:email] asks about [REDACTED:word]"
    assert sent(scene, "b")["user"] == "[REDACTED:email]"
    # and the other way round: what the first attempt needed does not stay
    scene = regions('kind = "personal_data", action = "redact", when = { region = "eu" }')
    scene["a"].say(status=500)
    await scene.ask(messages=said(text))
    assert sent(scene, "a")["messages"][0]["content"] == "[REDACTED:email] asks about project x"
    assert sent(scene, "b")["messages"][0]["content"] == text
