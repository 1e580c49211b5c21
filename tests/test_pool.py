"""Calls to workers that are slow, fail, die and come back; without processes (see fake_ray)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import fake_ray
import numpy as np
import pytest
from fake_ray import Actor, Death, FakeRay, OutOfMemoryError, Reference

from granite_bench.cluster import pool as pool_module
from granite_bench.cluster.pool import ATTEMPTS, CALLS_PER_WORKER, Call, Gone, Pool
from granite_bench.cluster.session import Seat
from granite_bench.cluster.worker import Facts, Failed, ShardDone
from granite_bench.engine.encoding.encoding_cost import EncodingCost
from granite_bench.errors import BadInput, Fault, StorageError, TaskError
from granite_bench.provenance import package_versions

NAMES = ["worker 1 (node a)", "worker 2 (node b)", "worker 3 (node c)"]


class Work:
    """A worker that notes what it did: a call of encode gives ten times its number."""

    def __init__(self, device: str | None, threads: int | None) -> None:
        self.device, self.model = device, ""

    def load(self, load: Callable[[str | None], Any], store: Any, marker: str | None) -> Any:
        """What *load* makes of the device: facts, or an error."""
        loaded = load(self.device)
        if isinstance(loaded, Exception):
            return Failed(loaded)
        self.model = loaded.identity["model"]
        return loaded

    def encode(self, number: int) -> Any:
        """Ten times as much; Failed for -1."""
        assert self.model, "a call came before the model"
        return Failed(TaskError("no worker can")) if number == -1 else 10 * number

    def compute(self, n_texts: int, seconds: float) -> ShardDone:
        """As if so many texts had been encoded in so many seconds."""
        cost = EncodingCost(n_encoded=n_texts, n_tokens_encoded=3 * n_texts, encode_seconds=seconds)
        none = np.empty(0, np.int32)
        return ShardDone(none, none > 0, none.astype(np.intp), 8, cost, 4, [])

    def ask(self, method: str, *arguments: Any) -> Any:
        """What was asked, and of which model; "refuse" is refused."""
        return Failed(TaskError("refused")) if method == "refuse" else (self.model, method)

    def ping(self) -> None:
        """There."""

    def close(self) -> None:
        """Nothing is kept."""


def facts(model: str = "m", dtype: str = "float32", **packages: str) -> Facts:
    """Of a model that was loaded."""
    backend = {"name": "test", "dtype": dtype, "max_length": None, "device": "cpu"}
    versions = {**package_versions(), **packages}
    return Facts(
        "dense", backend, {"model": model}, False, True, 64, ("", ""), None, {}, versions, 0.1
    )


def load_m(device: str | None) -> Facts:
    """Any worker can."""
    return facts()


@pytest.fixture(autouse=True)
def _work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers without a model."""
    monkeypatch.setattr(pool_module, "Worker", Work)


@pytest.fixture
def said() -> list[str]:
    """What the pool said."""
    return []


def seats(n_workers: int) -> list[Seat]:
    """One on each node."""
    return [
        Seat(name, f"device {place}", None, options={"seat": name})
        for place, name in enumerate(NAMES[:n_workers])
    ]


def pool_of(n_workers: int, ray: FakeRay, said: list[str] | None = None) -> Pool:
    """Workers that all have a model."""
    pool = Pool(seats(n_workers), (said if said is not None else []).append, ray)
    pool.load(load_m, None)
    pool.wait(n_workers)
    return pool


def encode(*numbers: int) -> Iterator[Call]:
    """Calls, one after the other."""
    return (Call("encode", (number,), of=number) for number in numbers)


def answers(pool: Pool, *numbers: int) -> list[tuple[int, Any]]:
    """(number, answer) as they came."""
    return [(call.of, answer) for call, _, answer in pool.run(encode(*numbers))]


def fails(seat: str, what: Any, method: str = "encode") -> Callable[[Actor, str], Any]:
    """A fault of every call of a method on one seat."""
    return lambda actor, called: (
        what if called == method and actor.options["seat"] == seat else None
    )


def once(seat: str, what: Any, method: str = "encode") -> Callable[[Actor, str], Any]:
    """A fault of the first call of a method on one seat."""
    left = [what]
    return lambda actor, called: (
        left.pop() if left and called == method and actor.options["seat"] == seat else None
    )


# who does what


def test_a_call_is_given_to_some_worker_and_answered_once() -> None:
    """Twenty calls over three workers, all of which work."""
    ray = FakeRay()
    got = answers(pool_of(3, ray), *range(20))
    assert sorted(got) == [(number, 10 * number) for number in range(20)]
    assert [actor.n_done["encode"] > 0 for actor in ray.actors] == [True] * 3


def test_no_worker_has_more_calls_than_it_has_room_for() -> None:
    """Whatever there is to do, and wherever it must be done."""
    ray = FakeRay()
    pool = pool_of(2, ray)
    answers(pool, *range(20))
    assert ray.most_at_once == CALLS_PER_WORKER
    [(_, keeper, _)] = pool.run(encode(1))
    list(pool.run(Call("encode", (n,), only=keeper) for n in range(20)))
    assert ray.most_at_once == CALLS_PER_WORKER


def test_calls_are_begun_in_their_order() -> None:
    """One worker does them as they come."""
    assert [number for number, _ in answers(pool_of(1, FakeRay()), *range(9))] == list(range(9))


def test_answers_come_as_they_are_done() -> None:
    """A slow first call holds up nobody."""
    ray = FakeRay(lambda calls: calls[-1:])
    got = [number for number, _ in answers(pool_of(1, ray), 0, 1, 2, 3)]
    assert sorted(got) == [0, 1, 2, 3]
    assert got[:1] == [2]


def test_calls_are_read_as_workers_have_room() -> None:
    """Shards of texts are not all in memory at once."""
    read: list[int] = []

    def numbered() -> Iterator[Call]:
        for number in range(100):
            read.append(number)
            yield Call("encode", (number,), of=number)

    running = pool_of(2, FakeRay()).run(numbered())
    next(running)
    assert len(read) == 2 * CALLS_PER_WORKER


def test_a_call_for_one_worker_is_done_by_it() -> None:
    """The vectors that it keeps are nowhere else."""
    ray = FakeRay()
    pool = pool_of(3, ray)
    keepers = {keeper for _, keeper, _ in pool.run(encode(*range(9)))}
    assert len(keepers) == 3
    before = [dict(actor.n_done) for actor in ray.actors]
    chosen = max(keepers)
    got = list(pool.run(Call("encode", (n,), only=chosen) for n in range(7)))
    assert {keeper for _, keeper, _ in got} == {chosen}
    more = [a.n_done["encode"] - b["encode"] for a, b in zip(ray.actors, before, strict=True)]
    assert sorted(more) == [0, 0, 7]


def test_two_runs_in_a_row_and_one_without_calls() -> None:
    """Nothing of a run is left in the next."""
    pool = pool_of(2, FakeRay())
    assert sorted(answers(pool, 1, 2)) == [(1, 10), (2, 20)]
    assert answers(pool) == []
    assert sorted(answers(pool, 3, 4)) == [(3, 30), (4, 40)]


def test_a_run_that_is_closed_early_leaves_nothing_behind() -> None:
    """What waits is cancelled, and the next run has all the room."""
    ray = FakeRay()
    pool = pool_of(2, ray)
    running = pool.run(encode(*range(50)))
    next(running)
    running.close()
    assert len(ray.cancelled) == 2 * CALLS_PER_WORKER - 1
    read: list[int] = []
    running = pool.run(call for call in encode(*range(50)) if read.append(call.of) is None)
    next(running)
    assert len(read) == 2 * CALLS_PER_WORKER


def test_an_error_that_every_worker_would_meet_is_raised_at_once() -> None:
    """It is nobody's fault, and the workers go on with other work."""
    ray, said = FakeRay(), []
    pool = pool_of(2, ray, said)
    with pytest.raises(TaskError, match="no worker can"):
        answers(pool, 1, -1, 2)
    assert said == []
    assert sorted(answers(pool, 1, 2)) == [(1, 10), (2, 20)]


# failures


def test_a_call_that_fails_is_made_again_on_another_worker() -> None:
    """The other one is busy, and still it is the one."""
    ray = FakeRay()
    ray.fault = fails(NAMES[0], OSError("disk full"))
    pool = pool_of(2, ray)
    assert sorted(answers(pool, 1, 2, 3, 4)) == [(n, 10 * n) for n in (1, 2, 3, 4)]
    assert ray.alive(NAMES[1]).n_done["encode"] == 4


def test_a_call_waits_for_a_busy_worker_rather_than_fail_again_where_it_failed() -> None:
    """Else the quick failures of one worker would use up its attempts."""
    ray = FakeRay()
    slow = NAMES[1]

    def quick_first(calls: list[Reference]) -> list[Reference]:
        """The failing worker's calls are always done before the other's."""
        return [min(calls, key=lambda call: call.actor.options["seat"] == slow)]

    pool = pool_of(2, ray)
    ray.choose, ray.fault = quick_first, fails(NAMES[0], OSError("disk full"))
    assert sorted(answers(pool, *range(12))) == [(n, 10 * n) for n in range(12)]


def test_a_call_that_fails_everywhere_is_given_up() -> None:
    """After ATTEMPTS, not on every worker of a cluster; the message says where and why."""
    ray = FakeRay()
    pool = pool_of(3, ray)
    n_calls = [0]

    def fault(actor: Actor, method: str) -> Any:
        n_calls[0] += method == "encode"
        return OSError("poison\nsecond line") if method == "encode" else None

    ray.fault = fault
    with pytest.raises(TaskError) as raised:
        answers(pool, 1)
    assert n_calls[0] == ATTEMPTS
    first, hint = str(raised.value).splitlines()
    assert first == f"the same work failed 3 times, on {', '.join(NAMES)}: OSError: poison"
    assert "run the same command again" in hint


@pytest.mark.parametrize("n_workers", [1, 2, 3])
def test_work_that_fails_everywhere_excludes_nobody(n_workers: int) -> None:
    """A model that cannot do one task is there for the next one, on all workers."""
    ray, said = FakeRay(), []
    pool = pool_of(n_workers, ray, said)
    ray.fault = lambda actor, method: ValueError("bad task") if method == "encode" else None
    for _ in range(3):
        with pytest.raises(TaskError, match="the same work failed 3 times"):
            answers(pool, *range(30))
    ray.fault = lambda actor, method: None
    assert sorted(answers(pool, *range(9))) == [(n, 10 * n) for n in range(9)]
    assert (said, pool.n_ready) == ([], n_workers)


def test_a_worker_that_fails_in_a_row_while_others_work_is_excluded_once_and_named() -> None:
    """Its calls are done elsewhere, it gets no more of them, and the record says why."""
    ray, said = FakeRay(), []
    pool = pool_of(3, ray, said)
    ray.fault = fails(NAMES[1], RuntimeError("CUDA error: an illegal memory access"))
    assert sorted(answers(pool, *range(30))) == [(n, 10 * n) for n in range(30)]
    why = "3 failures in a row, the last: RuntimeError: CUDA error: an illegal memory access"
    assert said == [f"{NAMES[1]} is excluded: {why}"]
    assert [worker["excluded"] for worker in pool.described()] == [None, why, None]
    assert sum(actor.dead is None for actor in ray.actors) == 2
    n_before = ray.actors[1].n_done["encode"]
    pool.load(load_m, None)
    pool.wait(2)
    answers(pool, *range(9))
    assert ray.actors[1].n_done["encode"] == n_before
    assert "2 workers, 1 not there" in pool.in_words


def test_failures_that_are_not_in_a_row_exclude_nobody() -> None:
    """Every second call of one worker fails, twenty times."""
    ray, said = FakeRay(), []
    pool = pool_of(2, ray, said)
    ray.fault = lambda actor, method: (
        OSError("now and then")
        if method == "encode" and actor.number == 0 and actor.n_done.get("encode", 0) % 2
        else None
    )
    assert len(answers(pool, *range(80))) == 80
    assert ray.actors[0].n_done["encode"] > 30
    assert said == []


# deaths


@pytest.mark.parametrize("when", ["dies before", "dies after"])
def test_what_a_dead_worker_had_is_done_again_and_it_is_replaced(when: str) -> None:
    """Before the work or after it, as long as the answer did not come."""
    ray, said = FakeRay(), []
    pool = pool_of(2, ray, said)
    ray.fault = once(NAMES[0], when)
    assert sorted(answers(pool, *range(12))) == [(n, 10 * n) for n in range(12)]
    [line] = said
    assert line.startswith(f"{NAMES[0]} died and is started again: RayActorError: The actor died")
    assert [actor.options["seat"] for actor in ray.actors] == [NAMES[0], NAMES[1], NAMES[0]]
    assert ray.actors[2].n_done["encode"] > 0
    assert [worker["n_deaths"] for worker in pool.described()] == [1, 0]


def test_a_worker_that_dies_in_a_call_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the work is done: it is done again, whole."""
    left = [True]

    def dying(self: Work, number: int) -> int:
        if number == 3 and left:
            left.pop()
            raise Death
        return 10 * number

    monkeypatch.setattr(Work, "encode", dying)
    assert sorted(answers(pool_of(1, FakeRay()), 1, 2, 3, 4)) == [(n, 10 * n) for n in (1, 2, 3, 4)]


def test_a_worker_that_ray_ends_for_its_memory_is_replaced_as_well() -> None:
    """Ray says that with another error than that of a death."""
    ray, said = FakeRay(), []
    pool = pool_of(1, ray, said)
    ray.fault = once(NAMES[0], OutOfMemoryError("Task was killed due to the node running low"))
    assert sorted(answers(pool, 1, 2)) == [(1, 10), (2, 20)]
    assert "died and is started again: OutOfMemoryError" in said[0]


def test_options_and_seat_are_those_of_the_worker_that_died() -> None:
    """The same room, and no restart by Ray itself, which would come without a model."""
    ray = FakeRay()
    pool = pool_of(1, ray)
    ray.fault = once(NAMES[0], "dies before")
    answers(pool, 1)
    first, second = (actor.options for actor in ray.actors)
    assert first == second
    assert (first["max_restarts"], first["max_concurrency"]) == (0, CALLS_PER_WORKER + 1)


def test_a_worker_that_dies_again_and_again_is_excluded() -> None:
    """Three deaths in a row, while another worker works."""
    ray, said = FakeRay(), []
    pool = pool_of(2, ray, said)
    ray.fault = fails(NAMES[0], "dies before")
    assert len(answers(pool, *range(40))) == 40
    assert [line.split(":")[0] for line in said] == [
        f"{NAMES[0]} died and is started again",
        f"{NAMES[0]} died and is started again",
        f"{NAMES[0]} is excluded",
    ]


def test_a_call_for_a_worker_that_died_is_gone() -> None:
    """Whether it dies of that call or was dead before; its replacement has another keeper."""
    ray = FakeRay()
    pool = pool_of(2, ray)
    by_seat = {pool._members[place].keeper: name for place, name in enumerate(NAMES[:2])}
    for keeper, name in by_seat.items():
        ray.alive(name).die()
        calls = [Call("encode", (n,), of=n, only=keeper) for n in range(5)]
        got = list(pool.run(calls))
        assert sorted(call.of for call, _, _ in got) == list(range(5))
        assert {type(answer) for _, _, answer in got} == {Gone}
    pool.wait(2)
    assert by_seat.keys().isdisjoint(member.keeper for member in pool._members)


def test_answers_of_a_worker_that_died_afterwards_are_kept() -> None:
    """Two calls are answered, the third kills: the first two are not done again."""
    ray = FakeRay(lambda calls: list(calls))
    pool = pool_of(1, ray)
    n_encoded = [0]

    def fault(actor: Actor, method: str) -> Any:
        n_encoded[0] += method == "encode"
        return "dies before" if method == "encode" and n_encoded[0] == 3 else None

    ray.fault = fault
    assert sorted(answers(pool, 1, 2, 3)) == [(1, 10), (2, 20), (3, 30)]
    assert n_encoded[0] == 4


def test_a_run_begins_when_all_workers_are_being_replaced() -> None:
    """None is ready, none is at work, and there is work: it is waited for, not left out."""
    ray = FakeRay()
    pool = pool_of(1, ray)
    ray.fault = fails(NAMES[0], "dies before")
    with pytest.raises(TaskError, match="the same work failed"):
        answers(pool, 1)
    assert pool.n_ready == 0
    ray.fault = lambda actor, method: None
    assert answers(pool, 1) == [(1, 10)]


def test_a_worker_that_dies_while_calls_are_read_is_not_given_one() -> None:
    """To read a shard may take a question to a worker, and that finds it dead."""
    ray = FakeRay()
    pool = pool_of(1, ray)

    def asking() -> Iterator[Call]:
        yield Call("encode", (1,), of=1)
        ray.alive(NAMES[0]).die()
        pool.ask("tokenize")
        yield Call("encode", (2,), of=2)

    got = [(call.of, answer) for call, _, answer in pool.run(asking())]
    assert sorted(got) == [(1, 10), (2, 20)]


def test_no_worker_left_is_an_error_that_names_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """One fails to come back, one finds no room: two reasons, and what to do."""
    monkeypatch.setattr(pool_module, "WAIT_SECONDS", -1.0)
    ray, said = FakeRay(), []
    pool = pool_of(2, ray, said)

    def fault(actor: Actor, method: str) -> Any:
        if method == "encode":
            ray.full.add(NAMES[1])
            return "dies before"
        return "dies before" if method == "load" and actor.options["seat"] == NAMES[0] else None

    ray.fault = fault
    with pytest.raises(TaskError) as raised:
        answers(pool, *range(9))
    first, hint = str(raised.value).splitlines()
    assert first.startswith(f"no worker is left: {NAMES[0]}: 3 failures in a row, the last: Ray")
    assert first.endswith(f"; {NAMES[1]}: no room for it")
    assert "run the same command again" in hint


def test_a_full_node_holds_up_nobody() -> None:
    """Its worker starts as soon as there is room, and works from then on."""
    ray = FakeRay()
    ray.full = {NAMES[1]}
    pool = Pool(seats(2), ray=ray)
    pool.load(load_m, None)
    assert pool.in_words == "1 workers, 1 not there"
    running = pool.run(encode(*range(40)))
    for _ in range(10):
        next(running)
    assert pool.n_ready == 1
    ray.full.clear()
    assert len(list(running)) == 30
    assert ray.alive(NAMES[1]).n_done["encode"] > 5


class SlowToLoad(FakeRay):
    """Nothing is done at the first five looks."""

    n_looks = 0

    def wait(self, references: list[Reference], **how: Any) -> Any:
        """As Ray's."""
        self.n_looks += 1
        return super().wait(references, **{**how, **({"timeout": 0} if self.n_looks < 6 else {})})


def test_a_model_that_loads_for_long_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Room is what may never come; a worker that has it may download all night."""
    monkeypatch.setattr(pool_module, "WAIT_SECONDS", -1.0)
    ray = SlowToLoad()
    assert Pool(seats(1), ray=ray).load(load_m, None).identity == {"model": "m"}
    assert ray.n_looks > 5


# models


def on_first(error: Exception) -> Callable[[str | None], Any]:
    """Loads on all devices but the first."""
    return lambda device: error if device == "device 0" else facts()


def test_a_worker_that_cannot_load_a_model_is_idle_and_named() -> None:
    """The others do its work; the record says why, and the next model is tried there again."""
    ray, said = FakeRay(), []
    pool = Pool(seats(2), said.append, ray)
    pool.load(on_first(TaskError("no such file\n  fetch it")), None)
    assert len(answers(pool, *range(9))) == 9
    assert said == [f"{NAMES[0]} could not load the model: TaskError: no such file"]
    assert pool.described()[0]["excluded"] == "TaskError: no such file"
    assert "encode" not in ray.actors[0].n_done
    pool.load(load_m, None)
    pool.wait(2)
    assert len(answers(pool, *range(9))) == 9
    assert ray.actors[0].n_done["encode"] > 0
    assert (len(said), len(ray.actors)) == (1, 2)


@pytest.mark.parametrize(
    "error",
    [
        BadInput([Fault("--model", "is unknown", "see models"), Fault("--dtype", "is wrong")]),
        TaskError("no weights\n  fetch them"),
        StorageError("/v: another folder"),
        OSError(2, "No such file"),
    ],
)
def test_what_no_worker_can_load_is_their_error(error: Exception) -> None:
    """Whole, with its hint, as if it had been raised here."""
    pool = Pool(seats(2), ray=FakeRay())
    with pytest.raises(type(error)) as raised:
        pool.load(lambda device: error, None)
    assert str(raised.value) == str(error)
    assert pool.load(load_m, None).identity == {"model": "m"}


def test_the_error_of_an_idle_worker_is_not_that_of_those_that_failed_later() -> None:
    """One could not load, the other is lost during the work: both are named."""
    ray = FakeRay()
    pool = Pool(seats(2), ray=ray)
    pool.load(on_first(TaskError("too little memory")), None)
    ray.fault = lambda actor, method: "dies before"
    with pytest.raises(TaskError, match="no worker is left") as raised:
        answers(pool, 1)
    assert f"{NAMES[0]}: TaskError: too little memory; {NAMES[1]}: 3 failures" in str(raised.value)


def test_a_worker_that_dies_while_it_loads_is_tried_again_and_then_excluded() -> None:
    """Three times; the others go on without it."""
    ray, said = FakeRay(), []
    ray.fault = fails(NAMES[0], "dies before", "load")
    pool = Pool(seats(2), said.append, ray)
    pool.load(load_m, None)
    assert len(answers(pool, *range(20))) == 20
    assert sum(actor.options["seat"] == NAMES[0] for actor in ray.actors) == 3
    assert said[-1].startswith(f"{NAMES[0]} is excluded: 3 failures in a row")


def test_a_worker_that_still_loads_one_model_does_not_end_up_with_it() -> None:
    """Two loads on one process might be done in any order: the second gets a new process."""
    ray = FakeRay()
    ray.full = {NAMES[1]}
    pool = Pool(seats(2), ray=ray)
    pool.load(load_m, None)
    pool.load(lambda device: facts("other"), None)
    ray.full.clear()
    pool.wait(2)
    assert [actor.object.model for actor in ray.actors if actor.object] == ["other", "other"]
    assert [actor.dead is None for actor in ray.actors] == [True, False, True]


def test_a_worker_with_other_packages_is_excluded() -> None:
    """Its vectors may be others; the message names package and versions."""
    ray, said = FakeRay(), []
    pool = Pool(seats(2), said.append, ray)
    pool.load(lambda device: facts(torch="1.0") if device == "device 0" else facts(), None)
    here = package_versions()["torch"]
    assert said == [
        f"{NAMES[0]} is excluded: it has other versions than the driver: torch 1.0 (here {here})"
    ]
    assert len(answers(pool, 1, 2)) == 2
    assert ray.actors[0].dead is not None


def test_a_worker_whose_vectors_would_be_others_is_idle() -> None:
    """A processor that loads in another precision than a GPU: they would lie in another store."""
    ray, said = FakeRay(), []
    pool = Pool(seats(2), said.append, ray)
    pool.load(lambda device: facts(dtype="float16" if device == "device 0" else "float32"), None)
    assert len(answers(pool, *range(9))) == 9
    assert said == [
        f"{NAMES[1]} could not load the model: its vectors would be others: "
        "dtype float32 (elsewhere float16)"
    ]


# questions


def test_questions_are_answered_while_calls_are_made() -> None:
    """A shard is cut by the tokens that a worker counts."""
    pool = pool_of(2, FakeRay())
    running = pool.run(encode(*range(9)))
    next(running)
    assert pool.ask("tokenize", ["a"]) == ("m", "tokenize")
    assert len(list(running)) == 8


def test_a_question_is_put_to_another_worker_where_one_fails() -> None:
    """And to a replaced one where that one died."""
    ray = FakeRay()
    pool = pool_of(2, ray)
    faults: list[Any] = ["dies before", OSError("busy")]
    ray.fault = lambda actor, method: faults.pop() if method == "ask" and faults else None
    assert pool.ask("tokenize") == ("m", "tokenize")
    assert len(ray.actors) == 3


def test_a_question_that_no_worker_can_answer_is_an_error() -> None:
    """Not asked for ever; a refusal is said at once."""
    ray = FakeRay()
    pool = pool_of(2, ray)
    with pytest.raises(TaskError, match=r"^refused$"):
        pool.ask("refuse")
    ray.fault = lambda actor, method: OSError("busy") if method == "ask" else None
    with pytest.raises(TaskError, match=r"the same work failed 3 times.*OSError: busy"):
        pool.ask("tokenize")


# the record


def test_each_workers_share_is_described() -> None:
    """Texts and tokens, the seconds that they took, and texts per second; anew for each model."""
    ray = FakeRay()
    pool = pool_of(2, ray)
    list(pool.run(Call("compute", (8, 0.5)) for _ in range(6)))
    described = pool.described()
    assert [worker["name"] for worker in described] == NAMES[:2]
    assert sum(worker["n_texts"] for worker in described) == 48
    assert sum(worker["n_tokens"] for worker in described) == 144
    assert {worker["texts_per_second"] for worker in described} == {16.0}
    assert {worker["device"] for worker in described} == {"cpu"}
    assert pool.in_words == "2 workers, 32 texts/s"
    pool.load(load_m, None)
    assert [worker["n_texts"] for worker in pool.described()] == [0, 0]
    assert {worker["texts_per_second"] for worker in pool.described()} == {None}


def test_no_worker_outlives_the_pool() -> None:
    """Dead, excluded, waiting for room or well."""
    ray = FakeRay()
    ray.full = {NAMES[2]}
    pool = Pool(seats(3), ray=ray)
    pool.load(load_m, None)
    pool.wait(2)
    ray.alive(NAMES[1]).die()
    pool.close()
    assert all(actor.dead is not None for actor in ray.actors)
    assert ray.actors[0].n_done["close"] == 1


def test_what_does_not_pickle_fails_here_as_with_ray() -> None:
    """The stand-in sends what Ray would send, and nothing that it would not."""
    array = fake_ray.sent(np.arange(3))
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1
    with pytest.raises(TypeError, match="pickle"):
        fake_ray.sent(threading.Lock())
