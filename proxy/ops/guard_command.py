"""The command `standby guard test`: what the guardrails of a configuration would do with a text."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from ..config import Routes
from ..config.settings import SettingsError
from ..errors import ConfigError
from ..exchange import Exchange
from ..guardrails.inspection import NotStreamSafe
from ..guardrails.rule_book import RuleBook
from ..guardrails.rules import Rule, Stage
from ..guardrails.trial import Trial, trial
from ..keys.principal import Principal
from .columns import columns

__all__ = ["Rules", "add_commands"]

Rules = Callable[[str], "tuple[Routes, Sequence[Rule], int]"]
"""Returns the configuration in a file, its guardrails, and how much of a stream they may hold back."""

_USUAL: Final = (
    Rule(kind="secrets", action="redact"),
    Rule(kind="personal_data", action="redact"),
    Rule(kind="injection", action="observe"),
)
"""The rules that are tried without a configuration."""
_HOLD: Final = 1024
_SHOWN: Final = 4  # characters of what was found, at most half of it


def add_commands(guard: argparse.ArgumentParser, rules: Rules) -> None:
    """Add the command to the parser of `standby guard`. `rules` reads a configuration."""
    commands = guard.add_subparsers(required=True, metavar="command")
    test = commands.add_parser("test", help="say what would be found in a text, blocked and redacted")
    test.add_argument("file", help='the text; "-" reads it from standard input')
    test.add_argument("--routes", help="the configuration (default: secrets, personal data, injections)")
    test.add_argument("--pool", help="only the rules that apply to this pool")
    test.add_argument("--key", help="only the rules that apply to this key of the configuration")
    test.add_argument(
        "--answer", action="store_true", help="read the text as an answer (default: as a request)"
    )
    test.set_defaults(run=partial(_test, rules))


def _test(rules: Rules, options: argparse.Namespace) -> int:
    """Print the findings and the redacted text. Returns 1 if the text would be blocked, 2 if it cannot be
    tried."""
    try:
        return _tried(rules, options)
    except ConfigError as error:
        return _failed(str(error))
    except SettingsError as error:
        return _failed(f"{error.message}; {error.hint}")


def _tried(rules: Rules, options: argparse.Namespace) -> int:
    try:
        raw = sys.stdin.buffer.read() if options.file == "-" else Path(options.file).read_bytes()
        text = raw.decode()
    except OSError as error:
        return _failed(f"{options.file}: cannot be read: {error.strerror}")
    except UnicodeDecodeError:
        return _failed(f"{options.file}: not UTF-8 text")
    exchange, hold = Exchange("guard", 0.0, ()), _HOLD
    given: Sequence[Rule] = _USUAL
    if options.routes is not None:
        routes, given, hold = rules(options.routes)
        if options.pool is not None and options.pool not in routes.pools:
            return _failed(f"there is no pool {options.pool} in {options.routes}")
        if options.key is not None and options.key not in routes.keys:
            return _failed(f"there is no key {options.key} in {options.routes}")
        exchange.pool = None if options.pool is None else routes.pools[options.pool]
        exchange.principal = None if options.key is None else Principal.of(routes.keys[options.key])
    if not given:
        return _failed(f"{options.routes}: no guardrails; write [guardrails] rules = [...], and stack")
    stage: Stage = "response" if options.answer else "request"
    book = RuleBook(given, hold)
    # Without a pool or a key, a rule for some of them applies too.
    applying = [
        rule
        for rule in given
        if rule.at(stage)
        and (rule in book.applying(stage, exchange) or (options.pool is None and options.key is None))
    ]
    try:
        found = trial(book, applying, text, stage)
    except NotStreamSafe:
        print("blocked: more than 30 combining marks in a row (text_not_stream_safe)")
        return 1
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if callable(reconfigure):
        reconfigure(errors="backslashreplace")  # the text may have what the terminal has not
    print("\n".join(_lines(text, found)))
    return 1 if found.blocked_by else 0


def _lines(text: str, found: Trial) -> Iterator[str]:
    rows = [("line:column", "rule", "action", "code", "begins with")]
    for finding in found.findings:
        line = text.count("\n", 0, finding.begin) + 1
        column = finding.begin - (text.rfind("\n", 0, finding.begin) + 1) + 1
        half = (finding.end - finding.begin) // 2
        shown = text[finding.begin : finding.begin + min(_SHOWN, half)]
        shown = "".join(c if c.isprintable() else "?" for c in shown)
        row = (f"{line}:{column}", finding.rule.name, finding.rule.action, finding.code, f"{shown}…")
        if row != rows[-1]:  # signals of an injection may begin at the same place
            rows.append(row)
    if len(rows) > 1:
        yield from columns(rows)
    elif not found.undecided:
        yield "nothing found"
    for rule in found.undecided:
        yield f"rule {rule.name} cannot decide: too many places that look like findings"
    for rule in found.left_out:
        yield f"rule {rule.name} ({rule.kind}) was not tried: it reads more than a text"
    for rule in dict.fromkeys(found.blocked_by):
        where = "" if rule.when is None else ", for the targets of its `when`"
        yield f"blocked by rule {rule.name}{where}"
    if found.text != text:
        yield "redacted:"
        yield found.text.rstrip("\n")


def _failed(message: str) -> int:
    print(message, file=sys.stderr)
    return 2
