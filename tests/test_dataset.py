"""The ingested rows on disk: parts that are written once, and the CSV that people read."""

import datetime
import gzip
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import cleaning, dataset, readers, rowhash
from pipeline.config import Config
from pipeline.dataset import DONE, DROPPED, FILE, FILES, KEY, RANK
from pipeline.errors import DataError, FileError
from pipeline.rowhash import ROW
from tests.tables import COLUMNS, CONFIG, cleaned, client_cells, raw


def rows(count: int = 5, seed: int = 0) -> pa.Table:
    """Give clean rows with their hashes."""
    return cleaned(client_cells(count, seed)).rows


def text(path: Path) -> str:
    """Give the text of a file, line ends as they are."""
    return path.read_bytes().decode()


SIGNS = st.characters(exclude_categories=["Cs"], exclude_characters="\0") | st.sampled_from('",\r\n ')
TEXTS = st.text(SIGNS | st.sampled_from("=+-@'1"), max_size=8)
MOMENTS = st.datetimes(datetime.datetime(1, 1, 1)).map(datetime.datetime.isoformat)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False).map(repr)


@settings(deadline=None)  # a busy machine is no failure
@given(
    st.lists(
        st.tuples(TEXTS, MOMENTS, TEXTS, NUMBERS | st.just(""), MOMENTS | st.just(""), TEXTS), max_size=6
    )
)
def test_what_is_written_as_csv_reads_back_to_the_same_rows_and_hashes(cells):
    before = cleaned(cells).rows
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        dataset.append_csv(path, COLUMNS.all, [before], None)
        table = readers.read(path.name, path.read_bytes())
    again = cleaning.clean(table.cells, COLUMNS, "classification")
    assert (table.ragged, again.flaws) == ([], [])
    assert again.rows.equals(before)


@pytest.mark.parametrize(
    ("values", "lines"),
    [
        (pa.array([1.0, -2.5, 1e22, 0.1, None]), ["1", "-2.5", "1e+22", "0.1", ""]),
        (pa.array([3, None]), ["3", ""]),
        (pa.array(["plain", 'a "b"', "a,b", "a\nb", None]), ["plain", '"a ""b"""', '"a,b"', '"a\nb"', ""]),
        (
            pa.array([0, 86_399_000_000, 1, None], pa.timestamp("us")),
            ["1970-01-01", "1970-01-01T23:59:59", "1970-01-01T00:00:00.000001", ""],
        ),
    ],
    ids=["numbers", "counts", "text", "moments"],
)
def test_cells_are_written_as_short_as_they_can_be(values, lines):
    written = bytes(dataset.csv_lines(pa.record_batch({"a": values, "b": values}))).decode()
    assert written == "".join(f"{line},{line}\n" for line in lines)


def test_a_text_that_a_spreadsheet_would_run_gets_an_apostrophe_and_numbers_do_not():
    cells = ["=1+1", "+5", "-5.5", "-x", "@x", '=a"b', "-", None, "a=b", "\tx"]
    batch = pa.record_batch({"a": pa.array(cells), "b": pa.array([-1.0] * len(cells))})
    assert bytes(dataset.csv_lines(batch)).decode().splitlines() == [
        "'=1+1,-1", "+5,-1", "-5.5,-1", "'-x,-1", "'@x,-1", '"\'=a""b",-1', "-,-1", ",-1", "a=b,-1", "'\tx,-1",
    ]  # fmt: skip


def test_a_slice_of_a_batch_is_written_alone():
    batch = rows(10).drop_columns([ROW]).combine_chunks().to_batches()[0]
    whole = bytes(dataset.csv_lines(batch)).splitlines()
    assert bytes(dataset.csv_lines(batch.slice(3, 4))).splitlines() == whole[3:7]
    assert bytes(dataset.csv_lines(batch.slice(3, 0))) == b""


def test_a_table_is_appended_to_without_reading_it_and_a_new_one_has_the_header(tmp_path):
    table, part = tmp_path / "deep" / "finaldata.csv", rows()
    dataset.append_csv(table, COLUMNS.all, [], None)
    assert text(table) == "client,day,left,spent,since,plan\n"
    dataset.append_csv(table, COLUMNS.all, [part.slice(0, 2)], table)
    dataset.append_csv(table, COLUMNS.all, [part.slice(2, 1), part.slice(3)], table)
    at_once = tmp_path / "at_once.csv"
    dataset.append_csv(at_once, COLUMNS.all, [part], None)
    assert text(table) == text(at_once)


def test_column_names_are_quoted_where_they_must_be(tmp_path):
    names = ["a,b", 'c "d"', "e f"]
    dataset.append_csv(tmp_path / "table.csv", names, [], None)
    assert text(tmp_path / "table.csv") == '"a,b","c ""d""",e f\n'


def test_how_far_the_table_goes_is_believed_only_while_its_size_and_its_parts_are_right(tmp_path):
    table, state, parts = tmp_path / "finaldata.csv", tmp_path / ".state", [(3, "a"), (7, "b")]
    assert dataset.table_upto(table, state, parts) == 0
    table.write_text("a\n1\n")
    dataset.write_table_state(table, state, parts)
    assert dataset.table_upto(table, state, parts) == 7
    assert dataset.table_upto(table, state, [*parts, (8, "c")]) == 7
    for others in ([(3, "a")], [(3, "other"), (7, "b")], [(2, "a"), (7, "b")], []):
        assert dataset.table_upto(table, state, others) == 0
    table.write_text("a\n1\n2\n")
    assert dataset.table_upto(table, state, parts) == 0
    state.write_text("nonsense")
    assert dataset.table_upto(table, state, parts) == 0
    table.unlink()
    assert dataset.table_upto(table, state, parts) == 0


# ------------------------------------------------------------------------------------------------ parts
def test_parts_are_loaded_in_order_with_the_number_of_their_file(tmp_path):
    for name, seed in (("parts/a.parquet", 1), ("parts/b.parquet", 2)):
        dataset.write_part(tmp_path, name, rows(3, seed))
    frame = dataset.load(tmp_path, [(9, "parts/b.parquet"), (4, "parts/a.parquet")])
    assert frame[FILE].tolist() == [9, 9, 9, 4, 4, 4]
    assert frame[ROW].tolist() == [*rows(3, 2)[ROW].to_pylist(), *rows(3, 1)[ROW].to_pylist()]
    assert list(frame.columns) == [*COLUMNS.all, ROW, FILE]


def test_no_parts_are_no_rows(tmp_path):
    frame = dataset.load(tmp_path, [])
    assert (len(frame), list(frame.columns)) == (0, [FILE, ROW])


def test_a_frame_has_numbers_dates_and_text_with_missing_cells(tmp_path):
    frame = dataset.to_frame(
        cleaned([["C1", "2025-01-31", "", "", "", ""], ["C2", "2025-01-31", "no", "2", "", "x"]]).rows
    )
    assert str(frame["spent"].dtype) == "float64"
    assert frame["day"].dt.day.tolist() == [31, 31]
    assert frame[["left", "spent", "plan"]].isna().to_numpy().tolist() == [[True] * 3, [False] * 3]
    assert frame["plan"][1] == "x"


def test_a_part_is_named_after_content_and_contract_and_written_again_without_change(tmp_path):
    name = dataset.part_name("0123456789abcdef" * 4, "contract")
    assert name == "parts/0123456789abcdef-contract.parquet"
    dataset.write_part(tmp_path, name, rows())
    before = (tmp_path / name).read_bytes()
    dataset.write_part(tmp_path, name, rows())
    assert (tmp_path / name).read_bytes() == before
    assert dataset.read_part(tmp_path, name).equals(rows())
    assert dataset.read_part(tmp_path, name, [ROW]).equals(rows().select([ROW]))


def test_the_same_content_of_two_joined_sources_gives_two_parts():
    names = {dataset.part_name("0123456789abcdef" * 4, "contract", salt) for salt in ("", "a", "b")}
    assert len(names) == 3
    assert all(name.endswith("-contract.parquet") for name in names)


def test_a_bit_that_flipped_on_the_disk_is_never_read_as_a_value(tmp_path):
    """In uncompressed numbers nothing but the checksum can tell."""
    numbers = pa.table(
        {ROW: pa.array([bytes([one]) * 16 for one in range(100)]), "a": np.random.default_rng(0).random(100)}
    )
    dataset.write_part(tmp_path, "parts/a.parquet", numbers)
    whole = (tmp_path / "parts" / "a.parquet").read_bytes()
    at = whole.index(numbers["a"].chunk(0).buffers()[1].to_pybytes()[:64])
    for place in (at, at + 400):
        flipped = bytearray(whole)
        flipped[place] ^= 1
        (tmp_path / "parts" / "a.parquet").write_bytes(flipped)
        with pytest.raises(FileError, match=r"parts/a\.parquet: gone or damaged"):
            dataset.read_part(tmp_path, "parts/a.parquet")


def test_a_part_that_is_gone_is_an_error_and_not_no_rows(tmp_path):
    with pytest.raises(FileError, match=r"parts/gone\.parquet: gone or damaged; .*--rebuild"):
        dataset.load(tmp_path, [(1, "parts/gone.parquet")])
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "damaged.parquet").write_bytes(b"no part")
    with pytest.raises(FileError, match="damaged"):
        dataset.read_part(tmp_path, "parts/damaged.parquet", [ROW])


def test_only_parts_on_no_record_are_removed_and_what_they_were_joined_of(tmp_path):
    for name in ("parts/kept.parquet", "parts/stray.parquet"):
        dataset.write_part(tmp_path, name, rows())
        dataset.write_part(tmp_path, dataset.staged_name(name), rows())
    dataset.remove_strays(tmp_path, {"parts/kept.parquet"})
    assert [path.name for path in (tmp_path / "parts").iterdir()] == ["kept.parquet"]
    assert [path.name for path in (tmp_path / "staged").iterdir()] == ["kept.parquet"]
    dataset.remove_strays(tmp_path / "none", set())


def test_the_hashes_of_repeated_rows_are_kept_by_file_and_none_are_no_file(tmp_path):
    hashes = cleaned(client_cells(5)).hashes
    dataset.write_repeats(tmp_path, "a" * 64, hashes)
    dataset.write_repeats(tmp_path, "b" * 64, hashes[:, :0])
    assert np.array_equal(dataset.read_repeats(tmp_path, "a" * 64), hashes)
    assert dataset.read_repeats(tmp_path, "b" * 64).shape == (2, 0)
    assert [path.name for path in (tmp_path / "repeats").iterdir()] == ["a" * 64]


# ------------------------------------------------------------------------------------------------ rows that hold
def part(number: int, *told: tuple[str, str, int], **marks: Any) -> pa.Table:
    """Give a part of rows (name, key, rank), with other marks beside them."""
    names, keys, ranks = zip(*told, strict=True) if told else ([], [], [])
    hashes = rowhash.row_hashes(pa.table({"key": pa.array(keys, pa.string())}))
    columns: dict[str, Any] = {"name": pa.array(names, pa.string()), KEY: rowhash.column_of(hashes)}
    columns[RANK] = pa.array(ranks, pa.int64())
    return dataset.numbered(pa.table(columns | marks), number)


def held(*parts: pa.Table) -> list[str]:
    """Give the names of the rows that hold."""
    return dataset.holding(list(parts))["name"].to_pylist()


def test_of_rows_with_one_key_the_one_of_the_highest_rank_holds_and_of_equal_ones_the_last():
    first = part(1, ("a1", "a", 5), ("b1", "b", 1), ("c1", "c", 1), ("c2", "c", 1))
    second = part(2, ("b2", "b", 2), ("a2", "a", 4), ("d1", "d", -9))
    assert held(first, second) == ["a1", "c2", "b2", "d1"]
    assert held(second, first) == ["b2", "d1", "a1", "c2"]
    assert held(second) == ["b2", "a2", "d1"]
    assert held(part(1)) == []


def test_a_dropped_row_holds_nowhere_and_replaces_nothing():
    first = part(1, ("a1", "a", 1), ("b1", "b", 1))
    second = part(2, ("a2", "a", 2), ("b2", "b", 2), **{DROPPED: pa.array([True, False])})
    assert held(first, second) == ["a1", "b2"]


def test_the_rows_that_hold_have_no_marks_but_hash_and_file():
    marked = part(1, ("a1", "a", 1), **{DONE: ["{}"], DROPPED: [False], FILES: [[1]], ROW: [b"x" * 16]})
    assert dataset.holding([marked]).column_names == ["name", ROW, FILE]


def test_rows_without_a_key_are_all_held_with_those_of_other_parts_in_order(tmp_path):
    plain = [dataset.numbered(rows(3, seed), seed) for seed in (1, 2)]
    found = dataset.holding(plain)
    assert found[FILE].to_pylist() == [1, 1, 1, 2, 2, 2]
    assert found.column_names == [*COLUMNS.all, ROW, FILE]


KEYED = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 2), st.booleans()), max_size=12)


@given(KEYED, st.integers(0, 12))
def test_what_holds_is_what_holds_row_by_row_however_the_rows_are_spread_over_parts(told, cut):
    expected: dict[str, tuple[int, int]] = {}
    for place, (key, rank, dropped) in enumerate(told):
        if not dropped and (rank, place) >= expected.get(key, (-1, -1)):
            expected[key] = (rank, place)
    names = [(str(place), key, rank) for place, (key, rank, _) in enumerate(told)]
    drops = pa.array([dropped for _, _, dropped in told], pa.bool_())
    parts = [part(1, *names[:cut], **{DROPPED: drops[:cut]}), part(2, *names[cut:], **{DROPPED: drops[cut:]})]
    assert held(*parts) == [str(place) for place in sorted(place for _, place in expected.values())]


def test_the_table_is_made_part_by_part_but_at_once_where_rows_replace_each_other(tmp_path):
    for number in (1, 2):
        dataset.write_part(tmp_path, f"parts/{number}.parquet", rows(3, number))
    pieces = list(dataset.in_pieces(tmp_path, [(1, "parts/1.parquet"), (2, "parts/2.parquet")]))
    assert [piece[FILE].to_pylist() for piece in pieces] == [[1] * 3, [2] * 3]
    for number in (1, 2):
        keyed = part(number, (f"a{number}", "a", number)).drop_columns([FILE])
        dataset.write_part(tmp_path, f"parts/{number}.parquet", keyed)
    (piece,) = dataset.in_pieces(tmp_path, [(1, "parts/1.parquet"), (2, "parts/2.parquet")])
    assert piece["name"].to_pylist() == ["a2"]


# ------------------------------------------------------------------------------------------------ other tables
@pytest.fixture
def config() -> Config:
    """Give the config of these tables."""
    return Config(**yaml.safe_load(CONFIG))


def write(path: Path, cells: list[list[str]], header: list[str] | None = None) -> Path:
    """Write rows of text as CSV."""
    path.parent.mkdir(exist_ok=True)
    lines = [",".join(row) for row in [header or COLUMNS.all, *cells]]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_the_tables_of_a_folder_are_read_in_name_order_each_row_once(tmp_path, config):
    cells = client_cells(6)
    write(tmp_path / "test" / "b.csv", cells[2:])
    write(tmp_path / "test" / "a.CSV", cells[:4])
    write(tmp_path / "test" / ".hidden.csv", client_cells(3, seed=9))
    (tmp_path / "test" / "notes.txt").write_text("no table")
    frame = dataset.read_tables(config, tmp_path / "test")
    assert frame["client"].tolist() == [row[0] for row in cells]


def test_a_folder_without_tables_and_one_that_is_not_there_are_no_rows(tmp_path, config):
    for folder in (tmp_path, tmp_path / "none"):
        frame = dataset.read_tables(config, folder)
        assert (len(frame), list(frame.columns)) == (0, [*COLUMNS.all, ROW])


def test_bad_rows_of_a_table_are_left_out_and_a_bad_table_is_told_by_name(tmp_path, config):
    cells = client_cells(3)
    cells[1][3] = "much"
    table = dataset.read_table(config, write(tmp_path / "some.csv", cells))
    assert table["client"].to_pylist() == ["C00000", "C00002"]
    write(tmp_path / "some.csv", [], ["client", "day"])
    with pytest.raises(DataError, match=r"some\.csv: missing column\(s\) left, spent, since, plan"):
        dataset.read_table(config, tmp_path / "some.csv")


HEADERS = {
    "there": ["client", "day", "left", "spent", "since", "plan"],
    "there, with a space": ["client", "day", " left", "spent", "since", "plan"],
    "there, under the name in the files": ["client", "day", "Churn", "spent", "since", "plan"],
    "not there": ["client", "day", "other", "spent", "since", "plan"],
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_clients_can_be_read_whether_the_target_is_there_or_not(tmp_path, config, header):
    columns = COLUMNS.model_copy(update={"rename": {"Churn": "left"}})
    config = config.model_copy(update={"columns": columns})
    path = write(tmp_path / "clients.csv", client_cells(3), header)
    table = dataset.read_table(config, path, labelled=False)
    assert table["client"].to_pylist() == ["C00000", "C00001", "C00002"]
    assert table["left"].null_count == (3 if "other" in header else 0)


def test_a_frame_is_written_as_csv_that_reads_back(tmp_path, config):
    frame = dataset.to_frame(rows())
    dataset.write_frame(tmp_path / "some.csv", frame, COLUMNS.all)
    assert dataset.read_table(config, tmp_path / "some.csv").equals(rows())


def test_a_table_is_read_as_the_sources_are_compressed_too_and_with_their_formats_and_limits(
    tmp_path, config
):
    packed = tmp_path / "some.csv.gz"
    packed.write_bytes(gzip.compress(write(tmp_path / "some.csv", client_cells(3)).read_bytes()))
    assert len(dataset.read_table(config, packed)) == 3
    cells = [["C1", "31.12.2025", "no", "5", "", "gold"]]
    assert len(dataset.read_table(config, write(tmp_path / "some.csv", cells))) == 0
    rules = {"date_formats": ["%d.%m.%Y"], "max_file_mb": 0.0001}
    limited = config.model_copy(update={"cleaning": config.cleaning.model_copy(update=rules)})
    assert len(dataset.read_table(limited, tmp_path / "some.csv")) == 1
    with pytest.raises(DataError, match=r"some\.csv\.gz: "):
        dataset.read_table(limited, packed)


def test_raw_tables_of_the_tests_are_what_a_reader_gives(tmp_path):
    path = write(tmp_path / "some.csv", client_cells(4))
    assert readers.read(path.name, path.read_bytes()).cells.equals(raw(client_cells(4)))
