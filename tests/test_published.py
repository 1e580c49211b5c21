"""Reading published tables and what their columns name; every fault of a file is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from granite_bench.audit.columns import load_columns
from granite_bench.audit.published import agrees, read_published
from granite_bench.audit.quantities import Fact, Gap, Mean, NoRaw, TaskScore
from granite_bench.errors import BadInput

HEAD = "source,table,model,column,value,unit,note\n"


def write(folder: Path, text: str, name: str = "table.csv") -> Path:
    """A file with this text."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def faults_of(*paths: Path) -> list[str]:
    """What is wrong with these CSV files."""
    with pytest.raises(BadInput) as caught:
        read_published(paths)
    return [str(fault) for fault in caught.value.faults]


def yaml_faults(folder: Path, text: str) -> list[str]:
    """What is wrong with this YAML beside a CSV."""
    write(folder, text, "table.yaml")
    with pytest.raises(BadInput) as caught:
        load_columns(folder / "table.csv")
    return [str(fault).replace(f"{folder}/", "") for fault in caught.value.faults]


def test_a_value_is_kept_as_it_is_printed(tmp_path: Path) -> None:
    """50.60 is printed to two decimals, which the number 50.6 would not tell."""
    path = write(tmp_path, HEAD + 's,t,org/a,"MTEB(eng, v2) average (41)",50.60,mean,"a, b"\n')
    (cell,) = read_published([path])
    assert (cell.printed, cell.value, cell.half_unit) == ("50.60", 50.6, 0.005)
    assert (cell.column, cell.note, cell.line) == ("MTEB(eng, v2) average (41)", "a, b", 2)


def test_signs_and_empty_models_are_read(tmp_path: Path) -> None:
    """+9.4 is a gain; a corpus has a size and no model."""
    path = write(tmp_path, HEAD + "s,t,org/a,c,+9.4,points,\ns,t,,length,10,chars,\n")
    gain, size = read_published([path])
    assert (gain.value, size.model) == (9.4, "")


def test_a_line_number_counts_lines_of_the_file_not_rows(tmp_path: Path) -> None:
    """A note over two lines moves the next row down."""
    path = write(tmp_path, HEAD + 's,t,a,c,1,mean,"two\nlines"\n\ns,t,b,c,2,mean,\n')
    assert [cell.line for cell in read_published([path])] == [2, 5]


@pytest.mark.parametrize(
    ("printed", "value", "expected"),
    [
        ("50.6", 50.649, True),
        ("50.6", 50.65, True),
        ("50.6", 50.55, True),
        ("50.6", 50.651, False),
        ("50", 49.5, True),
        ("50", 50.51, False),
        ("50.60", 50.604, True),
        ("50.60", 50.61, False),
        ("-2.2", -2.249, True),
        ("0.3", 0.1 + 0.2 + 0.05, True),
    ],
)
def test_agreement_is_half_a_unit_of_the_last_printed_digit(
    printed: str, value: float, expected: bool
) -> None:
    """A tie may have been rounded either way; fewer digits are more lenient."""
    assert agrees(printed, value) is expected


def test_missing_and_unknown_columns_are_named_together(tmp_path: Path) -> None:
    """The head has 'values' for 'value', and no note."""
    path = write(tmp_path, "source,table,model,column,values,unit\ns,t,m,c,1,mean\n")
    found = faults_of(path)
    assert [fault.split("\n")[0] for fault in found] == [
        f"{path}:1: column 'value' is missing",
        f"{path}:1: column 'note' is missing",
        f"{path}:1: unknown column 'values'",
    ]
    assert "is it 'values'?" in found[0]
    assert "did you mean 'value'" in found[2]


def test_every_broken_row_of_every_file_is_named(tmp_path: Path) -> None:
    """A range, a number with a comma, a NaN, an empty unit, a row that is too short."""
    first = write(
        tmp_path,
        HEAD
        + "s,t,m,a,>2500,docs_per_s,\n"
        + 's,t,m,b,"1,455",docs_per_s,\n'
        + "s,t,m,c,nan,mean,\n"
        + "s,t,m,d,1,,\n",
    )
    second = write(tmp_path, HEAD + "s,t,m,a,1\n", "second.csv")
    found = [fault.split("\n")[0] for fault in faults_of(first, second)]
    assert found == [
        f"{first}:2: value '>2500' is not a number",
        f"{first}:3: value '1,455' is not a number",
        f"{first}:4: value 'nan' is not a number",
        f"{first}:5: unit is empty",
        f"{second}:2: has 5 fields, the first line has 7",
    ]


def test_a_cell_that_is_there_twice_names_both_places(tmp_path: Path) -> None:
    """The same column of the same row, in two files."""
    first = write(tmp_path, HEAD + "s,t,m,c,1,mean,\n")
    second = write(tmp_path, HEAD + "s,t,m,other,1,mean,\ns,t,m,c,2,mean,\n", "second.csv")
    (fault,) = faults_of(first, second)
    assert fault.startswith(f"{second}:3: 'c' of 'm' in 't' is there already")
    assert f"{first}:2" in fault


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", HEAD.encode() + b'"s,t'])
def test_a_file_that_is_no_csv_is_bad_input(tmp_path: Path, content: bytes) -> None:
    """Empty, not UTF-8, a quote that is never closed."""
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    (fault,) = faults_of(path)
    assert fault.startswith(str(path))


def test_a_file_that_is_not_there_is_bad_input(tmp_path: Path) -> None:
    """The path is named."""
    (fault,) = faults_of(tmp_path / "no.csv")
    assert fault.startswith(str(tmp_path / "no.csv"))


def test_a_task_takes_its_splits_from_the_suites_and_its_metric_from_the_unit() -> None:
    """BEIR scores MSMARCO on dev; the unit says recall."""
    quantity = load_columns().resolve("MSMARCO", "recall_at_5")
    assert quantity == TaskScore("MSMARCO", "recall_at_5", ("dev",), ("default",))


def test_brackets_name_one_subset() -> None:
    """MIRACL in German, of its 18 languages."""
    quantity = load_columns().resolve("MIRACLRetrieval[de]", "ndcg_at_10")
    assert quantity == TaskScore("MIRACLRetrieval", "ndcg_at_10", ("dev",), ("de",))


@pytest.mark.parametrize(
    ("column", "n_tasks"),
    [
        ("BEIR average (15)", 15),
        ("BEIR average without MSMARCO (14)", 14),
        ("BEIR average without CQADupstackRetrieval and MSMARCO (13)", 13),
        ("CoIR average (10)", 10),
        ("LongEmbed average (6)", 6),
        ("RAR-b average (17)", 17),
        ("MTEB(Code, v1) average (12)", 12),
        ("MTEB(Multilingual, v2) Retrieval average (18)", 18),
        ("MTEB(eng, v2) average (41)", 41),
        ("MTEB(eng, v2) STS average (9)", 9),
        ("MTEB(eng, v1) average (56)", 56),
        ("MTEB German retrieval average (4)", 4),
        ("MTEB Chinese retrieval average (8)", 8),
        ("Table-IR average (5)", 5),
    ],
)
def test_an_average_has_the_number_of_parts_that_its_name_says(column: str, n_tasks: int) -> None:
    """The number in the name is the paper's own."""
    quantity = load_columns().resolve(column, "mean")
    assert isinstance(quantity, Mean)
    assert len(set(quantity.parts)) == n_tasks


def test_two_names_of_one_average_are_equal() -> None:
    """MTEB's first English retrieval benchmark is BEIR."""
    columns = load_columns()
    names = ("BEIR average (15)", "MTEB(eng, v1) Retrieval average (15)")
    one, other = (columns.resolve(name, "mean") for name in names)
    assert one == other != columns.resolve("BEIR average without MSMARCO (14)", "mean")


def test_dimensions_and_lengths_behind_a_name_make_a_variant() -> None:
    """Every task of the average is of the variant."""
    columns = load_columns()
    mean = columns.resolve("CoIR average (10) at 512 dimensions", "mean")
    assert isinstance(mean, Mean)
    assert {part.variant for part in mean.parts if isinstance(part, TaskScore)} == {
        (("embed_dim", "512"),)
    }
    task = columns.resolve("MultiLongDocRetrieval[en] at max length 512", "ndcg_at_10")
    assert isinstance(task, TaskScore)
    assert task.variant == (("max_length", "512"),)


def test_a_gain_is_over_the_declared_predecessor() -> None:
    """97m R2 over 107m R1."""
    model = "ibm-granite/granite-embedding-97m-multilingual-r2"
    gap = load_columns().resolve("CoIR average (10), gain over R1", "points", model)
    assert isinstance(gap, Gap)
    assert gap.other_model == "ibm-granite/granite-embedding-107m-multilingual"


@pytest.mark.parametrize(
    ("column", "unit", "reason"),
    [
        ("throughput", "docs_per_s", "a speed"),
        ("SciFact", "furlongs", "the unit 'furlongs' is not known"),
        ("CoIR average (10)", "tokens", "'tokens' is no unit of this column"),
        ("CoIR average (10), global RoPE theta 20k", "mean", "global RoPE theta 20k"),
        ("Red Hat query retrieval (IBM-internal)", "recall_at_10", "an internal benchmark"),
        ("a column of ours", "mean", "declare it in a YAML"),
        ("CoIR average (10), gain over R1", "points", "no predecessor of org/a"),
        ("something", "points", "not said"),
    ],
)
def test_what_has_no_raw_result_says_why(column: str, unit: str, reason: str) -> None:
    """Unknown units and columns are no fault of the file."""
    quantity = load_columns().resolve(column, unit, "org/a")
    assert isinstance(quantity, NoRaw)
    assert reason in quantity.reason


def test_a_size_is_of_the_model_whatever_it_was_used_for() -> None:
    """A reranker has as many parameters behind one retriever as behind another."""
    quantity = load_columns().resolve("parameters, rerank top-20 of org/b", "params_m")
    assert quantity == Fact("parameters")


def test_a_yaml_beside_the_csv_declares_columns_and_models(tmp_path: Path) -> None:
    """Its names come before the built-in ones, which stay known."""
    text = """
version: 1
columns:
  MLDR: {task: MultiLongDocRetrieval, subsets: [en], metric: ndcg_at_5}
  English: {suite: beir, without: [MSMARCO]}
  CoIR average (10): {tasks: [CosQA, "CodeSearchNetCCRetrieval[go]"], metric: ndcg_at_10}
  Both: {mean: [English, CosQA]}
models: {granite-125m: ibm-granite/granite-embedding-125m-english}
"""
    write(tmp_path, text, "table.yaml")
    columns = load_columns(tmp_path / "table.csv")
    assert columns.resolve("MLDR", "mean") == TaskScore(
        "MultiLongDocRetrieval", "ndcg_at_5", ("test",), ("en",)
    )
    built_in = load_columns()
    english = built_in.resolve("BEIR average without MSMARCO (14)", "mean")
    assert columns.resolve("English", "mean") == english
    coir = columns.resolve("CoIR average (10)", "mean")
    assert isinstance(coir, Mean)
    assert coir != built_in.resolve("CoIR average (10)", "mean")
    assert coir.parts[1] == TaskScore("CodeSearchNetCCRetrieval", "ndcg_at_10", ("test",), ("go",))
    assert columns.resolve("Both", "mean") == Mean("", (english, coir.parts[0]))
    assert columns.model("granite-125m") == "ibm-granite/granite-embedding-125m-english"
    assert columns.resolve("RAR-b average (17)", "mean") == built_in.resolve(
        "RAR-b average (17)", "mean"
    )


def test_every_fault_of_the_form_of_a_yaml_is_named(tmp_path: Path) -> None:
    """A wrong version, an unknown key, two kinds in one entry, a key of another kind."""
    text = """
version: 2
column: {}
columns:
  A: {suit: beir}
  B: {suite: beir, task: SciFact}
  C: {task: SciFact, without: [NQ]}
  D: {}
"""
    found = yaml_faults(tmp_path, text)
    firsts = [fault.split("\n")[0] for fault in found]
    assert "table.yaml: version: format 2 is not known; this release reads 1 (found 2)" in firsts
    assert "table.yaml: column: unknown key" in firsts
    assert "table.yaml: columns.A.suit: unknown key" in firsts
    assert any(f.startswith("table.yaml: columns.B: needs exactly one of") for f in firsts)
    assert "table.yaml: columns.C: without cannot go with task" in firsts
    assert any(f.startswith("table.yaml: columns.D: needs exactly one of") for f in firsts)
    assert any("did you mean 'suite'" in fault for fault in found)


def test_every_name_that_a_yaml_refers_to_has_to_be_there(tmp_path: Path) -> None:
    """A suite, a group, a task of a suite, a column, a column of itself, a family's member."""
    text = """
version: 1
columns:
  A: {suite: beer}
  B: {suite: mteb-english, group: Clustring}
  C: {suite: beir, without: [MSMARC]}
  D: {mean: [CoIR averag (10)]}
  E: {mean: [E]}
  F: {mean: [G, CosQA]}
  G: {mean: [F]}
families: [[A, an unknown column]]
"""
    found = yaml_faults(tmp_path, text)
    assert [fault.split("\n")[0] for fault in found] == [
        "table.yaml: columns.A.suite: unknown suite 'beer'",
        "table.yaml: columns.B.group: mteb-english has no group 'Clustring'",
        "table.yaml: columns.C.without: beir has no task 'MSMARC'",
        "table.yaml: columns.D.mean: unknown column 'CoIR averag (10)'",
        "table.yaml: columns.E: a column cannot be made of itself",
        "table.yaml: columns.F: a column cannot be made of itself",
        "table.yaml: columns.G: a column cannot be made of itself",
        "table.yaml: families[0]: unknown column 'an unknown column'",
    ]
    assert "did you mean 'Clustering'" in found[1]


def test_a_key_that_is_there_twice_is_a_fault(tmp_path: Path) -> None:
    """YAML would keep the last without a word."""
    (fault,) = yaml_faults(tmp_path, "version: 1\nmodels: {}\nmodels: {}\n")
    assert fault.startswith("table.yaml:3: key 'models' stands here twice")
