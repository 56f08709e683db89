"""Where a row came from: which files carried it, when, and what was done to it. For people who ask."""

import csv
import json
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import cleaning, dataset, merging, rejected, rowhash
from pipeline.config import Config
from pipeline.dataset import DONE, DROPPED, FILE, FILES, PLACE
from pipeline.errors import DataError
from pipeline.records import Records
from pipeline.rowhash import ROW
from pipeline.spreadsheets import harmless


def told(config: Config, book: Records, key: str) -> tuple[dict[str, Any], str]:
    """Tell of every row with this id (or `id,time`) where it came from. Raise DataError if there is none."""
    rows = find(config, book, key)
    set_aside = _set_aside(config, key)
    if not rows and not set_aside:
        raise DataError(f"{key}: no row of this id ({config.columns.id}) was ever taken in or set aside")
    lines = [line for row in rows for line in _lines(config, row)] + set_aside
    return {"rows": rows, "set_aside": set_aside}, "\n".join(lines)


def find(config: Config, book: Records, key: str) -> list[dict[str, Any]]:
    """Give every row ever taken in under this id (or `id,time`), oldest first: cells, files, state, what was done."""
    rows = _rows(config, book, key)
    if rows is None:
        return []
    ingested = {file.id: file for file in book.files("ingested", "repeated")}
    now = set(dataset.holding([rows.append_column(PLACE, pa.array(range(len(rows))))])[PLACE].to_pylist())
    repeaters = _repeaters(config, ingested)
    found = []
    for place, row in enumerate(rows.to_pylist()):
        staged = _staged(config, row, ingested)
        done = json.loads(row.get(DONE) or "{}") or _done_before_joining(staged)
        own = {row[ROW]}.union(*(part[ROW].to_pylist() for part in staged))
        again = [ingested[number] for number, known in repeaters.items() if known & own]
        first = ingested[row[FILE]]
        same = [file for file in ingested.values() if file.id > first.id and file.sha256 == first.sha256]
        state = "holds" if place in now else "dropped" if row.get(DROPPED) else "replaced by a newer row"
        found.append(
            {
                "row": {name: _plain(row[name]) for name in config.columns.all},
                "files": [_file(file) for file in _carriers(row, ingested)],
                "repeated_by": [_file(file) for file in sorted([*again, *same], key=lambda one: one.id)],
                "origin": _origin(config, row, ingested),
                "state": state,
                "done": done,
            }
        )
    return found


def _repeaters(config: Config, ingested: dict[int, Any]) -> dict[int, set[bytes]]:
    """Give the hashes of the rows that each file repeated, by its number."""
    found = {}
    for number, file in ingested.items():
        if file.duplicates and file.status == "ingested":
            hashes = dataset.read_repeats(config.ingested, file.sha256)
            found[number] = set(rowhash.column_of(hashes).to_pylist())
    return found


def _staged(config: Config, row: dict[str, Any], ingested: dict[int, Any]) -> list[pa.Table]:
    """Give the rows, as the joined sources brought them, that a joined row was made of: by file."""
    found, join = [], config.cleaning.join
    for number in (row.get(FILES) or []) if join else []:
        staged = dataset.read_part(config.ingested, dataset.staged_name(ingested[number].output))
        for name in join.keys if join else []:
            cells = staged[name]
            if name == config.columns.time and join and join.frequency:
                cells = merging.periods(cells, join.frequency)
            staged = staged.filter(pc.equal(cells, pa.scalar(row[name], cells.type)))
        found.append(staged)
    return found


def _done_before_joining(staged: list[pa.Table]) -> dict[str, Any]:
    """Give what was done to the rows that a joined row was made of, by column."""
    done: dict[str, Any] = {}
    for rows in staged:
        for note in rows[DONE].drop_null().to_pylist() if DONE in rows.column_names else []:
            done |= {name: what for name, what in json.loads(note).items() if isinstance(what, dict)}
    return done


def _rows(config: Config, book: Records, key: str) -> pa.Table | None:
    """Give the rows with this id (or `id,time`) of all parts, with every mark; None if there are none."""
    columns = config.columns
    identity, _, time = key.rpartition(",")
    tables = []
    for number, name in book.parts():
        part = dataset.numbered(dataset.read_part(config.ingested, name), number)
        mask = pc.equal(part[columns.id], _as_id(key))
        if columns.time and identity:
            moments, flaws, _ = cleaning.to_dates(pa.array([time.strip()]))
            if not flaws:
                both = pc.and_(
                    pc.equal(part[columns.id], _as_id(identity)), pc.equal(part[columns.time], moments[0])
                )
                mask = pc.or_(mask, both)
        tables.append(part.filter(mask))
    rows = pa.concat_tables(tables, promote_options="default") if tables else None
    return rows if rows is not None and len(rows) else None


def _as_id(text: str) -> str:
    return cleaning.to_categories(pa.array([text.strip()]))[0][0].as_py()


def _carriers(row: dict[str, Any], ingested: dict[int, Any]) -> list[Any]:
    return [ingested[number] for number in row.get(FILES) or [row[FILE]] if number in ingested]


def _origin(config: Config, row: dict[str, Any], ingested: dict[int, Any]) -> str:
    """Say which of the joined sources carried the row; nothing where there is but a union."""
    if not row.get(FILES):
        return ""
    source_of = {
        number: json.loads(file.facts or "{}").get("source", "") for number, file in ingested.items()
    }
    return merging.origin(row[FILES], source_of, [source.path for source in config.paths.source])


def _file(file: Any) -> dict[str, Any]:
    return {"file": f"{file.location}/{file.name}", "at": file.at, "number": file.id}


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (str, int, float)):
        return value
    return value.isoformat().removesuffix("T00:00:00")


def _lines(config: Config, found: dict[str, Any]) -> list[str]:
    """Give one row's story in a few lines."""
    cells = ", ".join(
        f"{name} {'(empty)' if value is None else _short(value)}" for name, value in found["row"].items()
    )
    lines = [f"{found['state']}: {cells}"]
    carried = [f"{file['file']} (taken in {file['at']})" for file in found["files"]]
    lines.append(f"  from      {', '.join(carried)}" + (f": {found['origin']}" if found["origin"] else ""))
    if found["repeated_by"]:
        again = [f"{file['file']} ({file['at']})" for file in found["repeated_by"]]
        lines.append(f"  again in  {', '.join(again)}")
    if "dropped" in found["done"]:
        lines.append(f"  dropped   {found['done']['dropped']}: {found['done']['how']}")
    else:
        for column, what in found["done"].items():
            was = "empty" if what["was"] is None else what["was"]
            lines.append(f"  changed   {column} was {was}: {what['how']}")
    return lines


def _short(value: Any) -> str:
    return f"{value:.15g}" if isinstance(value, float) else str(value)


def _set_aside(config: Config, key: str) -> list[str]:
    """Give the lines of reasons.csv that name this id: of rows that never came in."""
    path = config.ingested / rejected.FOLDER / rejected.REASONS
    if not path.exists():
        return []
    identity, name = harmless(key), config.columns.id
    with path.open(encoding="utf-8", newline="") as opened:
        return [
            f"set aside: {bad['file']}, line {bad['line']}: {bad['column']} {bad['value']!r}: {bad['reason']}"
            for bad in csv.DictReader(opened)
            if bad["reason"].endswith(f"({name} {key})")
            or (
                identity in (cell.strip() for cell in bad["value"].split(","))
                and (not bad["column"] or name in bad["column"])
            )
        ]
