"""
The GitHub Action: action.yml is sound, and the shell of its steps does what it says.

The steps run here as GitHub's runner runs them: inputs go to the environment, each script to
`bash -eo pipefail`, outputs through $GITHUB_OUTPUT. Only installing is replaced: there, the package
under test stands in for what pip would fetch.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from results_tree import write_result

ROOT = Path(__file__).parents[1]
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
STEPS: list[dict[str, Any]] = ACTION["runs"]["steps"]
EXPRESSION = re.compile(r"\$\{\{ *(.*?) *\}\}")


@dataclass
class Job:
    """A job that uses the action, in a folder of its own."""

    workspace: Path
    temp: Path
    path: str
    outputs: dict[str, dict[str, str]] = field(default_factory=dict)
    outcomes: dict[str, str] = field(default_factory=dict)
    said: str = ""

    def run(self, **inputs: str) -> int:
        """
        Run the action's scripts, in order; returns the exit code of the step that failed, else 0.

        Args:
            inputs: by name, with _ for -.
        """
        given = {name: str(known.get("default", "")) for name, known in ACTION["inputs"].items()}
        given |= {name.replace("_", "-"): value for name, value in inputs.items()}
        failed = 0
        for step in STEPS:
            condition = step.get("if", "")
            wanted = (not failed or "always()" in condition) and self._holds(condition, given)
            if "run" in step and wanted:
                code = self._run(step, given)
                self.outcomes[step.get("id", "")] = "failure" if code else "success"
                failed = failed or code
        return failed

    def _run(self, step: Mapping[str, Any], inputs: Mapping[str, str]) -> int:
        output = self.temp / "output"
        output.write_text("")
        values = {name: self._expanded(value, inputs) for name, value in step["env"].items()}
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
            cwd=self.workspace,
            env=self._environment(output) | values,
            capture_output=True,
            text=True,
            check=False,
        )
        self.said += done.stdout + done.stderr
        lines = output.read_text().splitlines()
        self.outputs[step.get("id", "")] = dict(line.split("=", 1) for line in lines)
        return done.returncode

    def _environment(self, output: Path) -> dict[str, str]:
        return {
            "GRANITE_BENCH_CACHE": os.environ["GRANITE_BENCH_CACHE"],
            "PATH": self.path,
            "HOME": str(self.temp),
            "PYTHONPATH": str(ROOT),
            "GITHUB_OUTPUT": str(output),
            "GITHUB_ACTIONS": "true",
            "GITHUB_STEP_SUMMARY": str(self.temp / "summary.md"),
        }

    def _value(self, name: str, inputs: Mapping[str, str]) -> str:
        known = {
            "github.action_path": str(ROOT),
            "github.run_id": "1",
            "github.run_attempt": "1",
            "runner.os": "Linux",
            "runner.temp": str(self.temp),
        }
        if name in known:
            return known[name]
        kind, _, rest = name.partition(".")
        if kind == "inputs":
            return inputs[rest]
        step, what, *key = rest.split(".")
        assert kind == "steps"
        if what == "outcome":
            return self.outcomes.get(step, "skipped")
        return self.outputs.get(step, {}).get(key[0], "")

    def _expanded(self, text: str, inputs: Mapping[str, str]) -> str:
        return EXPRESSION.sub(lambda found: self._value(found[1], inputs), text)

    def _holds(self, condition: str, inputs: Mapping[str, str]) -> bool:
        clauses = [each for each in condition.split(" && ") if each and each != "always()"]
        for clause in clauses:
            name, operator, value = clause.split()
            if (self._value(name, inputs) == value.strip("'")) != (operator == "=="):
                return False
        return True


def _script(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(0o755)


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """A runner whose venv has the package under test, and whose pip writes down its arguments."""
    real, pip = shlex.quote(sys.executable), shlex.quote(str(tmp_path / "pip"))
    installed = tmp_path / "installed"
    _script(
        installed / "python",
        f'if [ "$1 $2" = "-m pip" ]; then shift 2; printf "%s\\n" "$@" "" >> {pip}; exit; fi\n'
        f'exec {real} "$@"',
    )
    _script(installed / "granite-bench", f'exec {real} -m granite_bench "$@"')
    _script(
        tmp_path / "tools" / "python",
        f'[ "$1 $2" = "-m venv" ] && mkdir -p "$3" && cp -r {shlex.quote(str(installed))} "$3/bin"',
    )
    workspace = tmp_path / "work space"
    workspace.mkdir()
    path = f"{tmp_path / 'tools'}{os.pathsep}{os.environ['PATH']}"
    return Job(workspace, tmp_path, path)


@pytest.fixture
def recorded(job: Job, tmp_path: Path) -> Job:
    """The same, but granite-bench only writes down its arguments, and ends as `code` says."""
    _script(
        tmp_path / "installed" / "granite-bench",
        '[ "$1" = check ] || exit 0\n'
        f'printf "%s\\n" "$@" > {shlex.quote(str(tmp_path / "arguments"))}\n'
        f'exit "$(cat {shlex.quote(str(tmp_path / "code"))})"',
    )
    (tmp_path / "code").write_text("0")
    return job


def arguments_of(job: Job) -> list[str]:
    """What granite-bench was called with, without where its reports go."""
    words = (job.temp / "arguments").read_text().splitlines()
    return [word for word in words if not word.startswith(("--junit=", "--json="))]


def installs_of(job: Job) -> list[list[str]]:
    """What pip was called with, call by call."""
    calls = (job.temp / "pip").read_text().strip("\n").split("\n\n")
    return [call.splitlines() for call in calls]


def test_every_input_and_output_is_described() -> None:
    """They are the action's documentation on GitHub."""
    for known in (*ACTION["inputs"].values(), *ACTION["outputs"].values()):
        assert known["description"].strip().endswith(".")
    optional = {name for name, known in ACTION["inputs"].items() if "default" in known}
    required = {name for name, known in ACTION["inputs"].items() if known.get("required")}
    assert required == {"suite", "baseline"}
    assert optional | required == set(ACTION["inputs"])


def test_every_input_is_used_and_no_other_is_asked_for() -> None:
    """GitHub takes an unknown input for an empty one, without a word."""
    used = set(re.findall(r"\binputs\.([\w-]+)", json.dumps(STEPS)))
    assert used == set(ACTION["inputs"])


def test_no_script_has_an_expression_in_it() -> None:
    """What somebody else has chosen would become a part of the script."""
    assert [step["name"] for step in STEPS if "${{" in step.get("run", "")] == []


def test_every_script_runs_in_bash() -> None:
    """A composite action has no default shell."""
    assert {step["shell"] for step in STEPS if "run" in step} == {"bash"}


def test_outputs_come_from_a_step_that_writes_them() -> None:
    """A misspelt one would be empty, without a word."""
    written = {
        step["id"]: set(re.findall(r'echo "([\w-]+)=', step["run"]))
        for step in STEPS
        if "run" in step and "id" in step
    }
    wanted = re.findall(r"steps\.(\w+)\.outputs\.([\w-]+)", json.dumps(ACTION))
    assert wanted
    assert [(step, name) for step, name in wanted if name not in written[step]] == []


def test_other_actions_are_github_s_own_at_a_major_version() -> None:
    """Nobody else's code runs with the rights of the caller's workflow."""
    used = {step["uses"] for step in STEPS if "uses" in step}
    assert used
    assert [each for each in used if not re.fullmatch(r"actions/[\w/-]+@v\d+", each)] == []


def test_what_is_saved_is_what_is_restored() -> None:
    """The same folders under the same key."""
    restore, save = (
        next(step["with"] for step in STEPS if f"cache/{name}@" in step.get("uses", ""))
        for name in ("restore", "save")
    )
    assert (restore["path"], restore["key"]) == (save["path"], save["key"])
    assert "~/.cache/granite-bench" in save["path"]


def test_the_action_s_checkout_is_installed_in_the_versions_of_its_constraints(
    recorded: Job,
) -> None:
    """By default; with extras where they are asked for."""
    assert recorded.run(suite="s", baseline="b", extras="onnx,openvino") == 0
    (call,) = installs_of(recorded)
    assert call[call.index("--constraint") + 1] == str(ROOT / "constraints.txt")
    assert call[-2:] == ["--", f"{ROOT}[onnx,openvino]"]


def test_another_version_is_installed_without_the_constraints_of_this_one(recorded: Job) -> None:
    """They are of another time."""
    assert recorded.run(suite="s", baseline="b", granite_bench="granite-bench>=0.1, <2") == 0
    (call,) = installs_of(recorded)
    assert "--constraint" not in call
    assert call[-2:] == ["--", "granite-bench>=0.1, <2"]


def test_torch_comes_first_where_it_has_an_index_of_its_own(recorded: Job) -> None:
    """And nothing else is looked for there."""
    assert recorded.run(suite="s", baseline="b", torch_index="https://index.example/cpu") == 0
    torch, rest = installs_of(recorded)
    assert torch[-3:] == ["--index-url", "https://index.example/cpu", "torch"]
    assert "--index-url" not in rest


def test_inputs_become_options(recorded: Job) -> None:
    """Those that are given; several models stand one a line."""
    code = recorded.run(
        suite="my suite.yaml",
        baseline="base.json",
        model="org/a\nmy model\n",
        policy="p.yaml",
        mirror="m",
        arguments="--dims 256,128 --task 'my corpus'",
    )
    assert code == 0
    assert arguments_of(recorded) == [
        "check", "--suite=my suite.yaml", "--baseline=base.json", "--policy=p.yaml", "--mirror=m",
        "--model=org/a", "--model=my model", "--dims", "256,128", "--task", "my corpus",
    ]  # fmt: skip


def test_inputs_that_are_not_given_are_no_options(recorded: Job) -> None:
    """An empty path would be a path."""
    assert recorded.run(suite="s", baseline="b") == 0
    assert arguments_of(recorded) == ["check", "--suite=s", "--baseline=b"]


HOSTILE = (
    "$(touch pwned)", "`touch pwned`", "; touch pwned;", '"; touch pwned; "', "' || touch pwned '",
    "${PATH}", "*", "--help",
)  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_an_input_is_never_executed_or_expanded(text: str, recorded: Job) -> None:
    """Not one that a pull request can choose, such as a model's name."""
    quoted = shlex.quote(text)
    named = dict.fromkeys(("suite", "baseline", "policy", "mirror", "model", "torch_index"), text)
    assert recorded.run(**named, arguments=f"--task {quoted}") == 0
    assert arguments_of(recorded) == [
        "check",
        *(f"--{name}={text}" for name in ("suite", "baseline", "policy", "mirror", "model")),
        "--task",
        text,
    ]
    assert recorded.run(suite="s", baseline="b", granite_bench=text, extras=text) == 0
    assert installs_of(recorded)[-1][-1] == text
    assert list(recorded.workspace.iterdir()) == []


def test_arguments_with_an_open_quote_are_refused(recorded: Job) -> None:
    """Nothing is checked with half of them; exit code 1 would say that the model became worse."""
    assert recorded.run(suite="s", baseline="b", arguments="--task 'a") == 2
    assert not (recorded.temp / "arguments").exists()
    assert recorded.outputs["check"]["verdict"] == "refused"
    assert recorded.said == "arguments: No closing quotation; quote each word as in a shell\n"


@pytest.mark.parametrize(
    ("code", "verdict"),
    [(0, "passed"), (1, "failed"), (2, "refused"), (3, "incomplete"), (4, "broken")],
)
def test_the_exit_code_of_the_check_is_the_step_s_and_an_output(
    code: int, verdict: str, recorded: Job
) -> None:
    """Steps behind it can tell a regression from a hole."""
    (recorded.temp / "code").write_text(str(code))
    assert recorded.run(suite="s", baseline="b") == code
    outputs = recorded.outputs["check"]
    assert (outputs["exit-code"], outputs["verdict"]) == (str(code), verdict)


def test_a_report_of_an_earlier_check_does_not_stand_for_this_one(recorded: Job) -> None:
    """On a runner that keeps its folders, and with a check that ends before it writes any."""
    old = recorded.temp / "granite-bench" / "report" / "check.xml"
    old.parent.mkdir(parents=True)
    old.write_text("<testsuites/>")
    (recorded.temp / "code").write_text("4")
    assert recorded.run(suite="s", baseline="b") == 4
    assert not old.exists()


def test_each_suite_and_model_has_a_cache_of_its_own(recorded: Job) -> None:
    """Jobs of a matrix would overwrite one another; a key with a comma is refused by GitHub."""
    keys = []
    for model in ("a", "b,c", "b,c"):
        recorded.run(suite="s", baseline="b", model=model)
        keys.append(recorded.outputs["install"]["cache"])
    assert keys[0] != keys[1] == keys[2]
    assert all(re.fullmatch(r"granite-bench-1-Linux-\d+-", key) for key in keys)


SUITE = """\
version: 1
name: small
title: Small
description: For a test.
tasks: [TaskA, TaskB]
"""


@pytest.fixture
def measured(job: Job) -> Job:
    """A suite of two tasks, with results of org/model in the folders *before* and *results*."""
    (job.workspace / "suite.yaml").write_text(SUITE)
    for folder in ("before/results", "results"):
        for task in ("TaskA", "TaskB"):
            write(job, folder, task, 0.5)
    return job


def write(job: Job, folder: str, task: str, score: float) -> Path:
    """A result of org/model."""
    return write_result(job.workspace / folder, "org/model", task, {"test": {"default": score}})


def check(job: Job, **inputs: str) -> int:
    """The action on what is there, with the real check."""
    given = {"suite": "suite.yaml", "baseline": "before", "model": "org/model", **inputs}
    return job.run(**given, arguments="--no-run")


def test_a_model_that_is_as_it_was_passes(measured: Job) -> None:
    """With the files that the next steps upload, and the summary."""
    assert check(measured) == 0, measured.said
    outputs = measured.outputs["check"]
    assert (outputs["exit-code"], outputs["verdict"]) == ("0", "passed")
    assert json.loads(Path(outputs["json"]).read_text())["status"] == "passed"
    assert ElementTree.parse(outputs["junit"]).getroot().get("failures") == "0"
    assert (measured.temp / "summary.md").read_text().startswith("## PASSED")


def test_a_model_that_became_worse_fails(measured: Job) -> None:
    """With an annotation, and the failure in the file."""
    write(measured, "results", "TaskA", 0.4)
    assert check(measured) == 1, measured.said
    outputs = measured.outputs["check"]
    assert outputs["verdict"] == "failed"
    assert re.search(r"^::error title=TaskA ", measured.said, re.MULTILINE)
    assert ElementTree.parse(outputs["junit"]).getroot().get("failures") != "0"


def test_a_task_that_is_missing_is_incomplete(measured: Job) -> None:
    """Never passed, and never a regression."""
    write(measured, "results", "TaskB", 0.5).unlink()
    assert check(measured) == 3, measured.said
    outputs = measured.outputs["check"]
    assert outputs["verdict"] == "incomplete"
    assert ElementTree.parse(outputs["junit"]).getroot().get("errors") != "0"


@pytest.mark.parametrize("model", ["$(touch pwned)", "no such model"])
def test_a_model_that_is_not_there_is_refused(model: str, measured: Job) -> None:
    """By its name as it was given."""
    before = sorted(measured.workspace.iterdir())
    assert check(measured, model=model) == 2, measured.said
    assert measured.outputs["check"]["verdict"] == "refused"
    assert model in measured.said
    assert sorted(measured.workspace.iterdir()) == before
