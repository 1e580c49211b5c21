"""
Seeded faults: slips that a person could make, and whether the tests notice each of them.

    python tests/seeded_faults.py               # all of them; minutes
    python tests/seeded_faults.py --only gate   # those with this word in their file or in words

The faults stand in seeded_faults.yaml. Each is made by itself in a copy of the repository, where
the tests that must notice it run until one fails. Ends with 1 where none did.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).parents[1]

LONGEST_RUN = 600
"""Seconds; a fault may make an endless loop."""


@dataclass(frozen=True)
class Fault:
    """
    One slip.

    Attributes:
        file: where it is made, below the repository.
        words: what goes wrong.
        text: what stands in the file, once.
        instead: what takes its place.
        tests: files of tests that must notice, below the repository.
    """

    file: str
    words: str
    text: str
    instead: str
    tests: Sequence[str]

    def made_in(self, content: str) -> str:
        """
        The file's content with the fault.

        Raises:
            ValueError: the text does not stand in it once, or nothing would change.
        """
        if (n := content.count(self.text)) != 1:
            raise ValueError(f"{self.file}: {self.words}: the text stands there {n} times")
        if self.instead == self.text:
            raise ValueError(f"{self.file}: {self.words}: nothing changes")
        return content.replace(self.text, self.instead)


def read_faults() -> list[Fault]:
    """Those of seeded_faults.yaml."""
    files = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
    return [
        Fault(
            file,
            each["fault"],
            each["text"],
            each["instead"],
            [f"tests/test_{name}.py" for name in each.get("tests", of_file["tests"])],
        )
        for file, of_file in files.items()
        for each in of_file["faults"]
    ]


def copy_repository(to: Path) -> None:
    """Every file that git has or would take, as it is now."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        if (REPOSITORY / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, to / name)


def first_failure(repository: Path, tests: Sequence[str]) -> str:
    """
    The first test that fails there; empty where all pass.

    Raises:
        RuntimeError: the tests cannot be run.
    """
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    try:
        done = subprocess.run(
            command,
            cwd=repository,
            env={**os.environ, "PYTHONPATH": str(repository)},
            capture_output=True,
            text=True,
            timeout=LONGEST_RUN,
        )
    except subprocess.TimeoutExpired:
        return f"no end after {LONGEST_RUN} seconds"
    if done.returncode == 0:
        return ""
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED ", "ERROR "))]
    if done.returncode != 1 or not failed:
        raise RuntimeError(f"{' '.join(command)}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return failed[0].split(" ", 1)[1].split(" - ")[0]


def main() -> int:
    """Make the faults, print what became of each, return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--only", default="", metavar="WORD", help="in the file or the words")
    only = parser.parse_args().only
    faults = [each for each in read_faults() if only in f"{each.file}: {each.words}"]
    if not faults:
        print(f"no fault has '{only}' in it")
        return 1
    missed = 0
    with tempfile.TemporaryDirectory() as folder:
        repository = Path(folder) / "granite-bench"
        copy_repository(repository)
        for test in sorted({test for each in faults for test in each.tests}):
            if without := first_failure(repository, [test]):
                print(f"fails without any fault: {without}")
                return 1
        for fault in faults:
            path = repository / fault.file
            content = path.read_text(encoding="utf-8")
            path.write_text(fault.made_in(content), encoding="utf-8")
            noticed = first_failure(repository, fault.tests)
            path.write_text(content, encoding="utf-8")
            missed += not noticed
            said = f"caught by {noticed}" if noticed else "NOT CAUGHT"
            print(f"{fault.file}: {fault.words}: {said}", flush=True)
    print(f"{len(faults) - missed} of {len(faults)} faults were caught")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
