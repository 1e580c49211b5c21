"""
mteb's registries, of models and of tasks, for those who must not wait for mteb.

Importing it takes seconds, so a registry is read once per version of mteb and kept in the cache.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from granite_bench.errors import StorageError
from granite_bench.files.local import cache_folder, write_atomically

logger = logging.getLogger(__name__)


def kept_registry(
    kind: str, format_version: int, read: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """
    What *read* returned when it was last called under this version of mteb.

    Args:
        kind: the beginning of the file's name.
        format_version: of what *read* returns, which must be JSON-serialisable.
    """
    path = cache_folder() / f"{kind}-{format_version}-mteb-{version('mteb')}.json"
    try:
        kept: dict[str, Any] = json.loads(path.read_bytes())
    except (OSError, ValueError):
        kept = read()
        try:
            write_atomically(path, json.dumps(kept).encode())
        except StorageError as error:
            logger.warning("%s", error)
    return kept
