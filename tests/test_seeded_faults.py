"""The list of seeded faults is one that can be run: see seeded_faults.py."""

from __future__ import annotations

import ast

import pytest
from seeded_faults import REPOSITORY, Fault, read_faults


@pytest.mark.parametrize("fault", read_faults(), ids=lambda fault: f"{fault.file}-{fault.words}")
def test_a_fault_can_still_be_made(fault: Fault) -> None:
    """Its text stands in its file once, what comes of it is Python, and its tests are there."""
    ast.parse(fault.made_in((REPOSITORY / fault.file).read_text(encoding="utf-8")))
    assert fault.tests
    assert all((REPOSITORY / test).is_file() for test in fault.tests)
