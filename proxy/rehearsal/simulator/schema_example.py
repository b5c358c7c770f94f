"""Builds a value that satisfies a simple JSON Schema."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, cast

from .answer import Document

__all__ = ["SchemaExample"]


_FORMATS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "date": "2026-11-30",
        "date-time": "2026-11-30T12:00:00Z",
        "duration": "PT1M",
        "email": "ada@example.com",
        "hostname": "example.com",
        "ipv4": "192.0.2.1",
        "ipv6": "2001:db8::1",
        "time": "12:00:00Z",
        "uri": "https://example.com/",
        "uuid": "00000000-0000-4000-8000-000000000000",
    }
)


class _EndlessError(Exception):
    """The schema needs itself, so that this branch of the value would have no end."""


@dataclass(frozen=True)
class SchemaExample:
    """A value that satisfies the schema `root`, in which free strings say `text`.

    An object has all of its properties, an array one item, and a choice is the first alternative. Where a
    schema contains itself, the optional part that leads back is left out. Patterns, conditions and references
    to other documents are ignored.
    """

    root: object
    text: str

    def value(self) -> Any:
        """Returns the value, or an empty object if no finite value was found."""
        try:
            return self._value(self.root, frozenset({"#"}))
        except (_EndlessError, RecursionError):
            return {}

    def _value(self, schema: object, within: frozenset[str]) -> Any:
        """Returns a value for one part of the schema. `within` has the references that led to it."""
        if not isinstance(schema, dict):
            return self.text
        node = cast("Document", schema)
        reference = node.get("$ref")
        if isinstance(reference, str):
            if reference in within:
                raise _EndlessError
            return self._value(self._resolved(reference), within | {reference})
        if "const" in node:
            return node["const"]
        if _listed(node, "enum"):
            return node["enum"][0]
        alternatives = _listed(node, "anyOf") or _listed(node, "oneOf")
        if alternatives:
            return self._first(node, alternatives, within)
        if _listed(node, "allOf"):
            return self._value(self._merged(node), within)
        return self._of_type(node, within)

    def _resolved(self, reference: str) -> object:
        """Returns the part of the schema that a reference such as `#/$defs/City` points to."""
        found: object = self.root
        for name in reference.removeprefix("#").split("/")[1:]:
            member = name.replace("~1", "/").replace("~0", "~")
            found = cast("Document", found).get(member) if isinstance(found, dict) else None
        return found

    def _first(self, node: Document, alternatives: list[Any], within: frozenset[str]) -> Any:
        """Returns a value for the first alternative that has an end."""
        common = {name: inner for name, inner in node.items() if name not in ("anyOf", "oneOf")}
        for alternative in alternatives:
            try:
                if isinstance(alternative, dict):
                    return self._value(common | cast("Document", alternative), within)
                return self._value(alternative, within)
            except _EndlessError:
                continue
        raise _EndlessError

    def _merged(self, node: Document) -> Document:
        """Returns one schema for a node and the parts of its `allOf`."""
        merged = {name: inner for name, inner in node.items() if name != "allOf"}
        for part in node["allOf"]:
            inner: object = part
            if isinstance(part, dict) and isinstance(reference := cast("Document", part).get("$ref"), str):
                inner = self._resolved(reference)
            if isinstance(inner, dict):
                found = cast("Document", inner)
                properties = _members(merged, "properties") | _members(found, "properties")
                required = [*_listed(merged, "required"), *_listed(found, "required")]
                merged |= found | ({"properties": properties} if properties else {})
                merged |= {"required": required} if required else {}
        return merged

    def _of_type(self, node: Document, within: frozenset[str]) -> Any:
        kind: object = node.get("type")
        if isinstance(kind, list):
            kind = next(iter(cast("list[object]", kind)), None)
        if kind == "object" or (kind is None and node.keys() & {"properties", "required"}):
            return self._object(node, within)
        if kind == "array" or (kind is None and node.keys() & {"items", "prefixItems"}):
            return self._array(node, within)
        if kind in ("integer", "number"):
            return _number(node, whole=kind == "integer")
        if kind == "boolean":
            return True
        return None if kind == "null" else self._string(node)

    def _object(self, node: Document, within: frozenset[str]) -> Document:
        required: list[str] = _listed(node, "required")
        made: Document = {}
        for name, inner in _members(node, "properties").items():
            try:
                made[name] = self._value(inner, within)
            except _EndlessError:
                if name in required:
                    raise
        return made | {name: self.text for name in required if name not in made}

    def _array(self, node: Document, within: frozenset[str]) -> list[Any]:
        made = [self._value(part, within) for part in _listed(node, "prefixItems")]
        least = int(_bound(node, "minItems") or 0)
        if node.get("items") is False or _bound(node, "maxItems") == 0:
            return made
        try:
            item = self._value(node.get("items"), within)
        except _EndlessError:
            if least > len(made):
                raise
            return made
        return made + [item] * (max(least, 0 if made else 1) - len(made))

    def _string(self, node: Document) -> str:
        text = _FORMATS.get(str(node.get("format")), self.text)
        text = text.ljust(int(_bound(node, "minLength") or 0), ".")
        longest = _bound(node, "maxLength")
        return text if longest is None else text[: int(longest)]


def _listed(node: Document, name: str) -> list[Any]:
    """Returns a member that should be a list, empty if it is none."""
    found: object = node.get(name)
    return cast("list[object]", found) if isinstance(found, list) else []


def _members(node: Document, name: str) -> Document:
    """Returns a member that should be an object, empty if it is none."""
    found: object = node.get(name)
    return cast("Document", found) if isinstance(found, dict) else {}


def _bound(node: Document, name: str) -> float | None:
    """Returns a member that should be a number, None if it is none."""
    found: object = node.get(name)
    return found if isinstance(found, (int, float)) else None


def _number(node: Document, *, whole: bool) -> float:
    """Returns a number within the bounds of a schema, 1 if none was found."""
    least, above = _bound(node, "minimum"), _bound(node, "exclusiveMinimum")
    most, below = _bound(node, "maximum"), _bound(node, "exclusiveMaximum")
    step = _bound(node, "multipleOf")
    lows = [low for low in (least, above) if low is not None]
    highs = [high for high in (most, below) if high is not None]
    near = [number + side for number in (*lows, *highs) for side in (0, 1, -1)]
    middle = [(low + high) / 2 for low in lows for high in highs]
    for candidate in (1, 0, *near, *middle):
        number = math.ceil(candidate / step) * step if step else candidate
        if whole and number != int(number):
            continue
        if (
            (least is None or number >= least)
            and (above is None or number > above)
            and (most is None or number <= most)
            and (below is None or number < below)
        ):
            return int(number) if whole else number
    return 1
