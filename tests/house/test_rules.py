"""Each rule of the house, shown a text that breaks it and one that keeps it."""

from __future__ import annotations

import pytest

from tests.house import rules

__all__: list[str] = []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("proxy/classify/answer.py", "from ..exchange import Exchange"),
        ("proxy/http/gate.py", "from ..upstream import relay"),
        ("proxy/dialects/base.py", "from ..upstream.transports import Transports"),
        ("proxy/stores/store.py", "from ..dialects.base import Operation"),
        ("proxy/upstream/http1/pool.py", "from ..relay import Relay"),
        ("proxy/budget/metering/price_card.py", "from ..accounts import Accounts"),
        ("proxy/exchange.py", "if TYPE_CHECKING:\n    from .upstream.relay import Relay"),
        ("proxy/upstream/relay.py", "def late():\n    from standby.proxy.gateway import Gateway"),
        ("proxy/gateway.py", "from ..middlewares.failover import Failover"),
        ("proxy/gateway.py", "import standby.middlewares.failover"),
        ("middlewares/failover.py", "from .trace import Trace"),
        ("middlewares/failover.py", "from . import trace"),
        ("middlewares/failover.py", "from ..proxy.gateway import Gateway"),
        ("proxy/gateway.py", "from .cellar import Wine"),
        ("proxy/cellar.py", ""),
        ("proxy/__init__.py", "from .upstream.relay import Relay"),
        ("middlewares/__init__.py", "from ..proxy.exchange import Exchange"),
    ],
)
def test_an_import_against_the_direction_is_a_break(path: str, source: str) -> None:
    """Upward and sideways imports, middlewares that know each other and rooms without a place are found."""
    assert len(rules.layer_breaks(source, path)) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("proxy/upstream/relay.py", "import asyncio\nfrom ..dialects import sse\nfrom .call import Call"),
        ("proxy/upstream/transports.py", "from .http1.pool import Pool"),
        ("proxy/budget/estimate.py", "from .metering.price_card import Quote"),
        ("proxy/dialects/openai_chat.py", "from .usage import Usage\nfrom ..errors import Refusal"),
        ("proxy/exchange.py", "if TYPE_CHECKING:\n    from .keys.principal import Principal"),
        ("proxy/gateway.py", "import_module('standby.middlewares.failover')"),
        ("middlewares/failover.py", "from ..proxy.http.gate import Gate"),
        ("middlewares/guardrails/rules.py", "from .pack import Pack"),
        ("proxy/__init__.py", "if TYPE_CHECKING:\n    from .gateway import Gateway"),
        ("middlewares/__init__.py", "def __getattr__(name):\n    from .auth import Auth"),
    ],
)
def test_an_import_along_the_direction_is_none(path: str, source: str) -> None:
    """Imports downwards and within a room are allowed."""
    assert rules.layer_breaks(source, path) == []


@pytest.mark.parametrize(
    "source",
    [
        "from starlette.middleware.base import BaseHTTPMiddleware",
        "class Slow(base.BaseHTTPMiddleware): ...",
        "import httpx",
        "import httpx as http",
        "from httpx import Response",
        "def late():\n    import httpx._client",
    ],
)
def test_a_banned_name_is_a_break(source: str) -> None:
    """BaseHTTPMiddleware and plain httpx are found wherever they stand."""
    assert len(rules.banned_names(source, "a.py")) == 1


def test_httpx2_is_not_banned() -> None:
    """The maintained client may be imported, under any alias."""
    assert rules.banned_names("import httpx2 as httpx\nfrom httpx2 import Response\nhttpx.URL", "a.py") == []


@pytest.mark.parametrize(
    "source",
    [
        "class Gate: ...",
        "__all__ = ['gate']\nclass Gate: ...",
        "__all__ = ['Gate', 'Body']\nclass Gate: ...\nclass Body: ...",
        "__all__ = ['Gate', 'Gate']\nclass Gate: ...",
        "__all__ = ['Gate', 'MAX']\nclass Gate: ...\nMAX: Final = 1",
    ],
)
def test_an_unsaid_or_untidy_export_is_a_break(source: str) -> None:
    """A module that has names has an `__all__`, in order, without doubles, of names it has."""
    assert len(rules.unexported(source, "a.py")) == 1


@pytest.mark.parametrize(
    "source",
    [
        '"""Only words."""',
        "__all__: list[str] = []\nx = 1",
        "__all__ = ['MAX', 'Gate', 'hold']\nMAX: Final = 1\nclass Gate: ...\nif True:\n    def hold(): ...",
        "__all__ = ('Gate', 'gate')\nfrom .gate import Gate\nimport gate.inner",
    ],
)
def test_a_tidy_export_is_none(source: str) -> None:
    """A list or a tuple, constants first and classes before functions, passes."""
    assert rules.unexported(source, "a.py") == []


@pytest.mark.parametrize(
    "source",
    [
        "SEEN = []",
        "SEEN: Final = {}",
        "SEEN = {1, 2}",
        "SEEN = [n for n in range(3)]",
        "SEEN = dict(a=1)",
        "SEEN = collections.defaultdict(list)",
        "SEEN = deque[int]()",
        "SEEN = [1] + [2]",
        "SEEN = {1} | other",
        "A, B = [], 1",
        "if True:\n    SEEN = set()",
        "try:\n    pass\nexcept OSError:\n    SEEN = []",
        "def note():\n    global seen",
    ],
)
def test_a_mutable_global_is_a_break(source: str) -> None:
    """Lists, dicts and sets at module level are found however they are made, and so is `global`."""
    assert len(rules.mutable_globals(source, "a.py")) == 1


def test_constants_and_locals_are_no_mutable_globals() -> None:
    """Frozen tables, `__all__`, fields and local variables pass."""
    source = """
__all__ = ["CODES"]
CODES: Final = MappingProxyType({"a": [1]})
WORDS: Final = frozenset({"a"})
MORE: Final = WORDS | {"b"}
NAMES = tuple(name for name in ["a"])
later: list[int]
class Body:
    chunks: list[bytes] = field(default_factory=list)
def read():
    chunks = []
"""
    assert rules.mutable_globals(source, "a.py") == []


def test_a_long_file_gives_its_reason() -> None:
    """A file past the limit passes only if its module docstring says why."""
    lines = "\n" * rules.LONGEST_FILE
    reason = '"""One table.\n\nLonger than 400 lines\nbecause a table is read whole."""'

    assert rules.length_breaks(f"x = 1{lines}", "a.py") == []
    assert rules.length_breaks(f"x = 1\n{lines}x = 2", "a.py") == ["a.py: 402 lines, and no reason given"]
    assert rules.length_breaks(f"{reason}\n{lines}x = 2", "a.py") == []


def test_a_test_says_its_rule() -> None:
    """A test without a docstring is a break, in a class as well; other functions need none."""
    source = "def test_a(): ...\nclass TestB:\n    async def test_c(self): ...\ndef start(): ..."
    untold = ["a.py:1: test_a has no docstring", "a.py:3: test_c has no docstring"]

    assert rules.untold_tests(source, "a.py") == untold
    assert rules.untold_tests('def test_a():\n    """It holds."""', "a.py") == []


@pytest.mark.parametrize(
    "parts",
    [
        ("", "tmp", "routes.toml"),
        ("", "work", "main"),
        ("file:", "root"),
        ("", "home", "ada", "keys"),
        ("", "Users", "ada"),
        ("", "opt", "wheels"),
        ("https:", "", "pypi{dot}org", "simple"),
    ],
)
def test_a_machine_or_a_registry_is_a_leak(parts: tuple[str, ...]) -> None:
    """Files name no path of the machine they were made on and no host that packages come from."""
    assert len(rules.leaks("/".join(parts).format(dot="."), "a.py")) == 1


@pytest.mark.parametrize(
    "text",
    ["/v1/messages", "./work", "net/work", "/workers", "https://example.com/root", "http://127.0.0.1:8080/"],
)
def test_other_paths_are_no_leak(text: str) -> None:
    """Routes, relative paths and other people's addresses pass."""
    assert rules.leaks(text, "a.py") == []


@pytest.mark.parametrize(
    "line",
    [
        "--index" + "-url https://example.com/simple",
        "--find-links wheels",
        "starlette>=1.0",
        "starlette==1.0",
        "starlette @ https://example.com/starlette.whl --hash=sha256:" + "0" * 64,
        "-e .",
    ],
)
def test_a_lock_that_is_no_lock_is_a_break(line: str) -> None:
    """A lock holds exact versions with hashes and nothing about where they come from."""
    assert rules.lock_breaks(line) == [line[:80]]


def test_a_pin_with_hashes_is_a_lock() -> None:
    """An exact version with its hashes, over several lines, with a comment, passes."""
    digest = "--hash=sha256:" + "0" * 64
    assert (
        rules.lock_breaks(f"# made\n\nuvloop==0.23.0 \\\n    {digest} \\\n    {digest}\n    # via standby\n")
        == []
    )
