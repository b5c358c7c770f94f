"""The trace of a request: which spans there are, what each says, and which traces are kept."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from opentelemetry import trace as api
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind
from pytest_genai_semconv import assert_chat_span, assert_genai_span_compliant
from standby.middlewares.failover import Failover
from standby.middlewares.trace import Trace
from standby.proxy.asgi import Receive, Scope, Send
from standby.proxy.keys.credentials import digests

from tests.middlewares.scene import DONE, Scene
from tests.proxy.harness import ASK, Caller, ask, chunk, scope_of, virtual_time
from tests.proxy.streams import SPOKEN
from tests.proxy.telemetry.traced import Spans, tree

__all__ = ["virtual_time"]

pytestmark = pytest.mark.anyio

STACK = 'stack = ["trace", "route_select", "failover"]'
ERRORS = ((b"content-type", b"application/json"),)
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0"


def traced(count: int = 2, trace: str = "", **settings: str) -> tuple[Scene, Spans]:
    """A gateway with this many targets, and its spans. `trace` is the TOML of its table."""
    top, tables = settings.pop("top", STACK), settings.pop("tables", "")
    scene = Scene(count, top=top, tables=f"[trace]\n{trace}\n{tables}", **settings)
    return scene, Spans(scene.gateway)


def one(spans: tuple[ReadableSpan, ...], start: str) -> dict[str, Any]:
    """The attributes of the only span whose name begins like this."""
    [span] = [span for span in spans if span.name.startswith(start)]
    return dict(span.attributes or {})


async def test_success() -> None:
    """An answer is a request, a decision, and a call."""
    scene, spans = traced()
    scene["a"].say(chunk("Hi"), DONE)
    caller = await ask(scene.gateway)
    taken = spans.take()
    assert tree(taken) == [
        "SERVER POST /v1/chat/completions",
        "  INTERNAL route support",
        "  CLIENT chat model-a",
    ]
    server = one(taken, "POST")
    assert server["standby.outcome"] == "served"
    assert server["http.response.status_code"] == 200
    assert not [name for name in server if name.startswith("gen_ai.")]
    assert taken[-1].name.startswith("POST")  # the parent ends last
    assert taken[-1].context is not None
    assert caller.headers[b"x-standby-trace-id"].decode() == f"{taken[-1].context.trace_id:032x}"


async def test_failover() -> None:
    """Every target tried is a call, in error where it failed, and the next one links to it; the request is no
    error, and says that it was degraded."""
    scene, spans = traced(3)
    scene["a"].say(b"{}", status=503, headers=ERRORS)
    scene["b"].say(b"{}", status=429, headers=(*ERRORS, (b"retry-after", b"7")))
    scene["c"].say(chunk("Hi"), DONE)
    await ask(scene.gateway)
    taken = spans.take()
    assert tree(taken, "standby.attempt.kind", "error.type", "standby.replaces") == [
        "SERVER POST /v1/chat/completions",
        "  INTERNAL route support",
        "  CLIENT chat model-a ERROR standby.attempt.kind=primary error.type=overloaded",
        (
            "  CLIENT chat model-b ERROR -> 1 standby.attempt.kind=failover error.type=rate_limited "
            "standby.replaces=1"
        ),
        "  CLIENT chat model-c -> 2 standby.attempt.kind=failover standby.replaces=2",
    ]
    server = one(taken, "POST")
    assert (server["standby.degraded"], server["standby.degraded.reason"]) == (True, "overloaded")
    assert (server["standby.attempt.count"], server["standby.failover.count"]) == (3, 2)
    assert one(taken, "chat model-b")["standby.retry_after_ms"] == 7000


async def test_a_rejected_candidate() -> None:
    """Every candidate considered stands in the decision with its reason, also as an event."""
    scene, spans = traced(3)
    scene["a"].say(b"{}", status=429, headers=(*ERRORS, (b"retry-after", b"30")))
    scene["b"].say(chunk("Hi"), DONE)
    await ask(scene.gateway)
    spans.take()
    await ask(scene.gateway)
    [route] = [span for span in spans.take() if span.name == "route support"]
    facts = dict(route.attributes or {})
    assert facts["standby.route.candidates"] == ("a:health.cooldown", "b:tried", "c:not_needed")
    assert facts["standby.route.rejected"] == ("a:health.cooldown",)
    assert facts["standby.route.selected"] == "b"
    [rejected, selected] = route.events
    assert dict(rejected.attributes or {})["standby.reason"] == "health.cooldown"
    assert 0 < dict(rejected.attributes or {})["standby.retry_in_s"] <= 45  # type: ignore[operator]
    assert dict(selected.attributes or {})["standby.target"] == "b"


async def test_all_failed() -> None:
    """When nobody answers, each call and the request are errors."""
    scene, spans = traced()
    for name in "ab":
        scene[name].say(b"", status=500)
    assert (await ask(scene.gateway)).status == 502
    taken = spans.take()
    assert tree(taken, "standby.outcome", "error.type") == [
        "SERVER POST /v1/chat/completions ERROR standby.outcome=failed error.type=all_attempts_failed",
        "  INTERNAL route support",
        "  CLIENT chat model-a ERROR error.type=upstream_5xx",
        "  CLIENT chat model-b ERROR -> 1 error.type=upstream_5xx",
    ]


async def test_a_caller_that_hangs_up() -> None:
    """A hang-up is nobody's error; the call says that it was cancelled."""
    scene, spans = traced()
    scene["a"].say(chunk("Hi"), 60.0, DONE)
    caller = Caller(b'{"model": "support", "stream": true, "messages": [{"role": "user", "content": "Hi"}]}')
    task = asyncio.create_task(scene.gateway(scope_of(), caller.receive, caller.send))
    await caller.until(lambda: caller.started)
    caller.leave()
    await task
    assert tree(spans.take(), "standby.outcome") == [
        "SERVER POST /v1/chat/completions standby.outcome=client_gone",
        "  INTERNAL route support",
        "  CLIENT chat model-a",
    ]


async def test_a_break_after_content() -> None:
    """A stream that breaks is an error of the call and of the request, though its status was 200."""
    scene, spans = traced()
    scene["a"].say(chunk("Hi"), OSError("cut"))
    assert (await ask(scene.gateway)).status == 200
    taken = spans.take()
    assert tree(taken, "standby.outcome", "error.type", "gen_ai.response.finish_reasons") == [
        "SERVER POST /v1/chat/completions ERROR standby.outcome=broken error.type=stream_truncated",
        "  INTERNAL route support",
        "  CLIENT chat model-a ERROR error.type=stream_truncated gen_ai.response.finish_reasons=('error',)",
    ]


async def test_a_spent_budget() -> None:
    """A refusal is a span of the concern that refused, no call, and no error of the server."""
    secret = "sk-standby-test-of-a-key-that-is-long-enough"
    scene, spans = traced(
        top='stack = ["trace", "auth", "budget", "route_select", "failover"]',
        target='price = { input = "1.00", output = "1.00" }',
        tables=f'[keys.ann]\nhash = "{digests(secret, None)[0]}"\npools = ["*"]\n'
        'budget = [{ limit = "0.000001", window = "day" }]',
    )
    scope = scope_of(headers=[(b"authorization", b"Bearer " + secret.encode())])
    assert (await ask(scene.gateway, ASK, scope)).status == 402
    assert tree(spans.take(), "standby.outcome", "standby.reason", "standby.key.id", "error.type") == [
        (
            "SERVER POST /v1/chat/completions standby.outcome=rejected standby.key.id=ann "
            "error.type=budget_exceeded"
        ),
        "  INTERNAL standby.auth standby.outcome=passed standby.key.id=ann",
        "  INTERNAL standby.budget standby.outcome=refused standby.reason=budget_exceeded",
    ]
    await scene.gateway.aclose()


@pytest.mark.parametrize("pieces", [1, 300])
async def test_chunks_make_no_spans(pieces: int) -> None:
    """The number of spans and of their events does not depend on the number of chunks."""
    scene, spans = traced()
    scene["a"].say(*[chunk("Hi")] * pieces, DONE)
    await ask(scene.gateway)
    taken = spans.take()
    assert (len(taken), sum(len(span.events) for span in taken)) == (3, 2)


@pytest.mark.parametrize(("flags", "kept"), [("1", 3), ("0", 0)])
async def test_a_callers_trace(flags: str, kept: int) -> None:
    """A caller's trace goes on in ours, and is kept if the caller keeps it, whatever the share is."""
    scene, spans = traced(trace="sample = 0.5")
    scene["a"].say(chunk("Hi"), DONE)
    for _ in range(5):
        await ask(scene.gateway, ASK, scope_of(headers=[(b"traceparent", (PARENT + flags).encode())]))
        taken = spans.take()
        assert len(taken) == kept
        assert all(f"{span.context.trace_id:032x}" == PARENT[3:35] for span in taken if span.context)


async def test_a_malformed_parent_begins_a_new_trace() -> None:
    """What is no valid trace context is as good as none."""
    scene, spans = traced()
    scene["a"].say(chunk("Hi"), DONE)
    await ask(scene.gateway, ASK, scope_of(headers=[(b"traceparent", b"00-zz-1-01")]))
    assert spans.take()[-1].parent is None


async def test_the_hosts_span_is_the_parent() -> None:
    """Mounted in an application that has a span of its own, ours are its children, and it stays open."""
    scene, spans = traced()
    scene["a"].say(chunk("Hi"), DONE)
    with spans.provider.get_tracer("host").start_as_current_span("host") as host:
        await ask(scene.gateway)
        assert host.is_recording()
    assert tree(spans.take())[:2] == ["INTERNAL host", "  SERVER POST /v1/chat/completions"]


async def test_others_spans_inside_are_children() -> None:
    """What an instrumented app inside does is below the request's span; afterwards nothing is left behind."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with spans.provider.get_tracer("inside").start_as_current_span("inside"):
            await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    spans = Spans(traced := Trace(app))
    caller = await ask(traced, {}, scope_of("/anything"))
    assert caller.headers[b"x-standby-trace-id"]
    assert tree(spans.take(), "http.response.status_code") == [
        "SERVER POST http.response.status_code=204",
        "  INTERNAL inside",
    ]
    assert not api.get_current_span().get_span_context().is_valid


async def test_a_foreign_app_that_breaks_off() -> None:
    """An app that raises after its answer began has broken it, and its trace is kept."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError

    spans = Spans(broken := Trace(app, sample=0.0))
    with pytest.raises(RuntimeError):
        await ask(broken, {}, scope_of("/anything"))
    assert tree(spans.take(), "standby.outcome") == ["SERVER POST ERROR standby.outcome=broken"]


async def test_an_answer_that_the_server_cancels() -> None:
    """A server that stops in the middle of an answer has broken it; that is no fault of the target."""
    scene, spans = traced()
    scene["a"].say(chunk("Hi"), 60.0, DONE)
    caller, task = scene.begin()
    await caller.until(lambda: caller.started)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert tree(spans.take(), "standby.outcome", "error.type", "standby.cancelled") == [
        "SERVER POST /v1/chat/completions ERROR standby.outcome=broken error.type=gateway_draining",
        "  INTERNAL route support",
        "  CLIENT chat model-a",
    ]


async def test_a_refusal_around_a_foreign_app_tells_the_trace_once() -> None:
    """Trace and Failover alone around an app that fails: one header, and one call for each target."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 500, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    spans = Spans(both := Trace(Failover(app, targets=("a", "b"))))
    caller = await ask(both)
    assert (caller.status, len(spans.take())) == (502, 4)
    names = [name for name, _ in caller.messages[0]["headers"]]
    assert names.count(b"x-standby-trace-id") == 1


async def test_a_provider_is_told_the_trace_if_it_is_wanted() -> None:
    """The trace goes out to a target that opts in, as the parent of what it does; baggage never does."""
    scene, spans = traced(target="propagate = true")
    scene["a"].say(chunk("Hi"), DONE)
    headers = [(b"traceparent", (PARENT + "1").encode()), (b"baggage", b"user=ann"), (b"tracestate", b"v=1")]
    await ask(scene.gateway, ASK, scope_of(headers=headers))
    [request] = scene["a"].requests
    [client] = [span for span in spans.take() if span.name == "chat model-a"]
    assert client.context is not None
    assert request.headers["traceparent"] == f"{PARENT[:35]}-{client.context.span_id:016x}-01"
    assert request.headers["tracestate"] == "v=1"
    assert "baggage" not in request.headers


async def test_an_unkept_trace_says_so_to_the_provider() -> None:
    """A provider does not keep what we do not keep."""
    scene, _ = traced(trace="sample = 0.0", target="propagate = true")
    scene["a"].say(chunk("Hi"), DONE)
    await ask(scene.gateway)
    assert scene["a"].requests[0].headers["traceparent"].endswith("-00")


async def test_no_provider_is_told_by_default() -> None:
    """Without opting in, a provider learns nothing of our traces."""
    scene, _ = traced()
    scene["a"].say(chunk("Hi"), DONE)
    await ask(scene.gateway, ASK, scope_of(headers=[(b"traceparent", (PARENT + "1").encode())]))
    assert "traceparent" not in scene["a"].requests[0].headers


async def test_what_went_wrong_is_kept_up_to_a_rate() -> None:
    """Outside the sample only what failed over, was refused or broke is kept, up to a number a second."""
    scene, spans = traced(trace="sample = 0.0\nkeep = 2")
    scene["a"].say(chunk("Hi"), DONE)
    await ask(scene.gateway)
    assert spans.take() == ()
    scene["a"].say(b"", status=500)
    scene["b"].say(chunk("Hi"), DONE)
    for _ in range(3):
        await ask(scene.gateway)
    assert len([span for span in spans.take() if span.name.startswith("POST")]) == 2
    assert spans.trace.not_kept == 1


async def test_without_a_provider_nothing_is_traced() -> None:
    """As long as the process has no provider of tracers, Trace only passes requests on."""
    scene = Scene(2, top=STACK)
    scene["a"].say(chunk("Hi"), DONE)
    caller = await ask(scene.gateway)
    assert (caller.status, b"x-standby-trace-id" in caller.headers) == (200, False)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/embeddings"])
async def test_calls_follow_the_genai_convention(path: str) -> None:
    """The spans of calls, good or failed, pass a checker of the convention that others wrote."""
    scene, spans = traced()
    scene["a"].say(b"", status=500)
    document: dict[str, Any] = {"model": "support", "input": "Hi"}
    if path == "/v1/embeddings":
        vector = b'{"data": [{"embedding": [0.1]}], "model": "m", "usage": {"prompt_tokens": 1}}'
        scene["b"].say(vector, headers=ERRORS)
    else:
        document = ASK
        usage = b'data: {"id":"c1","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3}}\n\n'
        finish = chunk(finish_reason="stop", index=0, delta={})
        scene["b"].say(chunk("Hi"), finish, usage, DONE)
    assert (await ask(scene.gateway, document, scope_of(path))).status == 200
    calls = [span for span in spans.take() if span.kind is SpanKind.CLIENT]
    assert len(calls) == 2
    for call in calls:
        assert_genai_span_compliant(call)
        if path == "/v1/chat/completions":
            assert_chat_span(call)
    usage_facts = dict(calls[1].attributes or {})
    assert usage_facts["gen_ai.usage.input_tokens"] == (7 if path == "/v1/chat/completions" else 1)


async def test_anthropic_calls_follow_it_too() -> None:
    """Input tokens include cached ones, whatever the vendor counts as input."""
    scene = Scene(1, top=STACK, dialect="anthropic", tables="[trace]")
    spans = Spans(scene.gateway)
    spoken = SPOKEN["messages"]
    scene["a"].say(spoken.whole)
    await ask(scene.gateway, {**spoken.document, "model": "support"}, scope_of("/v1/messages"))
    [call] = [span for span in spans.take() if span.kind is SpanKind.CLIENT]
    assert_chat_span(call)
    assert dict(call.attributes or {})["gen_ai.provider.name"] == "anthropic"
