"""
Code that comes with a model: off, unless it is allowed for that model and revision.

Such code runs with the rights of whoever starts the run and can change with the repository, so
permission names the revision that was read. mteb's metadata allow it for many models; here only
the user does.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any

from mteb.models import ModelMeta

from granite_bench.errors import BadInput, Fault

OPTION = "--trust-remote-code"


def code_arguments(meta: ModelMeta, trusted: Collection[str]) -> dict[str, Any]:
    """
    What to tell the loader of *meta*, so that code of its repository runs only where allowed.

    Args:
        trusted: "name@revision" of models whose code may run.

    Returns:
        Keyword arguments; empty where the loader takes none, or runs the code anyhow.

    Raises:
        BadInput: mteb's loader always runs that code, and it is not allowed.
    """
    loader = meta.loader
    allowed = is_trusted(meta, trusted)
    if loader is None:
        return {}
    if _always_runs_it(loader):
        if not allowed:
            raise needs_code(meta)
        return {}
    parameters = inspect.signature(loader).parameters
    takes_any = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
    named = "trust_remote_code" in {**parameters, **meta.loader_kwargs}
    arguments: dict[str, Any] = {
        # model_kwargs and the like, which sentence-transformers heeds before the argument itself.
        name: {**value, "trust_remote_code": allowed}
        for name, value in meta.loader_kwargs.items()
        if isinstance(value, Mapping) and "trust_remote_code" in value
    }
    if named or (allowed and takes_any):
        arguments["trust_remote_code"] = allowed
    return arguments


def is_trusted(meta: ModelMeta, trusted: Collection[str]) -> bool:
    """Whether the code of this model, at this revision, may run."""
    return f"{meta.name}@{meta.revision}" in trusted


def needs_code(meta: ModelMeta) -> BadInput:
    """The error for a model that cannot be loaded without its own code."""
    problem = "runs code from its own repository, and that is off"
    hint = (
        f"read that code; to let it run for this revision alone: "
        f"{OPTION} {meta.name}@{meta.revision}"
    )
    return BadInput(Fault(f"model {meta.name}", problem, hint))


def asks_for_code(error: BaseException) -> bool:
    """Whether transformers or sentence-transformers refused to load because code is off."""
    return isinstance(error, ValueError | OSError) and "trust_remote_code" in str(error)


@functools.cache
def _always_runs_it(loader: Callable[..., Any]) -> bool:
    """Whether a loader of mteb's allows the code by itself; no argument of it turns that off."""
    try:
        source = inspect.getsource(loader)
    except (OSError, TypeError):  # not a function or class with a file
        return False
    return "trust_remote_code=True" in source
