"""
A check as JUnit XML, which nearly every CI system shows: a verdict is a test case.

There is no standard; this keeps to what Jenkins' schema (junit-10.xsd of its xUnit plugin),
Surefire and pytest have in common. What is incomplete is an *error*, so that no reader shows it as
passed.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from granite_bench import __version__
from granite_bench.errors import Fault
from granite_bench.gate.verdicts import Check, Status, Verdict
from granite_bench.report.gate import HEADS, REFUSED, headline, row, status_of
from granite_bench.report.printed_table import HOLE

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold, not even escaped."""

_ELEMENTS = {Status.FAILED: "failure", Status.INCOMPLETE: "error"}


def as_junit(check: Check) -> bytes:
    """
    The verdicts as test cases: the candidate is the class, column and metric are the name.

    Cases take no time, what had to be run does: as with pytest, the suite's time is more than
    the sum of its cases. A check that is incomplete as a whole has an error in any case.
    """
    names: Counter[tuple[str, str]] = Counter()
    cases = []
    for verdict in check.verdicts:
        name = f"{verdict.column} {verdict.metric}".strip()
        names[verdict.candidate, name] += 1
        number = names[verdict.candidate, name]
        cases.append(_case(check, verdict, name if number == 1 else f"{name} ({number})"))
    if status_of(check) is Status.INCOMPLETE and not check.of_status(Status.INCOMPLETE):
        cases.append(_error(check.suite, "check", headline(check), str(Status.INCOMPLETE)))
    properties = {
        "baseline": check.baseline,
        "policy": check.policy,
        "status": str(status_of(check)),
        "exit code": str(int(check.exit_code)),
    }
    return _document(check.suite, cases, properties, check.seconds, check.notes)


def refusal_as_junit(suite: str, faults: Sequence[Fault], status: str = REFUSED) -> bytes:
    """The same file where nothing was judged: an error each; *status* as of refusal_as_json."""
    cases = [
        _error(suite, f"input {number}", str(fault), status)
        for number, fault in enumerate(faults, 1)
    ]
    return _document(suite, cases, {"status": status}, 0.0, ())


def _document(
    suite: str,
    cases: Sequence[ET.Element],
    properties: Mapping[str, str],
    seconds: float,
    notes: Iterable[str],
) -> bytes:
    counts = {
        "tests": str(len(cases)),
        "failures": str(sum(case.find("failure") is not None for case in cases)),
        "errors": str(sum(case.find("error") is not None for case in cases)),
        "time": f"{seconds:.3f}",
    }
    root = ET.Element("testsuites", {"name": "granite-bench check", **counts})
    of_suite = ET.SubElement(root, "testsuite", {"name": _xml(suite), **counts, "skipped": "0"})
    known = ET.SubElement(of_suite, "properties")
    for name, value in {"granite-bench": __version__, **properties}.items():
        ET.SubElement(known, "property", {"name": name, "value": _xml(value)})
    of_suite.extend(cases)
    ET.SubElement(of_suite, "system-out").text = _xml("\n".join(notes))
    ET.indent(root)
    text: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def _case(check: Check, verdict: Verdict, name: str) -> ET.Element:
    # Jenkins takes what stands before the last dot of a class for its package.
    case = _empty_case(f"{check.suite}.{verdict.candidate.replace('.', '_')}", name)
    element = _ELEMENTS.get(verdict.status)
    if element is not None:
        what = {"message": _xml(verdict.sentence), "type": str(verdict.status)}
        found = ET.SubElement(case, element, what)
        found.text = _xml(f"{verdict.sentence}\nallowed: {verdict.rule}\n{verdict.command}")
    figures = [f"{head}: {cell}" for head, cell in zip(HEADS, row(verdict), strict=True)]
    said = [verdict.sentence, *(line for line in figures if not line.endswith(f": {HOLE}"))]
    ET.SubElement(case, "system-out").text = _xml("\n".join(said))
    return case


def _error(suite: str, name: str, message: str, kind: str) -> ET.Element:
    case = _empty_case(suite, name)
    what = {"message": _xml(message), "type": kind}
    ET.SubElement(case, "error", what).text = _xml(message)
    return case


def _empty_case(class_name: str, name: str) -> ET.Element:
    return ET.Element(
        "testcase", {"classname": _xml(class_name), "name": _xml(name), "time": "0.000"}
    )


def _xml(text: str) -> str:
    return _NOT_XML.sub("�", text)
