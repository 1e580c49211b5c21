"""A page of each kind, with all that it may show, for tests in a browser."""

from __future__ import annotations

from pathlib import Path

from audit_desk import Desk
from large_tables import large_table
from results_tree import GPU, suite_of, write_record, write_result
from speed_tree import write_speed

from granite_bench.audit import summarize
from granite_bench.report.audit import audit_page
from granite_bench.report.parity import parity_page
from granite_bench.report.suite_page import suite_page
from granite_bench.suite.overview import Overview
from granite_bench.suite.suite import load_suite
from granite_bench.tables.overview import make_overview
from granite_bench.tables.table import Options, Table, make_table

EVIL = [
    "<img src=x onerror=alert(1)>",
    "\"><script>alert('2')</script>",
    "javascript:alert(3)",
    "'/onclick='alert(4)' {{ 7 * 7 }} {% raw %}",
    "נמל/קטן-בעברית",
    "org/" + "long" * 75,
    "org/🦜-parrot-👩‍🚀 &amp; &lt;b&gt;",
    "__proto__",
]
LANGUAGES = ("ar", "de", "en", "hi", "zh")
LENGTHS = (256, 1024, 4096)
PAGES = ("suite", "large", "overview", "audit", "parity", "hostile", "empty")


def write_pages(folder: Path) -> None:
    """Each of PAGES as a file, and the results that it is made of."""
    made = {
        "suite": suite_page(_suite_table(folder / "one" / "results")),
        "large": suite_page(large_table(30, 18)),
        "overview": suite_page(_overview_table(folder / "two" / "results")),
        "audit": _audit(folder / "audit"),
        "parity": _parity(),
        "hostile": suite_page(
            large_table(8, 8, models=EVIL, tasks=[name.replace("/", "|")[:100] for name in EVIL])
        ),
        "empty": suite_page(make_table(suite_of("TaskA"), [])),
    }
    for name in PAGES:
        (folder / f"{name}.html").write_text(made[name], encoding="utf-8")


def _suite_table(root: Path) -> Table:
    """Nine models with all that a suite's page may show: languages, lengths, dimensions, speed."""
    suite = suite_of(
        {"name": "ByLanguage", "subsets": list(LANGUAGES)},
        {"name": "Passkey", "splits": [f"test_{n}" for n in LENGTHS], "metric": "ndcg_at_1"},
        groups=[{"by": "language", "from": "subset"}],
    )
    for number in range(9):
        model, base = f"org/model-{number}", 0.05 * (number + 1)
        by_language = {name: base + 0.08 * place for place, name in enumerate(LANGUAGES)}
        by_length = {
            f"test_{n}": {"default": {"ndcg_at_1": base + 0.3 / (place + 1)}}
            for place, n in enumerate(LENGTHS)
        }
        for settings in (None, {"embed_dim": 64}, {"embed_dim": 128}) if number == 8 else (None,):
            for task, scores in {"ByLanguage": {"test": by_language}, "Passkey": by_length}.items():
                path = write_result(root, model, task, scores, settings=settings)
                if number % 2:
                    write_record(path, hardware=GPU)
        write_speed(root, model, chunks=4000.0 - 400 * number)
    write_result(root, "org/hole", "ByLanguage", {"test": {"ar": 0.9, "de": 0.5}})
    return make_table(suite, [root], Options(facts=True))


def _overview_table(root: Path) -> Table:
    names = ("rar-b", "code")
    for number, name in enumerate(names):
        for task in load_suite(name).tasks:
            scores = {s: dict.fromkeys(task.subsets, 0.3 + 0.2 * number) for s in task.splits}
            named = {s: {k: {task.metric: v} for k, v in of.items()} for s, of in scores.items()}
            write_result(root, "org/a", task.name, named)
            if number:
                write_result(root, "org/b", task.name, named)
    content = {
        "version": 1,
        "name": "pair",
        "title": "A pair",
        "description": "For a test.",
        "suites": list(names),
    }
    return make_overview(Overview.model_validate(content), [root], Options(facts=True))


def _audit(folder: Path) -> str:
    folder.mkdir()
    desk = Desk(folder)
    desk.raw("org/a", "One", 0.5)
    for number in range(9):
        desk.prints("One", f"5{number}.0", table=f"T{number}")
    desk.prints("Average", "45.0", unit="mean")
    desk.prints("One", "50.0", "org/without-results")
    return audit_page(summarize(desk.cells()))


def _parity() -> str:
    from test_parity_report import PARITY

    return parity_page(PARITY)
