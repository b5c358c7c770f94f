"""Guardrails in a gateway with scripted providers: answers."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.middlewares.guardrail_scene import (
    JSON,
    KEY,
    MAIL,
    guarded,
    regions,
    results,
    said,
    sent,
    spoken,
    streamed,
)
from tests.middlewares.scene import DONE
from tests.proxy.harness import SSE, chunk, virtual_time

__all__ = ["virtual_time"]

pytestmark = pytest.mark.anyio


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


@pytest.mark.parametrize(
    "delta", [{"content": "hello bob"}, {"content": [{"type": "text", "text": "hello bob"}]}]
)
async def test_the_last_text_may_come_with_the_finish(delta: dict[str, object]) -> None:
    """Text in the event that finishes a choice is in order, and nothing of it stays behind."""
    scene = guarded('kind = "personal_data", on = "response", action = "redact"')
    scene["a"].say(chunk("Well, "), chunk(index=0, delta=delta, finish_reason="stop"), DONE)
    caller = await scene.ask()
    assert caller.body.index(b"Well") < caller.body.index(b"hello bob")
    assert caller.body.endswith(b'"finish_reason": "stop"}]}\n\n' + DONE)


async def test_what_comes_whole_is_not_put_together() -> None:
    """Members of a delta that do not come in pieces pass as they came."""
    scene = guarded('kind = "personal_data", on = "response", action = "redact"')
    events = [
        chunk(
            index=0,
            delta={"annotations": [{"type": "url_citation", "url_citation": {"url": f"https://{name}"}}]},
        )
        for name in ("x.com/ann", "y.com/bob")
    ]
    scene["a"].say(chunk("hi"), *events, DONE)
    caller = await scene.ask()
    assert b"".join(events) in caller.body


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(
            chunk(index=0, delta={"tool_calls": [{"index": 0, "function": {"name": KEY}}]}),
            id="name of a tool",
        ),
        pytest.param(
            chunk(index=0, text=None, delta={}, error={"message": KEY}), id="another member of a choice"
        ),
        pytest.param(chunk(index=[0], delta={"content": [[KEY]]}), id="odd types"),
        pytest.param(f'data: {{"choices": [], "x": {{"{KEY}": 1}}}}\n\n'.encode(), id="a key"),
        pytest.param(f": {KEY}\n\n".encode(), id="a comment"),
        pytest.param(f"id: {KEY}\ndata: {{}}\n\n".encode(), id="an id"),
        pytest.param(f"data: {KEY}\n\n".encode(), id="no JSON"),
        pytest.param(f'data: ["{KEY}"]\n\n'.encode(), id="a list"),
        pytest.param(
            f'data: {{"standby": {{"restart": {{}}}}, "x": "{KEY}"}}\n\n'.encode(), id="a restart of its own"
        ),
        pytest.param(f'data: {{"choices": [{{"delta": {{"content": "{KEY}'.encode(), id="half an event"),
    ],
)
@pytest.mark.parametrize("action", ["redact", "block"])
async def test_odd_places_of_a_stream(event: bytes, action: str) -> None:
    """What is found is taken out wherever an event has it, also where no client would read it."""
    scene = guarded(f'kind = "secrets", on = "response", action = "{action}"')
    scene["a"].say(chunk("hi "), event, DONE)
    caller = await scene.ask()
    assert caller.complete
    assert KEY.encode() not in caller.body
    assert spoken(caller).startswith("hi ")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(f"plain {KEY}", id="plain text"),
        pytest.param(json.dumps([{"error": {"message": KEY}}]), id="a list"),
        pytest.param(f'{{"x": NaN, "choices": [{{"message": {{"content": "{KEY}"}}}}]}}', id="lenient"),
        pytest.param(f'\ufeff{{"choices": [{{"message": {{"content": "{KEY}"}}}}]}}', id="a mark"),
        pytest.param(f'{{"choices": [], "x": "{KEY}", "x": ""}}', id="a key twice"),
        pytest.param(
            json.dumps({"choices": [{"message": {"content": "hi"}}], "instructions": KEY}), id="elsewhere"
        ),
    ],
)
@pytest.mark.parametrize("action", ["redact", "block"])
async def test_odd_bodies(body: str, action: str) -> None:
    """A body that is no JSON, or none that every parser reads the same, is read as what it is."""
    scene = guarded(f'kind = "secrets", on = "response", action = "{action}"')
    for status in (200, 400):
        scene["a"].say(body.encode(), status=status, headers=JSON)
        caller = await scene.ask(stream=False)
        assert KEY.encode() not in caller.body


async def test_a_restarted_stream() -> None:
    """After a restart, the rules of the target that now answers bind, and what was held before is dropped."""
    for action in ("redact", "block"):
        scene = regions(
            f'kind = "personal_data", on = "response", action = "{action}", when = {{ region = "us" }}',
            pool='on_break = "restart"',
        )
        scene["a"].say(chunk("from a, write to b"), ConnectionError())
        streamed(scene, f"from b, {MAIL}", name="b")
        caller = await scene.ask((b"x-standby-on-break", b"restart"))
        assert scene.asked == {"a": 1, "b": 1}
        assert b"restart" in caller.body
        assert MAIL.encode() not in caller.body


async def test_rules_that_read_whole_answers() -> None:
    """A schema holds the whole answer back, streamed or not, and ends one that does not match it."""
    schema = {"type": "object", "required": ["a"]}
    asked = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    scene = guarded('kind = "schema"')
    for text, fits in (('{"a": 1}', True), ('{"b": 1}', False), ("no", False)):
        streamed(scene, *text)
        caller = await scene.ask(response_format=asked)
        assert spoken(caller) == (text if fits else "")
        assert (b"content_filter" in caller.body) != fits
        document = {
            "id": "c",
            "choices": [{"index": 0, "message": {"content": text}, "finish_reason": "stop"}],
        }
        scene["a"].say(json.dumps(document).encode(), headers=JSON)
        caller = await scene.ask(response_format=asked, stream=False)
        assert (caller.json["choices"][0]["finish_reason"] == "stop") == fits
    streamed(scene, "anything")
    assert spoken(await scene.ask()) == "anything"


async def test_an_answer_too_long_to_read_whole() -> None:
    """It is refused, or passes where the rule says so; a stream too ends with the refusal's event."""
    for extra, passes in (("", False), (', on_error = "allow"', True)):
        scene = guarded(f'kind = "schema", json_schema = "request"{extra}', more='max_answer = "1KiB"')
        streamed(scene, *["x" * 100] * 50)
        caller = await scene.ask()
        assert (b"guardrail_unavailable" in caller.body) != passes
        assert (spoken(caller) == "x" * 5000) == passes
        scene["a"].say(b'{"choices": [{"message": {"content": "', b"x" * 3000, b'"}}]}', headers=JSON)
        assert (await scene.ask(stream=False)).status == (200 if passes else 503)
