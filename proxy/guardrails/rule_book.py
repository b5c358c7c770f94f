"""All rules of one configuration, compiled, and which of them apply to a request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

from ..config import ScopeKind, imported
from ..config.addresses import is_private
from ..config.settings import SettingsError
from ..config.values import quoted
from ..exchange import Exchange
from .expressions import longest_match
from .rule_set import RuleSet
from .rules import Kind, Rule, Stage
from .schemas import SchemaError, read_schema

__all__ = ["RuleBook"]

_INSTALL: Final = 'pip install "standby[guardrails]"'
_NEEDS: Final[Mapping[Kind, Mapping[str, str]]] = MappingProxyType(
    {
        "personal_data": MappingProxyType({"stdnum": "python-stdnum", "phonenumbers": "phonenumbers"}),
        "schema": MappingProxyType({"jsonschema_rs": "jsonschema-rs"}),
    }
)
"""What a kind needs besides RE2: names of modules, and of the packages that have them."""
_FILE: Final = "file:"


class RuleBook:
    """The rules of a configuration. Raises SettingsError for what is wrong with them.

    `hold` is the most characters that a match in a stream may have.
    """

    def __init__(self, rules: Sequence[Rule], hold: int) -> None:
        self._rules: Mapping[Stage, tuple[Rule, ...]] = MappingProxyType(
            {
                "request": tuple(rule for rule in rules if rule.at("request")),
                "response": tuple(rule for rule in rules if rule.at("response")),
            }
        )
        self._schemas: dict[Rule, bytes] = {}
        if not rules:
            return
        _check_names(rules)
        for index, rule in enumerate(rules):
            _check_installed(index, rule)
            self._load(index, rule)
            if rule.at("response"):
                _check_length(index, rule, hold)
        try:
            self.request = RuleSet(self._rules["request"], decodes=True)
            self.response = RuleSet(self._rules["response"], restores=any(rule.restore for rule in rules))
            self.request.warm()
            self.response.patterns.warm()
        except ValueError as error:
            raise SettingsError(("rules",), str(error), "leave some out, or make them shorter") from None

    @property
    def reads_schemas(self) -> bool:
        """Whether a rule needs the schema that a request asks for."""
        return any(rule.kind == "schema" for rule in self._rules["response"])

    def applying(self, stage: Stage, exchange: Exchange) -> tuple[Rule, ...]:
        """Returns the rules of a stage that apply to this request, whatever its target."""
        return tuple([rule for rule in self._rules[stage] if _applies(rule, exchange)])

    def schema(self, rule: Rule, requested: bytes | None) -> bytes | None:
        """Returns the schema of a rule, or the one that the request asks for; None if there is none."""
        return self._schemas.get(rule, requested)

    def _load(self, index: int, rule: Rule) -> None:
        if rule.url is not None and not _is_url(rule.url.reveal()):
            raise SettingsError(
                ("rules", index, "url"), "not an http or https URL", 'write "https://host/path"'
            )
        if rule.url is not None and not rule.insecure and not is_private(rule.url.reveal()):
            hint = "use https, or set insecure = true if the network between is yours"
            raise SettingsError(("rules", index, "url"), "plain http would show texts to the network", hint)
        if rule.kind == "callable" and rule.use is not None:
            try:
                function = imported(rule.use)
            except (ImportError, AttributeError, ValueError) as error:
                message = f"cannot be imported: {error}"
                raise SettingsError(
                    ("rules", index, "use"), message, 'write "package.module:function"'
                ) from None
            if not callable(function):
                raise SettingsError(("rules", index, "use"), "cannot be called")
        if rule.kind == "schema" and rule.json_schema.startswith(_FILE):
            try:
                self._schemas[rule] = read_schema(rule.json_schema.removeprefix(_FILE))
            except SchemaError as error:
                raise SettingsError(("rules", index, "json_schema"), str(error)) from None


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and port != 0 and " " not in text


def _check_names(rules: Sequence[Rule]) -> None:
    counts = Counter(rule.name for rule in rules)
    for index, rule in enumerate(rules):
        if counts[rule.name] > 1:
            message = f"there is more than one rule of the name {quoted(rule.name)}"
            raise SettingsError(("rules", index), message, "give each a name of its own")


def _check_installed(index: int, rule: Rule) -> None:
    needs = {"re2": "google-re2", **_NEEDS.get(rule.kind, {})}
    missing = [package for module, package in needs.items() if find_spec(module) is None]
    if missing:
        message = f"{quoted(rule.kind)} needs {' and '.join(missing)}"
        raise SettingsError(("rules", index, "kind"), message, _INSTALL)


def _check_length(index: int, rule: Rule, hold: int) -> None:
    for position, pattern in enumerate(rule.patterns):
        try:
            too_long = longest_match(pattern) > hold
        except ValueError:
            too_long = True
        if too_long:
            message = f"can match more than {hold} characters, the most that is held back of a stream"
            hint = 'bound its repetitions, as "{0,200}" for "*", or raise [guardrails] hold'
            raise SettingsError(("rules", index, "patterns", position), message, hint)


def _applies(rule: Rule, exchange: Exchange) -> bool:
    if rule.pools is not None and (exchange.pool is None or exchange.pool.name not in rule.pools):
        return False
    principal = exchange.principal
    scopes: tuple[tuple[ScopeKind, tuple[str, ...] | None], ...] = (
        ("key", rule.keys),
        ("user", rule.users),
        ("team", rule.teams),
        ("organisation", rule.organisations),
    )
    return all(
        names is None or (principal is not None and (principal.name(kind) or "") in names)
        for kind, names in scopes
    )
