"""Several settings in one measurement: which combinations there are, and what they are called."""

from __future__ import annotations

from typing import Any

import pytest

from granite_bench.errors import BadInput
from granite_bench.speed.settings import Settings, labels, vary


def test_nothing_varied_is_one_settings() -> None:
    """All is left to the model and the protocol."""
    assert vary("cpu") == [Settings("cpu")]
    assert labels("A", vary("cpu")) == ["A"]


def test_every_combination_takes_a_turn() -> None:
    """The product, and names by what differs alone."""
    found = vary("cpu", dtypes=("float32", "bfloat16"), max_lengths=(256,), batch_sizes=(8, 32))
    assert found == [
        Settings("cpu", dtype, 256, batch_size=size)
        for dtype in ("float32", "bfloat16")
        for size in (8, 32)
    ]
    assert labels("A", found) == [
        "A (dtype float32, batch size 8)",
        "A (dtype float32, batch size 32)",
        "A (dtype bfloat16, batch size 8)",
        "A (dtype bfloat16, batch size 32)",
    ]


def test_a_model_that_pads_is_not_compiled() -> None:
    """So of four combinations three are left."""
    found = vary("cpu", paddings=(True, False), compiles=(True, False))
    assert labels("A", found) == [
        "A (padding, not compiled)",
        "A (no padding, compiled)",
        "A (no padding, not compiled)",
    ]


@pytest.mark.parametrize(
    ("device", "padding", "pads"),
    [("cpu", None, True), ("cpu:0", None, True), ("cuda:0", None, False), ("cuda", True, True)],
)
def test_on_a_gpu_padding_is_left_out_unless_it_is_asked_for(
    device: str, padding: bool | None, pads: bool
) -> None:
    """So there, --compile needs no --no-padding."""
    assert Settings(device, padding=padding).pads is pads


@pytest.mark.parametrize(
    ("choices", "fault"),
    [
        ({"compiles": (True,)}, "compiles models without padding only"),
        ({"compiles": (True, False), "paddings": (True,)}, "compiles models without padding only"),
        ({"max_lengths": (512, 2)}, "2 tokens leave no room for a word"),
    ],
)
def test_settings_that_change_nothing_are_refused(choices: dict[str, Any], fault: str) -> None:
    """All faults at once, were there more."""
    with pytest.raises(BadInput, match=fault):
        vary("cpu", **choices)


def test_batches_need_no_model_of_their_own() -> None:
    """What is loaded is the same; with another length it is not."""
    one, other, longer = vary("cpu", batch_sizes=(8, 32)) + vary("cpu", max_lengths=(64,))
    assert one.as_loaded == other.as_loaded == Settings("cpu")
    assert longer.as_loaded != one.as_loaded
