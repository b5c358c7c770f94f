"""Tests of the problems that a `routes.toml` can have: their place, message and hint."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standby.proxy.config import Target, nearest
from standby.proxy.config.report import dotted

from .documents import ROUTES, problems_in

__all__: list[str] = []

OPENAI: Final = "[providers.openai]"
MAIN: Final = "[targets.main]"
SUPPORT: Final = "[pools.support]"
PREFER: Final = 'prefer = ["main"]'
SERVES: Final = 'serves = ["support", "gpt-4.1"]'

TOP: Final = (
    "stack, store, providers, targets, pools, organisations, teams, users, keys, hygiene, "
    "admin, alerts, decisions, route_select, failover"
)
CAUSES: Final = '"outage", "slow", "rate_limited", "budget", "context", "refused", "truncated"'
NAME: Final = "a name is 1 to 64 of A-Z a-z 0-9 . _ - and begins with a letter or digit"
USE: Final = 'use key = "env:NAME"'
ONE: Final = "a name leads to one pool"
TWICE: Final = "is in this pool already; name each target once"


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        # what people write instead
        (
            PREFER,
            f"{PREFER}\ntimeouts = {{ first_token = 8s }}",
            '26: first_token: a duration or size is text; did you mean first_token = "8s"?',
        ),
        (PREFER, 'prefer = "main"', '25: pools.support.prefer: must be a list; write prefer = ["main"]'),
        (
            SUPPORT,
            f"{SUPPORT}\n{PREFER}\n{SUPPORT}",
            "25: [pools.support] is in the file twice; write each table once",
        ),
        (
            'base_url = "https://openai.example/v1"',
            'base_url = "https://openai.example/v1/chat/completions/"',
            "3: providers.openai.base_url: ends in the path of an operation; leave /chat/completions out",
        ),
        # unknown keys, each with the nearest valid one
        (
            SUPPORT,
            f"{SUPPORT}\ntimouts = {{}}",
            '24: pools.support.timouts: unknown key; did you mean "timeouts"?',
        ),
        (MAIN, f"{MAIN}\nModel = 1", '12: targets.main.Model: unknown key; did you mean "model"?'),
        (
            MAIN,
            f"{MAIN}\ncost = {{}}",
            f"12: targets.main.cost: unknown key; known: {', '.join(list(Target.model_fields)[1:])}",
        ),
        (
            PREFER,
            f'{PREFER}\ntimeouts = {{ first_tokn = "8s" }}',
            '26: pools.support.timeouts.first_tokn: unknown key; did you mean "first_token"?',
        ),
        (
            'for = ["outage", "slow"]',
            'for = ["outage"], causes = ["slow"]',
            "26: pools.support.alternates[0].causes: unknown key; known: target, for",
        ),
        (
            MAIN,
            f'{MAIN}\nname = "x"',
            "12: targets.main.name: unknown key; the name stands in [targets.NAME]",
        ),
        (OPENAI, f"[provider.x]\n{OPENAI}", '1: provider: unknown key; did you mean "providers"?'),
        (OPENAI, f"stacks = 1\n{OPENAI}", '1: stacks: unknown key; did you mean "stack"?'),
        (
            OPENAI,
            f"[guests]\n{OPENAI}",
            f"1: guests: unknown key; known: {TOP}",
        ),
        # unknown names
        (
            PREFER,
            'prefer = ["mian"]',
            '25: pools.support.prefer[0]: there is no target "mian"; did you mean "main"?',
        ),
        (
            PREFER,
            'prefer = [\n  "main",\n  "qqq",\n]',
            '27: pools.support.prefer[1]: there is no target "qqq"; known: main, small, claude',
        ),
        (
            'target = "small"',
            'target = "smal"',
            '26: pools.support.alternates[0].target: there is no target "smal"; did you mean "small"?',
        ),
        (
            f'{MAIN}\nprovider = "openai"',
            f'{MAIN}\nprovider = "opneai"',
            '12: targets.main.provider: there is no provider "opneai"; did you mean "openai"?',
        ),
        # what must be given
        (PREFER, "", "23: pools.support.prefer: required, but not given"),
        (PREFER, "prefer = []", "25: pools.support.prefer: must not be empty"),
        (SERVES, "serves = []", "24: pools.support.serves: must not be empty"),
        ('for = ["outage", "slow"]', "for = []", "26: pools.support.alternates[0].for: must not be empty"),
        (', for = ["outage", "slow"]', "", "26: pools.support.alternates[0].for: required, but not given"),
        ('dialect = "openai"\n', "", "1: providers.openai.dialect: required, but not given"),
        # choices
        (
            'dialect = "openai"',
            'dialect = "OpenAI"',
            '2: providers.openai.dialect: must be one of "openai", "anthropic"; did you mean "openai"?',
        ),
        (
            '"outage", "slow"',
            '"slo"',
            f'26: pools.support.alternates[0].for[0]: must be one of {CAUSES}; did you mean "slow"?',
        ),
        # types are not converted
        (MAIN, f'{MAIN}\nconnections = "5"', "12: targets.main.connections: must be a whole number"),
        (MAIN, f"{MAIN}\nconnections = 5.0", "12: targets.main.connections: must be a whole number"),
        (MAIN, f"{MAIN}\nconnections = true", "12: targets.main.connections: must be a whole number"),
        (MAIN, f"{MAIN}\nconnections = 2020-01-01", "12: targets.main.connections: must be a whole number"),
        (OPENAI, f"{OPENAI}\ninsecure = 1", "2: providers.openai.insecure: must be true or false"),
        (OPENAI, f"{OPENAI}\nregion = 2020-01-01", "2: providers.openai.region: must be text"),
        (OPENAI, f"{OPENAI}\nheaders = []", "2: providers.openai.headers: must be a table"),
        (PREFER, "prefer = [1]", "25: pools.support.prefer[0]: must be the name of a target"),
        (PREFER, f'{PREFER}\ntimeouts = "8s"', "26: pools.support.timeouts: must be a table"),
        (SERVES, "serves = [1]", "24: pools.support.serves[0]: must be text"),
        (MAIN, f"[targets]\nspare = 1\n{MAIN}", "12: targets.spare: must be a table; write [targets.NAME]"),
        # ranges
        (MAIN, f"{MAIN}\nconnections = 0", "12: targets.main.connections: must be at least 1"),
        (MAIN, f"{MAIN}\nconnections = 10_001", "12: targets.main.connections: must be at most 10000"),
        (MAIN, f"{MAIN}\ncontext = 0", "12: targets.main.context: must be more than 0"),
        (
            PREFER,
            f"{PREFER}\ntimeouts = {{ first_token = 8 }}",
            '26: pools.support.timeouts.first_token: a duration is text with a unit; did you mean "8s"?',
        ),
        (
            PREFER,
            f'{PREFER}\ntimeouts.stall = "0s"',
            "26: pools.support.timeouts.stall: a duration must be more than zero",
        ),
        # names
        (
            SUPPORT,
            '[pools."the support"]',
            f'23: pools."the support": {NAME}',
        ),
        (
            SERVES,
            'serves = ["gpt 4"]',
            "24: pools.support.serves[0]: a model name is 1 to 256 printable ASCII characters without spaces",
        ),
        (
            OPENAI,
            f'{OPENAI}\ntransport = "lean"',
            '2: providers.openai.transport: not an import string; write "package.module:attribute"',
        ),
        (
            OPENAI,
            f'{OPENAI}\nvendor = "grok"',
            '2: providers.openai.vendor: there is no vendor "grok"; did you mean "groq"?',
        ),
        (
            OPENAI,
            f'{OPENAI}\nquery = {{ key = "123" }}',
            f"2: providers.openai.query.key: a credential is not part of a URL, which is logged; {USE}",
        ),
        # what must agree
        (
            SERVES,
            'serves = ["a", "b", "a"]',
            '24: pools.support.serves[2]: "a" is served by this pool already',
        ),
        (
            PREFER,
            'prefer = ["main", "main"]',
            f'25: pools.support.prefer[1]: target "main" {TWICE}',
        ),
        (
            PREFER,
            'prefer = ["main", "small"]',
            f'26: pools.support.alternates[0].target: target "small" {TWICE}',
        ),
        (
            SUPPORT,
            f'[pools.other]\nserves = ["other", "gpt-4.1"]\nprefer = ["small"]\n{SUPPORT}',
            f'27: pools.support.serves[1]: "gpt-4.1" is served by pools "other" and "support"; {ONE}',
        ),
        (
            SUPPORT,
            f'[pools."gpt-4.1"]\nprefer = ["main"]\n{SUPPORT}',
            f'26: pools.support.serves[1]: "gpt-4.1" is served by pools "gpt-4.1" and "support"; {ONE}',
        ),
        (
            'alternates = [{ target = "small", for = ["outage", "slow"] }]',
            '[pools."gpt-4.1"]\nprefer = ["main"]',
            f'26: pools."gpt-4.1": "gpt-4.1" is served by pools "support" and "gpt-4.1"; {ONE}',
        ),
    ],
)
def test_a_mistake_is_told_with_its_line_and_key(old: str, new: str, problem: str) -> None:
    """One mistake gives one problem, with its place, its message and a hint."""
    assert ROUTES.count(old) >= 1
    assert problems_in(ROUTES.replace(old, new, 1)) == [f"routes.toml:{problem}"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a = [", "1: not TOML: invalid value, at the end of the file"),
        ("a = 1\n\nb = [1,\n", "3: not TOML: invalid value, at the end of the file"),
        ("a = 1\nb\n", "2: not TOML: expected '=' after a key in a key/value pair, at column 2"),
        ("a = 1\na = 2\n", "2: not TOML: cannot overwrite a value, at column 6"),
        ("[a]\nx = 1\n[a]\n", "3: [a] is in the file twice; write each table once"),
        ("a = 1 # \x00\n", "1: not TOML: found invalid character '\\x00', at column 9"),
    ],
)
def test_a_text_that_is_no_toml_is_told_with_its_line(text: str, problem: str) -> None:
    """A syntax error is the only problem reported, since nothing else can be checked."""
    [reported] = problems_in(text)
    assert reported.startswith("routes.toml:")
    assert reported.split(",")[0] == f"routes.toml:{problem}".split(",", maxsplit=1)[0]
    assert reported.endswith(problem.rpartition(",")[2])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a = " + "[" * 5000, "routes.toml: nested too deeply"),
        ("a = " + "9" * 5000, "routes.toml: not TOML: a number is too large"),
    ],
)
def test_an_absurd_text_is_refused(text: str, problem: str) -> None:
    """Text that the TOML parser cannot handle raises a ConfigError like any other problem."""
    assert problems_in(text) == [problem]


def test_all_problems_come_at_once_in_file_order() -> None:
    """All problems are reported at once, without those that only result from an invalid table."""
    text = """\
stack = ["failovr"]
[pools.a]
prefer = ["x"]
balnce = 1
[targets.x]
provider = "p"
model = 1
[providers.p]
dialect = "openai"
base_url = "ftp://p"
"""
    assert [problem.split(": ")[:2] for problem in problems_in(text)] == [
        ["routes.toml:1", "stack[0]"],
        ["routes.toml:4", "pools.a.balnce"],
        ["routes.toml:7", "targets.x.model"],
        ["routes.toml:10", "providers.p.base_url"],
    ]


@pytest.mark.parametrize("text", ["", "[pools]\n", 'stack = ["failover"]\n'])
def test_there_is_a_pool(text: str) -> None:
    """A file without a pool is invalid."""
    [problem] = problems_in(text)
    assert problem.endswith("pools: there must be at least one pool; write [pools.NAME]")


@pytest.mark.parametrize("section", ["providers", "targets", "pools"])
def test_a_section_is_a_table(section: str) -> None:
    """Providers, targets and pools are tables of tables."""
    assert f"routes.toml:1: {section}: must be a table; write [{section}.NAME]" in problems_in(
        f"{section} = 1"
    )


@pytest.mark.parametrize(
    ("word", "choices", "expected"),
    [
        ("timouts", ["timeouts", "targets"], "timeouts"),
        ("TIMEOUTS", ["timeouts"], "timeouts"),
        ("Main", ["main", "main-eu"], "main"),
        ("zzz", ["timeouts"], None),
        ("a", [], None),
    ],
)
def test_the_nearest_name_is_the_one_most_alike(word: str, choices: list[str], expected: str | None) -> None:
    """Names are compared without case, and there is no suggestion without choices."""
    assert nearest(word, choices) == expected


def test_a_value_nested_absurdly_is_refused() -> None:
    """Values that the TOML parser accepts and the validation does not raise a ConfigError like any other."""
    deep = "[" * 250 + "]" * 250
    assert problems_in(ROUTES.replace(PREFER, f"{PREFER}\ntimeouts = {deep}"))[0].startswith(
        "routes.toml:23: pools.support"
    )


SECTIONS: Final = ("providers.p", "targets.t", "pools.s", "pools.s.timeouts", "failover", "hygiene", "odd")
KEYS: Final = (
    *(
        "dialect",
        "base_url",
        "key",
        "headers",
        "insecure",
        "provider",
        "model",
        "context",
        "connections",
        "name",
    ),
    *("serves", "prefer", "alternates", "timeouts", "total", "use", "max_attempts", "x"),
)
SCALARS: Final = (
    "1",
    "1.5",
    "inf",
    "true",
    "2020-01-01",
    '""',
    '"8s"',
    '"openai"',
    '"t"',
    '"p"',
    '"https://a"',
)
VALUES: Final = st.recursive(
    st.sampled_from(SCALARS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda values: f"[{', '.join(values)}]"),
        st.dictionaries(st.sampled_from(("target", "for", "x", "first_token")), inner, max_size=2).map(
            lambda table: f"{{ {', '.join(f'{key} = {value}' for key, value in table.items())} }}"
        ),
    ),
    max_leaves=4,
)
TABLES: Final = st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=6)


@given(
    st.dictionaries(st.sampled_from(("stack", "providers", "odd")), VALUES, max_size=1),
    st.dictionaries(st.sampled_from(SECTIONS), TABLES, max_size=6),
)
def test_any_document_is_loaded_or_refused(top: dict[str, str], sections: dict[str, dict[str, str]]) -> None:
    """For any document, the only error is a ConfigError, each problem with its file and key."""
    text = "".join(f"{key} = {value}\n" for key, value in top.items())
    for name, table in sections.items():
        text += f"[{name}]\n" + "".join(f"{key} = {value}\n" for key, value in table.items())
    for problem in problems_in(text):
        assert problem.startswith("routes.toml:")
        assert "Input should" not in problem


def test_a_key_is_written_as_toml_has_it() -> None:
    """Names with dots or spaces are in quotes, positions in brackets, control characters escaped."""
    assert dotted(("pools", "gpt-4.1", "prefer", 0)) == 'pools."gpt-4.1".prefer[0]'
    assert dotted(("a\x1b[2J",)) == '"a\\u001b[2J"'
