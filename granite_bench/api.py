"""The Python API: what the command line does, for notebooks and scripts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from granite_bench.arguments import list_faults
from granite_bench.errors import BadInput

if TYPE_CHECKING:
    import pandas as pd

    from granite_bench.runner.execution import Outcome


def run(
    suite: str | None = None,
    *,
    say: Callable[[str], None] = lambda line: None,
    **options: Any,
) -> list[Outcome]:
    """
    Evaluate models and store the results; what is there already is not run again.

    Args:
        suite: a suite's name or YAML file; None runs *tasks* on their own.
        say: told one line per event, such as print.
        models: ids or folders (see granite_bench.models); the suite's own when left out.
        panel: a set of models to run besides: a name, or a YAML file.
        tasks: mteb's names, built-in names or BEIR-layout folders; with a suite, those of its
            tasks to run.
        subsets: mteb's names; tasks without any of them are left out.
        results: the folder to write to.
        mirror: where `org/name` data sets and models lie on disk.
        vectors: the folder or URL of the vector store; True is the usual one, in the cache; None
            keeps no vectors.
        device, dtype: torch's names; None is what sentence-transformers chooses.
        devices: of this machine, to encode on side by side, such as cuda:0 and cuda:1.
        ray: the address of a Ray cluster to encode and search on; "auto" is this machine's.
        gpus_per_worker: of that cluster, 1 when left out; 0 uses processors.
        backend, backend_file: torch, onnx or openvino, and the file of the exported model.
        prompt_query, prompt_document: put before every query or document instead of the prompt
            that mteb chooses; "" puts none.
        trusted: "name@revision" of models whose own code may run.
        first_stages: models, or runs in TREC's format, whose best documents rerankers reorder.
        rerankers: cross-encoders; without a first stage they rank what a task brings.
        top_k: documents per query that are reranked; 20 when left out.
        query_tokens: tokens of the reranker that queries are cut to; None leaves them whole.
        ranking_depth: documents per query to keep on disk; a first stage keeps 100 at least.
        endpoint: the base URL of an OpenAI-compatible server that computes models and rerankers.
        api_key_variable: the environment variable that holds its key; None is OPENAI_API_KEY.
        concurrency: requests to it at a time.
        price_per_million_tokens: what it charges, for the record.
        max_length: tokens per text, or several for a sweep; None is each model's own.
        dims: dimensions to search with besides each model's own, from the same vectors; "listed"
            are those that mteb's metadata lists.
        precisions: float32, float16, int8, binary: to search with, from the same vectors.
        token_budget: padded tokens per batch; None chooses by device.
        padding: False reads texts end to end where the model allows it; None does so on a GPU in
            half precision.
        compile: torch.compile for the layers of such a model; its first batches take long.

    Returns:
        One Outcome per model and task; a failed one has its cause.

    Raises:
        BadInput: all that is wrong with the arguments, and then with the files that they name.
    """
    # Imported here, as all that takes time is: the reading side stays free of mteb, --help quick.
    from granite_bench.runner.preparation import prepare

    return prepare(suite, **options).start(say)


def load_results(
    folder: str | Path = "results", *, tasks: Sequence[str] | None = None
) -> pd.DataFrame:
    """
    Stored results as a tidy table: one row per model, task, split, subset and metric.

    Args:
        folder: a results folder.
        tasks: read these only; None reads all.

    Returns:
        Columns model, revision, task, split, subset, metric, value (a fraction for most
        metrics), dataset_revision, mteb_version, path.

    Raises:
        BadInput: no such folder, or broken files (all of them named).
    """
    import pandas as pd

    from granite_bench.results.tree import read_results

    if faults := list_faults({"tasks": tasks}):
        raise BadInput(faults)
    rows = [
        (
            result.model,
            result.revision,
            result.task,
            split,
            subset,
            metric,
            float(value),
            result.dataset_revision,
            result.mteb_version,
            str(result.path),
        )
        for result in read_results(Path(folder), tasks)
        for split, by_subset in result.scores.items()
        for subset, scores in by_subset.items()
        for metric, value in scores.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    ]
    columns = [
        "model",
        "revision",
        "task",
        "split",
        "subset",
        "metric",
        "value",
        "dataset_revision",
        "mteb_version",
        "path",
    ]
    return pd.DataFrame(rows, columns=columns)
