"""granite-bench compare: what it prints, what it refuses, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from queries_tree import write_queries
from results_tree import write_result

from granite_bench.__main__ import main
from granite_bench.comparison.likeness import KINDS

SUITE = """
version: 1
name: small
title: Small suite
description: For a test.
tasks: [A, B]
"""

ONE = [0.0, 0.25, 0.5, 0.5, 0.0, 0.25, 0.5, 0.5]
BETTER = [value + 0.4 for value in ONE]


@pytest.fixture(autouse=True)
def _workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A suite file, and results of a model, of a better one, and of one that lacks a task."""
    monkeypatch.chdir(tmp_path)
    Path("suite.yaml").write_text(SUITE)
    for task in "AB":
        write_queries(Path("results"), "org/one", task, ONE)
        write_queries(Path("results"), "org/better", task, BETTER)
    write_queries(Path("results"), "org/half", "A", ONE)


def compare(*words: str) -> int:
    """The exit code of a comparison on the suite."""
    return main(["compare", *words, "--suite", "suite.yaml"])


def compared(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> dict[str, Any]:
    """What a comparison says as JSON."""
    assert compare(*words, "--format", "json") == code
    content: dict[str, Any] = json.loads(capsys.readouterr().out)
    return content


def test_a_better_model_is_better(capsys: pytest.CaptureFixture[str]) -> None:
    """In a sentence first, then in tables; exit code 0."""
    assert compare("org/one", "org/better") == 0
    out = capsys.readouterr().out
    first = out.splitlines()[0]
    assert first.startswith("org/better is better than org/one: +40.00 points (95% interval ")
    assert first.endswith("; with Holm's correction better on 2 and worse on 0 of 2 tasks.")
    for title in ("overall", "by task", "what each costs", "Queries that changed most"):
        assert title in out


def test_a_worse_model_is_worse(capsys: pytest.CaptureFixture[str]) -> None:
    """And that is no failure: the exit code is the gate's business, not a comparison's."""
    assert compare("org/better", "org/one") == 0
    assert "org/one is worse than org/better: −40.00 points" in capsys.readouterr().out


def test_a_model_against_itself_shows_no_difference(capsys: pytest.CaptureFixture[str]) -> None:
    """The issue's own case: the interval contains zero, exit code 0."""
    content = compared(capsys, "org/one", "org/one")
    [pair] = content["comparisons"]
    assert content["findings"] == [
        "org/one [2] has the same score as org/one for each of 16 queries."
    ]
    assert (pair["difference"]["difference"], pair["difference"]["p"]) == (0, 1)
    assert pair["difference"]["interval"]["low"] == 0 == pair["difference"]["interval"]["high"]
    assert pair["changed_queries"] == []


def test_noise_is_called_noise(capsys: pytest.CaptureFixture[str]) -> None:
    """With what would have been seen."""
    noisy = [value + shift for value, shift in zip(ONE, [0.1, -0.1] * 4, strict=True)]
    noisy[0] += 0.05
    for task in "AB":
        write_queries(Path("results"), "org/noisy", task, [abs(value) for value in noisy])
    [finding] = compared(capsys, "org/one", "org/noisy")["findings"]
    assert finding.startswith("No difference between org/noisy and org/one beyond noise: ")
    assert finding.endswith(" would have shown).")


def test_several_models_are_compared_with_the_first(capsys: pytest.CaptureFixture[str]) -> None:
    """One finding each; the order is as named."""
    content = compared(capsys, "org/better", "org/one", "org/better")
    assert [each["name"] for each in content["comparisons"]] == ["org/one", "org/better [2]"]
    assert content["reference"]["name"] == "org/better"


def test_the_same_scores_without_rows_per_query_are_the_same(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """No test is needed for that."""
    for task in "AB":
        write_result(Path("results"), "org/bare", task, {"test": {"default": 0.5}})
    [finding] = compared(capsys, "org/bare", "org/bare")["findings"]
    assert finding == "org/bare [2] has the same scores as org/bare (50.00 to 50.00)."


def test_without_rows_per_query_nothing_is_tested(capsys: pytest.CaptureFixture[str]) -> None:
    """And it says so, and which; the difference is there."""
    for task in "AB":
        write_result(Path("results"), "org/bare", task, {"test": {"default": 0.5}})
    [finding] = compared(capsys, "org/one", "org/bare")["findings"]
    assert finding == (
        "org/bare scores +18.75 points against org/one (31.25 to 50.00), and nothing tells whether "
        "that is noise: no scores per query of A, B on both sides; granite-bench run "
        "leaves them of retrieval tasks."
    )


# Bad input


def test_one_model_is_no_comparison(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, and what is wanted."""
    assert compare("org/one") == 2
    assert "the first is the reference" in capsys.readouterr().err


def test_unknown_models_are_all_named(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, with suggestions."""
    assert compare("org/oen", "org/bettr") == 2
    said = capsys.readouterr().err
    assert "did you mean 'org/one'" in said
    assert "did you mean 'org/better'" in said


def test_an_overview_is_no_suite(capsys: pytest.CaptureFixture[str]) -> None:
    """A comparison is over one suite."""
    assert main(["compare", "org/one", "org/better", "--suite", "overview"]) == 2
    assert "is an overview of suites" in capsys.readouterr().err


def test_broken_rows_are_bad_input(capsys: pytest.CaptureFixture[str]) -> None:
    """Of every model, all at once."""
    for path in Path("results").glob("*/*/records/A.parquet"):
        path.write_bytes(b"nothing")
    assert compare("org/one", "org/better") == 2
    assert capsys.readouterr().err.count("is no Parquet file") == 2


# Like for like


def other_data() -> None:
    """Results of the better model on another revision of the data of A."""
    write_queries(
        Path("results"), "org/better", "A", BETTER, dataset_revision="data-2", content="other"
    )


def test_other_data_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2; both sides, how to mend it, and how to go on."""
    other_data()
    assert compare("org/one", "org/better") == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "org/better and org/one: not like for like: A test: " in captured.err
    assert "data set revision data-1 and data-2" in captured.err
    assert "granite-bench run suite.yaml --task A --model org/" in captured.err
    assert "--allow dataset compares them all the same" in captured.err


@pytest.mark.parametrize("kind", ["dataset", "all"])
def test_what_is_allowed_is_compared_and_said(
    capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    """Before everything else."""
    other_data()
    assert compare("org/one", "org/better", "--allow", kind) == 0
    assert capsys.readouterr().out.startswith("! Not like for like (another revision or content")


def test_another_kind_that_is_allowed_does_not_help(capsys: pytest.CaptureFixture[str]) -> None:
    """Each kind is allowed by itself."""
    other_data()
    assert compare("org/one", "org/better", "--allow", "mteb") == 2


def test_every_kind_can_be_allowed() -> None:
    """The command has the kinds there are, and one for all."""
    from granite_bench.commands.compare import KINDS as OF_THE_COMMAND

    assert (*KINDS, "all") == OF_THE_COMMAND


def test_another_length_is_mended_by_a_run_at_the_shorter(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The command is for the model that read more."""
    settings = {"max_length": 64}
    for task in "AB":
        write_queries(Path("results"), "org/better", task, ONE, settings=settings, max_length=64)
    run = "run: granite-bench run suite.yaml --task A --model org/one --max-length 64"
    for names in (("org/one", "org/better@length=64"), ("org/better@length=64", "org/one")):
        assert compare(*names) == 2
        said = capsys.readouterr().err
        assert run in said
        assert "tokens, which cut 25 of them" in said


def test_other_prompts_are_mended_by_a_run_with_the_references(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Both prompts are in the command."""
    settings = {"prompt_query": "q: "}
    prompts = {"query": "q: ", "document": ""}
    for task in "AB":
        write_queries(Path("results"), "org/one", task, ONE, settings=settings, prompts=prompts)
    assert compare("org/one", "org/one@prompt_query=q:") == 2
    assert "--prompt-doc '' --prompt-query 'query: '" in capsys.readouterr().err


# Incomplete


def test_an_incomplete_model_is_compared_where_it_can_be(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit code 3; no average, what is missing and the command that makes it."""
    content = compared(capsys, "org/better", "org/half", code=3)
    assert content["complete"] is False
    [pair] = content["comparisons"]
    assert pair["difference"] is None
    assert [each["column"] for each in pair["tasks"]] == ["A"]
    [warning] = content["warnings"]
    assert "org/half is incomplete (1 of 2 tasks)" in warning
    assert warning.endswith("granite-bench run suite.yaml --model org/half")


def test_an_incomplete_reference_is_incomplete_too(capsys: pytest.CaptureFixture[str]) -> None:
    """Either side may lack something."""
    assert compare("org/half", "org/better") == 3
    assert capsys.readouterr().out.startswith("! org/half is incomplete")


# Requirements and costs


def test_models_that_do_not_qualify_are_not_compared(capsys: pytest.CaptureFixture[str]) -> None:
    """The reference stays, whatever it is; the table says why each is out."""
    content = compared(
        capsys, "org/one", "org/better", "org/half", "--require", "nDCG@10[B]>=0.7, average>0.6"
    )
    assert [each["name"] for each in content["comparisons"]] == ["org/better"]
    assert set(content["requirements"]["excluded"]) == {"org/one", "org/half"}
    assert "0.3125" in content["requirements"]["excluded"]["org/one"][0]


def test_requirements_may_follow_one_another(capsys: pytest.CaptureFixture[str]) -> None:
    """What looks like one after --require is no model; each excludes somebody."""
    words = ["--require", "average>0.6", "nDCG@10[B]>=0.1", "min_max_length=512"]
    content = compared(capsys, "org/one", "org/better", "org/half", *words)
    assert content["requirements"]["required"] == words[1:]
    assert [each["name"] for each in content["comparisons"]] == ["org/better"]
    assert len(content["requirements"]["excluded"]["org/half"]) == 2


def test_nobody_may_qualify(capsys: pytest.CaptureFixture[str]) -> None:
    """Then there is nothing to compare, which a script notices; the reasons are there."""
    assert compare("org/one", "org/better", "--require", "average>0.99") == 2
    out, err = capsys.readouterr()
    assert err == "nothing was compared: see who does not meet --require\n"
    assert "No model qualifies to be compared with org/one." in out
    assert "average is 0.7125, and average>0.99 is required" in out


def test_a_requirement_that_cannot_be_read_is_bad_input(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit code 2."""
    assert compare("org/one", "org/better", "--require", "speed>=fast") == 2
    assert "--require" in capsys.readouterr().err


def test_the_price_of_an_hour_gives_the_cost_of_a_million(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """100 documents in 2 seconds: a million in 20,000, at 1.80 an hour 10."""
    content = compared(capsys, "org/one", "org/better", "--price-per-device-hour", "1.8")
    costs = [each["cost_per_million_docs"] for each in content["costs"]["models"]]
    assert costs == pytest.approx([10.0, 10.0])


# Files


@pytest.mark.parametrize("form", ["terminal", "md", "html", "latex", "csv", "json"])
def test_every_format_goes_to_a_file(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    """And the command says where."""
    assert compare("org/one", "org/better", "--format", form, "--out", "out/file") == 0
    assert capsys.readouterr().out == "report: out/file\n"
    assert "org/better" in Path("out/file").read_text()


def test_a_page_has_a_place_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    """As report's has."""
    assert compare("org/one", "org/better", "--format", "html") == 0
    assert capsys.readouterr().out == "report: reports/compare-small.html\n"
    assert Path("reports/compare-small.html").is_file()


def test_texts_that_are_not_there_leave_ids(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing of that stops a comparison."""
    content = compared(capsys, "org/one", "org/better", "--texts")
    assert [note.split(":")[0] for note in content["notes"]] == ["No texts of A", "No texts of B"]
    assert content["comparisons"][0]["changed_queries"][0]["text"] is None


def test_the_number_of_queries_that_are_shown_is_chosen(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """None for 0."""
    for n in (0, 3):
        content = compared(capsys, "org/one", "org/better", "--changed", str(n))
        assert len(content["comparisons"][0]["changed_queries"]) == n
