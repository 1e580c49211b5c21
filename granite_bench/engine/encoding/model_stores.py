"""
Where a model's vectors lie: in one store for every prompt, role and truncation.

Everything that changes a vector is part of its store's configuration, and so of its address.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic

import numpy as np
import numpy.typing as npt

from granite_bench.engine.backends.backend import Backend, Instruction
from granite_bench.engine.backends.texts import DOCUMENT_TEMPLATE
from granite_bench.engine.vectors.places import Places
from granite_bench.engine.vectors.rows import Rows
from granite_bench.engine.vectors.vector_store import VectorStore
from granite_bench.files.local import Place


class ModelStores(Generic[Rows]):
    """
    The stores of one model.

    Args:
        backend: the model.
        identity: what tells this model from others: name, revision, how it was loaded.
        folder: of all stores; None keeps nothing.
        sparse: whether the backend's vectors are SparseRows.

    Attributes:
        repaired_shards: shards that were found broken, whose texts are not found.
    """

    def __init__(
        self, backend: Backend, identity: Mapping[str, Any], folder: Place | None, *, sparse: bool
    ) -> None:
        self.repaired_shards: list[str] = []
        self._backend = backend
        self._identity = identity
        self._folder = folder
        self._sparse = sparse
        self._stores: dict[tuple[Instruction, int | None], VectorStore] = {}

    def places(
        self,
        instruction: Instruction,
        keys: npt.NDArray[np.uint64],
        *,
        look: bool = True,
        verify: bool = True,
    ) -> Places[Rows]:
        """
        Where the vectors of texts are.

        A text that the model reads whole has the same vector under every maximum length, so it
        lies in a store without one; only truncated texts lie in a store of their length. Where
        the model tokenises by itself nobody knows which these are, and all lie in the latter.

        Args:
            instruction: of the texts.
            keys: of different texts, uint64 (n_texts, 2).
            look: whether to look for them; otherwise nothing is found so far.
            verify: as for VectorStore.find.
        """
        if self._folder is None:
            return Places(keys, [], None, sparse=self._sparse)
        limit = self._backend.max_length
        if limit is not None and not self._backend.knows_tokens(instruction):
            limits: list[int | None] = [limit]
        else:
            limits = [None] if limit is None else [None, limit]
        stores = [self._store(self._folder, instruction, each) for each in limits]
        split_at = limit if len(stores) == 2 else None
        places: Places[Rows] = Places(keys, stores, split_at, sparse=self._sparse)
        if look:
            for number, store in enumerate(stores):
                places.find(number, verify=verify)
                self.repaired_shards += store.repaired_shards
                store.repaired_shards.clear()
        return places

    def _store(
        self, folder: Place, instruction: Instruction, max_length: int | None
    ) -> VectorStore:
        if (instruction, max_length) not in self._stores:
            self._stores[instruction, max_length] = VectorStore(
                folder,
                {
                    **self._identity,
                    "backend": self._backend.name,
                    "dtype": self._backend.dtype,
                    "truncated_to": max_length,
                    "prompt": instruction.prompt,
                    "role": instruction.role,
                    "document_template": DOCUMENT_TEMPLATE,
                },
            )
        return self._stores[instruction, max_length]
