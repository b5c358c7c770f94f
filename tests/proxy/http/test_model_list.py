"""The list of models, which are the names of the pools."""

from __future__ import annotations

from typing import Any, Final

import pytest
from anthropic.types import ModelInfo
from openai.types import Model
from standby.proxy.config import Routes
from standby.proxy.gateway import Gateway

from tests.proxy.harness import Caller, routes_to, scope_of

__all__: list[str] = []

pytestmark = pytest.mark.anyio

SERVES: Final = 'serves = ["support", "gpt-4.1", "org/model:1"]'
NAMES: Final = ["support", "gpt-4.1", "org/model:1", "writing"]
MORE: Final = '[pools.writing]\nprefer = ["a"]'
ANTHROPIC: Final = ((b"anthropic-version", b"2023-06-01"),)


@pytest.fixture(scope="module")
def routes() -> Routes:
    """Two pools, one of which serves three names."""
    return routes_to("http://127.0.0.1:9/v1", pool=SERVES, tables=MORE)


async def get(
    routes: Routes,
    path: str = "/v1/models",
    *,
    method: str = "GET",
    headers: tuple[tuple[bytes, bytes], ...] = (),
) -> Caller:
    """Send a request for this path."""
    caller = Caller()
    scope = scope_of(path, method=method, headers=headers)
    await Gateway(routes)(scope, caller.receive, caller.send)
    return caller


async def test_every_name_is_listed(routes: Routes) -> None:
    """Each name that a pool serves is a model, in the order of the file, owned by its pool."""
    caller = await get(routes)
    assert (caller.status, caller.headers[b"content-type"]) == (200, b"application/json")
    assert caller.json["object"] == "list"
    shown = [Model.model_validate(each, strict=True) for each in caller.json["data"]]
    assert [(model.id, model.owned_by) for model in shown] == [
        ("support", "support"),
        ("gpt-4.1", "support"),
        ("org/model:1", "support"),
        ("writing", "writing"),
    ]


@pytest.fixture(scope="module")
def anthropic() -> Routes:
    """The same two pools in Anthropic's dialect."""
    return routes_to("http://127.0.0.1:9/v1", dialect="anthropic", pool=SERVES, tables=MORE)


async def page(routes: Routes, query: str) -> dict[str, Any]:
    """Ask for a page of the list as an Anthropic caller."""
    caller = Caller()
    scope = scope_of("/v1/models", method="GET", headers=ANTHROPIC)
    await Gateway(routes)({**scope, "query_string": query.encode()}, caller.receive, caller.send)
    listed: dict[str, Any] = caller.json
    return listed


async def test_anthropics_callers_get_their_own_form(anthropic: Routes) -> None:
    """Anthropic's SDK can parse the list, including the pagination fields."""
    listed = await page(anthropic, "beta=true&future=1")
    assert [ModelInfo.model_validate(each).id for each in listed["data"]] == NAMES
    assert (listed["first_id"], listed["last_id"], listed["has_more"]) == ("support", "writing", False)


@pytest.mark.parametrize(
    ("query", "names", "has_more"),
    [
        ("limit=3", NAMES[:3], True),
        ("limit=4", NAMES, False),
        ("after_id=gpt-4.1", NAMES[2:], False),
        ("limit=1&after_id=gpt-4.1", NAMES[2:3], True),
        ("before_id=writing", NAMES[:3], False),
        ("limit=2&before_id=writing", NAMES[1:3], True),
        ("after_id=org%2Fmodel%3A1", NAMES[3:], False),
        ("after_id=nobody", [], False),
        ("before_id=nobody", [], False),
    ],
)
async def test_pages(anthropic: Routes, query: str, names: list[str], has_more: bool) -> None:
    """A page has at most `limit` models, after or before one of them."""
    listed = await page(anthropic, query)
    assert ([each["id"] for each in listed["data"]], listed["has_more"]) == (names, has_more)


@pytest.mark.parametrize("limit", ["0", "-1", "1001", "x", "", "9" * 5_000, "\u0663"])
async def test_a_limit_that_is_none(anthropic: Routes, limit: str) -> None:
    """A limit is 1 to 1000, as at Anthropic; without a value there is none."""
    listed = await page(anthropic, f"limit={limit}")
    if limit:
        assert (listed["error"]["code"], listed["error"]["param"]) == ("invalid_value", "limit")
    else:
        assert len(listed["data"]) == 4


async def test_each_dialect_has_its_own(routes: Routes, anthropic: Routes) -> None:
    """A caller sees what it can call: the pools of its dialect."""
    assert (await get(routes, headers=ANTHROPIC)).json["data"] == []
    assert (await get(anthropic)).json["data"] == []
    assert (await get(anthropic, "/v1/models/support")).status == 404


@pytest.mark.parametrize("name", NAMES)
async def test_one_model(routes: Routes, anthropic: Routes, name: str) -> None:
    """A model is found by its name in either dialect."""
    assert (await get(routes, f"/v1/models/{name}")).json["id"] == name
    listed = (await get(anthropic, f"/v1/models/{name}", headers=ANTHROPIC)).json
    assert (listed["id"], listed["type"]) == (name, "model")


@pytest.mark.parametrize("name", ["Support", "suppor", "supportx", "a", "model-a", "org"])
async def test_an_unknown_model(routes: Routes, name: str) -> None:
    """Only served names exist, compared byte for byte. Targets and provider models are not listed."""
    caller = await get(routes, f"/v1/models/{name}")
    assert (caller.status, caller.json["error"]["code"]) == (404, "unknown_model")
    listed = await get(routes, f"/v1/models/{name}", headers=ANTHROPIC)
    assert (listed.status, listed.json["error"]["type"]) == (404, "not_found_error")


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/support", "/healthz", "/readyz"])
async def test_head(routes: Routes, path: str) -> None:
    """HEAD returns the headers of GET without a body."""
    whole, head = await get(routes, path), await get(routes, path, method="HEAD")
    assert (head.status, head.body, head.complete) == (200, b"", True)
    assert head.headers[b"content-length"] == str(len(whole.body)).encode()


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_the_platforms_questions_are_answered(routes: Routes, path: str) -> None:
    """The probes are answered by the process itself."""
    assert (await get(routes, path)).json == {"status": "ok"}


async def test_no_attempt_is_made(routes: Routes) -> None:
    """No provider receives a request for the list."""
    caller = await get(routes)
    assert caller.headers[b"x-standby-attempts"] == b"0"
    assert b"x-standby-target" not in caller.headers
