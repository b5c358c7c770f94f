"""The rules of `[guardrails]` as tables: what each looks for, where it applies, and what follows.

A rule is one table with the keys that every kind has and those of its own kind; `KEYS` says which those are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, Self, TypeAlias, cast

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, ValidationInfo, model_validator

from ..config import Duration, Secret, Target
from ..config.references import among
from ..config.report import suggestion
from ..config.table import Table
from ..config.values import ImportString, KeyPath, Name, Remark, Size, Surroundings, objection, quoted
from .expressions import Unreadable, folded_expression, longest_match
from .links import HOST
from .normalized import folded
from .pattern import compiled
from .personal_data import COUNTRIES, PERSONAL_CODES, country_of
from .secrets import SECRET_CODES

__all__ = ["KEYS", "OUTCOMES", "Action", "Bound", "Kind", "Rule", "Stage", "When"]

Kind: TypeAlias = Literal[
    "secrets",
    "personal_data",
    "patterns",
    "words",
    "injection",
    "limits",
    "links",
    "schema",
    "webhook",
    "callable",
]
Action: TypeAlias = Literal["block", "redact", "observe"]
Stage: TypeAlias = Literal["request", "response"]

KEYS: Final[Mapping[Kind, frozenset[str]]] = MappingProxyType(
    {
        "secrets": frozenset({"find", "restore"}),
        "personal_data": frozenset({"find", "countries", "restore"}),
        "patterns": frozenset({"patterns", "restore"}),
        "words": frozenset({"words", "topics", "at_least", "restore"}),
        "injection": frozenset({"threshold"}),
        "limits": frozenset(
            {"max_input_tokens", "max_output_tokens", "max_messages", "tools", "deny_tools", "parameters"}
        ),
        "links": frozenset({"allow", "deny", "images_only"}),
        "schema": frozenset({"json_schema"}),
        "webhook": frozenset({"url", "insecure", "timeout", "max_body"}),
        "callable": frozenset({"use", "timeout"}),
    }
)
"""The keys that only rules of a kind have."""

_NEEDS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "patterns": ("patterns",),
        "words": ("words", "topics"),
        "limits": (
            "max_input_tokens",
            "max_output_tokens",
            "max_messages",
            "tools",
            "deny_tools",
            "parameters",
        ),
        "links": ("allow", "deny"),
        "webhook": ("url",),
        "callable": ("use",),
    }
)
"""Keys of which a rule of a kind needs at least one."""
OUTCOMES: Final = MappingProxyType({"block": "blocked", "redact": "redacted", "observe": "observed"})
"""What is reported of a finding, by the action of its rule."""
_ONE_STAGE: Final = MappingProxyType({"injection": "request", "limits": "request", "schema": "response"})
_NOT_REDACTING: Final = frozenset({"injection", "limits", "schema"})


def _listed(value: object) -> object:
    """Accepts a single text as a list of one. Returns a tuple, since strict validation requires it here."""
    if isinstance(value, list):
        return tuple(cast("list[object]", value))
    return (value,) if isinstance(value, str) else value


def _names(value: object) -> object:
    """Accepts one name or several, either all or none of them with a "!" before it."""
    names = _listed(value)
    given = cast("tuple[object, ...]", names) if isinstance(names, tuple) else ()
    texts = [name for name in given if isinstance(name, str)]
    if not texts or len(texts) < len(given):
        raise objection(Remark("must be a name, or a list of names", 'write "!eu" for all but "eu"'))
    if len({name.startswith("!") for name in texts}) > 1:
        raise objection(Remark('has names with and without "!"', "those without leave out all others anyway"))
    return tuple(texts)


_Names = BeforeValidator(_names)


def _schema_path(value: object, info: ValidationInfo) -> object:
    """Accepts "request", and "file:path" with a path from the folder of the file."""
    if value == "request" or not isinstance(value, str):
        return value
    kind, _, path = value.partition(":")
    if kind != "file" or not path:
        raise objection(Remark("not the place of a schema", 'write "request" or "file:path"'))
    around = info.context
    return f"file:{around.folder / path}" if isinstance(around, Surroundings) else value


def _not_blank(value: str) -> str:
    if not value.strip():
        raise objection(Remark("must not be blank"))
    return value


_Text: TypeAlias = Annotated[str, AfterValidator(_not_blank)]


class When(Table):
    """The targets for which a rule binds. Every key that is given must hold."""

    region: Annotated[tuple[Annotated[str, among("regions", negatable=True)], ...], _Names] | None = None
    """The regions of their providers, or with "!" all but these. A provider without a region is in none."""
    provider: Annotated[tuple[Annotated[str, among("providers", negatable=True)], ...], _Names] | None = None
    """The names of their providers, or with "!" all but these."""
    trust: Annotated[tuple[Annotated[str, among("trusts", negatable=True)], ...], _Names] | None = None
    """The `trust` of their providers, or with "!" all but these. A provider without one has none of them."""

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        if self.region is None and self.provider is None and self.trust is None:
            raise objection(Remark("must not be empty", 'write when = { region = "!eu" }'))
        return self

    def binds(self, target: Target | None) -> bool:
        """Whether a request to `target` is bound. One whose target is not known is."""
        if target is None:
            return True
        provider = target.provider
        pairs = ((self.region, provider.region), (self.provider, provider.name), (self.trust, provider.trust))
        return all(names is None or _holds(names, value) for names, value in pairs)


def _holds(names: tuple[str, ...], value: str | None) -> bool:
    if names[0].startswith("!"):
        return all(name[1:] != value for name in names)
    return value in names


class Bound(Table):
    """What a request may set a parameter to."""

    least: float | None = None
    most: float | None = None
    denied: bool = False
    """Whether the parameter must not be set at all."""

    @model_validator(mode="after")
    def _bounds_something(self) -> Self:
        if self.least is None and self.most is None and not self.denied:
            raise objection(Remark("must not be empty", "write { most = 1.0 } or { denied = true }"))
        if self.least is not None and self.most is not None and self.least > self.most:
            raise objection(Remark("least is more than most"))
        return self


class Rule(Table):
    """One rule of `[guardrails]`."""

    kind: Kind
    name: Name = Field(default_factory=lambda data: str(data.get("kind", "")))
    """What verdicts, traces and metrics call it. Defaults to its kind."""
    on: Literal["request", "response", "both"] = Field(
        default_factory=lambda data: cast(
            "Literal['request', 'response']", _ONE_STAGE.get(data.get("kind", ""), "request")
        )
    )
    """Whether it reads requests, answers, or both."""
    action: Action = "block"
    """`block` refuses the request or ends the answer, `redact` replaces what is found, `observe` only
    reports."""
    when: When | None = None
    """The targets for which it binds. Without it, it binds for all, and a request that it blocks is refused
    at once."""
    pools: Annotated[tuple[Annotated[str, among("pools")], ...], Field(min_length=1)] | None = None
    """The pools whose requests it reads; these and the following four restrict it together."""
    keys: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    users: Annotated[tuple[Annotated[str, among("users")], ...], Field(min_length=1)] | None = None
    teams: Annotated[tuple[Annotated[str, among("teams")], ...], Field(min_length=1)] | None = None
    organisations: (
        Annotated[tuple[Annotated[str, among("organisations")], ...], Field(min_length=1)] | None
    ) = None
    on_error: Literal["refuse", "allow"] = Field(
        default_factory=lambda data: "allow" if data.get("action") == "observe" else "refuse"
    )
    """What happens when it cannot decide: a webhook that does not answer, a text that is too complex. By
    default it refuses, unless it only observes."""
    on_unscannable: Literal["refuse", "allow"] = "allow"
    """What happens to what it cannot read, such as images. It is reported as not scanned in either case."""
    restore: bool = False
    """With `redact` on requests: the answer to the same request has the originals again."""

    find: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """The codes to look for. By default all, of personal data those without a country."""
    countries: Annotated[tuple[str, ...], Field(min_length=1)] = ()
    """Two-letter codes of the countries whose national numbers, and phones in national form, are looked
    for."""
    patterns: Annotated[tuple[_Text, ...], Field(min_length=1)] = ()
    """Regular expressions in RE2's syntax. If one has a group, the group is what is found."""
    words: Annotated[tuple[_Text, ...], Field(min_length=1, max_length=2000)] = ()
    """Words and phrases, whatever their case."""
    topics: Annotated[
        Mapping[str, Annotated[tuple[_Text, ...], Field(min_length=1)]], PlainSerializer(dict)
    ] = Field(default_factory=lambda: MappingProxyType[str, tuple[str, ...]]({}))
    """Words by topic. A topic is found when `at_least` different ones of its words occur."""
    at_least: Annotated[int, Field(ge=1, le=100)] = 2
    threshold: Annotated[float, Field(gt=0, le=3)] = 1.0
    """The score from which a text is an injection. docs/guardrails.md has the error rates."""
    max_input_tokens: Annotated[int, Field(gt=0)] | None = None
    """Estimated from the text, at four bytes a token."""
    max_output_tokens: Annotated[int, Field(gt=0)] | None = None
    """The most that a request may ask for, and what it must ask for at most."""
    max_messages: Annotated[int, Field(gt=0)] | None = None
    tools: tuple[str, ...] | None = None
    """The only tools that a request may offer, by name or type. `*` stands for any characters."""
    deny_tools: Annotated[tuple[_Text, ...], Field(min_length=1)] = ()
    parameters: Annotated[Mapping[str, Bound], Field(min_length=1), PlainSerializer(dict)] = Field(
        default_factory=lambda: MappingProxyType[str, Bound]({})
    )
    """What members of the request may be, as in { temperature = { most = 1.0 }, logprobs = { denied = true }
    }."""
    allow: Annotated[tuple[str, ...], Field(min_length=1)] = ()
    """Hosts to which links may lead; all others are found. `*.example.com` includes example.com."""
    deny: Annotated[tuple[str, ...], Field(min_length=1)] = ()
    """Hosts whose links are found."""
    images_only: bool = False
    """Whether only images count, which a client loads without being asked."""
    json_schema: Annotated[str, BeforeValidator(_schema_path)] = "request"
    """The JSON Schema of the answer: "file:path", or the one that the `request` asks for."""
    url: Secret | None = None
    """Where a webhook is asked."""
    insecure: bool = False
    """Allow plain http to a webhook that is not on this machine."""
    timeout: Duration = 2.0
    """Seconds for one call."""
    max_body: Size = 1024 * 1024
    """The most bytes of text that are sent to a webhook. Longer texts count as an error."""
    use: ImportString | None = None
    """The function that a callable rule calls."""

    def __hash__(self) -> int:
        return hash(self.name)

    def at(self, stage: Stage) -> bool:
        """Whether it reads texts of this stage."""
        return self.on in {stage, "both"}

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        remarks = [
            *self._of_its_kind(),
            *self._possible(),
            *self._known(),
            *self._findable(),
            *self._readable(),
        ]
        if remarks:
            raise objection(*remarks)
        return self

    def _of_its_kind(self) -> Iterator[Remark]:
        own = KEYS[self.kind]
        foreign = frozenset[str]().union(*KEYS.values()) - own
        for key in sorted(foreign & self.model_fields_set):
            kinds = ", ".join(kind for kind, keys in KEYS.items() if key in keys)
            yield Remark(f"not a key of {quoted(self.kind)}", f"it is one of {kinds}", at=(key,))
        needs = _NEEDS.get(self.kind, ())
        if needs and self.model_fields_set.isdisjoint(needs):
            yield Remark(f"{quoted(self.kind)} needs {' or '.join(needs)}")

    def _possible(self) -> Iterator[Remark]:
        only = _ONE_STAGE.get(self.kind)
        if only is not None and self.on != only:
            yield Remark(f"{quoted(self.kind)} reads a {only} only", f'write on = "{only}"', at=("on",))
        if self.action == "redact" and self.kind in _NOT_REDACTING:
            yield Remark(
                f"{quoted(self.kind)} has nothing to redact", 'write "block" or "observe"', at=("action",)
            )
        if self.action == "redact" and self.topics:
            yield Remark("a topic cannot be redacted", 'write "block" or "observe"', at=("action",))
        if self.restore and (self.action != "redact" or self.on == "response"):
            yield Remark("only what a request had redacted can be restored", at=("restore",))

    def _known(self) -> Iterator[Remark]:
        if self.kind not in {"secrets", "personal_data"}:
            return
        codes = SECRET_CODES if self.kind == "secrets" else PERSONAL_CODES
        for i, code in enumerate(self.find or ()):
            if code not in codes:
                yield Remark(f"there is no code {quoted(code)}", suggestion(code, codes), at=("find", i))
        for i, code in enumerate(self.find or ()):
            country = country_of(code)
            if country is not None and country not in self.countries:
                yield Remark(
                    f"needs the country {quoted(country)}", f'write countries = ["{country}"]', at=("find", i)
                )
        for i, country in enumerate(self.countries):
            if country not in COUNTRIES:
                message = f"no numbers of {quoted(country)} are known"
                yield Remark(message, f"known: {', '.join(COUNTRIES)}", at=("countries", i))

    def _findable(self) -> Iterator[Remark]:
        """Whether what is looked for can occur."""
        places: list[tuple[KeyPath, str]] = [(("words", i), word) for i, word in enumerate(self.words)]
        for topic, words in self.topics.items():
            places += [(("topics", topic, i), word) for i, word in enumerate(words)]
            if len({" ".join(folded(word).casefold().split()) for word in words}) < self.at_least:
                message = f"has fewer different words than the {self.at_least} that must occur"
                yield Remark(message, "name more, or lower at_least", at=("topics", topic))
        if "topics" in self.model_fields_set and not self.topics:
            yield Remark("must not be empty", at=("topics",))
        for at, word in places:
            if not folded(word).strip():
                yield Remark("has no character that shows", at=at)
        hosts = [(key, i, host) for key in ("allow", "deny") for i, host in enumerate(getattr(self, key))]
        for key, i, host in hosts:
            if HOST.fullmatch(host) is None:
                yield Remark("not a host", 'write "example.com", or "*.example.com"', at=(key, i))

    def _readable(self) -> Iterator[Remark]:
        """Whether the patterns compile. Without RE2, the middleware says so itself."""
        for i, pattern in enumerate(self.patterns):
            at = ("patterns", i)
            try:
                expression = compiled(pattern)
            except ImportError:
                return
            except ValueError as error:
                yield Remark(f"not a pattern of RE2: {error}", at=at)
                continue
            if expression.groups > 1:
                yield Remark("has more than one group", "write (?:...) for those that find nothing", at=at)
            if any(_finds_nothing(expression.search(text)) for text in (b"", b"a", b" ")):
                yield Remark("matches an empty text", at=at)
            try:
                folded_expression(pattern)
                longest_match(pattern)
            except Unreadable as error:
                if self.at("response") or not pattern.isascii():
                    hint = "write it as Python's re reads it too: without \\p, \\C, [[:classes:]], {,n}"
                    yield Remark(f"cannot be used here: {error}", hint, at=at)
            except ValueError:
                pass  # it has no longest match; the middleware knows how much may be held


def _finds_nothing(match: Any) -> bool:
    return match is not None and match.span()[0] == match.span()[1]
