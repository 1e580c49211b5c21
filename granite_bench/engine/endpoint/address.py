"""The address of an endpoint and the key it is given: what is accepted, and what is never sent."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Sequence

import httpx2

from granite_bench.errors import Fault

KEY_VARIABLE = "OPENAI_API_KEY"
"""The environment variable of the key where no other is named."""

_VERSIONED = re.compile(r"/v\d+$")
# No space, quote or backslash: JSON writes them in another way, and a key that a server quotes
# must be found to be masked.
_KEY_CHARACTERS = re.compile(r"[!#-\[\]-~]*")


def endpoint_faults(url: str, key_variable: str | None = None) -> list[Fault]:
    """
    What is wrong with the values of --endpoint and --api-key-env.

    Args:
        url: the base of an API, with or without its version: https://api.openai.com/v1.
        key_variable: the environment variable of the key; None is KEY_VARIABLE, set or not.
    """
    faults = []
    right = "give the base of the API, such as https://api.openai.com/v1 or http://127.0.0.1:8000"
    try:
        parsed = httpx2.URL(url)
    except (httpx2.InvalidURL, UnicodeError):
        return [Fault("--endpoint", "is no URL", right)]
    # The URL is in records and messages, so a secret in it is refused and not shown.
    if parsed.userinfo:
        problem = "has a user name or a password in it"
        hint = "leave them out; the key comes from the environment (--api-key-env NAME)"
        faults.append(Fault("--endpoint", problem, hint))
    elif parsed.query or parsed.fragment:
        faults.append(Fault("--endpoint", "has a query or a fragment in it", right))
    elif parsed.scheme not in ("http", "https") or not parsed.host:
        # Without a scheme, a user name is taken for one.
        shown = f"'{url}'" if "@" not in url else "what was given"
        faults.append(Fault("--endpoint", f"{shown} is no http or https address", right))
    return faults + _key_faults(key_variable)


def _key_faults(variable: str | None) -> list[Fault]:
    hint = "name the environment variable that holds the key"
    if variable is not None and not re.fullmatch(r"[A-Za-z_]\w*", variable):
        return [Fault("--api-key-env", "is no name of an environment variable", hint)]
    # What was given is not shown: it may be the key itself.
    key = os.environ.get(variable or KEY_VARIABLE, "").strip()
    if variable is not None and not key:
        return [Fault("--api-key-env", "this environment variable is not set", hint)]
    if not _KEY_CHARACTERS.fullmatch(key):
        return [Fault("--api-key-env", "the key has characters that no key has", hint)]
    return []


def key_for(url: str, key_variable: str | None = None) -> str | None:
    """
    The key that this endpoint is given, from the environment.

    A key under the usual name goes to https and to this machine alone: one meant for OpenAI must
    not reach whatever server is measured, in clear. A variable that the user names is sent.
    """
    if key_variable is None and httpx2.URL(url).scheme != "https" and not is_this_machine(url):
        return None
    return os.environ.get(key_variable or KEY_VARIABLE, "").strip() or None


def is_this_machine(url: str) -> bool:
    """Whether the address is a loopback one."""
    host = httpx2.URL(url).host
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def root_of(url: str) -> str:
    """The base without the version of the API at its end."""
    return _VERSIONED.sub("", url)


def addresses(url: str, route: str) -> Sequence[str]:
    """
    Where a route may be, the likeliest first: servers differ in what stands under /v1.

    Args:
        url: the base, without a slash at its end.
        route: such as /embeddings.
    """
    other = root_of(url) if _VERSIONED.search(url) else f"{url}/v1"
    return [f"{url}{route}", f"{other}{route}"]
