"""Code that comes with a model runs only where it is allowed, for one revision."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mteb.models import ModelMeta
from sentence_transformers import SentenceTransformer
from sentence_transformers.models import Pooling, Transformer
from transformers import BertConfig, BertModel, BertTokenizerFast

from granite_bench.__main__ import main
from granite_bench.errors import BadInput
from granite_bench.models import Loading, find_model
from granite_bench.models.remote_code import code_arguments

ARCHITECTURE = """
from pathlib import Path

from transformers import BertConfig, BertModel

(Path(__file__).parent / "ran").touch()


class OwnConfig(BertConfig):
    model_type = "own_bert"


class OwnModel(BertModel):
    config_class = OwnConfig
"""

MODULE = """
import torch


class Same(torch.nn.Module):
    def forward(self, features, **kwargs):
        return features

    @classmethod
    def load(cls, *args, **kwargs):
        return cls()
"""


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny untrained model without code of its own."""
    folder = tmp_path_factory.mktemp("plain")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "otter", "granite"]
    (folder / "vocab.txt").write_text("\n".join(words))
    config = BertConfig(
        vocab_size=len(words), hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16, max_position_embeddings=32,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    BertTokenizerFast(vocab_file=str(folder / "vocab.txt")).save_pretrained(folder)
    transformer = Transformer(str(folder), max_seq_length=16)
    saved = folder / "saved"
    SentenceTransformer(modules=[transformer, Pooling(8)], device="cpu").save(str(saved))
    return saved


def _own_architecture(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    own = {"AutoConfig": "own.OwnConfig", "AutoModel": "own.OwnModel"}
    config |= {"model_type": "own_bert", "auto_map": own}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "own.py").write_text(ARCHITECTURE)


def _own_module(folder: Path) -> None:
    modules = json.loads((folder / "modules.json").read_text())
    modules.append({"idx": len(modules), "name": "same", "path": "", "type": "same.Same"})
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "same.py").write_text(MODULE)


@pytest.fixture(params=[_own_architecture, _own_module])
def with_code(request: pytest.FixtureRequest, plain: Path, tmp_path: Path) -> Path:
    """The same model, needing code that lies beside it."""
    folder = tmp_path / "with-code"
    shutil.copytree(plain, folder)
    change: Callable[[Path], None] = request.param
    change(folder)
    return folder


def test_code_is_off(with_code: Path) -> None:
    """The error says how to allow it for this model and revision alone; nothing of it ran."""
    source = find_model(str(with_code))
    with pytest.raises(BadInput) as error:
        source.load("cpu")
    assert "runs code from its own repository" in str(error.value)
    assert f"--trust-remote-code local/with-code@{source.meta.revision}" in str(error.value)
    assert not list(with_code.rglob("ran"))


def test_code_runs_for_the_revision_that_was_allowed(with_code: Path) -> None:
    """The rest of the model is as ever."""
    revision = find_model(str(with_code)).meta.revision
    loading = Loading(trusted=(f"local/with-code@{revision}",))
    model = find_model(str(with_code), loading=loading).load("cpu")
    assert model.model.encode(["otter"]).shape == (1, 8)


def test_permission_ends_when_the_code_changes(with_code: Path) -> None:
    """A folder's revision is its content."""
    revision = find_model(str(with_code)).meta.revision
    code = next(with_code.glob("*.py"))
    code.write_text(code.read_text() + "\n# changed\n")
    source = find_model(str(with_code), loading=Loading(trusted=(f"local/with-code@{revision}",)))
    with pytest.raises(BadInput, match="runs code from its own repository"):
        source.load("cpu")


def test_another_models_permission_does_not_count(with_code: Path) -> None:
    """Nor does one without a revision."""
    loading = Loading(trusted=("local/another@1", "local/with-code@main"))
    with pytest.raises(BadInput, match="runs code from its own repository"):
        find_model(str(with_code), loading=loading).load("cpu")


def test_models_without_code_need_no_permission(plain: Path) -> None:
    """Most of them."""
    assert find_model(str(plain)).load("cpu").model.encode(["otter"]).shape == (1, 8)


def _always(model_name: str, **kwargs: Any) -> Any:
    """A loader as some of mteb's."""
    return SentenceTransformer(model_name, trust_remote_code=True)


def _asks(model_name: str, trust_remote_code: bool = True) -> Any:
    """One that runs code unless it is told not to."""


def _meta(loader: Any, **kwargs: Any) -> ModelMeta:
    overwrites = {"name": "org/model", "revision": "1", "loader": loader, "loader_kwargs": kwargs}
    return ModelMeta.create_empty(overwrites=overwrites)


def test_what_mtebs_metadata_allow_is_off() -> None:
    """In the arguments of the loader, and where its default is to allow."""
    assert code_arguments(_meta(None, trust_remote_code=True), ()) == {}
    assert code_arguments(_meta(_asks), ()) == {"trust_remote_code": False}
    said = _meta(_asks, trust_remote_code=True)
    assert code_arguments(said, ()) == {"trust_remote_code": False}
    assert code_arguments(said, ("org/model@1",)) == {"trust_remote_code": True}


def test_what_metadata_allow_deeper_down_is_off_too() -> None:
    """mteb's metadata of infgrad/Jasper-Token-Compression-600M have it so."""
    meta = _meta(_asks, model_kwargs={"trust_remote_code": True, "dtype": "bfloat16"})
    assert code_arguments(meta, ()) == {
        "trust_remote_code": False,
        "model_kwargs": {"trust_remote_code": False, "dtype": "bfloat16"},
    }


def test_a_loader_that_always_runs_code_is_refused() -> None:
    """No argument could turn it off, so it is not called."""
    with pytest.raises(BadInput, match="--trust-remote-code org/model@1"):
        code_arguments(_meta(_always), ())
    assert code_arguments(_meta(_always), ("org/model@1",)) == {}


def test_permission_names_a_revision(capsys: pytest.CaptureFixture[str]) -> None:
    """Without one, whatever the repository holds tomorrow would be allowed."""
    run = ["run", "quickstart", "--trust-remote-code", "org/model"]
    assert main(run) == 2
    assert "'org/model' names no revision" in capsys.readouterr().err
