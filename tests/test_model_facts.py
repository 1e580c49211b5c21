"""What mteb knows of models, against mteb's own ModelMeta."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from results_tree import suite_of, table_of, write_result

from granite_bench.report.layout import lay_out
from granite_bench.report.printed_table import HOLE, PrintedTable
from granite_bench.suite.suite import load_suite
from granite_bench.tables import model_facts
from granite_bench.tables.model_facts import ModelFacts, facts_of
from granite_bench.tables.table import Options, make_table

KNOWN = ["intfloat/multilingual-e5-small", "BAAI/bge-base-en-v1.5"]
HALF = {"test": {"default": 0.5}}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where the model folders go."""
    return tmp_path / "results"


def theirs(model: str) -> Any:
    """mteb's ModelMeta."""
    import mteb

    return mteb.get_model_meta(model)


@pytest.mark.parametrize("model", KNOWN)
def test_facts_are_those_of_mtebs_registry(model: str) -> None:
    """Parameters, active parameters, dimension, maximum length, training sets."""
    facts, meta = facts_of(model, {}), theirs(model)
    assert facts == ModelFacts(
        n_parameters=meta.n_parameters,
        n_active_parameters=meta.n_active_parameters,
        dimension=meta.embed_dim,
        max_length=int(meta.max_tokens),
        trained_on=frozenset(meta.get_training_datasets()),
    )
    assert facts.n_active_parameters == meta.n_parameters - meta.n_embedding_parameters
    assert facts.n_active_parameters < meta.n_parameters


@pytest.mark.parametrize("suite", ["english-retrieval", "multilingual-retrieval", "beir"])
@pytest.mark.parametrize("model", KNOWN)
def test_the_zero_shot_share_is_mtebs_percentage(model: str, suite: str) -> None:
    """mteb cuts the percentage off to a whole number."""
    tasks = [task.name for task in load_suite(suite).tasks]
    share = facts_of(model, {}).zero_shot_share(tasks)
    assert share is not None
    assert int(share * 100 + 1e-9) == theirs(model).zero_shot_percentage(tasks)


def test_the_zero_shot_share_by_hand() -> None:
    """Two of four tasks were trained on; a task named twice counts once."""
    facts = ModelFacts(trained_on=frozenset({"TaskA", "TaskB", "TaskX"}))
    assert facts.zero_shot_share(["TaskA", "TaskB", "TaskC", "TaskD", "TaskD"]) == 0.5


def test_without_known_training_data_there_is_no_zero_shot_share() -> None:
    """Not known is not zero."""
    assert ModelFacts().zero_shot_share(["TaskA"]) is None
    assert ModelFacts(trained_on=frozenset()).zero_shot_share(["TaskA"]) == 1.0


def test_a_model_that_mteb_does_not_know_has_its_own_metadata() -> None:
    """Active parameters are all without the embedding table; of several dimensions the largest."""
    meta = {
        "n_parameters": 100,
        "n_embedding_parameters": 40,
        "embed_dim": [64, 256, 128],
        "max_tokens": 512.0,
    }
    assert facts_of("org/own", meta) == ModelFacts(100, 60, 256, 512, None)


def test_active_parameters_of_the_models_own_metadata_count_first() -> None:
    """As in mteb, where a mixture of experts overrides them."""
    meta = {"n_parameters": 100, "n_embedding_parameters": 40, "n_active_parameters_override": 7}
    assert facts_of("org/own", meta).n_active_parameters == 7


@pytest.mark.parametrize("number", ["100M", [], {}, True, -1, float("nan"), float("inf"), 10**400])
def test_metadata_that_are_no_numbers_are_not_known(number: Any) -> None:
    """Somebody edited the file; the table shows holes and not a traceback."""
    keys = ("n_parameters", "n_embedding_parameters", "embed_dim", "max_tokens")
    assert facts_of("org/own", dict.fromkeys(keys, number)) == ModelFacts()


def test_a_model_of_embeddings_alone_has_no_active_parameters() -> None:
    """Static embeddings: all of it is the table."""
    whole_table = {"n_parameters": 9, "n_embedding_parameters": 9}
    for meta in (whole_table, {"n_active_parameters_override": 0}):
        assert facts_of("org/own", meta).n_active_parameters == 0


def test_a_model_without_metadata_has_no_facts() -> None:
    """Nobody says, so nothing is claimed."""
    assert facts_of("org/own", {}) == ModelFacts()


def test_the_registry_is_read_once_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second process reads the file, and imports no mteb."""
    monkeypatch.setenv("GRANITE_BENCH_CACHE", str(tmp_path))
    calls = []

    def read() -> dict[str, dict[str, Any]]:
        calls.append(1)
        return {"org/a": {**vars(ModelFacts(1, 2, 3, 4)), "trained_on": ["TaskA"]}}

    monkeypatch.setattr(model_facts, "_read_registry", read)
    for _ in range(2):
        model_facts._registry.cache_clear()
        assert facts_of("org/a", {}) == ModelFacts(1, 2, 3, 4, frozenset({"TaskA"}))
    model_facts._registry.cache_clear()
    assert calls == [1]
    (path,) = tmp_path.glob("models-*-mteb-*.json")
    assert json.loads(path.read_text())["org/a"]["trained_on"] == ["TaskA"]


# --- the columns ------------------------------------------------------------------------------


def facts_page(root: Path, *tasks: str) -> PrintedTable:
    """The page with facts, over what is in *root*."""
    return lay_out(make_table(suite_of(*tasks), [root], Options(facts=True)))


def shown(page: PrintedTable, model: str) -> dict[str, str]:
    """Head -> text of one row."""
    (row,) = [row for row in page.rows if row[1].text == model]
    return {head: cell.text for head, cell in zip(page.heads, row, strict=True)}


def test_facts_stand_in_columns_of_their_own(root: Path) -> None:
    """multilingual-e5-small: 117.65 million parameters, 384 dimensions, 512 tokens."""
    meta = theirs(KNOWN[0])
    write_result(root, KNOWN[0], "SciFact", HALF)
    page = facts_page(root, "SciFact")
    assert list(page.heads[2:7]) == ["Parameters", "Active", "Dimension", "Max length", "Zero-shot"]
    assert list(page.subheads[2:7]) == ["M", "M", "", "tokens", "% of tasks"]
    texts = shown(page, KNOWN[0])
    assert texts["Parameters"] == f"{meta.n_parameters / 1e6:,.0f}" == "118"
    assert (texts["Dimension"], texts["Max length"]) == ("384", "512")


def test_the_page_prints_mtebs_zero_shot_percentage(root: Path) -> None:
    """Two of three tasks are 66 and not 67, as on the leaderboard: a share is never rounded up."""
    tasks = ["SciFact", "ArguAna", "NQ", "HotpotQA", "MSMARCO", "FEVER", "QuoraRetrieval"]
    percentages = {
        n: theirs(KNOWN[1]).zero_shot_percentage(tasks[:n]) for n in range(1, len(tasks) + 1)
    }
    write_result(root, KNOWN[1], "SciFact", HALF)
    printed = {
        n: int(shown(facts_page(root, *tasks[:n]), KNOWN[1])["Zero-shot"]) for n in percentages
    }
    assert printed == percentages


def test_without_facts_there_are_no_such_columns(root: Path) -> None:
    """Unless they are asked for, mteb's registry is not needed."""
    write_result(root, KNOWN[0], "SciFact", HALF)
    assert "Parameters" not in lay_out(table_of(root, "SciFact")).heads


def test_what_nobody_says_is_a_hole(root: Path) -> None:
    """With the reason."""
    write_result(root, "org/own", "SciFact", HALF)
    page = facts_page(root, "SciFact")
    assert {shown(page, "org/own")[head] for head in page.heads[2:7]} == {HOLE}
    assert page.rows[0][6].note == "mteb does not know the training data"


def test_a_model_of_ones_own_shows_its_model_meta(root: Path) -> None:
    """It lies beside the result."""
    path = write_result(root, "org/own", "SciFact", HALF)
    meta = {"name": "org/own", "n_parameters": 2_000_000, "embed_dim": 96, "max_tokens": 8192}
    (path.parent / "model_meta.json").write_text(json.dumps(meta))
    texts = shown(facts_page(root, "SciFact"), "org/own")
    assert (texts["Parameters"], texts["Active"]) == ("2", HOLE)
    assert (texts["Dimension"], texts["Max length"]) == ("96", "8,192")


@pytest.mark.parametrize(
    ("settings", "head", "text"),
    [({"embed_dim": 128}, "Dimension", "128"), ({"max_length": 256}, "Max length", "256")],
)
def test_a_variant_shows_its_own_dimension_and_length(
    settings: dict[str, int], head: str, text: str, root: Path
) -> None:
    """Else "(embed_dim=128)" stands beside the model's own 384."""
    write_result(root, KNOWN[0], "SciFact", HALF, settings=settings)
    (name,) = settings
    variant = f"{KNOWN[0]} ({name}={settings[name]})"
    assert shown(facts_page(root, "SciFact"), variant)[head] == text


def test_a_variant_has_the_parameters_of_its_model(root: Path) -> None:
    """mteb knows the model, not the variant."""
    write_result(root, KNOWN[0], "SciFact", HALF, settings={"embed_dim": 128})
    texts = shown(facts_page(root, "SciFact"), f"{KNOWN[0]} (embed_dim=128)")
    assert texts["Parameters"] == "118"
