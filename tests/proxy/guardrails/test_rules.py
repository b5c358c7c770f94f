"""What can be wrong with the rules of `[guardrails]`, and how it is told: place, message and hint."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import pytest
from standby.middlewares.guardrails import Guardrails
from standby.proxy.config import parse_routes
from standby.proxy.errors import ConfigError
from standby.proxy.gateway import Gateway
from standby.proxy.guardrails import rule_book

__all__ = ["place"]

pytestmark = pytest.mark.usefixtures("place")

ROUTES: Final = """\
stack = ["auth", "guardrails", "failover"]
[providers.own]
dialect = "openai"
base_url = "http://127.0.0.1:9/v1"
region = "eu"
trust = "internal"
[targets.main]
provider = "own"
model = "m"
[pools.support]
prefer = ["main"]
[organisations.acme]
[teams.web]
organisation = "acme"
[users.ann]
team = "web"
[guardrails]
rules = [
  { kind = "links", name = "right", deny = ["example.com"] },
"""
"""Lines 1 to 19. Below them stands the second rule, of which the file's line is 20."""

ENVIRON: Final = MappingProxyType(
    {
        "PLAIN": "http://guard.example/check",
        "NO_SCHEME": "guard.example/check",
        "LOOPBACK": "http://127.0.0.1:8000/check",
        "TLS": "https://guard.example/check",
    }
)
FILES: Final = MappingProxyType(
    {"answer.json": "{}", "none.json": '{"type": "nothing"}', "far.json": '{"$ref": "http://localhost/x"}'}
)

ACTIONS: Final = 'write "block" or "observe"'
BOUNDS: Final = "write { most = 1.0 } or { denied = true }"
HOST: Final = 'write "example.com", or "*.example.com"'
IMPORT: Final = 'write "package.module:function"'
NAMES: Final = 'write "!eu" for all but "eu"'
PYTHON: Final = "write it as Python's re reads it too: without \\p, \\C, [[:classes:]], {,n}"
SCHEMA: Final = 'not the place of a schema; write "request" or "file:path"'
TOO_LONG: Final = (
    "can match more than 1024 characters, the most that is held back of a stream; "
    'bound its repetitions, as "{0,200}" for "*", or raise [guardrails] hold'
)
TLS: Final = (
    "plain http would show texts to the network; "
    "use https, or set insecure = true if the network between is yours"
)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with files of schemas, and an environment with addresses of webhooks."""
    for name, value in ENVIRON.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    for name, text in FILES.items():
        Path(name).write_text(text, encoding="utf-8")


def built(*rules: str, more: str = "") -> Gateway:
    """The gateway with these rules, each the inside of a table, after the one that is right."""
    listed = "".join(f"  {{ {rule} }},\n" for rule in rules)
    return Gateway(parse_routes(f"{ROUTES}{listed}]\n{more}", environ={}))


def problems(*rules: str, more: str = "") -> list[str]:
    """Everything that is wrong with a configuration with these rules."""
    with pytest.raises(ConfigError) as caught:
        built(*rules, more=more)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        # keys and kinds
        ('kind = "secrets", threshold = 0.5', '.threshold: not a key of "secrets"; it is one of injection'),
        (
            'kind = "injection", find = ["email"]',
            '.find: not a key of "injection"; it is one of secrets, personal_data',
        ),
        (
            'kind = "secrets", retsore = true',
            '.retsore: unknown key; did you mean "restore"?',
        ),
        (
            'kind = "secret"',
            (
                '.kind: must be one of "secrets", "personal_data", "patterns", "words", "injection", '
                '"limits", "links", "schema", "webhook", "callable"; did you mean "secrets"?'
            ),
        ),
        ('name = "x"', ".kind: required, but not given"),
        ('kind = "patterns"', ': "patterns" needs patterns'),
        ('kind = "words"', ': "words" needs words or topics'),
        (
            'kind = "limits"',
            (
                ': "limits" needs max_input_tokens or max_output_tokens or max_messages or tools or '
                "deny_tools or parameters"
            ),
        ),
        ('kind = "links", images_only = true', ': "links" needs allow or deny'),
        ('kind = "webhook"', ': "webhook" needs url'),
        ('kind = "callable"', ': "callable" needs use'),
        # what a kind cannot do
        ('kind = "injection", action = "redact"', f'.action: "injection" has nothing to redact; {ACTIONS}'),
        (
            'kind = "limits", max_messages = 5, action = "redact"',
            f'.action: "limits" has nothing to redact; {ACTIONS}',
        ),
        ('kind = "schema", action = "redact"', f'.action: "schema" has nothing to redact; {ACTIONS}'),
        (
            'kind = "words", topics = { tax = ["a", "b"] }, action = "redact"',
            f".action: a topic cannot be redacted; {ACTIONS}",
        ),
        ('kind = "injection", on = "both"', '.on: "injection" reads a request only; write on = "request"'),
        (
            'kind = "limits", max_messages = 5, on = "response"',
            '.on: "limits" reads a request only; write on = "request"',
        ),
        ('kind = "schema", on = "request"', '.on: "schema" reads a response only; write on = "response"'),
        ('kind = "secrets", restore = true', ".restore: only what a request had redacted can be restored"),
        (
            'kind = "secrets", action = "redact", on = "response", restore = true',
            ".restore: only what a request had redacted can be restored",
        ),
        # codes and countries
        (
            'kind = "secrets", find = ["openai_kee"]',
            '.find[0]: there is no code "openai_kee"; did you mean "openai_key"?',
        ),
        (
            'kind = "personal_data", find = ["email", "crad"]',
            '.find[1]: there is no code "crad"; did you mean "card"?',
        ),
        (
            'kind = "personal_data", find = ["us_ssn"]',
            '.find[0]: needs the country "us"; write countries = ["us"]',
        ),
        (
            'kind = "personal_data", countries = ["us", "xx"]',
            '.countries[1]: no numbers of "xx" are known; known: br, de, es, fr, gb, in, it, nl, pl, us',
        ),
        # patterns
        ('kind = "patterns", patterns = ["(a"]', ".patterns[0]: not a pattern of RE2: missing ): (a"),
        (
            'kind = "patterns", patterns = ["a(?=b)"]',
            ".patterns[0]: not a pattern of RE2: invalid perl operator: (?=",
        ),
        (
            r'kind = "patterns", patterns = ["ok", "(a)\\1"]',
            r".patterns[1]: not a pattern of RE2: invalid escape sequence: \1",
        ),
        ('kind = "patterns", patterns = ["a*"]', ".patterns[0]: matches an empty text"),
        (
            'kind = "patterns", patterns = ["(a)(b)"]',
            ".patterns[0]: has more than one group; write (?:...) for those that find nothing",
        ),
        ('kind = "patterns", patterns = []', ".patterns: must not be empty"),
        ('kind = "patterns", patterns = ["a.*"], on = "response"', f".patterns[0]: {TOO_LONG}"),
        (
            'kind = "patterns", patterns = ["ok", "a.{0,999}b.{0,99}"], on = "both"',
            f".patterns[1]: {TOO_LONG}",
        ),
        (
            r'kind = "patterns", patterns = ["\\pL+"], on = "response"',
            rf".patterns[0]: cannot be used here: bad escape \p at position 0; {PYTHON}",
        ),
        (
            'kind = "patterns", patterns = ["[[:alpha:]]x"], on = "both"',
            f".patterns[0]: cannot be used here: Possible nested set at position 1; {PYTHON}",
        ),
        (
            'kind = "patterns", patterns = ["a{,3}b"], on = "response"',
            f".patterns[0]: cannot be used here: {{,n}} has two meanings; {PYTHON}",
        ),
        # names of other tables
        (
            'kind = "secrets", pools = ["suport"]',
            '.pools[0]: there is no pool "suport"; did you mean "support"?',
        ),
        ('kind = "secrets", teams = ["webb"]', '.teams[0]: there is no team "webb"; did you mean "web"?'),
        ('kind = "secrets", users = ["bob"]', '.users[0]: there is no user "bob"; known: ann'),
        (
            'kind = "secrets", organisations = ["acm"]',
            '.organisations[0]: there is no organisation "acm"; did you mean "acme"?',
        ),
        (
            'kind = "secrets", when = { region = "us" }',
            '.when.region[0]: no provider is in region "us"; known: eu',
        ),
        (
            'kind = "secrets", when = { provider = "!owm" }',
            '.when.provider[0]: there is no provider "owm"; known: own',
        ),
        (
            'kind = "secrets", when = { trust = ["internal", "vendor"] }',
            '.when.trust[1]: no provider has trust "vendor"; known: internal',
        ),
        (
            'kind = "secrets", when = { region = ["!eu", "eu"] }',
            '.when.region: has names with and without "!"; those without leave out all others anyway',
        ),
        (
            'kind = "secrets", when = { region = [] }',
            f".when.region: must be a name, or a list of names; {NAMES}",
        ),
        ('kind = "secrets", when = {}', '.when: must not be empty; write when = { region = "!eu" }'),
        ('kind = "secrets", keys = []', ".keys: must not be empty"),
        # hosts, words, topics, bounds
        ('kind = "links", allow = ["https://example.com/x"]', f".allow[0]: not a host; {HOST}"),
        ('kind = "links", deny = ["example.com", "*.*.example"]', f".deny[1]: not a host; {HOST}"),
        (r'kind = "words", words = ["ok", "\u200b\u00ad"]', ".words[1]: has no character that shows"),
        (
            r'kind = "words", topics = { tax = ["a", "\u0301"] }',
            ".topics.tax[1]: has no character that shows",
        ),
        ('kind = "words", topics = {}', ".topics: must not be empty"),
        (
            'kind = "words", topics = { tax = ["deduction"] }',
            ".topics.tax: has fewer different words than the 2 that must occur; name more, or lower at_least",
        ),
        (
            'kind = "words", topics = { tax = ["a", "b"] }, at_least = 3',
            ".topics.tax: has fewer different words than the 3 that must occur; name more, or lower at_least",
        ),
        (
            'kind = "limits", parameters = { temperature = {} }',
            f".parameters.temperature: must not be empty; {BOUNDS}",
        ),
        (
            'kind = "limits", parameters = { temperature = { least = 2.0, most = 1.0 } }',
            ".parameters.temperature: least is more than most",
        ),
        ('kind = "limits", parameters = {}', ".parameters: must not be empty"),
        ('kind = "limits", max_messages = 0', ".max_messages: must be more than 0"),
        ('kind = "injection", threshold = 4', ".threshold: must be at most 3.0"),
        # what is elsewhere
        (
            'kind = "webhook", url = "https://guard.example"',
            '.url: a secret is never a literal; write "env:NAME" or "file:path"',
        ),
        ('kind = "webhook", url = "env:NO"', ".url: environment variable NO is not set"),
        ('kind = "webhook", url = "env:PLAIN"', f".url: {TLS}"),
        (
            'kind = "callable", use = "acme_nowhere:check"',
            f".use: cannot be imported: No module named 'acme_nowhere'; {IMPORT}",
        ),
        (
            'kind = "callable", use = "json:nothing"',
            f".use: cannot be imported: module 'json' has no attribute 'nothing'; {IMPORT}",
        ),
        (
            'kind = "callable", use = "json"',
            '.use: not an import string; write "package.module:attribute"',
        ),
        ('kind = "callable", use = "string:digits"', ".use: cannot be called"),
        ('kind = "schema", json_schema = "answer.json"', f".json_schema: {SCHEMA}"),
        ('kind = "schema", json_schema = "file:"', f".json_schema: {SCHEMA}"),
        (
            'kind = "schema", json_schema = "file:missing.json"',
            ".json_schema: file missing.json: No such file or directory",
        ),
        (
            'kind = "schema", json_schema = "file:none.json"',
            (
                '.json_schema: not a JSON Schema: "nothing" is not valid under any of the schemas listed in '
                "the 'anyOf' keyword"
            ),
        ),
        (
            'kind = "schema", json_schema = "file:far.json"',
            (
                ".json_schema: not a JSON Schema: Resource 'http://localhost/x' is not present in a registry "
                "and retrieving it failed: ValueError: http://localhost/x is not fetched"
            ),
        ),
    ],
)
def test_what_is_wrong_is_told(rule: str, problem: str) -> None:
    """A wrong rule gives one error, with file, line, key, message and hint."""
    assert problems(rule) == [f"routes.toml:20: guardrails.rules[1]{problem}"]


def test_everything_wrong_is_told_at_once() -> None:
    """Several wrong rules give one error each, in the order of the file, each at its own line."""
    words = 'kind = "words", words = [\n    "ok",\n    "\\u200b",\n  ]'
    assert problems('kind = "callable"', words, 'kind = "schema", on = "both"', more="holdd = 5\n") == [
        'routes.toml:20: guardrails.rules[1]: "callable" needs use',
        "routes.toml:23: guardrails.rules[2].words[1]: has no character that shows",
        'routes.toml:25: guardrails.rules[3].on: "schema" reads a response only; write on = "response"',
        'routes.toml:27: guardrails.holdd: unknown key; did you mean "hold"?',
    ]


def test_names_are_told_apart() -> None:
    """Two rules of one name are refused, given or by default; two of one kind with names are not."""
    twice = 'there is more than one rule of the name "{}"; give each a name of its own'
    assert problems('kind = "secrets"', 'kind = "secrets"') == [
        f"routes.toml:20: guardrails.rules[1]: {twice.format('secrets')}"
    ]
    assert problems('kind = "secrets", name = "right"') == [
        f"routes.toml:19: guardrails.rules[0]: {twice.format('right')}"
    ]
    built('kind = "secrets"', 'kind = "secrets", name = "more"')


def test_what_is_held_can_be_raised() -> None:
    """A longer match on answers is allowed with a longer `hold`; on requests there is no such limit."""
    pattern = 'kind = "patterns", patterns = ["a.{0,999}b.{0,99}"]'
    built(pattern)
    built(f'{pattern}, on = "response"', more="hold = 1100\n")
    assert len(problems(f'{pattern}, on = "response"', more="hold = 1099\n")) == 1


@pytest.mark.parametrize(
    ("missing", "problem"),
    [
        ("re2", 'guardrails.rules[0].kind: "links" needs google-re2'),
        ("phonenumbers", 'guardrails.rules[1].kind: "personal_data" needs phonenumbers'),
    ],
)
def test_a_missing_package_is_told(monkeypatch: pytest.MonkeyPatch, missing: str, problem: str) -> None:
    """Without the extra, the error names the packages that a rule of this kind needs, and how to get them."""

    def find_spec(module: str) -> str | None:
        return None if module == missing else module

    monkeypatch.setattr(rule_book, "find_spec", find_spec)
    [told] = problems('kind = "personal_data"')
    assert told.partition(" ")[2] == f'{problem}; pip install "standby[guardrails]"'


@pytest.mark.parametrize(
    "rule",
    [
        'kind = "secrets"',
        'kind = "secrets", on = "both", action = "redact", restore = true',
        'kind = "personal_data", find = ["us_ssn", "card"], countries = ["us"], when = { region = "!eu" }',
        'kind = "secrets", when = { provider = ["own"], trust = ["!internal"] }',
        'kind = "secrets", pools = ["support"], teams = ["web"], users = ["ann"], organisations = ["acme"]',
        'kind = "secrets", keys = ["only-the-store-knows-it"]',
        'kind = "patterns", patterns = ["(?i)ticket (T-[0-9]{4})"], on = "both"',
        r'kind = "patterns", patterns = ["\\pL\\pN", "a.*b"]',
        'kind = "words", words = ["Project Heron"], topics = { tax = ["tax return", "deduction"] }',
        'kind = "words", topics = { tax = ["deduction"] }, at_least = 1',
        'kind = "injection", threshold = 0.5, action = "observe"',
        'kind = "limits", tools = [], parameters = { temperature = { most = 1.0 }, n = { denied = true } }',
        'kind = "links", allow = ["*.example.com", "[::1]"], images_only = true, on = "response"',
        'kind = "schema"',
        'kind = "schema", json_schema = "file:answer.json"',
        'kind = "webhook", url = "env:TLS", timeout = "500ms", max_body = "64KiB"',
        'kind = "webhook", url = "env:LOOPBACK"',
        'kind = "webhook", url = "env:PLAIN", insecure = true',
        'kind = "callable", use = "json:loads"',
    ],
)
def test_what_is_right_loads(rule: str) -> None:
    """A right rule is the middleware's second, of its kind."""
    middleware = built(rule).middleware("guardrails")
    assert isinstance(middleware, Guardrails)
    assert f'kind = "{middleware.rules[1].kind}"' in rule


@pytest.mark.parametrize(
    ("rule", "defaults"),
    [
        ('kind = "secrets"', ("secrets", "request", "block", "refuse", "allow")),
        ('kind = "schema"', ("schema", "response", "block", "refuse", "allow")),
        ('kind = "injection", action = "observe"', ("injection", "request", "observe", "allow", "allow")),
    ],
)
def test_what_is_not_said(rule: str, defaults: tuple[str, ...]) -> None:
    """Name, stage, action, and what follows when a rule cannot decide or read, by kind and action."""
    middleware: Any = built(rule).middleware("guardrails")
    said = middleware.rules[1]
    assert (said.name, said.on, said.action, said.on_error, said.on_unscannable) == defaults
