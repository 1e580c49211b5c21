"""A YAML file that a person wrote -> its content, with every fault of it named at once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from granite_bench.errors import BadInput, Fault, did_you_mean, first_line
from granite_bench.files.validation import in_words

LARGEST = 2**20
"""Bytes: a hundred times as many as the largest of our suites has; PyYAML takes ten seconds."""

_MOST_VALUES = 100_000
"""With aliases written out: nine lines, each of nine mappings of the line above, have 9**9."""

_M = TypeVar("_M", bound=BaseModel)


class _Loader(yaml.SafeLoader):
    """PyYAML keeps the last of two equal keys without a word; here they are a fault."""

    def __init__(self, text: str) -> None:
        self.repeated: list[tuple[str, int]] = []
        super().__init__(text)

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """As PyYAML does."""
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if (key.tag, str(key.value)) in seen:
                self.repeated.append((str(key.value), key.start_mark.line + 1))
            seen.add((key.tag, str(key.value)))
        return node


def read_yaml(path: Path) -> tuple[dict[Any, Any], list[Fault]]:
    """
    The content of a YAML file, and its duplicate keys.

    Raises:
        BadInput: it cannot be read, is larger than LARGEST, is not YAML at all, or no mapping.
    """
    try:
        raw, repeated = _parsed(_text(path))
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(Fault(str(path), f"cannot be read: {error}")) from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise BadInput(Fault(f"{path}:{line}", f"not valid YAML: {error.problem}")) from None
    except (yaml.YAMLError, RecursionError) as error:  # a control character
        raise BadInput(Fault(str(path), f"not valid YAML: {first_line(error)}")) from None
    except (ValueError, LookupError, AttributeError, TypeError) as error:
        # PyYAML's own, for what is not what its tag says: !!int "", !!bool 7, 2020-99-99.
        what = f"not valid YAML: a value cannot be read ({type(error).__name__}: {error})"
        raise BadInput(Fault(str(path), what)) from None
    faults = [
        Fault(f"{path}:{line}", f"key '{key}' stands here twice", "keep one of the two")
        for key, line in repeated
    ]
    if not isinstance(raw, dict):
        raise BadInput([*faults, Fault(str(path), "must be a mapping of keys to values")])
    return raw, faults


def _text(path: Path) -> str:
    with path.open("rb") as file:
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise OSError(f"has more than {LARGEST:,} bytes")
    return content.decode("utf-8-sig")


def _parsed(text: str) -> tuple[Any, list[tuple[str, int]]]:
    """The content, and the keys that stand there twice, with their lines."""
    loader = _Loader(text)
    node = loader.get_single_node()
    if node is None:
        return None, []
    if _n_values(node, {}) > _MOST_VALUES:
        raise yaml.YAMLError(f"its aliases make more than {_MOST_VALUES:,} values of it")
    return loader.construct_document(node), loader.repeated


def _n_values(node: yaml.Node, counted: dict[int, int]) -> int:
    """How many values a node has with its aliases written out; what is in itself has no end."""
    if id(node) not in counted:
        counted[id(node)] = _MOST_VALUES + 1
        inner = node.value if isinstance(node, yaml.CollectionNode) else []
        if isinstance(node, yaml.MappingNode):
            inner = [each for pair in inner for each in pair]
        counted[id(node)] = 1 + sum(_n_values(each, counted) for each in inner)
    return counted[id(node)]


def load_document(model: type[_M], path: Path, parts: Mapping[str, type[BaseModel]]) -> _M:
    """
    What a file holds, where its form is all that there is to check; arguments as read_document.

    Raises:
        BadInput: a file with faults (all of them named).
    """
    document, _, faults = read_document(model, path, parts)
    if faults or document is None:
        raise BadInput(faults)
    return document


def read_document(
    model: type[_M], path: Path, parts: Mapping[str, type[BaseModel]]
) -> tuple[_M | None, dict[Any, Any], list[Fault]]:
    """
    What a file holds.

    Args:
        model: what it must be.
        parts: key -> what the entries below it are, for the names of their keys.

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
    if details["type"] == "model_type":
        return Fault(where, "must be a name, or a mapping of keys to values")
    return Fault(where, in_words(details))
