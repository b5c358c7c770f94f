"""Names of fields in a request body that affect its routing, and the places where such names are only data.

Two kinds of name matter, at any depth. A *control* name is a field by which an SDK or another gateway lets a
caller choose the address, the credentials or the routing. Callers may not use these, because the provider can
be such a gateway itself and would apply them. A *binding* name ties a request to state stored at one
provider, so that no other provider can answer it.

Both are ordinary words elsewhere: a tool may have a parameter `proxy` or `store`. `places` finds the names
that are fields of the request, and skips free-form data of the caller.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from ..dialects.json_values import is_list, is_object

__all__ = ["BINDING", "CONTROL", "ROUTING", "places", "routing_place"]

CONTROL: Final = frozenset(
    {
        # the address of the request, and its proxy
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
        # the account and its credentials
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
        # fallback models; includes Anthropic's own beta field `fallbacks`, with which a model that is
        # in no pool could answer
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
"""Fields that only the operator may set. `extra_body` is not one of them: Gemini's OpenAI-compatible endpoint
accepts it in requests, and its contents are searched like the rest."""

ROUTING: Final = frozenset({"models", "plugins", "preset", "provider", "route", "transforms"})
"""OpenRouter's own routing, with which a model that is in no pool could answer. Elsewhere, as in `metadata`,
these are names like any other, so they are refused only where OpenRouter reads them.
Source: openrouter.ai/docs/api-reference/overview"""

_ADVISORS: Final = ("advisor", "openrouter:")
"""What the types of tools begin with by which a provider asks a model of the caller's choice.
Source: platform.claude.com, advisor tool; openrouter.ai, advisor server tool"""

BINDING: Final = frozenset(
    {
        "background",
        "container",
        "container_id",
        "conversation",
        "file_id",
        "file_ids",
        "previous_response_id",
        "prompt",  # in the Responses API, a template stored at the provider
        "skill_id",
        "store",
        "vector_store_ids",
    }
)
"""Fields that may bind a request to one provider's state. Whether one does depends on its place and value
(`"store": false` does not); the dialect decides that."""

_Step: TypeAlias = str | int
_Callers: TypeAlias = "Mapping[str | None, _Callers] | None"


def _callers(paths: Iterable[str]) -> Mapping[str | None, _Callers]:
    """Returns dotted paths as a tree of mappings. `[]`, any element of a list, becomes the key None.

    A value of None marks the end of a path: the data there is the caller's own.
    """
    tree: dict[str | None, list[str]] = {}
    for path in paths:
        step, _, rest = path.partition(".")
        tree.setdefault(None if step == "[]" else step, []).append(rest)
    return MappingProxyType({step: _callers(rests) if any(rests) else None for step, rests in tree.items()})


_NOWHERE: Final[Mapping[str | None, _Callers]] = MappingProxyType({})

# Data whose keys the caller chooses freely: no API reads them as settings. `[]` is any element of a list.
_CALLERS: Final = _callers(
    (
        # JSON schemas: their keys are names of properties
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
        # arguments that a model passed to a tool, and examples of them
        "input.[].arguments",
        "messages.[].content.[].input",
        "messages.[].function_call.arguments",
        "messages.[].tool_calls.[].function.arguments",
        "tools.[].input_examples",
        # maps whose keys the caller chooses: environment variables, headers for the caller's own MCP server,
        # attributes of stored files, variables of a prompt or template, documents to quote from
        "chat_template_kwargs",
        "documents",
        "input.[].action.env",
        "input.[].results.[].attributes",
        "metadata",
        "prompt.variables",
        "tools.[].headers",
    )
)

_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_-]")
_STEP_LIMIT: Final = 64  # characters
_PATH_LIMIT: Final = 256  # characters

_Trail: TypeAlias = "tuple[_Trail, _Step] | None"


def places(document: dict[str, Any], names: AbstractSet[str]) -> Iterator[str]:
    """Returns the paths, such as `messages[0].name`, where `names` occur as keys outside the caller's own
    data.

    The shallowest come first. A path is safe to display: each key is cut to 64 characters of `[A-Za-z0-9_-]`,
    a path to its last 256 characters, and it contains no values.
    """
    pending: list[tuple[Any, _Trail, Mapping[str | None, _Callers]]] = [(document, None, _CALLERS)]
    for node, trail, callers in pending:  # grows during the iteration: breadth first, without recursion
        steps: Iterable[tuple[_Step, Any]]
        if node.__class__ is dict:  # orjson returns no subclasses
            yield from (_path_text((trail, key)) for key in node if key in names)
            steps = node.items()
        else:
            elements: list[Any] = node
            steps = enumerate(elements)
        for step, child in steps:
            if child.__class__ is dict or child.__class__ is list:
                below = callers.get(None if isinstance(step, int) else step, _NOWHERE)
                if below is not None:
                    pending.append((child, (trail, step), below))


def routing_place(document: dict[str, Any]) -> str | None:
    """Returns the path of a field that lets a model of no pool answer, or None without one.

    That is a field of `ROUTING` at the top or in `extra_body`, or the model of a tool that asks another one.
    """
    for name in ROUTING.intersection(document):
        return name
    if is_object(extra := document.get("extra_body")):
        for name in ROUTING.intersection(extra):
            return f"extra_body.{name}"
    tools = document.get("tools")
    for index, tool in enumerate(tools if is_list(tools) else ()):
        if not is_object(tool) or not isinstance(kind := tool.get("type"), str):
            continue
        if kind.startswith(_ADVISORS):
            if "model" in tool:
                return f"tools[{index}].model"
            if is_object(parameters := tool.get("parameters")) and "model" in parameters:
                return f"tools[{index}].parameters.model"
    return None


def _path_text(trail: _Trail) -> str:
    """Returns the path of a key, given as a linked list from the last step to the first."""
    steps: list[str] = []
    while trail is not None:
        trail, step = trail
        steps.append(f"[{step}]" if isinstance(step, int) else "." + _UNSAFE.sub("_", step[:_STEP_LIMIT]))
    path = "".join(reversed(steps)).removeprefix(".")
    return path if len(path) <= _PATH_LIMIT else "..." + path[3 - _PATH_LIMIT :]
