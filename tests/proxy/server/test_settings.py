"""The settings of uvicorn that would otherwise depend on the machine."""

from __future__ import annotations

import pickle
from functools import partial

import pytest
from standby.proxy.asgi import ASGIApp, Receive, Scope, Send
from standby.proxy.errors import Refusal
from standby.proxy.server import Parser, ServerLimits, configuration
from standby.proxy.server.inbound_protocol import InboundProtocol
from uvicorn.lifespan.on import LifespanOn

from tests.proxy.server.wire import Answer, Recorder, Served, post

__all__: list[str] = []


def _made() -> ASGIApp:
    return Recorder()


def test_the_loop_and_the_parser_are_stated(parser: Parser) -> None:
    """The server uses uvloop and the chosen parser, whatever else is installed."""
    config = configuration(Recorder(), parser=parser, log_config=None)
    config.load()

    loop = config.get_loop_factory()
    assert loop is not None
    assert loop.__module__.startswith("uvloop")
    assert issubclass(config.http_protocol_class, InboundProtocol)
    assert config.http_protocol_class.__name__.lower().startswith(parser)


def test_the_environment_has_no_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the number of processes nor the trusted proxies come from environment variables."""
    monkeypatch.setenv("WEB_CONCURRENCY", "7")
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")

    config = configuration(Recorder(), log_config=None)

    assert config.workers == 1
    assert config.proxy_headers is False


def test_a_stop_and_a_failed_start_are_bounded() -> None:
    """Streams may go on for 25 seconds after a stop, and an app that fails to start stops the server."""
    config = configuration(Recorder(), log_config=None)
    config.load()

    assert config.timeout_graceful_shutdown == 25
    assert config.timeout_keep_alive == 75
    assert config.lifespan_class is LifespanOn


def test_every_worker_gets_the_limits() -> None:
    """All settings reach a worker process."""
    limits = ServerLimits(head_seconds=1.5)

    config = pickle.loads(
        pickle.dumps(configuration(partial(_made), factory=True, workers=2, limits=limits, log_config=None))
    )

    assert config.limits == limits
    config.load()
    assert isinstance(config.loaded_app, Recorder)


def test_answers_say_when_and_not_by_whom(served: Served) -> None:
    """An answer has one date and no server name, whoever sends it."""
    for sent in (post(), post(host=b"Host: /"), post(line=b"POST / HTTP/3")):
        answer = Answer.parsed(served.raw(sent))
        assert len(answer.header("date")) == 1
        assert answer.header("server") == []


def test_a_forwarded_address_is_not_believed(served: Served) -> None:
    """B19: forwarded headers are ignored. uvicorn would trust them from this machine."""
    seen: list[tuple[str, str]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append((scope["client"][0], scope["scheme"]))
        raise Refusal("unknown_model")

    served.recorder.instead = app
    served.ask(post(b"X-Forwarded-For: 10.0.0.1", b"X-Forwarded-Proto: https"))

    assert seen == [("127.0.0.1", "http")]
