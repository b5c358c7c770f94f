"""The stack of middlewares around the relay: its validation, and the configuration table of each one."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, cast

from pydantic import TypeAdapter, ValidationError

from .report import Report, nearest, suggestion
from .values import ImportString, KeyPath, Name, quoted

__all__ = ["BUILT_IN", "read_stack"]

BUILT_IN: Final = MappingProxyType(
    {
        "trace": "standby.middlewares.trace:Trace",
        "auth": "standby.middlewares.auth:Auth",
        "guardrails": "standby.middlewares.guardrails:Guardrails",
        "budget": "standby.middlewares.budget:Budget",
        "route_select": "standby.middlewares.route_select:RouteSelect",
        "failover": "standby.middlewares.failover:Failover",
    }
)
"""The import string of each built-in middleware, by name. Their tables need no `use`."""

_DEFAULT: Final = ("route_select", "failover")
_SECTIONS: Final = (
    *("stack", "store", "providers", "targets", "pools"),
    *("organisations", "teams", "users", "keys", "hygiene"),
    *("admin", "alerts", "decisions"),
)
"""The top-level keys of the file that are not middlewares."""

_ORDER: Final = ("trace", "auth", "guardrails", "budget", "route_select", "failover")
"""The required order of the built-in middlewares, outermost first. Guardrails and budgets depend on the
caller, budgets on what guardrails leave of a request, and routing on all of them. All of these run once per
request, not once per attempt, so failover is the innermost."""

_USE: Final = 'use = "package.module:attribute"'


def read_stack(
    report: Report, document: Mapping[str, Any]
) -> tuple[tuple[str, ...], Mapping[str, Mapping[str, object]]]:
    """Returns the names in the stack, and the table of each of them and of "hygiene".

    Adds problems to `report`, also for unknown top-level keys.
    """
    stack = _stack_names(report, document)
    for key, value in document.items():
        if key in stack or key == "hygiene":
            if not isinstance(value, dict):
                report.add((key,), "must be a table", f"write [{key}]")
            elif key in stack:
                _check_use(report, key, cast("dict[str, Any]", value))
        elif key not in _SECTIONS:
            if isinstance(value, dict) and (key in BUILT_IN or "use" in value):
                report.add((key,), "not in the stack", f"add {quoted(key)} to stack, or delete this table")
            else:
                report.add((key,), "unknown key", suggestion(key, (*_SECTIONS, *stack)))
    tables = {name: MappingProxyType(_table(document.get(name))) for name in (*stack, "hygiene")}
    return stack, MappingProxyType(tables)


def _table(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _stack_names(report: Report, document: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the valid names in the stack, so that tables can be checked even if other names are invalid."""
    value = document.get("stack", list(_DEFAULT))
    if not isinstance(value, list):
        report.add(("stack",), "must be a list of names", 'write stack = ["route_select", "failover"]')
        return _DEFAULT
    named = [key for key, table in document.items() if key not in _SECTIONS and "use" in _table(table)]
    available = (*BUILT_IN, *(key for key in named if key not in BUILT_IN))
    names: list[str] = []
    for i, name in enumerate(cast("list[object]", value)):
        at = ("stack", i)
        if not isinstance(name, str):
            report.add(at, "must be the name of a middleware")
        elif name in names:
            report.add(at, f"{quoted(name)} is in the stack already")
        elif name in _SECTIONS:
            report.add(at, f"{quoted(name)} is not a middleware", suggestion(name, available))
        elif name in BUILT_IN or name in document:
            names.append(name)
        elif ":" in name:
            report.add(at, "not the name of a middleware", f"name a table that has use = {quoted(name)}")
        else:
            hint = (
                suggestion(name, available)
                if nearest(name, available)
                else f"your own needs a table with {_USE}"
            )
            report.add(at, f"there is no middleware {quoted(name)}", hint)
    _check_order(report, names, cast("list[object]", value))
    return tuple(names)


def _check_order(report: Report, names: list[str], written: list[object]) -> None:
    """Report built-in middlewares in the wrong order. `written` is the stack as it is in the file."""
    for i, name in enumerate(names):
        for outer in _ORDER[: _ORDER.index(name)] if name in _ORDER else ():
            if outer in names[i + 1 :]:
                message = f"{quoted(outer)} must stand before {quoted(name)}"
                report.add(("stack", written.index(outer)), message, "the outermost comes first")


def _check_use(report: Report, name: str, table: Mapping[str, Any]) -> None:
    """Report a `use` that is missing, invalid, or given for a built-in middleware."""
    if name in BUILT_IN:
        if "use" in table:
            report.add((name, "use"), f"{quoted(name)} is built in", "give your own middleware another name")
        return
    if "use" not in table:
        hint = suggestion(name, BUILT_IN) if nearest(name, BUILT_IN) else f"its table needs {_USE}"
        report.add((name,), f"{quoted(name)} is not built in", hint)
        return
    checks: tuple[tuple[Any, object, KeyPath], ...]
    checks = ((Name, name, (name,)), (ImportString, table["use"], (name, "use")))
    for annotation, value, at in checks:
        try:
            TypeAdapter[Any](annotation).validate_python(value, strict=True)
        except ValidationError as error:
            report.take(error, annotation, at, value)
