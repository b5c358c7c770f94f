"""The command `standby explain`: prints where a request would go, without sending it."""

from __future__ import annotations

import argparse
import asyncio
import sys
from contextlib import aclosing
from pathlib import Path
from typing import Any

import orjson

from ..budget.metering.price_card import lookup
from ..config import Routes, load_routes
from ..dialects.json_values import is_object
from ..dialects.registry import OPERATIONS
from ..errors import Refusal
from ..keys.key_store import KeyStore
from ..keys.principal import Principal
from ..stores.address import open_store
from ..stores.store import StoreDown
from .explain import Question, Unanswerable, explain

__all__ = ["add_options"]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `standby explain` to its parser."""
    add = parser.add_argument
    add("--pool", metavar="NAME", help="the pool, or a model name that it serves (default: every pool)")
    add("--key", metavar="NAME", help="who asks (default: somebody without any policy)")
    add("--request", metavar="FILE", help="the body of the request (default: a short one)")
    add("--operation", choices=sorted(OPERATIONS), help="what is asked (default: chat, or messages)")
    add("--down", action="append", default=[], metavar="TARGET", help="take this target for dead; repeatable")
    add("--slow", action="append", default=[], metavar="TARGET", help="take this target for slow; repeatable")
    add("--over-budget", action="store_true", help="leave money for the cheapest target only")
    add("--budget-used", type=_share, default=0.0, metavar="SHARE", help="of the fullest budget, as 0.9")
    add("--json", action="store_true", help="print JSON, a line for each pool")
    parser.set_defaults(run=_run)


def _share(text: str) -> float:
    share = float(text)
    if not 0 <= share <= 1:  # NaN is in no range
        raise argparse.ArgumentTypeError("must be from 0 to 1")
    return share


def _run(options: argparse.Namespace) -> int:
    routes = load_routes(options.routes, environ=None, prices=lookup)
    request = None if options.request is None else _read(options.request)
    assumed: dict[str, Any] = {"down": frozenset(options.down), "slow": frozenset(options.slow)}
    assumed |= {"share": options.budget_used, "over_budget": options.over_budget}
    questions = [
        Question(pool, request, options.operation, **assumed)
        for pool in ([options.pool] if options.pool is not None else routes.pools)
    ]
    try:
        principal = None if options.key is None else asyncio.run(_principal(routes, options.key))
    except StoreDown as error:
        print(f"standby explain: {error}", file=sys.stderr)
        return 1
    explained = [_explained(question, routes, principal) for question in questions]
    if options.json:
        print("\n".join(orjson.dumps(each).decode() for each in explained))
    else:
        print("\n\n".join(each["text"] for each in explained))
    return 1 if all("error" in each for each in explained) else 0


def _explained(question: Question, routes: Routes, principal: Principal | None) -> dict[str, Any]:
    """Returns the explanation, or the error with which a caller's request to this pool would be refused."""
    try:
        return explain(question, routes, principal=principal).as_json()
    except Refusal as refusal:
        text = f"pool {question.pool}: refused: {refusal.status} {refusal.code}: {refusal.message}"
        return {"pool": question.pool, "error": refusal.code, "text": text}


def _read(path: str) -> dict[str, Any]:
    """Returns the request body in a file. Raises Unanswerable if it is not a JSON object."""
    try:
        value = orjson.loads(Path(path).read_bytes())
    except OSError as error:
        raise Unanswerable(f"{path}: cannot be read: {error.strerror}") from None
    except orjson.JSONDecodeError as error:
        raise Unanswerable(f"{path}: not JSON: {error.msg}, at line {error.lineno}") from None
    if not is_object(value):
        raise Unanswerable(f"{path}: the body of a request is one JSON object")
    return value


async def _principal(routes: Routes, name: str) -> Principal:
    if name not in routes.keys:  # only the store's address may be a secret
        routes = load_routes(routes.file, prices=lookup)
    async with aclosing(open_store(routes.store, routes.folder)) as store:
        return await KeyStore(routes, store).principal(name)
