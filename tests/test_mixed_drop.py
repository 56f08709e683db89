"""A table cut into twelve files of seven formats, with repeated and spoiled rows in them: every row is accounted for.

Once with a made-up table, and once with the telco customers of IBM, if they lie beside the project (../shared/data).
"""

import csv
import gzip
import json
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from tests.project import ROOT, Project

TELCO = ROOT.parent / "shared" / "data" / "telco_raw.csv"
REPEATED, SPOILED = 0.05, 0.01
CONTRACTS = ["Month-to-month", "One year", "Two year"]


def made_up() -> pd.DataFrame:
    """Make up 1,000 customers in the columns of the real ones that are used here, all text."""
    random = np.random.default_rng(3)
    months = random.integers(0, 73, 1000)
    return pd.DataFrame(
        {
            "customerID": [f"{number:04}-MADE" for number in range(1000)],
            "SeniorCitizen": random.integers(0, 2, 1000).astype(str),
            "tenure": months.astype(str),
            "Contract": random.choice(CONTRACTS, 1000),
            "MonthlyCharges": random.integers(1825, 11900, 1000) / 100,
            "TotalCharges": np.where(months == 0, " ", (months * 64.25).astype(str)),
            "Churn": random.choice(["Yes", "No"], 1000),
        }
    ).astype(str)


def config(header: list[str]) -> str:
    """Give a config for these columns."""
    contracts = f"{{type: category, allowed: {json.dumps(CONTRACTS)}}}"
    kinds = {
        "tenure": "{type: number, min: 0, max: 100}",
        "MonthlyCharges": "{type: number, min: 0, nullable: false}",
        "TotalCharges": "{type: number, min: 0}",
        "Contract": contracts,
    }
    features = [name for name in header if name not in ("customerID", "Churn")]
    lines = "".join(f"    {name}: {kinds.get(name, 'category')}\n" for name in features)
    target = "{name: Churn, positive: 'Yes', allowed: ['Yes', 'No']}"
    return f"paths: {{source: drop}}\ncolumns:\n  id: customerID\n  target: {target}\n  features:\n{lines}"


SPOILS = {  # what is wrong with a row: column, new cell, reason
    "no number": ("tenure", "a year", "not a number"),
    "below the limit": ("tenure", "-1", "below the minimum 0"),
    "above the limit": ("tenure", "1000", "above the maximum 100"),
    "not allowed": ("Contract", "Forever", "not one of"),
    "no id": ("customerID", "", "empty"),
    "empty": ("MonthlyCharges", "", "empty"),
    "other label": ("Churn", "Maybe", "not one of"),
}


@dataclass
class Drop:
    """What was dropped, and what has to come of it."""

    rows: pd.DataFrame
    repeated: list[tuple[str, str]] = field(default_factory=list)  # id, file that repeats it
    spoiled: list[tuple[str, int, str, str]] = field(default_factory=list)  # file, line, column, reason
    in_file: Counter[str] = field(default_factory=Counter)


def typed(rows: pd.DataFrame) -> pd.DataFrame:
    """Give the numbers as numbers, as formats with types have them; a column with a spoiled cell stays text."""
    found = rows.copy()
    for name in ("SeniorCitizen", "tenure", "MonthlyCharges", "TotalCharges"):
        cells = rows[name].str.strip()
        numbers = pd.to_numeric(cells, errors="coerce")
        if (numbers.isna() == cells.eq("")).all():
            found[name] = numbers.astype(object).where(cells.ne(""), None)
    return found


def as_csv(rows: pd.DataFrame, separator: str = ",") -> str:
    """Give text as spreadsheets write it; with a semicolon decimals have commas."""
    if separator == ";":
        for name in ("MonthlyCharges", "TotalCharges"):
            rows = rows.assign(**{name: rows[name].str.replace(".", ",", regex=False)})
    return rows.to_csv(index=False, sep=separator, quoting=csv.QUOTE_MINIMAL)


def write(path: Path, rows: pd.DataFrame) -> None:
    """Write the rows in the format that the name of the file tells."""
    name = path.name
    records = [
        {key: value for key, value in row.items() if value is not None}
        for row in typed(rows).to_dict("records")
    ]
    if name.endswith("semicolon.csv"):
        path.write_text(as_csv(rows, ";"), encoding="utf-8-sig")
    elif name.endswith("utf16.csv"):
        path.write_text(as_csv(rows), encoding="utf-16")
    elif name.endswith(".csv.gz"):
        path.write_bytes(gzip.compress(as_csv(rows).encode()))
    elif name.lower().endswith(".csv"):
        path.write_text(as_csv(rows))
    elif name.endswith(".tsv"):
        path.write_text(as_csv(rows, "\t"))
    elif name.endswith(".json"):
        path.write_text(json.dumps(records))
    elif name.endswith((".jsonl", ".jsonl.zst")):
        lines = "".join(json.dumps(record) + "\n" for record in records).encode()
        with pa.output_stream(str(path), compression="zstd" if name.endswith(".zst") else None) as out:
            out.write(lines)
    elif name.endswith(".xlsx"):
        typed(rows).to_excel(path, index=False)
    elif name.endswith(".parquet"):
        frame = typed(rows)
        columns = {
            column: pa.array(
                [None if value is None else value for value in frame[column]], _kind(frame[column])
            )
            for column in frame
        }
        pa.parquet.write_table(pa.table(columns), path)
    else:
        raise AssertionError(name)


def _kind(column: pd.Series) -> pa.DataType:
    return (
        pa.float64()
        if all(value is None or isinstance(value, (int, float)) for value in column)
        else pa.string()
    )


NAMES = [
    "01.csv", "02.tsv", "03.csv.gz", "04.json", "05.jsonl.zst", "06.xlsx", "07.parquet", "08-semicolon.csv",
    "09-utf16.csv", "10.jsonl", "11.xlsx", "12.CSV",
]  # fmt: skip


def dropped(rows: pd.DataFrame, folder: Path) -> Drop:
    """Cut the rows into the twelve files, and put the repeated and the spoiled rows in."""
    random = np.random.default_rng(5)
    drop = Drop(rows)
    pieces = dict(zip(NAMES, np.array_split(np.arange(len(rows)), len(NAMES)), strict=True))
    home = {place: name for name, places in pieces.items() for place in places}
    again: dict[str, list[int]] = {name: [] for name in NAMES}
    for place in random.choice(len(rows), round(REPEATED * len(rows)), replace=False):
        name = NAMES[random.integers(len(NAMES))]
        again[name].append(place)
        first, later = sorted([home[place], name])
        drop.repeated.append((rows["customerID"][place], later if first == home[place] else home[place]))
    kinds = list(SPOILS)
    bad: dict[str, list[tuple[int, str]]] = {name: [] for name in NAMES}
    for number, place in enumerate(random.choice(len(rows), round(SPOILED * len(rows)), replace=False)):
        bad[NAMES[number % len(NAMES)]].append((place, kinds[number % len(kinds)]))
    for name in NAMES:
        spoiled = []
        for place, kind in bad[name]:
            column, cell, _ = SPOILS[kind]
            spoiled.append(rows.iloc[place].to_dict() | {column: cell, "kind": kind})
        good = rows.iloc[[*pieces[name], *again[name]]].assign(kind="")
        mixed = pd.concat([good, pd.DataFrame(spoiled)]).sample(frac=1, random_state=7).reset_index(drop=True)
        for line, kind in enumerate(mixed.pop("kind"), 1):
            if kind:
                column, _, reason = SPOILS[kind]
                first_line = 1 if name.endswith((".json", ".jsonl", ".jsonl.zst", ".parquet")) else 2
                drop.spoiled.append((name, line + first_line - 1, column, reason))
        drop.in_file[name] = len(mixed)
        write(folder / name, mixed)
    return drop


@pytest.mark.parametrize("what", ["made up", "telco"])
def test_every_row_of_a_mixed_drop_is_accounted_for(what, tmp_path):
    if what == "telco" and not TELCO.exists():
        pytest.skip(f"the telco table is not there: {TELCO}")
    rows = made_up() if what == "made up" else pd.read_csv(TELCO, dtype=str, keep_default_na=False)
    project = Project.made(tmp_path / "a project", config(list(rows)))
    drop = dropped(rows, project.folder / "drop")
    ran = project.call("ingestion.py", "--json")
    assert ran.err == ""
    facts = ran.facts
    assert facts == {
        "files": 12,
        "rows": len(rows),
        "duplicates": len(drop.repeated),
        "rejected_files": 0,
        "rejected_rows": len(drop.spoiled),
    }
    # every good row came out once, with the cells it had
    final = pd.read_csv(project.ingested("finaldata.csv"), dtype=str, keep_default_na=False)
    assert sorted(_cells(final[list(rows)])) == sorted(_cells(rows))
    # every file's rows are new, repeated or rejected
    listed = pd.read_csv(project.ingested("ingestedfiles.txt")).set_index("filename")
    told = listed["num_entries"] + listed["duplicates"] + listed["rejected_rows"]
    assert told.to_dict() == dict(drop.in_file)
    # every spoiled row is in reasons.csv, with its line, column and reason
    reasons = [(bad["file"], int(bad["line"]), bad["column"], bad["reason"]) for bad in project.reasons()]
    assert len(reasons) == len(drop.spoiled)
    for (file, line, column, reason), (name, at, wrong, why) in zip(
        sorted(reasons), sorted(drop.spoiled), strict=True
    ):
        assert (file, line, column) == (name, at, wrong)
        assert reason.startswith(why)
    # every repeated row knows which file repeated it
    for identity, later in drop.repeated[:: max(1, len(drop.repeated) // 10)]:
        story = project.call("ingestion.py", "--trace", identity).out
        assert (
            re.search(rf"again in  drop/{re.escape(later)} ", story) or "from      drop/" + later in story
        ), story
    assert project.does("ingestion.py")["files"] == 0


def _cells(rows: pd.DataFrame) -> list[tuple[str, ...]]:
    """Give each row as text, its numbers in one spelling."""
    numbers = ("SeniorCitizen", "tenure", "MonthlyCharges", "TotalCharges")
    spelt = {
        name: rows[name].str.strip().map(lambda cell: f"{float(cell):g}" if cell else "") for name in numbers
    }
    return list(rows.assign(**spelt).itertuples(index=False, name=None))
