"""
A small Hugging Face hub on loopback, enough for the real huggingface_hub and datasets clients.

It serves folders as repositories: repository info, file tree, paths-info, and resolve with
redirects for large files, ETags and ranges. What it does not know it answers with 404 and keeps
in `unknown`. Downloads can be counted, cut off, refused and spoilt.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

# What the hub keeps in Git LFS; the rest lies in git, under the sha1 of its blob.
LFS_SUFFIXES = {".parquet", ".safetensors", ".bin", ".onnx", ".h5", ".gguf", ".msgpack"}


@dataclass
class Repo:
    """A repository: its commits, and the one that main points to."""

    commits: dict[str, Path]
    head: str
    gated: bool
    config: dict[str, Any]


@dataclass(frozen=True)
class Sent:
    """An answer with content: *first_byte* is where the client's Range began."""

    repo: str
    path: str
    first_byte: int


@dataclass
class Trouble:
    """What goes wrong with the next requests for the content of a file, once."""

    cut_after: int | None = None
    then_status: int | None = None
    spoil: bool = False


@dataclass
class LoopbackHub:
    """Use as a context manager; *endpoint* is what HF_ENDPOINT should be."""

    repos: dict[tuple[str, str], Repo] = field(default_factory=dict)
    sent: list[Sent] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    n_requests: int = 0
    troubles: dict[tuple[str, str], list[Trouble]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        hub = self

        class Answers(_Answers):
            def answer(self) -> None:
                _route(hub, self)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def add(
        self,
        kind: str,
        name: str,
        folder: Path,
        commit: str,
        *,
        gated: bool = False,
        config: dict[str, Any] | None = None,
    ) -> None:
        """Serve *folder* as *kind* (dataset or model) *name* at *commit*, which becomes main."""
        known = self.repos.get((kind, name))
        commits = {**(known.commits if known else {}), commit: folder}
        self.repos[kind, name] = Repo(commits, commit, gated, config or {})

    def cut_off(self, name: str, path: str, after: int, *, then_status: int | None = None) -> None:
        """Break off the next download of a file after so many bytes; refuse the one after that."""
        troubles = self.troubles.setdefault((name, path), [])
        troubles.append(Trouble(cut_after=after))
        if then_status is not None:
            troubles.append(Trouble(then_status=then_status))

    def spoil(self, name: str, path: str) -> None:
        """Send the next download of a file with its first byte changed."""
        self.troubles.setdefault((name, path), []).append(Trouble(spoil=True))

    def first_bytes(self, name: str, path: str) -> list[int]:
        """Where each download of a file began, in order; their number is that of downloads."""
        return [sent.first_byte for sent in self.sent if (sent.repo, sent.path) == (name, path)]


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.answer()

    do_HEAD = do_POST = do_GET

    def answer(self) -> None:
        raise NotImplementedError

    def log_message(self, format: str, *args: object) -> None:
        """Stay quiet: the test asks `sent` and `unknown`."""

    def reply(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        headers = {"Content-Length": str(len(body)), **headers}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def reply_json(self, content: Any) -> None:
        self.reply(200, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def reply_error(self, status: int, code: str, **headers: str) -> None:
        self.reply(status, b"", {"X-Error-Code": code, "X-Error-Message": code, **headers})


def _route(hub: LoopbackHub, request: _Answers) -> None:
    hub.n_requests += 1
    body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
    url = urlsplit(request.path)
    parts = [unquote(part) for part in url.path.strip("/").split("/")]
    is_api = parts[0] == "api"
    parts = parts[1:] if is_api else parts
    is_content = parts[0] == "content"
    parts = parts[1:] if is_content else parts
    kind = "dataset" if parts[0] == "datasets" else "model"
    parts = parts[1:] if parts[0] in ("datasets", "models") else parts
    name, verb, rest = "/".join(parts[:2]), *(parts[2:3] or [""]), parts[3:]
    answers: dict[tuple[bool, str], Callable[..., None]] = {
        (True, ""): _info,
        (True, "revision"): _info,
        (True, "auth-check"): _auth_check,
        (True, "tree"): _tree,
        (True, "paths-info"): _paths_info,
        (False, "resolve"): _content if is_content else _resolve,
    }
    answer = answers.get((is_api, verb))
    repo = hub.repos.get((kind, name))
    if answer is None:
        hub.unknown.append(f"{request.command} {request.path}")
        request.reply(404, b"", {})
    elif repo is None:
        # The public hub says 401 to a client without a token, to keep private names private.
        request.reply_error(401, "RepoNotFound")
    elif verb == "auth-check":
        answer(request, repo)
    else:
        wanted = rest[0] if rest else "main"
        commit = repo.head if wanted == "main" else wanted
        if commit not in repo.commits:
            request.reply_error(404, "RevisionNotFound")
            return
        path = "/".join(rest[1:])
        answer(request, repo=repo, hub=hub, name=name, commit=commit, path=path, body=body)


def _auth_check(request: _Answers, repo: Repo) -> None:
    if repo.gated:
        request.reply_error(403, "GatedRepo")
    else:
        request.reply_json({})


def _info(request: _Answers, *, repo: Repo, name: str, commit: str, **_: Any) -> None:
    siblings = []
    for path, file in _files(repo.commits[commit]):
        about = _about(file)
        lfs = about.get("lfs")
        siblings.append(
            {"rfilename": path, "size": about["size"], "blobId": about["oid"]}
            | ({"lfs": {"sha256": lfs["oid"], **lfs}} if lfs else {})
        )
    request.reply_json(
        {
            "id": name,
            "sha": commit,
            "private": False,
            "gated": "auto" if repo.gated else False,
            "tags": [],
            "siblings": siblings,
            "config": repo.config,
        }
    )


def _tree(request: _Answers, *, repo: Repo, commit: str, path: str, **_: Any) -> None:
    root = repo.commits[commit]
    folder = root / path
    if not folder.is_dir():
        request.reply_error(404, "EntryNotFound")
        return
    is_recursive = parse_qs(urlsplit(request.path).query).get("recursive", [""])[0]
    found = folder.rglob("*") if is_recursive.lower() in ("true", "1") else folder.iterdir()
    request.reply_json([_entry(root, file) for file in sorted(found)])


def _paths_info(request: _Answers, *, repo: Repo, commit: str, body: bytes, **_: Any) -> None:
    root = repo.commits[commit]
    if "json" in request.headers.get("Content-Type", ""):
        paths = json.loads(body)["paths"]
    else:
        paths = parse_qs(body.decode()).get("paths", [])
    request.reply_json([_entry(root, root / path) for path in paths if (root / path).exists()])


def _resolve(request: _Answers, *, repo: Repo, commit: str, path: str, **others: Any) -> None:
    file = repo.commits[commit] / path
    if repo.gated:
        request.reply_error(403, "GatedRepo")
    elif not file.is_file():
        request.reply_error(404, "EntryNotFound", **{"X-Repo-Commit": commit})
    elif file.suffix in LFS_SUFFIXES:
        # Large files come from another address, as on the public hub.
        headers = {
            "X-Repo-Commit": commit,
            "X-Linked-Size": str(file.stat().st_size),
            "X-Linked-ETag": f'"{_about(file)["lfs"]["oid"]}"',
            "Location": f"{others['hub'].endpoint}/content{request.path}",
        }
        request.reply(302, b"", headers)
    else:
        _content(request, repo=repo, commit=commit, path=path, **others)


def _content(
    request: _Answers,
    *,
    repo: Repo,
    hub: LoopbackHub,
    name: str,
    commit: str,
    path: str,
    **_others: Any,
) -> None:
    file = repo.commits[commit] / path
    content = file.read_bytes()
    about = _about(file)
    etag: str = about.get("lfs", about)["oid"]
    headers = {"ETag": f'"{etag}"', "X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
    first, _, last = request.headers.get("Range", "").removeprefix("bytes=").partition("-")
    first_byte = int(first or 0)
    body = content[first_byte : int(last) + 1 if last else None]
    status = 200
    if first:
        status = 206
        end = first_byte + len(body) - 1
        headers["Content-Range"] = f"bytes {first_byte}-{end}/{len(content)}"
    if request.command == "HEAD":
        headers["Content-Length"] = str(len(body))
        request.reply(status, b"", headers)
        return
    hub.sent.append(Sent(name, path, first_byte))
    waiting = hub.troubles.get((name, path), [])
    trouble = waiting.pop(0) if waiting else Trouble()
    if trouble.then_status is not None:
        request.reply(trouble.then_status, b"", {})
    elif trouble.cut_after is not None:
        headers["Content-Length"] = str(len(body))
        request.reply(status, body[: trouble.cut_after], headers)
        request.close_connection = True
    else:
        request.reply(status, b"\xff" + body[1:] if trouble.spoil else body, headers)


def _files(root: Path) -> list[tuple[str, Path]]:
    return sorted((f.relative_to(root).as_posix(), f) for f in root.rglob("*") if f.is_file())


def _entry(root: Path, file: Path) -> dict[str, Any]:
    path = file.relative_to(root).as_posix()
    if file.is_dir():
        oid = hashlib.sha1(path.encode(), usedforsecurity=False).hexdigest()
        return {"type": "directory", "oid": oid, "size": 0, "path": path}
    return {"type": "file", "path": path, **_about(file)}


def _about(file: Path) -> dict[str, Any]:
    content = file.read_bytes()
    size = len(content)
    blob_id = hashlib.sha1(b"blob %d\0" % size + content, usedforsecurity=False).hexdigest()
    about: dict[str, Any] = {"oid": blob_id, "size": size}
    if file.suffix in LFS_SUFFIXES:
        sha256 = hashlib.sha256(content).hexdigest()
        about["lfs"] = {"oid": sha256, "size": size, "pointerSize": 134}
    return about
