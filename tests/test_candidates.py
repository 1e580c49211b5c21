"""The models of a comparison: names on the command line -> rows."""

from __future__ import annotations

from pathlib import Path

import pytest
from queries_tree import write_queries
from results_tree import suite_of

from granite_bench.comparison.candidates import Candidate, find_candidates
from granite_bench.errors import BadInput
from granite_bench.offline.mirror import model_hash

SUITE = suite_of("T")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A model in two revisions and two variants, and a local folder's results."""
    root = tmp_path / "results"
    write_queries(root, "org/m", "T", [0.5, 0.5], revision="aaa111", date=1.0)
    write_queries(root, "org/m", "T", [0.25, 0.25], revision="bbb222", date=2.0)
    write_queries(root, "org/m", "T", [0.4, 0.4], settings={"embed_dim": 128})
    settings = {"embed_dim": 128, "output_dtypes": "int8"}
    write_queries(root, "org/m", "T", [0.3, 0.3], settings=settings)
    write_queries(root, "local/mine", "T", [0.1, 0.1], revision="ccc333")
    return root


def find(root: Path, *names: str) -> list[Candidate]:
    """The candidates of these names."""
    return find_candidates(names, SUITE, [root], source="small.yaml")


def faults(root: Path, *names: str) -> list[str]:
    """What is said of names that are of no row."""
    with pytest.raises(BadInput) as error:
        find(root, *names)
    return [str(fault) for fault in error.value.faults]


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("org/m", "org/m"),
        ("org/m (embed_dim=128)", "org/m (embed_dim=128)"),
        ("org/m@dim=128", "org/m (embed_dim=128)"),
        ("org/m@embed_dim=128", "org/m (embed_dim=128)"),
        ("org/m@precision=int8,dim=128", "org/m (embed_dim=128, output_dtypes=int8)"),
        ("org/m@dim=128@precision=int8", "org/m (embed_dim=128, output_dtypes=int8)"),
        ("local/mine", "local/mine"),
    ],
)
def test_a_row_has_its_name_and_a_short_one(root: Path, name: str, row: str) -> None:
    """As tables print it, or a model with its settings in any order."""
    [found] = find(root, name)
    assert (found.name, found.row.model) == (row, row)


def test_the_beginning_of_a_revision_is_enough(root: Path) -> None:
    """Each revision has its own score."""
    first, second = find(root, "org/m@aaa", "org/m@bbb222")
    assert [each.row.average for each in (first, second)] == [0.5, 0.25]
    assert (first.name, second.name) == ("org/m @aaa111", "org/m @bbb222")


def test_a_folder_alone_is_read_for_a_name_with_it(root: Path, tmp_path: Path) -> None:
    """The same model before and after a change; the names say which is which."""
    after = tmp_path / "after" / "results"
    write_queries(after, "org/m", "T", [1.0, 1.0])
    first, second = find(root, "org/m", f"{after}::org/m")
    assert first.row.average != second.row.average == 1.0
    assert second.name == f"{after}::org/m"


def test_a_local_folder_is_known_by_its_path(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As --model of a table takes it."""
    (tmp_path / "models" / "mine").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert [each.name for each in find(root, "models/mine")] == ["local/mine"]


def test_a_model_may_be_compared_with_itself(root: Path) -> None:
    """The second one is told from the first."""
    assert [each.name for each in find(root, "org/m", "org/m")] == ["org/m", "org/m [2]"]


def test_all_unknown_names_are_said_at_once(root: Path) -> None:
    """Each with the nearest name there is, or with all, and the command that makes results."""
    first, second = faults(root, "org/mm", "zzz")
    assert first == (
        f"org/mm: no results of suite small in {root}\n"
        "  did you mean 'org/m'?\n"
        "  to make them: granite-bench run small.yaml --model org/mm"
    )
    assert second.splitlines()[1].startswith("  there are: ")
    assert "'local/mine'" in second


def test_an_unknown_variant_names_those_there_are(root: Path) -> None:
    """Of that model alone."""
    [said] = faults(root, "org/m@dim=64")
    assert "no such variant of org/m" in said
    assert "'org/m (embed_dim=128)'" in said
    assert "mine" not in said


def test_an_unknown_revision_names_those_there_are(root: Path) -> None:
    """In full."""
    [said] = faults(root, "org/m@fff")
    assert "a revision that begins with 'fff'" in said
    assert "there are: aaa111, bbb222, rev-1" in said


def test_a_name_of_two_checkpoints_is_of_neither(root: Path) -> None:
    """Local folders of one name and different content are rows of their own."""
    write_queries(root, "local/mine", "T", [0.2, 0.2], revision="ddd444")
    [said] = faults(root, "local/mine")
    assert said == (
        "local/mine: names 2 rows\n  name one of them: 'local/mine @ddd444', 'local/mine @ccc333'"
    )
    assert [each.row.average for each in find(root, "local/mine@ccc")] == [0.1]
    assert [each.row.average for each in find(root, "local/mine @ddd444")] == [0.2]


def test_a_folder_is_known_by_its_content_where_several_have_its_name(
    root: Path, tmp_path: Path
) -> None:
    """Two checkpoints of one name, each by its path."""
    for place in ("one", "two"):
        folder = tmp_path / place / "m"
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(f'{{"place": "{place}"}}')
        revision = model_hash(folder)[:40]
        write_queries(root, "local/m", "T", [0.2, 0.2], revision=revision, content=place)
    candidates = find(root, *(str(tmp_path / place / "m") for place in ("one", "two")))
    assert [each.row.revision for each in candidates] == [
        model_hash(tmp_path / place / "m")[:40] for place in ("one", "two")
    ]


def test_a_folder_that_is_not_there_is_said(root: Path) -> None:
    """By the name that was typed for it."""
    assert "nowhere" in faults(root, "org/m", "nowhere::org/m")[0]


def test_a_separator_without_a_folder_is_a_fault(root: Path) -> None:
    """Nothing is guessed."""
    [said] = faults(root, "::org/m")
    assert "names no folder before '::'" in said
