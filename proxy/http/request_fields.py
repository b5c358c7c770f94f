"""Names in a request body that decide where a request may go, and the places where they are only data.

Two kinds of name matter, at any depth. A *control* name is one by which an SDK or another gateway lets a
caller choose address, credentials or routing: no caller of ours may, because the provider behind us can be
such a gateway itself and would obey. A *binding* name ties a request to what one provider has stored, so
that no other provider could answer it.

Both are ordinary words elsewhere: a tool may well take a parameter called `proxy` or `store`. `places` finds
the names that are fields of the request and passes over those in data of the caller's own making.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from types import MappingProxyType
from typing import Any, Final, TypeAlias

__all__ = ["BINDING", "CONTROL", "places"]

CONTROL: Final = frozenset(
    {
        # where the request goes and through what
        "api_base",
        "api_version",
        "aws_bedrock_runtime_endpoint",
        "aws_region_name",
        "aws_sts_endpoint",
        "azure_endpoint",
        "base_url",
        "custom_llm_provider",
        "proxy",
        "vertex_location",
        "vertex_project",
        # on whose account
        "api_key",
        "aws_access_key_id",
        "aws_profile_name",
        "aws_role_name",
        "aws_secret_access_key",
        "aws_session_name",
        "aws_session_token",
        "aws_web_identity_token",
        "azure_ad_token",
        "extra_headers",
        "organization",
        "vertex_credentials",
        # which models may stand in; Anthropic's own beta field `fallbacks` is meant too: it would
        # answer from a model that no pool names
        "content_policy_fallbacks",
        "context_window_fallbacks",
        "fallbacks",
        "litellm_params",
        "litellm_params_template",
        "model_list",
        "router_settings_override",
        "user_config",
    }
)
"""Fields only the operator may set. `extra_body` is not one of them: Gemini's OpenAI-compatible endpoint
takes it on the wire, and what stands inside it is searched like the rest."""

BINDING: Final = frozenset(
    {
        "background",
        "container",
        "container_id",
        "conversation",
        "file_id",
        "file_ids",
        "previous_response_id",
        "prompt",  # of the Responses API: a template stored at the provider
        "skill_id",
        "store",
        "vector_store_ids",
    }
)
"""Fields that may bind a request to one provider's state. Whether one does depends on place and value
(`"store": false` does not), which is the dialect's to say."""

_Step: TypeAlias = str | int
_Callers: TypeAlias = "Mapping[str | None, _Callers] | None"


def _callers(paths: Iterable[str]) -> Mapping[str | None, _Callers]:
    """Dotted paths as a tree of keys, or None for any element of a list, down to None: the caller's own."""
    tree: dict[str | None, list[str]] = {}
    for path in paths:
        step, _, rest = path.partition(".")
        tree.setdefault(None if step == "[]" else step, []).append(rest)
    return MappingProxyType({step: _callers(rests) if any(rests) else None for step, rests in tree.items()})


_NOWHERE: Final[Mapping[str | None, _Callers]] = MappingProxyType({})

# Data whose keys the caller makes up: whatever they are called, no API reads them as settings. `[]` is any
# element of a list. OpenAI's `metadata` is such a map too and is left out on purpose: gateways keep their own
# settings in it, so a control name there is an attempt at one.
_CALLERS: Final = _callers(
    (
        # JSON Schemas: property names are keys
        "functions.[].parameters",
        "guided_json",
        "output_config.format.schema",
        "output_format.schema",
        "response_format.json_schema.schema",
        "response_format.schema",
        "structured_outputs.json",
        "text.format.schema",
        "tools.[].function.parameters",
        "tools.[].input_schema",
        "tools.[].output_schema",
        "tools.[].parameters",
        "tools.[].tools.[].output_schema",
        "tools.[].tools.[].parameters",
        "input.[].tools.[].output_schema",
        "input.[].tools.[].parameters",
        "input.[].tools.[].tools.[].output_schema",
        "input.[].tools.[].tools.[].parameters",
        # what a model passed to a tool, and samples of it
        "input.[].arguments",
        "messages.[].content.[].input",
        "messages.[].function_call.arguments",
        "messages.[].tool_calls.[].function.arguments",
        "tools.[].input_examples",
        # maps from names of the caller's choice: environment, headers for the caller's own MCP server,
        # attributes of stored files, variables of a prompt or template, records to quote from
        "chat_template_kwargs",
        "documents",
        "input.[].action.env",
        "input.[].results.[].attributes",
        "prompt.variables",
        "tools.[].headers",
    )
)

_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_-]")
_STEP_LIMIT: Final = 64
_PATH_LIMIT: Final = 256

_Trail: TypeAlias = "tuple[_Trail, _Step] | None"


def places(document: dict[str, Any], names: AbstractSet[str]) -> Iterator[str]:
    """Where `names` occur as keys outside the caller's own data, shallowest first, as `messages[0].name`.

    A place is safe to show: keys are cut to 64 characters of `[A-Za-z0-9_-]`, places to their last 256, and
    no value is in one.
    """
    waiting: list[tuple[Any, _Trail, Mapping[str | None, _Callers]]] = [(document, None, _CALLERS)]
    for node, trail, callers in waiting:  # grows while it is read: breadth first, without recursion
        steps: Iterable[tuple[_Step, Any]]
        if node.__class__ is dict:  # orjson makes no subclasses
            yield from (_spell((trail, key)) for key in node if key in names)
            steps = node.items()
        else:
            elements: list[Any] = node
            steps = enumerate(elements)
        for step, child in steps:
            if child.__class__ is dict or child.__class__ is list:
                below = callers.get(None if isinstance(step, int) else step, _NOWHERE)
                if below is not None:
                    waiting.append((child, (trail, step), below))


def _spell(trail: _Trail) -> str:
    steps: list[str] = []
    while trail is not None:
        trail, step = trail
        steps.append(f"[{step}]" if isinstance(step, int) else "." + _UNSAFE.sub("_", step[:_STEP_LIMIT]))
    place = "".join(reversed(steps)).removeprefix(".")
    return place if len(place) <= _PATH_LIMIT else "..." + place[3 - _PATH_LIMIT :]
