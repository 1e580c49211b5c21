"""
What an offline mirror needs from the Hugging Face hub, at pinned revisions and with sizes.

    plan = plan_fetch(tasks, models, to)     asks the hub; downloads nothing
    describe(plan), plan.remarks()           the plan for a person

fetch.py downloads what a plan names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

from huggingface_hub import DatasetInfo, HfApi, ModelInfo
from huggingface_hub.errors import (  # type: ignore[attr-defined]  # HTTPError, see below
    GatedRepoError,
    HfHubHTTPError,
    HTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from granite_bench.errors import BadInput, Fault, first_line
from granite_bench.files.local import size_text
from granite_bench.offline.mirror import (
    NO_REVISION,
    Manifest,
    is_repo_name,
    read_manifest,
    stays_inside,
)

if TYPE_CHECKING:
    from mteb.abstasks.abstask import AbsTask
    from mteb.models.model_meta import ModelMeta

Kind = Literal["dataset", "model"]

# HTTPError is the base of all errors of the hub client's HTTP library. It comes from the client
# because that library is httpx in huggingface_hub 1.x and httpx2 in 2.x.

COLUMNS = ("repository", "kind", "revision", "files", "size", "to come", "state")

_ANSWER_SECONDS = 30.0
_ONLINE = "check the connection and HF_HUB_OFFLINE, then run the same command again"

# Beside *.safetensors in the same folder, these hold the same weights once more.
_SAME_WEIGHTS = ("pytorch_model*.bin*", "*.h5", "*.msgpack", "*.gguf")
# Where the repository's main weights are *.safetensors, these folders hold them converted.
_CONVERTED = ("onnx", "openvino")

# mteb 2.26.24 loads the judgements of this task from a second repository, which no metadata
# names, and without a revision (mteb/tasks/retrieval/deu/german_qu_ad_retrieval.py).
_SECOND_REPO = {"GermanQuAD-Retrieval": "mteb/germanquad-retrieval-qrels"}


@dataclass(frozen=True)
class PlannedFile:
    """
    A file that the mirror needs.

    Attributes:
        size: bytes.
        sha256: of the content in hex, where the hub knows it (large files) or the manifest does.
        blob_id: git's sha1 of the content in hex, for small files that the hub keeps in git.
        there: lies in the mirror with that size (and with that sha256, says its manifest);
            whether the content is right, fetch() finds out.
    """

    path: str
    size: int
    sha256: str | None
    blob_id: str | None
    there: bool


@dataclass(frozen=True)
class PlannedRepo:
    """
    A repository at a commit.

    Attributes:
        revision: the commit.
        asked: what the task or model names: a commit, tag or branch; None is the default branch.
        left_out: paths of files that are not fetched, because they hold the same weights.
        code_repos: other repositories whose Python code the model runs.
        replaces: the commit that the mirror has so far, if it is another one.
    """

    name: str
    kind: Kind
    revision: str
    asked: str | None
    files: tuple[PlannedFile, ...]
    left_out: tuple[str, ...] = ()
    code_repos: tuple[str, ...] = ()
    replaces: str | None = None

    @property
    def n_bytes(self) -> int:
        """Size of all files in bytes."""
        return sum(file.size for file in self.files)

    @property
    def bytes_to_come(self) -> int:
        """Size in bytes of the files that the mirror lacks."""
        return sum(file.size for file in self.files if not file.there)


@dataclass(frozen=True)
class FetchPlan:
    """What a mirror needs, by repository; *endpoint* is the hub's address, None the usual one."""

    repos: tuple[PlannedRepo, ...]
    endpoint: str | None = None

    @property
    def n_bytes(self) -> int:
        """Size of all files in bytes."""
        return sum(repo.n_bytes for repo in self.repos)

    @property
    def bytes_to_come(self) -> int:
        """Size in bytes of the files that the mirror lacks."""
        return sum(repo.bytes_to_come for repo in self.repos)

    def remarks(self) -> list[str]:
        """What a person should know about the plan, one sentence each."""
        found = []
        for repo in self.repos:
            if repo.left_out:
                shown = ", ".join(repo.left_out[:4])
                shown += f" and {len(repo.left_out) - 4} more" if len(repo.left_out) > 4 else ""
                found.append(f"{repo.name}: left out the same weights in other formats: {shown}")
            found += [
                f"{repo.name}: runs code of {other}, which transformers looks up in the ordinary "
                "hub cache and not in the mirror"
                for other in repo.code_repos
            ]
        return found


def plan_fetch(
    tasks: Iterable[AbsTask],
    models: Iterable[ModelMeta],
    to: Path,
    *,
    endpoint: str | None = None,
) -> FetchPlan:
    """
    Find out what the mirror *to* needs for *tasks* and *models*; downloads nothing.

    An aggregate task stands for its parts, and a data set that several tasks share counts once.
    Tasks on a folder of the user's own (an absolute path) need nothing. The hub is not asked about
    a repository that the manifest lists as complete at the commit that is needed.

    Args:
        to: the mirror's folder; need not exist.
        endpoint: the hub's address; None takes HF_ENDPOINT, else the public hub.

    Raises:
        BadInput: repositories that do not exist, are gated or cannot be reached, two revisions
            of the same one, or a broken manifest; all of them named.
    """
    wanted, faults = _wanted(tasks, models)
    manifest = read_manifest(to)
    api = HfApi(endpoint=endpoint, library_name="granite-bench")
    repos = []
    for position, (name, (kind, asked)) in enumerate(wanted.items()):
        try:
            repos.append(_plan_repo(api, name, kind, asked, to, manifest))
        except (HTTPError, OSError, ValueError) as error:
            if _is_unreachable(error):
                # Each further repository would wait for the same time-out.
                rest = list(wanted)[position:]
                what = f"the hub cannot be reached ({first_line(error)})"
                hint = "needed from it: " + ", ".join(rest) + "\n  " + _ONLINE
                faults.append(Fault(name, what, hint))
                break
            faults.append(hub_fault(name, kind, asked, error))
    if faults:
        raise BadInput(faults)
    return FetchPlan(tuple(repos), endpoint)


def describe(plan: FetchPlan) -> list[tuple[str, ...]]:
    """The plan as rows of text under COLUMNS, one per repository and a last one for the total."""
    rows = [
        (
            repo.name,
            repo.kind,
            repo.revision[:7],
            str(len(repo.files)),
            size_text(repo.n_bytes),
            size_text(repo.bytes_to_come),
            _state(repo),
        )
        for repo in plan.repos
    ]
    n_files = str(sum(len(repo.files) for repo in plan.repos))
    sizes = size_text(plan.n_bytes), size_text(plan.bytes_to_come)
    return [*rows, ("total", "", "", n_files, *sizes, "")]


def duplicate_weights(paths: Iterable[str]) -> list[str]:
    """
    Those of a model repository's *paths* that hold weights which it also has as *.safetensors.

    A pytorch_model.bin in a folder without *.safetensors (2_Dense, say) is nobody's duplicate.
    """
    pures = [PurePosixPath(path) for path in paths]
    safe = {pure.parent for pure in pures if pure.suffix == ".safetensors"}
    root = PurePosixPath()
    return sorted(
        str(pure)
        for pure in pures
        if (
            pure.parent in safe
            and any(fnmatchcase(pure.name, pattern) for pattern in _SAME_WEIGHTS)
        )
        or (root in safe and (pure.parts[0] in _CONVERTED or pure.suffix == ".gguf"))
    )


def _state(repo: PlannedRepo) -> str:
    n_there = sum(file.there for file in repo.files)
    if n_there == len(repo.files) and not repo.replaces:
        return "there"
    state = f"{n_there} of {len(repo.files)} files there" if n_there else "to fetch"
    return f"{state}, replaces {repo.replaces[:7]}" if repo.replaces else state


def _wanted(
    tasks: Iterable[AbsTask], models: Iterable[ModelMeta]
) -> tuple[dict[str, tuple[Kind, str | None]], list[Fault]]:
    """Repository -> kind and revision, in the order of the tasks and models."""
    wanted: dict[str, tuple[Kind, str | None]] = {}
    faults = []
    named: list[tuple[str | None, Kind, str | None]] = [*_datasets(tasks)]
    named += [(model.name, "model", model.revision) for model in models]
    for name, kind, asked in named:
        asked = None if asked == NO_REVISION else asked
        if not name or not is_repo_name(name):
            faults.append(Fault("", f"a {kind} called '{name}' cannot be on the hub"))
        elif wanted.setdefault(name, (kind, asked)) != (kind, asked):
            other_kind, other = wanted[name]
            what = f"is needed as {other_kind} at {other} and as {kind} at {asked}"
            faults.append(Fault(name, what, "a mirror holds one of them; fetch into two folders"))
    return wanted, faults


def _datasets(tasks: Iterable[AbsTask]) -> Iterator[tuple[str, Kind, str | None]]:
    for task in tasks:
        if task.is_aggregate:
            yield from _datasets(getattr(task.metadata, "tasks", ()))
            continue
        path = task.metadata.dataset["path"]
        if Path(path).is_absolute():  # a folder of the user's own
            continue
        yield path, "dataset", task.metadata.dataset["revision"]
        if task.metadata.name in _SECOND_REPO:
            yield _SECOND_REPO[task.metadata.name], "dataset", None


def _plan_repo(
    api: HfApi, name: str, kind: Kind, asked: str | None, to: Path, manifest: Manifest
) -> PlannedRepo:
    entry = manifest.repos.get(name)
    files: list[tuple[str, int, str | None, str | None]]
    if entry and entry.complete and asked == entry.revision and kind == entry.kind:
        files = [(path, file.size, file.sha256, None) for path, file in entry.files.items()]
        left_out, code_repos, revision = list(entry.left_out), [], entry.revision
    else:
        info = _info(api, name, kind, asked)
        if info.gated:
            api.auth_check(name, repo_type=kind)
        siblings = info.siblings or []
        left_out = duplicate_weights(s.rfilename for s in siblings) if kind == "model" else []
        files = [
            (s.rfilename, s.size or 0, s.lfs.sha256 if s.lfs else None, s.blob_id)
            for s in siblings
            if s.rfilename not in left_out
        ]
        code_repos = _code_repos(getattr(info, "config", None), name)
        revision = info.sha or asked or ""

    def is_there(path: str, size: int, sha256: str | None) -> bool:
        recorded = entry.files[path].sha256 if entry and path in entry.files else ""
        is_another = bool(sha256 and recorded and sha256 != recorded)
        return has_size(to / name / path, size) and not is_another

    outside = [path for path, *_ in files if not stays_inside(path)]
    if outside or not files:
        raise ValueError(f"paths outside the repository: {outside}" if outside else "has no files")
    return PlannedRepo(
        name,
        kind,
        revision,
        asked,
        tuple(
            PlannedFile(path, size, sha256, blob_id, is_there(path, size, sha256))
            for path, size, sha256, blob_id in sorted(files, key=lambda file: file[0])
        ),
        tuple(left_out),
        tuple(code_repos),
        entry.revision if entry and entry.revision != revision else None,
    )


def _info(api: HfApi, name: str, kind: Kind, asked: str | None) -> DatasetInfo | ModelInfo:
    ask = api.dataset_info if kind == "dataset" else api.model_info
    return ask(name, revision=asked, files_metadata=True, timeout=_ANSWER_SECONDS)


def _code_repos(config: Any, name: str) -> list[str]:
    """Repositories in a config.json's auto_map, whose entries read org/name--module.Class."""
    auto_map = config.get("auto_map") if isinstance(config, dict) else None
    named = auto_map.values() if isinstance(auto_map, dict) else ()
    repos = {text.split("--")[0] for text in named if isinstance(text, str) and "--" in text}
    return sorted(repos - {name})


def _is_unreachable(error: Exception) -> bool:
    """Whether no answer came at all, as opposed to an answer that says no."""
    if isinstance(error, OfflineModeIsEnabled):
        return True
    return isinstance(error, HTTPError) and not isinstance(error, HfHubHTTPError)


def hub_fault(name: str, kind: Kind, asked: str | None, error: Exception) -> Fault:
    """What the hub's refusal means, and what to do about it."""
    if isinstance(error, GatedRepoError):
        what = "is gated: its owner wants to be asked first"
        hint = "ask on its page on the hub, then set HF_TOKEN (or: hf auth login)"
    elif isinstance(error, RepositoryNotFoundError):
        what = f"the hub has no such {kind}, or it is private"
        hint = "check the name; for a private one set HF_TOKEN (or: hf auth login)"
    elif isinstance(error, RevisionNotFoundError):
        what, hint = f"the hub's {kind} has no revision '{asked}'", "check the revision"
    else:
        what, hint = first_line(error), "run the same command again later"
    return Fault(name, what, hint)


def has_size(path: Path, n_bytes: int) -> bool:
    """Whether there is a file of that size."""
    return path.is_file() and path.stat().st_size == n_bytes
