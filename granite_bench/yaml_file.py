"""A YAML file that a person wrote -> its content, with every fault of it named at once."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from granite_bench.errors import BadInput, Fault, did_you_mean

_M = TypeVar("_M", bound=BaseModel)


class _DuplicateKeys(yaml.SafeLoader):
    """PyYAML keeps the last of two equal keys without a word; here they are a fault."""

    def __init__(self, stream: str) -> None:
        self.repeated: list[tuple[str, int]] = []
        super().__init__(stream)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        mapping = super().construct_mapping(node, deep)  # refuses keys that cannot be compared
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                self.repeated.append((str(key), key_node.start_mark.line + 1))
            seen.add(key)
        return mapping


def read_yaml(path: Path) -> tuple[Any, list[Fault]]:
    """The content of a YAML file, and its duplicate keys; raises on what is not YAML at all."""
    try:
        loader = _DuplicateKeys(path.read_text(encoding="utf-8"))
        raw = loader.get_single_data()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(Fault(str(path), f"cannot be read: {error}")) from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise BadInput(Fault(f"{path}:{line}", f"not valid YAML: {error.problem}")) from None
    except (yaml.YAMLError, ValueError) as error:  # a control character; a date such as 2020-99-99
        raise BadInput(Fault(str(path), f"not valid YAML: {str(error).splitlines()[0]}")) from None
    faults = [
        Fault(f"{path}:{line}", f"key '{key}' stands here twice", "keep one of the two")
        for key, line in loader.repeated
    ]
    if not isinstance(raw, dict):
        raise BadInput([*faults, Fault(str(path), "must be a mapping of keys to values")])
    return raw, faults


def read_document(
    model: type[_M], path: Path, parts: Mapping[str, type[BaseModel]]
) -> tuple[_M | None, Any, list[Fault]]:
    """
    What a file holds.

    Args:
        model: what it must be.
        parts: key -> what the entries of its list are, for the names of their keys.

    Returns:
        The content, validated (None when it is not valid) and raw, and all its faults.

    Raises:
        BadInput: it is not YAML at all, or no mapping.
    """
    raw, faults = read_yaml(path)
    try:
        return model.model_validate(raw), raw, faults
    except ValidationError as error:
        # pydantic counts only the valid tasks, so one broken task alone would also be "none".
        return (
            None,
            raw,
            faults
            + [
                _fault(details, model, path, parts)
                for details in error.errors()
                if not (details["type"] == "too_short" and raw.get(details["loc"][0]))
            ],
        )


def _fault(
    details: Any, model: type[BaseModel], path: Path, parts: Mapping[str, type[BaseModel]]
) -> Fault:
    place = ""
    for step in details["loc"]:
        place += f"[{step}]" if isinstance(step, int) else f".{step}" if place else str(step)
    where = f"{path}: {place}" if place else str(path)
    if details["type"] == "extra_forbidden":
        owner = parts.get(str(details["loc"][0]), model) if len(details["loc"]) > 1 else model
        keys = [field.alias or name for name, field in owner.model_fields.items()]
        hint = did_you_mean(str(details["loc"][-1]), keys) or f"known keys: {', '.join(keys)}"
        return Fault(where, "unknown key", hint)
    if details["type"] == "missing":
        return Fault(where, "is missing")
    if details["type"] == "model_type":
        return Fault(where, "must be a name, or a mapping of keys to values")
    found = details["input"]
    shown = f" (found {found!r})" if isinstance(found, str | int | float | bool) else ""
    return Fault(where, details["msg"][0].lower() + details["msg"][1:] + shown)
