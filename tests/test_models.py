"""Models by name and folder: what a folder says of itself, and names that are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from granite_bench.errors import BadInput
from granite_bench.models import find_model, is_run
from granite_bench.models.folder import kind_of, own_dims, own_max_length

NAMES = ["x" * 5_000, f"org/{'x' * 300}", "a\0b", "~", "a/b/c/d"]


@pytest.mark.parametrize("name", NAMES, ids=["very long", "long", "NUL", "home", "deep"])
def test_a_name_that_is_no_models_is_unknown(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where no file could be called so."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(BadInput, match="unknown model"):
        find_model(name)
    assert not is_run(Path(name))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[1]",
        b"null",
        b"\xff",
        b"[" * 100_000,
        b'{"architectures": 5}',
        b'{"architectures": {}, "max_seq_length": "512", "out_features": true}',
    ],
)
def test_files_that_say_nothing_of_a_model_are_passed_over(tmp_path: Path, content: bytes) -> None:
    """Loading it tells what is wrong."""
    (tmp_path / "1_Pooling").mkdir()
    for name in (
        "config.json",
        "config_sentence_transformers.json",
        "sentence_bert_config.json",
        "1_Pooling/config.json",
    ):
        (tmp_path / name).write_bytes(content)
    assert kind_of(tmp_path) == "SentenceTransformer"
    assert (own_dims(tmp_path), own_max_length(tmp_path)) == ([], None)


def test_a_folder_says_its_kind_its_last_dimension_and_its_length(tmp_path: Path) -> None:
    """A Dense behind the pooling makes the dimension; before version 5 the kind is not said."""
    for folder, config in (
        ("1_Pooling", '{"word_embedding_dimension": 768}'),
        ("2_Dense", '{"in_features": 768, "out_features": 256}'),
    ):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "config.json").write_text(config)
    (tmp_path / "sentence_bert_config.json").write_text('{"max_seq_length": 512}')
    assert (own_dims(tmp_path), own_max_length(tmp_path)) == ([256], 512)
    assert (own_dims(None), own_max_length(None)) == ([], None)
    (tmp_path / "config.json").write_text('{"architectures": ["BertForSequenceClassification"]}')
    assert kind_of(tmp_path) == "CrossEncoder"
    (tmp_path / "config_sentence_transformers.json").write_text('{"model_type": "SparseEncoder"}')
    assert kind_of(tmp_path) == "SparseEncoder"
