"""config.yaml: what is read from it, and that every mistake is told in one line that says how to put it right."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from pipeline import cli
from pipeline.config import Config
from pipeline.errors import ConfigError
from tests.tables import CONFIG

ROOT = Path(__file__).resolve().parents[1]
NESTED = "scoring: {metric: [" + "[" * 3000 + "]" * 3000 + "]}"


def load(folder: Path, text: str | bytes) -> Config:
    """Write the config and load it with the names that really exist."""
    file = folder / "config.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return cli.load_config(file)


def mistake(folder: Path, text: str | bytes) -> str:
    """Give what is said about a wrong config after the name of the file: one line, in words for people."""
    with pytest.raises(ConfigError) as caught:
        load(folder, text)
    told = str(caught.value)
    assert len(told.splitlines()) == 1
    assert "instance of" not in told
    file, colon, rest = told.partition("config.yaml")
    assert (file, colon) == (f"{folder}/", "config.yaml")
    return rest


def changed(old: str, new: str) -> str:
    """Give the config of the tests with one part otherwise."""
    assert old in CONFIG
    return CONFIG.replace(old, new)


# What is added to the right config as line 7, and what must be said about it.
ADDED = {
    "an unknown section": ("scorring: {metric: f1}", "unknown key 'scorring', did you mean 'scoring'?"),
    "an unknown section like no other": ("zzz: 1", "unknown key 'zzz'; known: paths, task, columns, "),
    "an unknown key in a section": ("scoring: {metrc: f1}", "unknown key 'metrc', did you mean 'metric'?"),
    "an internal name as key": ("file: /etc/passwd", "unknown key 'file'; known: paths,"),
    "a number as key": ("1: 2", "key 1 is no text; put it in quotes"),
    "an empty section": ("scoring:", "scoring"),
    "a section that is a word": ("scoring: f1", "scoring"),
    "yes where a number is expected": ("retraining: {recent: yes}", "retraining.recent is True: .* integer"),
    "a number in quotes": ('retraining: {min_rows: "100"}', "retraining.min_rows is '100': .* without quotes"),
    "an exponent without a dot": ("deployment: {margin: 1e-3}", "deployment.margin is '1e-3': .*1.0e-3"),
    "a fraction for a count": ("retraining: {recent: 2.5}", "retraining.recent is 2.5: .* integer"),
    "a share above 1": ("cleaning: {max_rejected: 20}", "max_rejected is 20: .* less than or equal to 1"),
    "a margin below 0": ("deployment: {margin: -0.1}", "margin is -0.1: .* greater than or equal to 0"),
    "no number as number": ("deployment: {margin: .nan}", "deployment.margin is nan"),
    "a word that is no number": ("model: {seed: !!int many}", "many"),
    "a number without end": (f"model: {{seed: {'9' * 5000}}}", "seed"),
    "a word for a list": ("drift: {tests: iqr}", "drift.tests is 'iqr': .* list"),
    "more agreement than tests": ("drift: {require: 4}", "require is 4 but only 3 "),
    "a test that counts twice": ("drift: {tests: [iqr, iqr]}", "iqr.* twice"),
    "an unknown metric": ("scoring: {metric: roc_acu}", "scoring.metric: no 'roc_acu', did you mean 'roc_auc'?"),
    "a metric for the other task": ("scoring: {metric: rmse}", "no 'rmse'; known: f1, roc_auc, "),
    "an unknown model": ("model: {candidates: {rige: }}\ntask: regression", "no 'rige', did you mean 'ridge'?"),
    "an unknown test": ("drift: {tests: [iqr, twosigma], require: 1}", "no 'twosigma', did you mean 'two_sigma'?"),
    "an unknown policy": ("retraining: {policy: adaptve}", "no 'adaptve', did you mean 'adaptive'?"),
    "an unknown task": ("task: clasification", "task is 'clasification': .*'classification' or 'regression'"),
    "an engine that there isn't": ("engine: spark", "engine is 'spark': .*'local'"),
    **{
        f"the policy {policy!r}": (f"retraining: {{policy: {policy}}}", f"'{policy}': write `every 5` for every")
        for policy in ("every", "every x", "every 0", "every -1", "every 2.5", "every 5 6", "always 5")
    },
    "a key twice": ("scoring: {min_rows: 5, metric: f1, min_rows: 6}", "key 'min_rows' stands twice, first in line 7"),
    "a section twice": ("task: regression\ntask: regression", "key 'task' stands twice, first in line 7"),
    "an anchor": ("scoring: &here {metric: f1}", r"anchors and aliases \(& and \*\) .*; write the value out"),
    "an alias": ("scoring: *there", "anchors and aliases .*; write the value out"),
    "an alias bomb": ("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]", "anchors and aliases .*; write the value out"),
    "a Python object": ("scoring: !!python/object/apply:os.system [ls]", "os.system is not read here"),
    "a Python type": ("scoring: !!python/dict {metric: f1}", "python/dict is not read here"),
    "a set": ("scoring: !!set {metric}", "set is not read here"),
    "a tag of one's own": ("scoring: {metric: !mine f1}", "!mine is not read here; put it in quotes"),
    "a date": ("scoring: {metric: 2025-01-01}", "timestamp is not read here; put it in quotes"),
    "a bracket left open": ("scoring: {metric: f1", "not YAML"),
    "a tabulator": ("scoring:\n\tmetric: f1", "not YAML: .* cannot start any token"),
    "a second document": ("---\ntask: regression", "not YAML: .* document"),
    "brackets in brackets without end": (NESTED, ""),
    "a line break in a key": ('"a\\nb": 1', "unknown key"),
}  # fmt: skip


@pytest.mark.parametrize(("added", "told"), ADDED.values(), ids=ADDED)
def test_a_mistake_in_a_section_is_told_with_its_line(tmp_path, added, told):
    first, _, rest = mistake(tmp_path, CONFIG + added + "\n").partition(": ")
    assert first in (", line 7", ", line 8")
    assert re.search(told, rest)


COLUMNS_WRONG = {
    "no features": ("  features: {spent: number, since: date, plan: category}\n", "", 2, "columns.features is missing"),
    "an empty list of features": ("{spent: number, since: date, plan: category}", "{}", 6, "columns.features is {}"),
    "features as a list": ("{spent: number, since: date, plan: category}", "[spent]", 6, "columns.features is"),
    "an unknown type": ("spent: number", "spent: nubmer", 6, "type is 'nubmer': .*'number', 'category' or 'date'"),
    "an unknown key of a feature": ("spent: number", "spent: {type: number, mim: 0}", 6, "'mim', did you mean 'min'"),
    "limits the wrong way round": ("spent: number", "spent: {type: number, min: 9, max: 1}", 6, "min 9.0 is above max"),
    "allowed numbers": ("spent: number", "spent: {type: number, allowed: [1]}", 6, "allowed is for categories"),
    "nothing allowed": ("plan: category", "plan: {type: category, allowed: []}", 6, r".*allowed is \[\]"),
    "yes as allowed": ("plan: category", "plan: {type: category, allowed: [yes]}", 6, "is True: .* in quotes"),
    "nullable in words": ("plan: category", "plan: {type: category, nullable: sometimes}", 6, "nullable is 'some"),
    "limits of a category": ("plan: category", "plan: {type: category, min: 0}", 6, "min and max are for numbers"),
    "a limit that is no number": ("spent: number", "spent: {type: number, min: .nan}", 6, "min is nan"),
    "a column named twice": ("id: client", "id: spent", 2, "spent named twice: a column is the id, the time"),
    "a column of our own name": ("spent: number", "_row: number", 6, "_row"),
    "a column of our files' name": ("spent: number", "_file: number", 6, "_file"),
    "no as id": ("id: client", "id: no", 3, "columns.id is False: .* put it in quotes"),
    "no as target": ("target: left", "target: no", 5, "columns.target.* put it in quotes"),
    "a column without a name": ("id: client", 'id: ""', 3, "columns.id"),
    "yes as positive value": ("target: left", "target: {name: left, positive: yes}", 5, "positive is True.* in quotes"),
    "no as positive value": ("target: left", "target: {name: left, positive: no}", 5, "positive is False.* in quotes"),
    "no as feature": ("spent: number", "no: number", 6, "key no is no text; put it in quotes"),
    "an unknown key of the target": ("target: left", "target: {name: left, postive: a}", 5, "did you mean 'positive'"),
    "no source": ("source: data", "source: []", 1, "paths.source is \\[\\]"),
    "a source that is a number": ("source: data", "source: 5", 1, "source.* is 5: .* in quotes"),
    "a source that no path can be": ("source: data", 'source: "a\\0b"', 1, "paths.source"),
    "a home that there isn't": ("source: data", "source: ~nobody-at-all/x", 1, "paths.source"),
    "another database": ("source: data", 'source: data, database: "mysql://h/n"', 1, "sqlite, postgresql"),
    "a driver that is spoken to otherwise": (
        "source: data", 'source: data, database: "postgresql+pg8000://u:p@h/n"', 1, "a URL of postgresql.pg8000: ",
    ),
    "a database that there isn't": ("source: data", 'source: data, database: "foo://bar"', 1, "paths.database"),
    "what is written among the sources": ("source: data", "source: data, ingested: data", 1, "paths.*data"),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "line", "told"), COLUMNS_WRONG.values(), ids=COLUMNS_WRONG)
def test_a_mistake_in_paths_or_columns_is_told_with_its_line(tmp_path, old, new, line, told):
    assert re.match(f", line {line}: .*{told}", mistake(tmp_path, changed(old, new)))


def test_a_config_without_columns_is_refused(tmp_path):
    assert mistake(tmp_path, "paths: {source: data}\n") == ", line 1: columns is missing"


# How the source is written instead of `data`, and what must be said about it in line 1.
SOURCES_WRONG = {
    "an unknown key": ("{path: data, seperator: ','}", "unknown key 'seperator', did you mean 'separator'?"),
    "no path": ("{recursive: yes}", "path is missing"),
    "an empty path": ("{path: ''}", "path is ''"),
    "two signs for a separator": ("{path: data, separator: ';;'}", "separator is ';;'"),
    "an unknown encoding": ("{path: data, encoding: utf-88}", "no encoding is called 'utf-88'; utf-8, utf-16, latin-1"),
    "an unknown decimal sign": ("{path: data, decimal: ';'}", "decimal is ';': .*'.' or ','"),
    "no truth value": ("{path: data, recursive: 1}", "recursive is 1"),
    "an unknown way to aggregate": ("{path: data, aggregate: {spent: avg}}", "is 'avg': .*'sum', 'mean'"),
    "columns of no join": ("{path: data, columns: [spent]}", "columns, aggregate and .* cleaning.join is missing"),
    "filled forward without a join": ("{path: data, forward_fill: yes}", "cleaning.join is missing"),
    "a column of our own": ("{path: data, columns: [_key]}", "_key is a name the ingested table needs"),
}  # fmt: skip


@pytest.mark.parametrize(("source", "told"), SOURCES_WRONG.values(), ids=SOURCES_WRONG)
def test_a_mistake_in_a_source_is_told_with_its_line(tmp_path, source, told):
    assert re.match(f", line 1: .*{told}", mistake(tmp_path, changed("data", source)))


def test_a_mistake_in_one_of_several_sources_is_told_with_the_line_of_that_one(tmp_path):
    several = "paths:\n  source:\n    - data\n    - {path: more, decimal: x}"
    told = mistake(tmp_path, changed("paths: {source: data}", several))
    assert re.match(", line 4: .*decimal is 'x'", told)


# What stands in the section cleaning in line 7, and what must be said about it.
CLEANING_WRONG = {
    "an unknown key": ("{maxrejected: 0.1}", "unknown key 'maxrejected', did you mean 'max_rejected'"),
    "no size": ("{max_file_mb: 0}", "max_file_mb is 0: .* greater than 0"),
    "a size that is no number": ("{max_file_mb: .inf}", "max_file_mb is inf"),
    "a date format that is no list": ("{date_formats: '%d.%m.%Y'}", "date_formats is '%d.%m.%Y': .* list"),
    "a key that is no column": ("{key: [cleint]}", "cleaning.key: no column cleint, did you mean 'client'?"),
    "the target as key": ("{key: [client, left]}", "cleaning.key: left is the target"),
    "an unknown way with keys": ("{key: [client], same_key: oldest}", "same_key is 'oldest': .*'newest' or 'reject'"),
    "an unknown way to fill in": ("{impute: {spent: avg}}", "is 'avg': .*'none', 'constant', 'mean', 'median' or"),
    "a constant without a value": ("{impute: {spent: constant}}", "constant goes with a value"),
    "a value that is no constant": ("{impute: {spent: {how: mean, value: 3}}}", "a value with constant"),
    "a constant of the wrong kind": ("{impute: {spent: {how: constant, value: x}}}", "'x' is no value for spent, a "),
    "a number for a category": ("{impute: {plan: {how: constant, value: 3}}}", "3.0 is no value for plan, a category"),
    "the mean of a category": ("{impute: {plan: mean}}", "plan is a category and has no mean; mode or constant would"),
    "a date to fill in": ("{impute: {since: mode}}", "since is a date, and dates are not filled in"),
    "no feature to fill in": ("{impute: {spend: mean}}", "cleaning.impute: no feature spend, did you mean 'spent'?"),
    "the target to fill in": ("{impute: {left: mode}}", "cleaning.impute: no feature left"),
    "by no category": ("{impute: {spent: {how: mean, by: since}}}", "spent by since: that is no category"),
    "by what there isn't": ("{impute: {spent: {how: mean, by: town}}}", "spent by town: that is no category"),
    "by with a constant": ("{impute: {spent: {how: constant, value: 1, by: plan}}}", "by has no meaning with constant"),
    "an unknown way with outliers": ("{outliers: {spent: mad}}", "is 'mad': .*'none', 'iqr', 'zscore' or 'limits'"),
    "limits without a limit": ("{outliers: {spent: limits}}", "limits goes with low, high or both"),
    "a limit of no limits": ("{outliers: {spent: {how: iqr, low: 1.0}}}", "limits goes with low, high or both"),
    "limits the wrong way round": ("{outliers: {spent: {how: limits, low: 2, high: 1}}}", "low 2.0 is above high 1.0"),
    "a factor of limits": ("{outliers: {spent: {how: limits, low: 1, factor: 2}}}", "factor is for iqr and zscore"),
    "a factor of nothing": ("{outliers: {spent: {how: iqr, factor: 0}}}", "factor is 0: .* greater than 0"),
    "an unknown end": ("{outliers: {spent: {how: iqr, then: delete}}}", "then is 'delete': .*'clip' or 'drop'"),
    "outliers of a category": ("{outliers: {plan: iqr}}", "cleaning.outliers: plan is no number"),
    "outliers of no feature": ("{outliers: {day: iqr}}", "cleaning.outliers: no feature day"),
    "a join on nothing": ("{join: {keys: []}}", r"join.keys is \[\]"),
    "a join without the id": ("{join: {keys: [day]}}", "cleaning.join.keys: the id, client, has to be"),
    "a join on no column": ("{join: {keys: [client, dya]}}", "cleaning.join.keys: no column dya, did you mean 'day'?"),
    "a join by no period": ("{join: {keys: [client, day], frequency: weekly}}", "frequency is 'weekly': .*'week'"),
    "a period without time": ("{join: {keys: [client], frequency: week}}", "periods need columns.time"),
    "a key beside a join": ("{join: {keys: [client]}, key: [client]}", "joined rows have cleaning.join.keys for a key"),
}  # fmt: skip


@pytest.mark.parametrize(("rules", "told"), CLEANING_WRONG.values(), ids=CLEANING_WRONG)
def test_a_mistake_in_cleaning_is_told_with_its_line(tmp_path, rules, told):
    assert re.search(f", line 7: .*{told}", mistake(tmp_path, CONFIG + f"cleaning: {rules}\n"))


JOINED = changed(
    "paths: {source: data}\n",
    "paths:\n  source:\n    - {path: a, columns: [left, since, plan]}\n    - {path: b, columns: [spent]}\n",
) + "cleaning: {join: {keys: [client, day]}}\n"  # fmt: skip
JOINED_WRONG = {
    "a column twice": ("[spent]", "[spent, plan]", "plan: each column is to be brought by one joined source"),
    "a column of none": (", plan]", "]", "plan: each column is to be brought by one joined source"),
    "one to join on": ("[spent]", "[spent, day]", "b can't bring day: it's no column, or one to join on"),
    "one that is none": ("[spent]", "[spent, town]", "b can't bring town: it's no column"),
    "an aggregate of another's": ("[spent]", "[spent], aggregate: {plan: last}", "b aggregates plan and doesn't bring"),
    "a sum of categories": ("plan]", "plan], aggregate: {plan: sum}", "a: plan is no number and has no sum; first or"),
    "no time to fill forward by": ("[client, day]", "[client]", "day: each column is to be brought"),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "told"), JOINED_WRONG.values(), ids=JOINED_WRONG)
def test_a_mistake_in_what_joined_sources_bring_is_told(tmp_path, old, new, told):
    assert JOINED.count(old) == 1
    assert re.match(f", line 2: .*{told}", mistake(tmp_path, JOINED.replace(old, new)))


def test_filling_forward_needs_the_time_to_be_joined_on(tmp_path):
    text = JOINED.replace("[client, day]", "[client]").replace("[spent]", "[spent, day], forward_fill: yes")
    assert "b: forward_fill needs columns.time among cleaning.join.keys" in mistake(tmp_path, text)


WHOLE = {
    "empty": ("", "empty, or no `key: value` lines; README.md shows"),
    "only a comment": ("# nothing yet\n", "empty, or no `key: value` lines; README.md shows"),
    "a list": ("- paths\n- columns\n", "no `key: value` lines"),
    "2 MB": (CONFIG + "#" * 2_000_000, "larger than 1,000,000 bytes, this is no config file"),
    "not UTF-8": (CONFIG.encode() + b"# caf\xe9\n", "UTF-8"),
    "binary": (bytes(range(256)), "not YAML"),
}


@pytest.mark.parametrize(("text", "told"), WHOLE.values(), ids=WHOLE)
def test_a_file_that_is_no_config_is_told(tmp_path, text, told):
    assert told in mistake(tmp_path, text)


@pytest.mark.parametrize(
    ("name", "told"), [("none.yaml", "no such file; name the config with --config FILE"), ("", "directory")]
)
def test_a_missing_file_and_a_folder_are_told(tmp_path, name, told):
    with pytest.raises(ConfigError, match=told) as caught:
        cli.load_config(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)


def test_all_mistakes_are_told_at_once_each_with_its_line(tmp_path):
    told = mistake(tmp_path, CONFIG + "scorring: 1\nretraining: {growth: 0.5}\n")
    assert "line 7: unknown key 'scorring'" in told
    assert "line 8: retraining.growth is 0.5" in told


def test_the_short_and_the_long_way_to_write_a_column_are_the_same(tmp_path):
    longer = CONFIG.replace("left", "{name: left}").replace("number", "{type: number}")
    assert load(tmp_path, longer).columns == load(tmp_path, CONFIG).columns


@pytest.mark.parametrize(("written", "read"), [("1", "1"), ("0", "0"), ('"no"', "no"), ("gone", "gone")])
def test_the_positive_value_is_text_and_whole_numbers_need_no_quotes(tmp_path, written, read):
    config = load(tmp_path, changed("target: left", f"target: {{name: left, positive: {written}}}"))
    assert config.columns.target.positive == read


def test_paths_are_relative_to_the_config_file_wherever_one_stands(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    load(tmp_path, changed("source: data", "source: [data, /abs, ../up], database: some.db"))
    monkeypatch.chdir(tmp_path / "elsewhere")
    config = cli.load_config(Path("../config.yaml"))
    found = [source.path for source in config.sources]
    assert found == [f"{tmp_path}/data", "/abs", f"{tmp_path.parent}/up"]
    assert config.database == f"sqlite:///{tmp_path}/some.db"
    assert config.production == tmp_path / "production_deployment"


def test_a_database_can_be_a_url(tmp_path):
    config = load(tmp_path, changed("source: data", "source: data, database: 'postgresql://u@host/name'"))
    assert config.database == "postgresql://u@host/name"


def test_the_contract_changes_with_what_decides_the_rows_and_with_nothing_else(tmp_path):
    plain = load(tmp_path, CONFIG)
    other = load(tmp_path, CONFIG + "scoring: {min_rows: 60}\n")
    assert plain.contract == other.contract
    assert plain.fingerprint != other.fingerprint
    for text in (
        changed("spent: number", "spent: {type: number, min: 0}"),
        changed("plan: category", "plan: {type: category, allowed: [a]}"),
        changed("plan: category", "plan: {type: category, nullable: no}"),
        changed("left", "gone"),
        CONFIG + "task: regression\n",
        CONFIG + "cleaning: {key: [client]}\n",
        CONFIG + "cleaning: {key: [client], same_key: reject}\n",
        CONFIG + "cleaning: {impute: {spent: mean}}\n",
        CONFIG + "cleaning: {outliers: {spent: iqr}}\n",
        CONFIG + "cleaning: {date_formats: ['%d.%m.%Y']}\n",
    ):
        assert load(tmp_path, text).contract != plain.contract, text
        assert load(tmp_path, text).reading != plain.reading, text


READINGS = {
    "how many bad rows": CONFIG + "cleaning: {max_rejected: 0.1}\n",
    "how large": CONFIG + "cleaning: {max_file_mb: 1}\n",
    "a separator": changed("data", "{path: data, separator: ';'}"),
    "an encoding": changed("data", "{path: data, encoding: latin-1}"),
    "a decimal comma": changed("data", "{path: data, decimal: ','}"),
    "a sheet": changed("data", "{path: data, sheet: January}"),
    "another place": changed("data", "[data, more]"),
}


@pytest.mark.parametrize("text", READINGS.values(), ids=READINGS)
def test_how_files_are_read_is_another_reading_but_not_another_contract(tmp_path, text):
    plain, other = load(tmp_path, CONFIG), load(tmp_path, text)
    assert plain.contract == other.contract
    assert plain.reading != other.reading


NEITHER = [CONFIG + "cleaning: {table_rows: 5}\n", changed("data", "{path: data, recursive: yes}")]


@pytest.mark.parametrize("text", NEITHER)
def test_what_decides_neither_rows_nor_reading_changes_neither(tmp_path, text):
    plain, other = load(tmp_path, CONFIG), load(tmp_path, text)
    assert (plain.contract, plain.reading) == (other.contract, other.reading)
    assert plain.fingerprint != other.fingerprint


JOINED_OTHERWISE = {
    "[spent]}": "[spent], forward_fill: yes}",
    "[spent]": "[spent], aggregate: {spent: sum}",
    "path: a": "path: c",
    "keys: [client, day]": "keys: [client, day], frequency: day",
}


@pytest.mark.parametrize("old", JOINED_OTHERWISE)
def test_what_the_joined_sources_bring_is_part_of_the_contract(tmp_path, old):
    assert JOINED.count(old) == 1
    other = JOINED.replace(old, JOINED_OTHERWISE[old])
    assert load(tmp_path, other).contract != load(tmp_path, JOINED).contract


def test_the_short_and_the_long_way_to_write_a_source_and_a_rule_are_the_same(tmp_path):
    short = CONFIG + "cleaning: {impute: {spent: median}, outliers: {spent: iqr}}\n"
    rules = "cleaning: {impute: {spent: {how: median}}, outliers: {spent: {how: iqr, then: clip}}}\n"
    one, other = load(tmp_path, short), load(tmp_path, changed("data", "[{path: data}]") + rules)
    assert one.model_dump() == other.model_dump()
    assert one.contract == other.contract


def test_a_remote_source_stays_a_url_and_a_folder_becomes_absolute(tmp_path):
    config = load(tmp_path, changed("data", "[data, 's3://bucket/drop']"))
    found = [(source.path, source.remote) for source in config.sources]
    assert found == [(f"{tmp_path}/data", False), ("s3://bucket/drop", True)]


def test_allowed_numbers_are_the_text_they_are_in_a_file(tmp_path):
    allowed = changed("plan: category", "plan: {type: category, allowed: [1, 2.5, a]}")
    assert load(tmp_path, allowed).columns.features["plan"].allowed == ["1", "2.5", "a"]


def test_the_shipped_config_is_right_and_shorter_than_a_page():
    file = ROOT / "config.yaml"
    assert cli.load_config(file).columns.id == "corporation"
    assert len(file.read_text(encoding="utf-8").splitlines()) <= 60


def choices(section: type[BaseModel], place: str = "") -> Iterator[tuple[str, Any]]:
    """Give every key of the config with its default, by dotted place."""
    for name, field in section.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel) and name != "target":
            yield from choices(inner, f"{place}{name}.")
        elif name != "file":
            yield place + name, None if field.is_required() else field.default


DEFAULTS = dict(choices(Config))


@pytest.mark.parametrize(("place", "default"), DEFAULTS.items(), ids=DEFAULTS)
def test_every_key_is_documented_with_its_default(place, default):
    documents = [ROOT / "config.yaml", ROOT / "README.md", *(ROOT / "docs").glob("**/*.md")]
    lines = [line for file in documents if file.exists() for line in file.read_text("utf-8").splitlines()]
    values = default if isinstance(default, list) else [] if isinstance(default, dict | None) else [default]
    values = [str(value).lower() if isinstance(value, bool) else str(value) for value in values]
    words = [place.rpartition(".")[2], *values]
    assert [
        line for line in lines if all(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", line) for word in words)
    ]


def test_the_keys_shown_in_config_yaml_stand_there_with_their_defaults():
    shipped = yaml.safe_load((ROOT / "config.yaml").read_text("utf-8"))
    for place, default in DEFAULTS.items():
        section, _, name = place.partition(".")
        value = shipped.get(section, {})
        if (
            name
            and name in value
            and place not in ("model.candidates", "scoring.metric")
            and section != "columns"
        ):
            assert value[name] == default or place == "paths.source", place
