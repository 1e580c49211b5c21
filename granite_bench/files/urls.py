"""A path or a URL, as a person wrote it, becomes a Place; or what is wrong with it is said."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from urllib.parse import unquote

from granite_bench.errors import BadInput, Fault, did_you_mean
from granite_bench.files.local import Place

BUCKETS = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "oss", "oci", "tos")
"""Schemes of object stores: the first name behind them is a bucket's."""

_LOCAL = ("file", "local")
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*(?:::[A-Za-z0-9+.-]+)*):(/+)(.*)", re.DOTALL)


def parse_place(text: str | Place, where: str = "--vectors") -> Place:
    """
    A path, or a URL that fsspec knows.

    Args:
        where: what messages call the place where it was written.

    Returns:
        A Path for a path and for a URL of file://, else a UPath; nothing is asked of it.

    Raises:
        BadInput: the scheme is unknown or its package is not installed, the URL is malformed, or
            it holds a password or a key, which the message does not repeat.
    """
    if not isinstance(text, str | Path):
        return text
    match = _URL.match(str(text))
    if match is None:
        return Path(text)
    scheme, slashes, rest = match[1].lower(), match[2], match[3].rstrip("/")
    if slashes == "/" and scheme not in _known():
        return Path(text)
    authority, _, path = (slashes[2:] + rest).partition("/")
    problem = _one_slash(scheme) if slashes == "/" else _problem(scheme, authority, path)
    if problem is not None:
        raise BadInput(Fault(where, f"the URL {scheme}://... {problem[0]}", problem[1]))
    if scheme in _LOCAL:
        return Path("/" + unquote(path))
    # Here and below, what takes long to import is imported only once a URL is named.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a scheme that UPath has no class for
        from upath import UPath

        try:
            return UPath(f"{scheme}://{authority}/{path}")
        except (ValueError, TypeError) as error:
            what = f"the URL {scheme}://... is no folder: {error}"
            raise BadInput(Fault(where, what, "such as s3://bucket/folder")) from None


def _known() -> set[str]:
    """The schemes of fsspec, with those of packages that registered their own."""
    from fsspec.registry import known_implementations, registry

    return {*known_implementations, *registry}


def _one_slash(scheme: str) -> tuple[str, str]:
    """Path("s3://bucket") is s3:/bucket."""
    return "has one slash behind the scheme", f"write {scheme}://, as a text and not as a Path"


def _problem(scheme: str, authority: str, path: str) -> tuple[str, str] | None:
    """What is wrong with a URL, and what would be right; a secret of the URL is in neither."""
    import fsspec

    rest = f"{authority}/{path}"
    if ":" in authority and "@" in rest.partition(":")[2]:  # a secret may have a slash
        hint = "leave it out: it belongs into the environment, or the profile of the service"
        return "holds a password or a key", hint
    if "?" in rest:
        return "has a query, which may hold a key", "leave out the ? and what follows it"
    if "::" in scheme or "::" in rest:
        return "is a chain of file systems", "name one, such as s3://bucket/folder"
    if scheme not in _known():
        hint = did_you_mean(scheme, _known())
        return "has a scheme that fsspec does not know", hint or "such as s3://, gs://, file:///"
    if not rest.isprintable() or rest != rest.strip() or {".", ".."} & {*rest.split("/")}:
        return "has '..', or blanks where none may be", f"such as {scheme}://name/folder"
    if scheme in _LOCAL and authority not in ("", "localhost"):
        return "names another machine", "write file:///folder, with three slashes, or a path"
    if scheme in BUCKETS and not authority:
        return "names no bucket", f"such as {scheme}://bucket/folder"
    try:
        fsspec.get_filesystem_class(scheme)
    except ImportError as error:
        return "wants a package that is not installed", _installing(scheme, error)
    return None


def _installing(scheme: str, error: ImportError) -> str:
    from fsspec.registry import known_implementations

    package = known_implementations.get(scheme, {"class": "fsspec."})["class"].partition(".")[0]
    return str(error) if package == "fsspec" else f"pip install {package}"
