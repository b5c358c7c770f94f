"""A pool of both dialects in different stacks: what has no bridge goes to a target that has it."""

from __future__ import annotations

import json
from types import MappingProxyType

import pytest
from standby.proxy.config import parse_routes
from standby.proxy.gateway import Gateway
from standby.proxy.rehearsal.simulator import Simulator

from tests.acceptance.clients import Api, raw_client
from tests.acceptance.serving import Front

__all__: list[str] = []

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("stack", ["[]", '["failover"]', '["route_select", "failover"]'])
async def test_an_operation_without_a_bridge_goes_where_it_is_known(front: Front, stack: str) -> None:
    """In any stack, embeddings at a mixed pool go to the target that has them, or are refused as a 400."""
    async with Simulator("alpha") as openai, Simulator("beta") as anthropic:
        text = f"""
        stack = {stack}
        [providers.a]
        dialect = "anthropic"
        base_url = "{anthropic.url}"
        [providers.o]
        dialect = "openai"
        base_url = "{openai.url}"
        [providers.m]
        dialect = "openai"
        vendor = "groq"
        base_url = "{openai.url}"
        [targets]
        claude = {{ provider = "a", model = "claude" }}
        gpt = {{ provider = "o", model = "gpt" }}
        chat = {{ provider = "m", model = "chat" }}
        [pools.mixed]
        prefer = ["claude", "gpt"]
        [pools.without]
        prefer = ["claude", "chat"]
        """
        async with Gateway(parse_routes(text, environ={})) as gateway, raw_client(front.origin) as raw:
            front.app = gateway
            embeddings = Api("embeddings", "/v1/embeddings", "mixed", b"", MappingProxyType({"input": "a"}))
            answer = await raw.ask(embeddings, stream=False)
            assert (answer.status, answer.header("x-standby-target")) == (200, "gpt")
            answer = await raw.ask(embeddings, stream=False, model="without")
            assert answer.status == 400
            assert json.loads(answer.body)["error"]["code"] == "operation_not_supported"
            assert anthropic.requests == []
            front.app = None
