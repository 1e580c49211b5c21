"""
Work on a cluster, shard by shard: when is it done, and what was waited for?

One driver prepares shards one after another (it reads and hashes their texts). Workers encode them,
largest task first, and write the vectors to a store that takes one shard at a time; of each worker
no more than two shards are under way. Models come one after another, and each is loaded by all
workers. When all of a model's texts are encoded, its tasks are searched where the vectors are:
every worker ranks its share of the documents, the driver merges what they found and scores it.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

SHARDS_PER_WORKER = 2
"""Under way at a time: one is encoded, the next is there when it is done."""


@dataclass(frozen=True)
class Shards:
    """
    Equal shards.

    Attributes:
        count: how many.
        encode_seconds: of a worker, for each.
        prepare_seconds: of the driver, for each.
        n_bytes: that each writes to the store.
    """

    count: int
    encode_seconds: float
    prepare_seconds: float = 0.0
    n_bytes: float = 0.0


@dataclass(frozen=True)
class TaskWork:
    """
    What one model has to do for one task.

    Attributes:
        search_seconds: of one worker, if it did all of the search.
        read_bytes: vectors that are read back for it.
        merge_seconds, score_seconds: of the driver, behind the search.
        alone_seconds: of one worker while the others wait (single queries, for their latency).
    """

    name: str
    shards: Sequence[Shards]
    search_seconds: float = 0.0
    read_bytes: float = 0.0
    merge_seconds: float = 0.0
    score_seconds: float = 0.0
    alone_seconds: float = 0.0

    @property
    def encode_seconds(self) -> float:
        """Of a worker, for all shards."""
        return sum(each.count * each.encode_seconds for each in self.shards)


@dataclass(frozen=True)
class ModelWork:
    """What one loaded model has to do; every worker takes *load_seconds* to load it."""

    name: str
    load_seconds: float
    tasks: Sequence[TaskWork]


@dataclass(frozen=True)
class Cluster:
    """
    Who does it.

    Attributes:
        n_workers: 1 or more, all alike.
        store_bytes_per_second: of the store, for all workers together.
        start_seconds: until the workers are there, once.
    """

    n_workers: int = 1
    store_bytes_per_second: float = math.inf
    start_seconds: float = 0.0


STAGES = ("load", "encode", "search", "score")


@dataclass
class Simulated:
    """
    How it went.

    Attributes:
        n_workers: of the cluster.
        stages: wall seconds of each of STAGES, over all models; the start is with *load*.
        models: name -> wall seconds, the start left out.
        busy_seconds: of all workers together.
        encoding: seconds that workers (together), driver and store were busy while texts were
            encoded.
        encoders: the workers that encoded something.
    """

    n_workers: int
    stages: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))
    models: dict[str, float] = field(default_factory=dict)
    busy_seconds: float = 0.0
    encoding: dict[str, float] = field(
        default_factory=lambda: {"workers": 0.0, "driver": 0.0, "store": 0.0}
    )
    encoders: set[int] = field(default_factory=set)

    @property
    def seconds(self) -> float:
        """From the first to the last moment."""
        return sum(self.stages.values())

    @property
    def held_seconds(self) -> float:
        """Of all workers, busy or not: what a cluster is paid for."""
        return self.n_workers * self.seconds

    @property
    def bottleneck(self) -> str:
        """What the time goes to, as a word and its figure."""
        if not self.seconds:
            return "nothing: there is nothing to do"
        stage, seconds = max(self.stages.items(), key=lambda item: item[1])
        share = f"{seconds / self.seconds:.0%} of the time"
        if stage == "load":
            return f"loading: models are loaded for {share}"
        if stage == "search":
            return f"search: vectors are searched for {share}"
        if stage == "score":
            return f"driver: it merges and scores, and workers wait, for {share}"
        return self._encoding_bottleneck(seconds)

    def _encoding_bottleneck(self, seconds: float) -> str:
        shares = {name: value / seconds for name, value in self.encoding.items()}
        workers = shares.pop("workers") / self.n_workers
        name, share = max(shares.items(), key=lambda item: item[1])
        if share > workers and share > _BUSY:
            doing = {"driver": "prepares texts", "store": "takes vectors"}[name]
            return (
                f"{name}: it {doing} for {share:.0%} of the time, workers encode for {workers:.0%}"
            )
        n_idle = self.n_workers - len(self.encoders)
        if n_idle:
            return f"too few shards: {n_idle} of {self.n_workers} workers have nothing to do"
        if workers < _BUSY:
            return f"uneven shards: workers encode {workers:.0%} of the time and wait for the last"
        return f"encoding: workers are busy {workers:.0%} of the time"


_BUSY = 0.5
"""A share below which something is no bottleneck."""


def simulate(models: Sequence[ModelWork], cluster: Cluster) -> Simulated:
    """
    Let a cluster do the work of some models, one after another.

    Raises:
        ValueError: a cluster without workers, or a store that takes nothing.
    """
    if cluster.n_workers < 1 or not cluster.store_bytes_per_second > 0:
        raise ValueError("a cluster has a worker, and a store that takes vectors")
    done = Simulated(cluster.n_workers)
    done.stages["load"] += cluster.start_seconds if models else 0.0
    for model in models:
        started = done.seconds
        done.busy_seconds += cluster.n_workers * model.load_seconds
        done.stages["load"] += model.load_seconds
        # The largest first: what is left when workers run out of shards is small.
        tasks = sorted(model.tasks, key=lambda task: -task.encode_seconds)
        done.stages["encode"] += _Encoding(cluster, done).run(
            [shards for task in tasks for shards in task.shards]
        )
        for task in tasks:
            _search(task, cluster, done)
        done.models[model.name] = done.models.get(model.name, 0.0) + done.seconds - started
    return done


def _search(task: TaskWork, cluster: Cluster, done: Simulated) -> None:
    reading = task.read_bytes / cluster.store_bytes_per_second
    own = task.search_seconds / cluster.n_workers
    done.busy_seconds += task.search_seconds + task.alone_seconds
    # A block is read while the one before is searched.
    done.stages["search"] += max(own, reading) + task.alone_seconds
    done.stages["score"] += task.merge_seconds + task.score_seconds


class _Encoding:
    """One model's shards through driver, workers and store; times are from its beginning."""

    def __init__(self, cluster: Cluster, done: Simulated) -> None:
        self.cluster, self.done = cluster, done
        self.events: list[tuple[float, int, str, int, Shards]] = []
        self.n_events = 0
        self.idle = list(range(cluster.n_workers))
        self.ready: deque[Shards] = deque()
        self.to_write: deque[tuple[int, Shards]] = deque()
        self.under_way = 0
        self.preparing = self.writing = False

    def run(self, shards: Sequence[Shards]) -> float:
        """Seconds until the last vector is written."""
        coming = deque(each for kind in shards for each in [kind] * kind.count)
        now = 0.0
        self._go_on(now, coming)
        while self.events:
            now, _, what, worker, shard = heapq.heappop(self.events)
            if what == "prepared":
                self.preparing = False
                self.ready.append(shard)
            elif what == "encoded":
                self.to_write.append((worker, shard))
            else:
                self.writing = False
                self.under_way -= 1
                heapq.heappush(self.idle, worker)
            self._go_on(now, coming)
        return now

    def _go_on(self, now: float, coming: deque[Shards]) -> None:
        """Start whatever can start."""
        done, limit = self.done, SHARDS_PER_WORKER * self.cluster.n_workers
        if coming and not self.preparing and self.under_way < limit:
            shard = coming.popleft()
            self.preparing = True
            self.under_way += 1
            done.encoding["driver"] += shard.prepare_seconds
            self._at(now + shard.prepare_seconds, "prepared", -1, shard)
        while self.ready and self.idle:
            shard, worker = self.ready.popleft(), heapq.heappop(self.idle)
            done.encoders.add(worker)
            done.busy_seconds += shard.encode_seconds
            done.encoding["workers"] += shard.encode_seconds
            self._at(now + shard.encode_seconds, "encoded", worker, shard)
        if self.to_write and not self.writing:
            worker, shard = self.to_write.popleft()
            seconds = shard.n_bytes / self.cluster.store_bytes_per_second
            self.writing = True
            done.encoding["store"] += seconds
            self._at(now + seconds, "written", worker, shard)

    def _at(self, time: float, what: str, worker: int, shard: Shards) -> None:
        self.n_events += 1  # equal times in the order in which they were set
        heapq.heappush(self.events, (time, self.n_events, what, worker, shard))
