"""How a check is shown: on a terminal, as JSON, as GitHub's summary and annotations."""

from __future__ import annotations

import io
import json
import re
import shlex

import pytest
from hand_made_check import COMMAND, check_of, missing, speed, verdict
from rich.console import Console

from granite_bench.errors import Fault
from granite_bench.gate.verdicts import Check, Status
from granite_bench.report.gate import (
    HEADS,
    SUMMARY_LIMIT,
    as_json,
    headline,
    print_check,
    refusal_as_json,
    row,
    step_summary,
)
from granite_bench.report.github import check_annotations, refusal_annotations

FAILED = verdict(Status.FAILED)
BETTER = verdict(column="TaskC", sentence="TaskC rose by 1.00 points", improved=True)


def printed(check: Check, width: int = 80) -> str:
    """What a terminal of this width shows."""
    out = io.StringIO()
    print_check(check, Console(file=out, width=width, color_system=None))
    return out.getvalue()


@pytest.mark.parametrize(
    ("check", "line"),
    [
        (
            check_of(verdict(), BETTER),
            "PASSED: small against base.json, policy release: 2 passed, 1 better",
        ),
        (
            check_of(FAILED, missing(), verdict()),
            "FAILED: small against base.json, policy release: 1 failed, 1 incomplete, 1 passed",
        ),
        (
            check_of(missing()),
            "INCOMPLETE: small against base.json, policy release: 1 incomplete",
        ),
        (
            check_of(FAILED, baseline_incomplete=True),
            "INCOMPLETE: small against base.json, policy release: 1 failed; something is missing "
            "in the baseline, so that nothing is known to have failed",
        ),
        (
            check_of(),
            "INCOMPLETE: small against base.json, policy release: nothing was judged",
        ),
    ],
)
def test_the_first_line_says_how_it_came_out_in_words(check: Check, line: str) -> None:
    """As the exit code does; a check that judged nothing has not passed."""
    assert headline(check) == line
    assert " ".join(printed(check).split()).startswith(line)


def test_each_failure_is_a_sentence_with_a_command_that_can_be_copied() -> None:
    """However narrow the terminal: a command broken over lines cannot be pasted."""
    long = f"{COMMAND} --model a/very-long-name-of-a-model --dims 128 --precision int8"
    lines = printed(check_of(verdict(Status.FAILED, command=long)), width=60).splitlines()
    assert "failed: org/new: nDCG@10 of SciFact fell by 2.31 points" in lines
    assert shlex.split(lines[lines.index(f"    {long}")]) == shlex.split(long)


def test_failures_of_one_command_stand_above_it() -> None:
    """A task of thirty languages does not repeat it thirty times."""
    check = check_of(FAILED, verdict(Status.FAILED, column="SciFact[de] test"), missing())
    for text in (printed(check), step_summary(check)):
        assert text.count(COMMAND) == 2
        assert text.rindex("fell by") < text.index(COMMAND) < text.index("the disk is full")


def test_a_failure_that_is_better_than_the_baseline_is_still_a_failure() -> None:
    """Better than the last, and too far below the best: with its command and as an error."""
    both = verdict(Status.FAILED, sentence="rose, but is below its best", improved=True)
    for text in (printed(check_of(both)), step_summary(check_of(both))):
        assert text.count(COMMAND) == 1
    error, notice = check_annotations(check_of(both))
    assert error.startswith("::error title=SciFact nDCG@10 failed%3A")
    assert notice.startswith("::notice title=SciFact nDCG@10 better%3A")


def test_a_terminal_shows_what_failed_then_what_is_incomplete_then_what_is_better() -> None:
    """The table and the notes come after them."""
    said = printed(check_of(BETTER, missing(), FAILED))
    parts = [
        "FAILED:",
        "failed: ",
        "incomplete: ",
        "better: ",
        "org/new against org/old",
        "--allow",
    ]
    places = [said.index(part) for part in parts]
    assert places == sorted(places)


def test_the_table_fits_into_eighty_columns_without_breaking_a_number() -> None:
    """With every kind of verdict in it."""
    long = verdict(column="ParallelFactsRetrieval[en] test", rule="at most 2% less than that")
    said = printed(check_of(FAILED, missing(), speed(), long))
    table = said[said.index("org/new against org/old") :]
    assert max(map(len, table.splitlines())) <= 80
    for text in ("64.51", "62.20", "−2.31", "−3.31 to −1.31", "p 0.020", "−3.80", "× 0.90"):
        assert re.search(rf"(?<!\S){re.escape(text)}(?!\S)", table), text


def test_a_wide_terminal_has_a_line_for_each_verdict() -> None:
    """As a log of a CI system has; rules stand once, below."""
    said = printed(check_of(FAILED, speed(rule="× 0.9"), verdict(column="TaskB")), width=120)
    lines = [line.split() for line in said.splitlines()]
    assert (
        "failed SciFact nDCG@10 64.51 62.20 −2.31 −3.31 to −1.31 0.020 −3.80 [1]".split() in lines
    )
    assert "passed speed tokens/s – – × 0.90 0.85 to 0.95 – – [2]".split() in lines
    assert "passed TaskB nDCG@10 64.51 62.20 −2.31 −3.31 to −1.31 0.020 −3.80 [1]".split() in lines
    assert said.count("allowed [1]: at most 1.00 points less\n") == 1
    assert said.count("allowed [2]: × 0.9\n") == 1


def test_each_candidate_has_a_table_of_its_own() -> None:
    """So that no column is spent on its name."""
    said = printed(check_of(verdict(), verdict(candidate="org/new (embed_dim=128)")))
    assert "org/new against org/old\n" in re.sub(" +\n", "\n", said)
    assert "org/new (embed_dim=128) against org/old\n" in re.sub(" +\n", "\n", said)


def test_a_row_has_the_figures_of_a_verdict_in_points() -> None:
    """Worked by hand: 62.20 less 64.51, and less 66."""
    assert dict(zip(HEADS, row(FAILED), strict=True)) == {
        "verdict": "failed",
        "model": "org/new",
        "column": "SciFact",
        "metric": "nDCG@10",
        "baseline": "64.51",
        "candidate": "62.20",
        "change": "−2.31",
        "interval": "−3.31 to −1.31",
        "p": "0.020",
        "since best": "−3.80",
        "allowed": "at most 1.00 points less",
    }


def test_a_row_of_speed_has_its_ratio() -> None:
    """And no scores."""
    cells = dict(zip(HEADS, row(speed()), strict=True))
    assert (cells["change"], cells["interval"]) == ("× 0.90", "0.85 to 0.95")
    assert {cells[head] for head in ("baseline", "candidate", "p", "since best")} == {"–"}


def test_names_from_outside_do_not_reach_the_terminal_as_control_characters() -> None:
    """A model's name that clears the screen, or begins a command of GitHub's runner."""
    hostile = verdict(
        Status.FAILED, candidate="\x1b[2Jorg/new", sentence="it\n::error::fell", command="a\x07b"
    )
    said = printed(check_of(hostile, notes=["\x9b2J"], suite="s\r\n::error::"))
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", said)
    assert not re.search(r"^::", said, re.MULTILINE)


def test_the_json_has_everything_unrounded() -> None:
    """Scores as fractions; format, status and exit code at the top."""
    content = json.loads(as_json(check_of(FAILED, speed(), missing())))
    assert content["version"] == 1
    assert (content["status"], content["exit_code"]) == ("failed", 1)
    first, second, third = content["verdicts"]
    assert first["difference"]["one"] == 0.6451
    assert first["difference"]["change"] == 0.6220 - 0.6451
    assert first["difference"]["interval"]["low"] == 0.6220 - 0.6451 - 0.01
    assert first["difference"]["tally"] == {"wins": 19, "ties": 231, "losses": 50}
    assert first["since_best"] == 0.6220 - 0.66
    assert second["ratio"]["value"] == 0.9
    assert (third["status"], third["difference"], third["since_best"]) == ("incomplete", None, None)


def test_files_can_be_written_whatever_bytes_a_name_has() -> None:
    """A file's name that is no UTF-8 comes from the file system with lone surrogates."""
    check = check_of(FAILED, baseline="base\udcff.json")
    assert json.loads(as_json(check).encode())["baseline"] == "base?.json"
    assert "base�.json" in step_summary(check).encode().decode()
    assert "base�.json" in printed(check)


def test_refused_input_has_a_json_of_the_same_form() -> None:
    """A reader of status and exit_code alone does not take it for passed."""
    content = json.loads(refusal_as_json("small", [Fault("policy.yaml", "no version", "add it")]))
    assert (content["version"], content["status"], content["exit_code"]) == (1, "refused", 2)
    assert content["faults"] == [{"where": "policy.yaml", "what": "no version", "hint": "add it"}]


def test_the_summary_has_the_verdict_as_its_heading_then_failures_then_the_table() -> None:
    """Notes are collapsed at the end."""
    text = step_summary(check_of(FAILED, missing(), BETTER))
    parts = ["## FAILED: small", "### Failed", COMMAND, "### Incomplete", "### Better"]
    parts += ["| verdict |", "| failed |", "<details>", "which --allow mteb permits", "</details>"]
    places = [text.index(part) for part in parts]
    assert places == sorted(places)


def test_names_from_outside_are_no_markup_in_the_summary() -> None:
    """A bar would end a cell, a tag would be HTML, a line break would end the table."""
    name = "<img src=x>|`a`\n# b *c* [d](e) $f$ &lt;"
    text = step_summary(check_of(verdict(Status.FAILED, candidate=name, sentence=name)))
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in tables}) == 1
    assert not re.search(r"(?<!\\)<(?!/?(details|summary))", text)
    assert "\n# b" not in text
    assert r"\[d\](e) \$f\$ \&lt;" in text


def test_a_command_with_backticks_stays_within_its_fence() -> None:
    """A fence is longer than any run of backticks in it."""
    command = "granite-bench check --model '````'"
    lines = step_summary(check_of(verdict(Status.FAILED, command=command))).splitlines()
    at = lines.index(f"  {command}")
    assert (lines[at - 1], lines[at + 1]) == ("  `````sh", "  `````")


def test_a_summary_is_shortened_to_what_github_takes_and_counts_the_rest() -> None:
    """The failures are still there, which come first in their list."""
    failed = [
        verdict(Status.FAILED, column=f"Task{number}", sentence=f"{number} é" + "x" * 200)
        for number in range(5000)
    ]
    text = step_summary(check_of(*failed))
    assert SUMMARY_LIMIT / 4 < len(text.encode()) <= SUMMARY_LIMIT
    shown = text.count("\n- org/new")
    assert 0 < shown < 5000
    assert text.count(f"and {5000 - shown:,} more") == 2


def test_a_single_text_that_is_too_long_still_gives_a_summary() -> None:
    """The heading and the counts are left."""
    text = step_summary(check_of(verdict(Status.FAILED, sentence="x" * SUMMARY_LIMIT)))
    assert text.startswith("## FAILED: small")
    assert len(text) < SUMMARY_LIMIT


def test_annotations_are_errors_for_what_failed_or_is_missing_and_notices_for_what_is_better() -> (
    None
):
    """What passed has none."""
    assert check_annotations(check_of(FAILED, missing(), BETTER, verdict())) == [
        "::error title=SciFact nDCG@10 failed%3A org/new::"
        f"nDCG@10 of SciFact fell by 2.31 points%0A{COMMAND}",
        "::error title=TaskB nDCG@10 incomplete%3A org/new::"
        f"TaskB has no result: the disk is full%0A{COMMAND}",
        "::notice title=TaskC nDCG@10 better%3A org/new::TaskC rose by 1.00 points",
    ]


def test_annotations_are_escaped_as_the_runner_reads_them() -> None:
    """Percent and line breaks everywhere; in a title colons and commas too."""
    (line,) = check_annotations(
        check_of(verdict(Status.FAILED, column="a,b:c%", sentence="50 %0A: a, b", command="x\ny"))
    )
    title, message = re.fullmatch(r"::error title=(.*?)::(.*)", line).groups()  # type: ignore[union-attr]
    assert title == "a%2Cb%3Ac%25 nDCG@10 failed%3A org/new"
    assert message == "50 %250A: a, b%0Ax%0Ay"


def test_control_characters_do_not_reach_the_log_through_an_annotation() -> None:
    """A carriage return would begin a new line there."""
    (line,) = check_annotations(
        check_of(verdict(Status.FAILED, column="\x1b[2J", sentence="a\r::b"))
    )
    assert line.startswith("::error title=�[2J nDCG@10 failed%3A org/new::a�::b%0A")


def test_more_than_ten_errors_are_counted_in_the_tenth() -> None:
    """GitHub drops the eleventh of a step without a word."""
    lines = check_annotations(check_of(*[FAILED] * 8, *[missing()] * 5, *[BETTER] * 12))
    errors = [line for line in lines if line.startswith("::error")]
    notices = [line for line in lines if line.startswith("::notice")]
    assert (len(errors), len(notices)) == (10, 10)
    assert "and 4 more" in errors[-1]
    assert "and 3 more" in notices[-1]


def test_a_check_that_is_not_fine_has_an_error_in_any_case() -> None:
    """A log with a red step and no annotation would be searched for nothing."""
    assert check_annotations(check_of())[0].startswith("::error title=small::")
    assert check_annotations(check_of(verdict(), baseline_incomplete=True))[0].startswith("::error")
    assert check_annotations(check_of(verdict())) == []


def test_refused_input_is_an_error_for_each_fault() -> None:
    """With its hint."""
    lines = refusal_annotations([Fault("policy.yaml", "no version", "add it"), Fault("", "b")])
    assert lines == [
        "::error title=granite-bench check::policy.yaml: no version%0A  add it",
        "::error title=granite-bench check::b",
    ]
