"""A check as JUnit XML, validated against the rules that its readers share (junit.xsd)."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hand_made_check import COMMAND, check_of, missing, speed, verdict

from granite_bench.errors import Fault
from granite_bench.gate.verdicts import Check, Status
from granite_bench.report.junit import as_junit, refusal_as_junit

FAILED = verdict(Status.FAILED)


@pytest.fixture(scope="module")
def schema() -> Any:
    """The schema, compiled once."""
    xmlschema = pytest.importorskip("xmlschema", reason="needs pip install '.[test]'")
    return xmlschema.XMLSchema(Path(__file__).with_name("junit.xsd"))


def cases_of(document: bytes) -> list[ET.Element]:
    """The test cases, in their order."""
    return list(ET.fromstring(document).iter("testcase"))


CHECKS = {
    "passed": check_of(verdict(), speed()),
    "failed": check_of(FAILED, missing(), verdict(column="average", metric="")),
    "twice": check_of(FAILED, FAILED, verdict(candidate="org/new (embed_dim=128)")),
    "nothing": check_of(),
    "hole": check_of(FAILED, baseline_incomplete=True),
    "hostile": check_of(
        verdict(
            Status.FAILED, candidate="\x1b[2J<a>&\"'\ud800", sentence="]]>\x00\ufffe\n", rule=""
        ),
        suite="s\x0b",
        baseline="b\udcff",
        notes=["\x08"],
    ),
    "slow": check_of(verdict(), seconds=123_456.7891),
}


@pytest.mark.parametrize("name", CHECKS)
def test_every_check_is_valid(name: str, schema: Any) -> None:
    """Whatever its names hold."""
    schema.validate(io.BytesIO(as_junit(CHECKS[name])))


def test_refused_input_is_valid_and_not_green(schema: Any) -> None:
    """A CI system that reads this file alone sees an error for each fault."""
    document = refusal_as_junit("small", [Fault("a.yaml", "bad", "mend it"), Fault("", "worse")])
    schema.validate(io.BytesIO(document))
    assert ET.fromstring(document).get("errors") == "2"
    messages = [case.find("error").get("message") for case in cases_of(document)]  # type: ignore[union-attr]
    assert messages == ["a.yaml: bad\n  mend it", "worse"]


def _twice(root: ET.Element) -> None:
    suite = root[0]
    suite.append(suite.findall("testcase")[0])


def _both_outcomes(root: ET.Element) -> None:
    (failure,) = root.iter("failure")
    case = next(case for case in root.iter("testcase") if case.find("failure") is not None)
    ET.SubElement(case, "error", failure.attrib)


MUTATIONS: dict[str, Callable[[ET.Element], Any]] = {
    "a case without a name": lambda root: next(root.iter("testcase")).attrib.pop("name"),
    "a case without a class": lambda root: next(root.iter("testcase")).attrib.pop("classname"),
    "a failure without a message": lambda root: next(root.iter("failure")).attrib.pop("message"),
    "an outcome nobody knows": lambda root: ET.SubElement(next(root.iter("testcase")), "passed"),
    "two outcomes": _both_outcomes,
    "a count in words": lambda root: root[0].set("failures", "one"),
    "no count": lambda root: root[0].attrib.pop("tests"),
    "a time with separators": lambda root: root.set("time", "1,234.500"),
    "the same case twice": _twice,
    "properties of a case": lambda root: ET.SubElement(next(root.iter("testcase")), "properties"),
    "another root": lambda root: setattr(root, "tag", "tests"),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_what_readers_would_stumble_over_is_not_valid(name: str, schema: Any) -> None:
    """Or the tests above would prove nothing."""
    root = ET.fromstring(as_junit(check_of(FAILED, verdict(column="TaskC"))))
    assert schema.is_valid(io.BytesIO(ET.tostring(root)))
    MUTATIONS[name](root)
    assert not schema.is_valid(io.BytesIO(ET.tostring(root)))


def test_a_failure_is_a_failure_and_a_hole_an_error() -> None:
    """With the sentence, what was allowed, and the command."""
    failed, incomplete, passed = cases_of(
        as_junit(check_of(FAILED, missing(), verdict(column="C")))
    )
    found = failed.find("failure")
    assert found is not None
    assert found.attrib == {"message": FAILED.sentence, "type": "failed"}
    assert found.text == f"{FAILED.sentence}\nallowed: at most 1.00 points less\n{COMMAND}"
    error = incomplete.find("error")
    assert error is not None
    assert error.get("message") == "TaskB has no result: the disk is full"
    assert [child.tag for child in passed] == ["system-out"]


def test_what_passed_has_its_figures() -> None:
    """As a row of the table, without what there is nothing of."""
    (case,) = cases_of(as_junit(check_of(verdict())))
    said = case.findtext("system-out", "").splitlines()
    assert {"baseline: 64.51", "candidate: 62.20", "change: −2.31", "p: 0.020"} <= set(said)
    (case,) = cases_of(as_junit(check_of(speed())))
    said = case.findtext("system-out", "").splitlines()
    assert "change: × 0.90" in said
    assert not [line for line in said if line.startswith(("p:", "baseline:"))]


def test_counts_and_time_are_those_of_the_check() -> None:
    """The same for the suite and for all suites, of which there is one."""
    root = ET.fromstring(as_junit(check_of(FAILED, missing(), missing(column="C"), verdict())))
    for element in (root, root[0]):
        counts = [element.get(name) for name in ("tests", "failures", "errors", "time")]
        assert counts == ["4", "1", "2", "12.500"]


@pytest.mark.parametrize(
    "check", [check_of(), check_of(verdict(), baseline_incomplete=True)], ids=["nothing", "hole"]
)
def test_an_incomplete_check_has_an_error_in_any_case(check: Check) -> None:
    """A reader that sees neither failures nor errors shows it as passed."""
    assert ET.fromstring(as_junit(check)).get("errors") == "1"


def test_two_verdicts_on_one_column_keep_apart() -> None:
    """Readers take the second case of a name for a second try of the first."""
    names = [case.get("name") for case in cases_of(as_junit(check_of(FAILED, FAILED)))]
    assert names == ["SciFact ndcg_at_10", "SciFact ndcg_at_10 (2)"]


def test_a_class_has_one_dot_so_that_jenkins_shows_the_model_as_it_is_called() -> None:
    """Jenkins takes what stands before the last dot for a package; the exact name is below."""
    (case,) = cases_of(as_junit(check_of(verdict(candidate="Qwen/Qwen3-0.6B"))))
    assert case.get("classname") == "small.Qwen/Qwen3-0_6B"
    assert "model: Qwen/Qwen3-0.6B" in case.findtext("system-out", "")


def test_characters_that_xml_cannot_hold_are_replaced() -> None:
    """Not even an escape may stand for them."""
    (case,) = cases_of(as_junit(check_of(verdict(candidate="a\x1bb\x00\ud800\uffff\tc😀"))))
    assert case.get("classname") == "small.a�b���\tc😀"
