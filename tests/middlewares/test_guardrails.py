"""Guardrails in a gateway with scripted providers: requests, attempts, answers."""

from __future__ import annotations

import asyncio
import json
from hashlib import sha256
from typing import Any, Final

import pytest
from standby.proxy.exchange import Exchange

from tests.middlewares.scene import DONE, URL, Scene
from tests.proxy.harness import SSE, Caller, chunk, virtual_time

__all__ = ["virtual_time"]

pytestmark = pytest.mark.anyio

STACK: Final = 'stack = ["guardrails", "budget", "route_select", "failover"]'
KEY: Final = "sk-" + "aB3dE5fG7hJ9kL1mN2pQ4rS6"
MAIL: Final = "ann@example.com"
JSON: Final = ((b"content-type", b"application/json"),)


def guarded(*rules: str, count: int = 2, more: str = "", **settings: str) -> Scene:
    """A gateway with these rules, each the inside of a table."""
    listed = ",\n".join(f"{{ {rule} }}" for rule in rules)
    tables, top = settings.pop("tables", ""), settings.pop("top", STACK)
    return Scene(count, top=top, tables=f"[guardrails]\n{more}\nrules = [\n{listed}\n]\n{tables}", **settings)


def said(*messages: object) -> list[dict[str, object]]:
    """User turns with these contents."""
    return [{"role": "user", "content": content} for content in messages]


def sent(scene: Scene, name: str = "a") -> Any:
    """What the provider of this target was sent last."""
    return json.loads(scene[name].bodies[-1])


def spoken(caller: Caller) -> str:
    """The text of a streamed answer."""
    events = [line[6:] for line in caller.body.split(b"\n") if line.startswith(b"data: {")]
    return "".join(
        choice["delta"].get("content") or "" for event in events for choice in json.loads(event)["choices"]
    )


def results(exchange: Exchange) -> list[tuple[str, str, str]]:
    """Rule, stage and outcome of everything that guardrails decided."""
    return [(result.rule, result.stage, result.outcome) for result in exchange.guardrails]


# -- requests ---------------------------------------------------------------------------------


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
    cards = "4111 1111 1111 1112 " * 12_000
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


AWAY: Final = 'kind = "personal_data", when = { region = "!eu" }'


def regions(*rules: str) -> Scene:
    """A gateway whose target "a" is in the EU, and "b" is not."""
    others = [
        f'[providers.{region}]\ndialect = "openai"\nbase_url = "{URL}"\nregion = "{region}"'
        for region in ("eu", "us")
    ]
    scene = guarded(*rules, tables="\n".join(others))
    for name, target in scene.gateway.routes.targets.items():
        object.__setattr__(target.provider, "region", {"a": "eu", "b": "us"}[name])
    return scene


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


# -- answers --------------------------------------------------------------------------------


def streamed(scene: Scene, *pieces: str, name: str = "a") -> None:
    """Let a provider stream these pieces of text."""
    finish = chunk(delta={}, index=0, finish_reason="stop")
    scene[name].say(*[chunk(piece) for piece in pieces], finish, DONE)


async def test_a_stream_is_redacted() -> None:
    """What is found in a stream never leaves, however it is cut, and all else does, in valid events (B48)."""
    text = f"Write to {MAIL}, or use {KEY} now."
    for size in (1, 3, 7, len(text)):
        scene = guarded(
            'kind = "personal_data", on = "response", action = "redact"',
            'kind = "secrets", on = "both", action = "redact"',
        )
        streamed(scene, *[text[at : at + size] for at in range(0, len(text), size)])
        caller = await scene.ask()
        assert spoken(caller) == "Write to [REDACTED:email], or use [REDACTED:openai_key] now."
        assert caller.body.endswith(DONE)
        assert results(scene.exchanges[-1]) == [
            ("personal_data", "response", "redacted"),
            ("secrets", "response", "redacted"),
        ]


async def test_safe_text_flows() -> None:
    """A word is held until it is clear that it is none; what came before it has been sent."""
    scene = guarded('kind = "secrets", on = "response", action = "redact"')
    scene["a"].say(chunk("All is "), chunk("well, sk-"), 5.0, chunk("ating."), DONE)
    caller, running = scene.begin()
    await caller.until(lambda: b"well" in caller.body)
    assert spoken(caller) == "All is well, "
    await running
    assert spoken(caller) == "All is well, sk-ating."


async def test_a_stream_is_blocked() -> None:
    """A block ends the stream with the content filter's signal, closes the provider, and settles."""
    scene = guarded('kind = "secrets", on = "response"')
    streamed(scene, "The key is ", KEY, " and more ", "and more")
    caller = await scene.ask()
    assert spoken(caller) == "The key is "
    last = json.loads(caller.body.split(b"\n\n")[-3].removeprefix(b"data: "))
    assert last["choices"] == [{"index": 0, "delta": {}, "finish_reason": "content_filter"}]
    assert last["standby"] == {"guardrail": "secrets"}
    assert caller.body.endswith(DONE)
    assert caller.complete
    assert scene["a"].closed == 1
    assert scene.asked == {"a": 1, "b": 0}
    assert results(scene.exchanges[-1]) == [("secrets", "response", "blocked")]
    assert not scene.exchanges[-1].client_gone


async def test_without_rules_for_answers_a_stream_passes() -> None:
    """Byte for byte, whatever is in it."""
    scene = guarded('kind = "secrets", on = "request"')
    odd = b': hi\ndata:  {"choices":[ {"index":0,"delta":{"content":"' + KEY.encode() + b'"}}]}\r\n\r\n'
    scene["a"].say(odd, DONE)
    caller = await scene.ask()
    assert caller.body == odd + DONE


async def test_an_answer_is_redacted() -> None:
    """A whole answer has a length of its own; one without findings passes byte for byte."""
    scene = guarded('kind = "personal_data", on = "response", action = "redact"')
    answer = {"id": "c", "choices": [{"index": 0, "message": {"role": "assistant", "content": f"To {MAIL}"}}]}
    scene["a"].say(json.dumps(answer).encode(), headers=JSON)
    caller = await scene.ask(stream=False)
    assert caller.json["choices"][0]["message"]["content"] == "To [REDACTED:email]"
    assert caller.headers[b"content-length"] == b"%d" % len(caller.body)
    plain = b'{"id": "c",  "choices": [{"index": 0, "message": {"content": "fine"}}]}'
    scene["a"].say(plain, headers=JSON)
    assert (await scene.ask(stream=False)).body == plain


async def test_an_answer_is_blocked() -> None:
    """A whole answer that is blocked says so as the provider's own content filter would."""
    scene = guarded('kind = "secrets", on = "response"')
    choices = [
        {"index": at, "message": {"role": "assistant", "content": text}}
        for at, text in enumerate(("ok", KEY))
    ]
    scene["a"].say(json.dumps({"id": "c", "choices": choices, "usage": {}}).encode(), headers=JSON)
    caller = await scene.ask(stream=False)
    assert caller.status == 200
    assert [choice["finish_reason"] for choice in caller.json["choices"]] == ["content_filter"] * 2
    assert KEY.encode() not in caller.body


async def test_an_error_of_a_provider_is_read_too() -> None:
    """What a provider's error repeats is redacted, or the error is not passed on."""
    error = json.dumps({"error": {"message": f"bad value {KEY}", "type": "invalid_request_error"}}).encode()
    for action, status in (("redact", 400), ("block", 502)):
        scene = guarded(f'kind = "secrets", on = "response", action = "{action}"')
        scene["a"].say(error, status=400, headers=JSON)
        caller = await scene.ask()
        assert caller.status == status
        assert KEY.encode() not in caller.body


async def test_restored_placeholders() -> None:
    """What was redacted with `restore` stands in the answer again, for this request only, also in pieces."""
    scene = guarded('kind = "personal_data", action = "redact", restore = true')
    streamed(scene, "I wrote to [EM", "AIL_2] and [EMAIL_", "1], not to [EMAIL_3] or [PHONE_1].")
    caller = await scene.ask(messages=said("bob@example.com and ann@example.com, bob@example.com"))
    assert sent(scene)["messages"][0]["content"] == "[EMAIL_1] and [EMAIL_2], [EMAIL_1]"
    assert spoken(caller) == "I wrote to ann@example.com and bob@example.com, not to [EMAIL_3] or [PHONE_1]."
    caller = await scene.ask(messages=said("nothing"))
    assert spoken(caller).startswith("I wrote to [EMAIL_2]")


async def test_a_placeholder_of_the_caller_s() -> None:
    """A placeholder that stands in the request is not used again, so it is not restored."""
    scene = guarded('kind = "personal_data", action = "redact", restore = true')
    streamed(scene, "[EMAIL_1] [EMAIL_2]")
    caller = await scene.ask(messages=said("what is [EMAIL_1]? bob@example.com"))
    assert spoken(caller) == "[EMAIL_1] bob@example.com"


async def test_other_targets_answers() -> None:
    """A rule for answers binds by the target that gives the answer."""
    scene = regions('kind = "personal_data", on = "response", action = "redact", when = { region = "us" }')
    streamed(scene, f"{MAIL} ok", name="a")
    streamed(scene, f"{MAIL} ok", name="b")
    assert spoken(await scene.ask()) == f"{MAIL} ok"
    scene["a"].say(status=500)
    assert spoken(await scene.ask()) == "[REDACTED:email] ok"


async def test_holds_are_settled_after_a_block() -> None:
    """A blocked answer settles what was held for it, as any other exit does."""
    budget = 'budget = [{ limit = "1.00", window = "day" }]'
    scene = guarded(
        'kind = "secrets", on = "response"', target='price = { input = "1.00", output = "1.00" }', pool=budget
    )
    streamed(scene, KEY, " and more")
    await scene.ask(max_tokens=1000)
    await asyncio.sleep(1)
    middleware: Any = scene.gateway.middleware("budget")
    await middleware.settled()
    assert middleware.settlements_waiting == 0


async def test_a_hang_up_while_text_is_held() -> None:
    """A caller that leaves while text is held ends the request as always."""
    scene = guarded('kind = "secrets", on = "response", action = "redact"')
    scene["a"].say(chunk("hi sk-aB3dE5"), 50.0, chunk("x"), DONE)
    caller, running = scene.begin()
    await caller.until(lambda: b"hi" in caller.body)
    caller.leave()
    await running
    assert scene["a"].closed == 1
    assert scene.exchanges[-1].client_gone
    assert b"sk-" not in caller.body


async def test_streams_of_gzip_and_pieces() -> None:
    """SSE that an app cuts anywhere, with carriage returns, is read as what it is."""
    scene = guarded('kind = "personal_data", on = "response", action = "redact"')
    raw = (chunk(f"to {MAIL} x") + DONE).replace(b"\n", b"\r\n")
    scene["a"].say(*[raw[at : at + 1] for at in range(len(raw))], headers=SSE)
    assert spoken(await scene.ask()) == "to [REDACTED:email] x"
