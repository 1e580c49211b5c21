"""The Encoder's shards, encoded by workers."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any, Generic

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from granite_bench.cluster.parts import VectorsOfWorkers
from granite_bench.cluster.pool import Call, Pool
from granite_bench.cluster.worker import Facts, ShardDone
from granite_bench.engine.backends.backend import Instruction
from granite_bench.engine.encoding.batch_encoder import Shard
from granite_bench.engine.encoding.encoder import Restore
from granite_bench.engine.vectors.places import Places
from granite_bench.engine.vectors.rows import Rows

FIRST_ELSEWHERE = 1 << 24
"""The number of the first shard that workers write; those found in the store have lower ones."""


class PoolEncoder(Generic[Rows]):
    """
    What the Encoder of the driver has in place of a BatchEncoder.

    Args:
        pool: workers that have loaded the model.
        facts: of the model.
    """

    batch_size: int | None = None
    verifies = False

    def __init__(self, pool: Pool, facts: Facts) -> None:
        self.token_budget = facts.token_budget
        self.budget_cuts: list[int] = []
        self.pool = pool
        self._sparse = facts.sparse
        self._dim: int | None = None
        self._numbers = itertools.count(FIRST_ELSEWHERE)

    def encode_shards(
        self, shards: Iterable[Shard[Rows]], progress: tqdm[Any]
    ) -> Iterator[tuple[Shard[Rows], npt.NDArray[np.intp]]]:
        """As BatchEncoder.encode_shards, in the order in which workers are done."""
        calls = (Call("encode", (shard.texts, shard.instruction), of=shard) for shard in shards)
        for call, keeper, done in self.pool.run(calls):
            shard: Shard[Rows] = call.of
            self._take(shard, done, -1 if self.pool.store is not None else keeper)
            progress.set_postfix_str(self.pool.in_words, refresh=False)
            progress.update(len(shard.texts))
            yield shard, shard.positions[done.bad]

    def vectors(
        self, places: Places[Rows], instruction: Instruction, restore: Restore
    ) -> VectorsOfWorkers[Rows]:
        """The vectors where they are: in the store, or with the workers that made them."""
        known = next((store.dim for store in places.stores if store.dim is not None), None)
        return VectorsOfWorkers(
            self.pool, places, instruction, restore, dim=known or self._dim or 0,
            sparse=self._sparse,
        )  # fmt: skip

    def _take(self, shard: Shard[Rows], done: ShardDone, keeper: int) -> None:
        self._dim = done.dim or self._dim
        self.token_budget = min(self.token_budget, done.token_budget)
        self.budget_cuts += done.budget_cuts
        shard.cost.add(done.cost)
        shard.places.put_elsewhere(
            shard.positions[done.stored], done.token_counts[done.stored],
            shard=next(self._numbers), keeper=keeper,
        )  # fmt: skip
