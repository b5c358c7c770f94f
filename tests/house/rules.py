"""The rules of the house, as functions from a file's text to what is wrong with it. No I/O.

Each function returns one line per break, empty when the rule holds, so that a rule can itself be tested on
a text that breaks it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Final

__all__ = [
    "LAYERS",
    "LONGEST_FILE",
    "banned_names",
    "imports",
    "layer_breaks",
    "leaks",
    "length_breaks",
    "lock_breaks",
    "mutable_globals",
    "room_of",
    "unexported",
    "untold_tests",
]

LAYERS: Final = (
    ("asgi", "errors", "upstream/http1"),
    ("dialects", "stores"),
    ("config",),
    ("bridge", "classify"),
    ("health", "keys"),
    ("exchange",),
    ("budget/metering", "http"),
    ("budget", "routing", "telemetry"),
    ("guardrails", "upstream"),
    ("middlewares", "ops"),
    ("snapshot",),
    ("gateway",),
    ("server",),
    ("rehearsal",),
    ("cli",),
)
"""The rooms, lowest first: a room imports itself and the layers before its own. Every room is in one."""

LONGEST_FILE: Final = 400
"""Lines. A longer file says in its module docstring: 'Longer than 400 lines because ...'."""

_RANKS: Final = MappingProxyType({room: rank for rank, layer in enumerate(LAYERS) for room in layer})
_DOORS: Final = MappingProxyType(
    {
        "proxy/__init__.py": ("proxy.gateway",),
        "middlewares/__init__.py": (
            "middlewares.auth",
            "middlewares.budget",
            "middlewares.failover",
            "middlewares.guardrails",
            "middlewares.route_select",
            "middlewares.trace",
        ),
    }
)
"""What people import, and where each of these packages has it from."""
_MUTABLE_DISPLAYS: Final = (ast.Dict, ast.DictComp, ast.List, ast.ListComp, ast.Set, ast.SetComp)
_MUTABLE_CALLS: Final = frozenset(
    {"Counter", "OrderedDict", "bytearray", "defaultdict", "deque", "dict", "list", "set"}
)
_REASON: Final = re.compile(rf"\b{LONGEST_FILE} lines because\b")
_LOCAL_PATH: Final = re.compile(r"(?<![\w.])/(?:home/\w|opt/wheels|root\b|tmp\b|work\b|Users/\w)")
_REGISTRY: Final = re.compile(
    r"\b(?:pypi\.org|(?:test\.)?pythonhosted\.org|npmjs\.(?:com|org)|crates\.io|proxy\.golang\.org"
    r"|repo1?\.maven\.|deb\.debian\.org)"
)


def imports(source: str, package: tuple[str, ...]) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Line and full name of everything of ours that is imported, also late or for types only.

    `package` is where the file stands, from "standby" on. `from .sse import Event` gives the name of Event,
    since only the reader of the tree knows what is a module.
    """
    for node in ast.walk(_tree(source)):
        if isinstance(node, ast.Import):
            names = [tuple(alias.name.split(".")) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = (*base, *(node.module.split(".") if node.module else ()))
            names = [(*module, alias.name) for alias in node.names]
        else:
            continue
        yield from ((node.lineno, name) for name in names if name[0] == "standby")


def room_of(name: Sequence[str]) -> str:
    """The room of a module or file, by the parts of its name from "proxy" or "middlewares" on."""
    folder, *rest = name
    if folder == "middlewares":
        return folder
    return next((room for end in (2, 1) if (room := "/".join(rest[:end])) in _RANKS), "".join(rest[:1]))


def layer_breaks(source: str, path: str) -> list[str]:
    """Imports against the direction. `path` is the file's, such as "proxy/dialects/base.py"."""
    parts = path.removesuffix(".py").split("/")
    found = imports(source, ("standby", *parts[:-1]))
    if (door := _DOORS.get(path)) is not None:
        return [
            f"{path}:{line}: this door opens to {' and '.join(door)} only"
            for line, name in found
            if ".".join(name[1:3]) not in door
        ]
    here = room_of(parts)
    if here not in _RANKS:
        return [f"{path}: {here} has no place in LAYERS"]
    breaks: list[str] = []
    for line, (_, *name) in found:
        room = room_of(name)
        if room not in _RANKS:
            breaks.append(f"{path}:{line}: {'.'.join(name[:2])} has no place in LAYERS")
        elif room == "middlewares" and name[:2] != ["middlewares", parts[1]]:
            breaks.append(f"{path}:{line}: {'.'.join(name[:2])} is imported by name only, in gateway.py")
        elif room != here and _RANKS[room] >= _RANKS[here]:
            breaks.append(f"{path}:{line}: {here} does not stand above {room} and may not import it")
    return breaks


def banned_names(source: str, path: str) -> list[str]:
    """BaseHTTPMiddleware, slow and deaf to hang-ups, and httpx, whose pool strands cancelled requests."""
    breaks = [
        f"{path}:{number}: BaseHTTPMiddleware"
        for number, line in enumerate(source.splitlines(), 1)
        if "BaseHTTPMiddleware" in line
    ]
    for node in ast.walk(_tree(source)):
        match node:
            case ast.Import(names=names, lineno=line):
                modules = [alias.name for alias in names]
            case ast.ImportFrom(module=str(module), level=0, lineno=line):
                modules = [module]
            case _:
                continue
        breaks += [f"{path}:{line}: import of {name}" for name in modules if name.split(".")[0] == "httpx"]
    return breaks


def unexported(source: str, path: str) -> list[str]:
    """A module without `__all__`, or one that is out of order or names what the module has not.

    The order is ruff's (RUF022): constants, classes, the rest. A module that binds nothing needs none.
    """
    tree = _tree(source)
    bound = frozenset(_bound(tree))
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id="__all__")], value=ast.expr() as value):
                names = [str(name) for name in ast.literal_eval(value)]
            case ast.AnnAssign(target=ast.Name(id="__all__"), value=ast.expr() as value):
                names = [str(name) for name in ast.literal_eval(value)]
            case _:
                continue
        breaks = [f"{path}: __all__ names {name}, which is not there" for name in names if name not in bound]
        if names != sorted(frozenset(names), key=_export_order):
            breaks.append(f"{path}: __all__ is not in order")
        return breaks
    return [f"{path}: no __all__"] if bound else []


def mutable_globals(source: str, path: str) -> list[str]:
    """Lists, dicts and sets in module globals, and `global`: state that every app in the process shares."""
    tree = _tree(source)
    breaks = [
        f"{path}:{node.lineno}: global {', '.join(node.names)}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Global)
    ]
    for node in _module_level(tree):
        if not isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign)) or node.value is None:
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        names = [target.id for target in targets if isinstance(target, ast.Name)]
        if names != ["__all__"] and _makes_mutable(node.value):
            breaks.append(f"{path}:{node.lineno}: {', '.join(names) or 'a global'} is mutable")
    return breaks


def length_breaks(source: str, path: str) -> list[str]:
    """A file past the limit whose module docstring does not say why."""
    lines = len(source.splitlines())
    if lines <= LONGEST_FILE or _REASON.search(" ".join((ast.get_docstring(_tree(source)) or "").split())):
        return []
    return [f"{path}: {lines} lines, and no reason given"]


def untold_tests(source: str, path: str) -> list[str]:
    """Test functions that do not say, in a docstring, which rule they state."""
    return [
        f"{path}:{node.lineno}: {node.name} has no docstring"
        for node in ast.walk(_tree(source))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and node.name.startswith("test")
        and not ast.get_docstring(node)
    ]


def leaks(text: str, path: str) -> list[str]:
    """Paths of somebody's machine and hosts of package registries, in any file."""
    return [
        f"{path}:{number}: {found[0]}"
        for number, line in enumerate(text.splitlines(), 1)
        for pattern in (_LOCAL_PATH, _REGISTRY)
        if (found := pattern.search(line))
    ]


def lock_breaks(text: str) -> list[str]:
    """Lines of a lock that say where to download from, and pins that lack a version or a hash."""
    breaks: list[str] = []
    for entry in re.sub(r"\\\n", " ", text).splitlines():
        pin = entry.strip()
        if not pin or pin.startswith("#"):
            continue
        if not re.match(r"[A-Za-z0-9_.-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", pin) or re.search(
            r"://| @ ", pin
        ):
            breaks.append(pin[:80])
    return breaks


@lru_cache(maxsize=1)
def _tree(source: str) -> ast.Module:
    """The tree of a file, kept until another is read: one rule after the other looks at it."""
    return ast.parse(source)


def _module_level(tree: ast.AST) -> Iterator[ast.stmt]:
    """Statements that run on import, also those inside `if`, `try`, `with` and loops."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.expr):
            continue
        if isinstance(node, ast.stmt):
            yield node
        if not isinstance(node, (ast.AsyncFunctionDef, ast.ClassDef, ast.FunctionDef)):
            yield from _module_level(node)


def _bound(tree: ast.Module) -> Iterator[str]:
    """Names that a module has once it is imported; dunders and `from __future__` do not count."""
    for node in _module_level(tree):
        match node:
            case ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name) | ast.FunctionDef(name=name):
                yield name
            case ast.Import(names=names) | ast.ImportFrom(names=names) if not _is_future(node):
                yield from (alias.asname or alias.name.split(".")[0] for alias in names)
            case ast.Assign() | ast.AnnAssign():
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                found = [
                    name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)
                ]
                yield from (name for name in found if not name.startswith("__"))
            case _:
                pass


def _is_future(node: ast.AST) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module == "__future__"


def _export_order(name: str) -> tuple[int, str]:
    if len(name) > 1 and name.isupper():
        return 0, name
    return (1 if name.lstrip("_")[:1].isupper() else 2), name


def _makes_mutable(value: ast.expr) -> bool:
    match value:
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
            return name in _MUTABLE_CALLS
        case ast.Call(func=ast.Subscript(value=ast.Name(id=name) | ast.Attribute(attr=name))):
            return name in _MUTABLE_CALLS
        case ast.BinOp(left=left, op=ast.BitAnd() | ast.BitOr() | ast.BitXor() | ast.Sub()):
            return _makes_mutable(left)  # a frozenset joined with a set stays frozen
        case ast.BinOp(left=left, right=right):
            return _makes_mutable(left) or _makes_mutable(right)
        case ast.IfExp(body=body, orelse=orelse):
            return _makes_mutable(body) or _makes_mutable(orelse)
        case ast.BoolOp(values=values) | ast.Tuple(elts=values):
            return any(_makes_mutable(each) for each in values)
        case ast.NamedExpr(value=inner):
            return _makes_mutable(inner)
        case _:
            return isinstance(value, _MUTABLE_DISPLAYS)
