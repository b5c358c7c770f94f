"""The patterns of secrets: keys and tokens of providers, private keys, and values that a text calls secret.

The formats are those that the issuers document or that the scanners gitleaks and detect-secrets know them by.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import Final

from .pattern import Pattern

__all__ = ["SECRETS", "SECRET_CODES"]

_LEAST_ENTROPY: Final = 2.8
"""Bits a character of a value that only its context calls a secret. English words have less than 3 at the
length of passwords, random letters and digits more than 3; a digit is asked for besides."""
_LEAST_DISTINCT: Final = 6
"""Different characters of the random part of a key. A placeholder such as `sk-xxxx` has fewer."""
_PLACEHOLDER: Final = re.compile(
    r"(?i)(?:your|my|the|some|insert|enter|put|change|replace|example|sample|dummy|fake|placeholder|redacted"
    r"|secret|password|passwd|token|apikey|api_key|todo|none|null|undefined|xxx|abc123|foo|bar)[-_a-z0-9]*"
)
_IDENTIFIER: Final = re.compile(
    r"[A-Za-z_$]+(?:[._][A-Za-z0-9_$]+)*|[a-z]+(?:[A-Z][a-z]+)+\d?|[a-z_][a-z0-9_]{0,15}(?:\.[a-z_][A-Za-z0-9_]{0,20})+"
)
_PUNCTUATED: Final = re.compile(r"[A-Za-z]+[.,:;!?)\]}>]*|[\W_]+|[0-9.,:%]+")
_MASKING: Final = "*x•.<>${}[]%"
_EXAMPLE: Final = "EXAMPLE"
"""The end of every key in the documentation of AWS."""
_WORDY_PASSWORDS: Final = frozenset(
    {"password", "passwd", "pass", "secret", "user", "username", "token", "pwd"}
)

_B64: Final = "A-Za-z0-9_-"
_KEYWORD: Final = (
    r"(?:pass(?:word|wd|phrase|wort)|kennwort|wachtwoord|senha|contrasena|mot de passe|\bpass|pwd|secret"
    r"|token"
    r"|(?:api|access|auth|account|encryption|master|private|secret|shared|signing)[_ -]?key|credentials?)"
)
_ASSIGNED: Final = r"""\\?["'`\]]{0,2}\s{0,3}(?:=>|:=|=|:|\bis\b|\bvalue\s?=)\s{0,3}\\?["'`]?"""


def _random(value: str) -> tuple[int, int] | None:
    """Accepts a key whose last characters differ as those of random ones do."""
    if len(set(value[-20:])) < _LEAST_DISTINCT or value.endswith(_EXAMPLE):
        return None
    return 0, len(value)


def _secret_looking(value: str) -> tuple[int, int] | None:
    """Accepts a value that looks random and is no placeholder, no word, no name and no path of code."""
    end = len(value.rstrip(".,:;!?"))
    core = value[:end]
    if len(core) < 8 or not any(map(str.isdigit, core)) or not any(map(str.isalpha, core)):
        return None
    if any(
        mark in core
        for mark in ("***", "xxx", "XXX", "...", "${", "<", "{{", "://", "os.environ", "process.env")
    ):
        return None
    if _PLACEHOLDER.fullmatch(core) or _IDENTIFIER.fullmatch(core) or _PUNCTUATED.fullmatch(core):
        return None
    return (0, end) if _entropy(core) >= _LEAST_ENTROPY else None


def _password_of_url(value: str) -> tuple[int, int] | None:
    """Accepts what stands for the password in a URL, unless that is a placeholder."""
    if value.lower() in _WORDY_PASSWORDS or value[0] in "<${[*%" or not value.strip(_MASKING):
        return None
    return 0, len(value)


def _entropy(text: str) -> float:
    """Returns Shannon's entropy of the characters of `text`, in bits a character."""
    size = len(text)
    return -sum(count / size * math.log2(count / size) for count in Counter(text).values())


def _key(code: str, expression: str, tail: str = "") -> Pattern:
    return Pattern(code, expression, tail, _random)


SECRETS: Final = (
    # model providers
    _key("anthropic_key", r"\bsk-ant-[a-z0-9]{3,12}-[A-Za-z0-9_-]{20}", _B64),
    _key("openai_key", r"\bsk-(?:(?:proj|svcacct|admin|None)-[A-Za-z0-9_-]{20}|[A-Za-z0-9]{20})", _B64),
    _key("openrouter_key", r"\bsk-or-(?:v1-)?[A-Za-z0-9]{20}", "A-Za-z0-9"),
    _key("google_api_key", r"\bAIza[0-9A-Za-z_-]{35}"),
    _key("huggingface_token", r"\b(?:hf|api_org)_[A-Za-z0-9]{30}", "A-Za-z0-9"),
    _key("groq_key", r"\bgsk_[A-Za-z0-9]{40}", "A-Za-z0-9"),
    _key("xai_key", r"\bxai-[A-Za-z0-9]{40}", "A-Za-z0-9"),
    _key("perplexity_key", r"\bpplx-[A-Za-z0-9]{32}", "A-Za-z0-9"),
    _key("replicate_token", r"\br8_[A-Za-z0-9]{30}", "A-Za-z0-9"),
    _key("nvidia_key", r"\bnvapi-[A-Za-z0-9_-]{40}", _B64),
    # clouds
    _key("aws_access_key", r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b"),
    _key(
        "aws_secret_key",
        r"""(?i)\baws[a-z0-9_ .-]{0,20}(?:key|secret|token)["'\]]{0,2}\s{0,3}(?:=>|:=|=|:)\s{0,3}["']?"""
        r"""([A-Za-z0-9/+]{40})\b""",
    ),
    _key("google_oauth_token", r"\bya29\.[0-9A-Za-z_-]{20}", _B64),
    _key(
        "azure_storage_key", r"""(?i)\baccount-?key["']?(?:\s{0,3}[:=]|\s)\s{0,3}["']?([A-Za-z0-9+/]{86}==)"""
    ),
    _key("azure_shared_key", r"(?i)\bsharedaccesskey\s{0,3}=\s{0,3}([A-Za-z0-9+/]{43}=)"),
    _key("azure_client_secret", r"\b[A-Za-z0-9_~.-]{3}\dQ~[A-Za-z0-9_~.-]{31}"),
    _key("digitalocean_token", r"\bdo[opr]_v1_[a-f0-9]{64}\b"),
    _key("databricks_token", r"\bdapi[0-9a-f]{32}(?:-\d)?\b"),
    _key("vault_token", r"\bhv[sbr]\.[A-Za-z0-9_-]{24}", _B64),
    # code and packages
    _key("github_token", r"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{22})", "A-Za-z0-9_"),
    _key("gitlab_token", r"\bgl(?:pat|ptt|dt|rt|cbt|agent|oas|soat|imt|ft|ffct)-[A-Za-z0-9_-]{20}", _B64),
    _key("npm_token", r"\bnpm_[A-Za-z0-9]{36}\b"),
    _key("pypi_token", r"\bpypi-AgE[A-Za-z0-9_-]{40}", _B64),
    _key("docker_token", r"\bdckr_pat_[A-Za-z0-9_-]{27}", _B64),
    _key("atlassian_token", r"\bATATT3[A-Za-z0-9_=-]{50}", "A-Za-z0-9_=-"),
    _key("artifactory_token", r"\bAKC[A-Za-z0-9]{60}", "A-Za-z0-9"),
    # services
    _key("slack_token", r"\bxox[abeoprs]-(?:\d-)?[A-Za-z0-9-]{10}", "A-Za-z0-9-"),
    _key(
        "slack_webhook",
        r"\bhooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9+/]{20}",
        "A-Za-z0-9+/",
    ),
    _key("stripe_key", r"\b(?:[sr]k_(?:live|test)|whsec)_[A-Za-z0-9]{16}", "A-Za-z0-9"),
    _key("sendgrid_key", r"\bSG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{20}", _B64),
    _key("twilio_key", r"\b(?:SK|AC)[0-9a-f]{32}\b"),
    _key("mailchimp_key", r"\b[0-9a-f]{32}-us\d{1,2}\b"),
    _key("mailgun_key", r"\bkey-[0-9a-z]{32}\b"),
    _key("square_token", r"\bsq0(?:atp|csp|idp)-[A-Za-z0-9_-]{22}", _B64),
    _key("shopify_token", r"\bshp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}\b"),
    _key("telegram_token", r"(?:\b|bot)(\d{8,10}:AA[A-Za-z0-9_-]{33})"),
    _key("discord_token", r"\b[MNO][A-Za-z0-9_-]{23,27}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27}", _B64),
    _key("grafana_token", r"\bgl(?:sa|c)_[A-Za-z0-9+/=_]{32}", "A-Za-z0-9+/=_"),
    _key("linear_key", r"\blin_api_[A-Za-z0-9]{40}"),
    _key("notion_token", r"\b(?:ntn|secret)_[A-Za-z0-9]{43}"),
    _key("newrelic_key", r"\bNRAK-[A-Z0-9]{27}\b"),
    # formats
    Pattern(
        "private_key",
        r"-----BEGIN (?:[A-Z0-9]{1,20} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
        r"(?:[\s\\nr]{1,6}Proc-Type: 4,ENCRYPTED[\s\\nr]{1,6}DEK-Info: [A-Z0-9-]{1,30},)?"
        r"(?:[\s\\nr]{1,6}Version: [^\n\\]{1,40})?[\s\\nr]{0,12}[A-Za-z0-9+/=]{16}",
        r"A-Za-z0-9+/=:,.\s\\",
    ),
    _key("jwt", r"\beyJ[A-Za-z0-9_-]{8,300}\.eyJ[A-Za-z0-9_-]{6}", "A-Za-z0-9_.=-"),
    Pattern(
        "url_password",
        r"""(?i)\b[a-z][a-z0-9+.-]{1,20}://[!$%&(-.0-9;=A-Z\[-`{-~]{0,64}:([!$%&(-.0-9:;=A-Z\[-`{-~]{3,64})@""",
        "",
        _password_of_url,
        batch="url",
        needs=b"@",
    ),
    _key(
        "bearer_token",
        r"""(?i)\b(?:bearer|authorization["']?\s{0,3}[:=]\s{0,3}["']?(?:basic|token))\s{1,3}"""
        r"""([A-Za-z0-9._~+/-]{16})""",
        "A-Za-z0-9._~+/=-",
    ),
    Pattern(
        "generic_secret",
        rf"""(?i){_KEYWORD}[a-z0-9_.-]{{0,20}}{_ASSIGNED}"""
        r"""([^\s"'`,;<>(){}\[\]\\]{8,64})""",
        "",
        _secret_looking,
    ),
)
"""All patterns of secrets."""

SECRET_CODES: Final = tuple(pattern.code for pattern in SECRETS)
