"""
Kill a run at random moments, let the same command finish it, and compare the scores.

    python benchmarks/kill_test.py [--kills 20] [--seed 0] [--minutes 20]

Each round starts in empty folders, sends SIGKILL after a random part of the time that a whole
run takes, runs the same command to its end, and requires that every score and every per-query
row is byte for byte that of the run that nobody killed. Ends with 1 at the first difference.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WORDS = "otter kettle violin glacier lantern walnut compass harbour thimble meadow".split()
N_DOCS = 3_000


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=20)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as temporary:
        base = Path(temporary)
        corpus = _corpus(base / "many", rng)
        started = time.monotonic()
        _start(corpus, base / "whole").wait()
        whole_seconds = time.monotonic() - started
        expected = _written(base / "whole")
        print(f"a whole run takes {whole_seconds:.1f} s and writes {len(expected)} files of scores")
        for number in range(options.kills):
            if time.monotonic() - started > 60 * options.minutes:
                print(f"stopped after {number} kills: {options.minutes:g} minutes are over")
                break
            moment = rng.uniform(0, whole_seconds)
            folder = base / f"killed-{number}"
            process = _start(corpus, folder)
            time.sleep(moment)
            process.send_signal(signal.SIGKILL)
            process.wait()
            n_shards = len(list((folder / "vectors").glob("*/*.safetensors")))
            _start(corpus, folder).wait()
            same = _written(folder) == expected
            print(f"killed after {moment:5.1f} s with {n_shards} shards: ", end="")
            print("the same" if same else "DIFFERENT", flush=True)
            if not same:
                return 1
    return 0


def _corpus(folder: Path, rng: random.Random) -> Path:
    (folder / "qrels").mkdir(parents=True)
    texts = [" ".join(rng.choices(WORDS, k=rng.randint(3, 40))) for _ in range(N_DOCS)]
    docs = [json.dumps({"_id": f"d{n}", "text": text}) for n, text in enumerate(texts)]
    (folder / "corpus.jsonl").write_text("\n".join(docs) + "\n")
    queries = [
        json.dumps({"_id": f"q{n}", "text": texts[37 * n][:60]}) for n in range(N_DOCS // 60)
    ]
    (folder / "queries.jsonl").write_text("\n".join(queries) + "\n")
    judged = [f"q{n}\td{37 * n}\t1" for n in range(N_DOCS // 60)]
    (folder / "qrels" / "test.tsv").write_text("\n".join(judged) + "\n")
    return folder


def _start(corpus: Path, folder: Path) -> subprocess.Popen[bytes]:
    command = [
        *(sys.executable, "-m", "granite_bench", "run", "--task", str(corpus), "--dims", "128"),
        *("--model", "quickstart/all-MiniLM-L6-v2", "--device", "cpu"),
        *("--out", str(folder / "results"), "--vectors", str(folder / "vectors")),
    ]
    environment = {**os.environ, "GRANITE_BENCH_CACHE": str(folder / "cache")}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def _written(folder: Path) -> dict[str, bytes]:
    """The scores of each result, and the bytes of the per-query rows."""
    root = folder / "results"
    scores = {
        str(path.relative_to(root)): json.dumps(json.loads(path.read_bytes())["scores"]).encode()
        for path in root.rglob("many.json")
        if path.parent.name != "records"
    }
    rows = {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*.parquet")}
    return scores | rows


if __name__ == "__main__":
    sys.exit(main())
