"""Every choice an operator makes: config.yaml read once, checked whole, made into frozen objects.

`load` finds all mistakes at once and tells each with its line and, for a misspelt name, the nearest right one.
Paths in the file are relative to the file.
"""

import codecs
import difflib
import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    field_validator,
    model_validator,
)

from pipeline.errors import ConfigError

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# others need lengths for all texts, other drivers are spoken to otherwise
DATABASES = ("sqlite", "postgresql", "postgresql+psycopg")
SQLITE = "sqlite:///"
RESERVED = (
    "_row",
    "_file",
    "_files",
    "_key",
    "_rank",
    "_done",
    "_dropped",
    "_place",
)  # columns that the ingested table has for itself
ROWS_VERSION = 1  # to be raised when the code gives other rows, or other hashes of them, for the same file
DEEPEST = 50  # sections in sections; the usual config has four
LONGEST_CONFIG = 1_000_000  # bytes; the usual one has 2,000


def _not_ours(name: str) -> str:
    if name in RESERVED:
        raise ValueError(f"{name} is a name the ingested table needs for itself; rename the column")
    return name


Name = Annotated[str, Field(min_length=1), AfterValidator(_not_ours)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]


class Section(BaseModel):
    """A part of the config: unknown keys and wrong types are refused, nothing is converted silently."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


def _known_encoding(name: str) -> str:
    try:
        return codecs.lookup(name).name
    except LookupError:
        raise ValueError(
            f"no encoding is called {name!r}; utf-8, utf-16, latin-1 and cp1252 are some"
        ) from None


class Source(Section):
    """A place that files come to, and how they are written there where that can't be recognised."""

    path: Annotated[str, Field(min_length=1)]
    recursive: bool = False
    separator: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    encoding: Annotated[str, AfterValidator(_known_encoding)] | None = None
    decimal: Literal[".", ","] | None = None
    sheet: str | None = None
    options: dict[str, Any] = {}
    columns: list[Name] = []
    aggregate: dict[Name, Literal["sum", "mean", "min", "max", "first", "last"]] = {}
    forward_fill: bool = False

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        return {"path": value} if isinstance(value, str) else value

    @property
    def remote(self) -> bool:
        """Say whether it is a URL, to be asked for over the network, and no folder here."""
        return "://" in self.path

    @property
    def reading(self) -> dict[str, Any]:
        """Give the choices that decide how a file's bytes become cells."""
        return self.model_dump(include={"separator", "encoding", "decimal", "sheet"})


class Paths(Section):
    """Where things are. After `load` all are absolute, but for URLs."""

    source: Annotated[list[Source], BeforeValidator(_as_list), Field(min_length=1)]
    ingested: str = "ingesteddata"
    models: str = "models"
    production: str = "production_deployment"
    reports: str = "reports"
    test: str = "testdata"
    database: str = "records.db"


def _as_texts(value: Any) -> Any:
    """Take numbers among allowed values for the text they are in a file; a bool's text isn't sure (yes, true, True)."""
    if not isinstance(value, list):
        return value
    return [str(one) if type(one) in (int, float) else one for one in value]


Allowed = Annotated[list[str], BeforeValidator(_as_texts), Field(min_length=1)]


class Feature(Section):
    """One input column: what its cells are and which values are possible."""

    type: Literal["number", "category", "date"]
    min: float | None = None
    max: float | None = None
    allowed: Allowed | None = None
    nullable: bool = True

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        return {"type": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _limits_fit(self) -> "Feature":
        if self.type != "number" and (self.min, self.max) != (None, None):
            raise ValueError("min and max are for numbers")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}")
        if self.allowed and self.type != "category":
            raise ValueError("allowed is for categories; numbers have min and max")
        return self


class Target(Section):
    """The column to predict; for classification, `positive` is the value whose probability is the risk."""

    name: Name
    positive: str | None = None
    min: float | None = None
    max: float | None = None
    allowed: Allowed | None = None

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"name": value}
        if isinstance(value, dict) and type(value.get("positive")) is int:  # a bool is one for isinstance
            return {**value, "positive": str(value["positive"])}
        return value


class Columns(Section):
    """The columns of the table: which is what, and what they are called in the files."""

    id: Name
    time: Name | None = None
    target: Target
    features: Annotated[dict[Name, Feature], Field(min_length=1)]
    rename: dict[str, str] = {}

    @property
    def all(self) -> list[str]:
        """Give the names in the order in which tables are written: id, time, target, features."""
        return [self.id, *([self.time] if self.time else []), self.target.name, *self.features]

    @model_validator(mode="after")
    def _each_once(self) -> "Columns":
        twice = sorted({name for name in self.all if self.all.count(name) > 1})
        if twice:
            raise ValueError(
                f"{', '.join(twice)} named twice: a column is the id, the time, the target or a feature"
            )
        return self


class Imputation(Section):
    """What an empty cell of a column is filled with."""

    how: Literal["none", "constant", "mean", "median", "mode"]
    value: float | str | None = None
    by: Name | None = None

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        return {"how": value} if isinstance(value, str) else value

    @field_validator("value", mode="before")
    @classmethod
    def _whole_numbers_too(cls, value: Any) -> Any:
        return float(value) if type(value) is int else value

    @model_validator(mode="after")
    def _fits(self) -> "Imputation":
        if (self.how == "constant") != (self.value is not None):
            raise ValueError("constant goes with a value, and a value with constant")
        if self.by and self.how in ("none", "constant"):
            raise ValueError(f"by has no meaning with {self.how}")
        return self


class Outliers(Section):
    """Which numbers of a column are taken for outliers, and what becomes of them."""

    how: Literal["none", "iqr", "zscore", "limits"]
    then: Literal["clip", "drop"] = "clip"
    factor: Annotated[float, Field(gt=0)] | None = None
    low: float | None = None
    high: float | None = None

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        return {"how": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _fits(self) -> "Outliers":
        if (self.how == "limits") != ((self.low, self.high) != (None, None)):
            raise ValueError("limits goes with low, high or both, and they with limits")
        if self.factor and self.how not in ("iqr", "zscore"):
            raise ValueError("factor is for iqr and zscore")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}")
        return self


class Join(Section):
    """How the rows of several sources are put side by side: on which columns, and per which period."""

    keys: Annotated[list[Name], Field(min_length=1)]
    frequency: Literal["hour", "day", "week", "month", "quarter", "year"] | None = None


class Cleaning(Section):
    """What is done to files and rows on their way in."""

    max_rejected: Share = 0.2
    max_file_mb: Annotated[float, Field(gt=0)] = 1000
    table_rows: Count = 1_000_000
    date_formats: list[str] = []
    key: list[Name] = []
    same_key: Literal["newest", "reject"] = "newest"
    impute: dict[Name, Imputation] = {}
    outliers: dict[Name, Outliers] = {}
    join: Join | None = None

    @property
    def of_rows(self) -> dict[str, Any]:
        """Give the choices that decide what becomes of a row, not whether a file is taken at all."""
        return self.model_dump(mode="json", exclude={"max_rejected", "max_file_mb", "table_rows"})


class Model(Section):
    """Which models compete, with the options of each, and the seed that makes training repeatable."""

    candidates: Annotated[dict[str, dict[str, Any] | None], Field(min_length=1)] | None = None
    seed: Count = 0


class Scoring(Section):
    """How well is measured."""

    metric: str | None = None
    min_rows: Annotated[int, Field(ge=2)] = 50
    test_share: Annotated[float, Field(gt=0, lt=1)] = 0.25
    label_window: Annotated[float, Field(gt=0)] | None = None


def _known_season(season: Any) -> Any:
    if season in ("none", "day", "week", "year") or (type(season) is int and season >= 2):
        return season
    raise ValueError(f"{season!r}: none, day, week, year, or a number of files from 2 on")


class Drift(Section):
    """When a score counts as drift, and which season is none of the features."""

    tests: Annotated[list[str], Field(min_length=1)] = ["worst_score", "two_sigma", "iqr"]
    require: Annotated[int, Field(ge=1)] = 2
    min_history: Annotated[int, Field(ge=2)] = 8
    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.01
    season: Annotated[str | int, BeforeValidator(_known_season)] = "week"

    @model_validator(mode="after")
    def _require_can_be_met(self) -> "Drift":
        twice = sorted({test for test in self.tests if self.tests.count(test) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} named twice among the tests")
        if self.require > len(self.tests):
            raise ValueError(f"require is {self.require} but only {len(self.tests)} test(s) are named")
        return self


class Retraining(Section):
    """When challengers are trained, and on which rows."""

    policy: str = "adaptive"
    growth: Annotated[float, Field(gt=1)] = 1.35
    price: Annotated[float, Field(gt=0)] = 0.01
    recent: Annotated[int, Field(ge=1)] = 10
    min_rows: Annotated[int, Field(ge=10)] = 100
    cooldown: Count = 1

    @field_validator("policy")
    @classmethod
    def _every_has_a_number(cls, policy: str) -> str:
        name, _, number = policy.partition(" ")
        if (name == "every" or number) and not (name == "every" and number.isdecimal() and int(number)):
            raise ValueError(f"'{policy}': write `every 5` for every fifth batch, or a policy's bare name")
        return policy


class Deployment(Section):
    """What a challenger must show, and how many releases are kept."""

    margin: Annotated[float, Field(ge=0)] = 0.0
    confidence: Annotated[float, Field(ge=0.5, lt=1)] = 0.75
    proof_rows: Annotated[int, Field(ge=10)] = 300
    keep: Annotated[int, Field(ge=2)] = 10
    libraries: Literal["warn", "refuse"] = "warn"
    key_file: str | None = None
    onnx: bool = True


class Config(Section):
    """The whole of config.yaml."""

    paths: Paths
    task: Literal["classification", "regression"] = "classification"
    columns: Columns
    cleaning: Cleaning = Cleaning()
    model: Model = Model()
    scoring: Scoring = Scoring()
    drift: Drift = Drift()
    retraining: Retraining = Retraining()
    deployment: Deployment = Deployment()
    engine: Literal["local"] = "local"
    _file: str = PrivateAttr("")

    @property
    def file(self) -> str:
        """Give the absolute path of the config file itself."""
        return self._file

    @property
    def contract(self) -> str:
        """Give a short hash of what decides which rows a file gives: task, columns, cleaning and what is joined."""
        joined = [source.model_dump(include={"path", "columns", "aggregate", "forward_fill"})
                  for source in self.paths.source if self.cleaning.join]  # fmt: skip
        columns = self.columns.model_dump(mode="json")
        return _digest([ROWS_VERSION, self.task, columns, self.cleaning.of_rows, joined])

    @property
    def keys(self) -> list[str]:
        """Give the columns whose rows take each other's place; none where every distinct row stays."""
        return list(self.cleaning.join.keys) if self.cleaning.join else list(self.cleaning.key)

    @property
    def replaces(self) -> bool:
        """Say whether rows may take the place of others."""
        return bool(self.keys)

    @property
    def most_bytes(self) -> int:
        """Give how many bytes a file may have, opened."""
        return int(self.cleaning.max_file_mb * 1e6)

    @property
    def reading(self) -> str:
        """Give a short hash of what decides if a file can be taken: contract, limits, how files are written."""
        limits = [self.cleaning.max_rejected, self.cleaning.max_file_mb]
        return _digest([self.contract, limits, [[one.path, one.reading] for one in self.paths.source]])

    @property
    def fingerprint(self) -> str:
        """Give a short hash of every choice in the file."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:12]

    @property
    def sources(self) -> list[Source]:
        """Give the places that files come to: URLs as they are, folders as absolute paths."""
        return [
            one if one.remote else one.model_copy(update={"path": str(self.path(one.path))})
            for one in self.paths.source
        ]

    @property
    def ingested(self) -> Path:
        """Give the folder of the ingested data."""
        return self.path(self.paths.ingested)

    @property
    def models(self) -> Path:
        """Give the folder of the candidates."""
        return self.path(self.paths.models)

    @property
    def production(self) -> Path:
        """Give the folder of what is deployed."""
        return self.path(self.paths.production)

    @property
    def reports(self) -> Path:
        """Give the folder of report, pictures and call list."""
        return self.path(self.paths.reports)

    @property
    def test(self) -> Path:
        """Give the folder of the test tables, whose rows no model learns from."""
        return self.path(self.paths.test)

    @property
    def database(self) -> str:
        """Give the database as URL."""
        named = self.paths.database
        return named if "://" in named else f"{SQLITE}{self.path(named)}"

    @property
    def database_file(self) -> Path | None:
        """Give the file of the database; None if it's a server's."""
        return file_of(self.database)

    def path(self, named: str) -> Path:
        """Give a path of the config as absolute path: it's relative to the config file."""
        return (Path(self.file).parent / Path(named).expanduser()).resolve()


def file_of(database: str) -> Path | None:
    """Give the file of a database by its URL; None if it's a server's."""
    return Path(database.removeprefix(SQLITE)) if database.startswith(SQLITE) else None


def _digest(choices: Any) -> str:
    return hashlib.sha256(json.dumps(choices, sort_keys=True).encode()).hexdigest()[:12]


def _misfits(config: Config) -> Iterator[str]:
    """Give a message for each name in paths.source and cleaning that is no column, or not one of the right kind."""
    columns, cleaning, join = config.columns, config.cleaning, config.cleaning.join
    features = columns.features
    for place, named in (("key", cleaning.key), ("join.keys", join.keys if join else [])):
        yield from (f"cleaning.{place}: no column {name}{_hint(name, columns.all)}"
                    for name in named if name not in columns.all)  # fmt: skip
        if len(set(named)) < len(named):
            yield f"cleaning.{place}: a column is named twice"
        if columns.target.name in named:
            yield f"cleaning.{place}: {columns.target.name} is the target, it makes no row the same as another"
    if config.scoring.label_window and not columns.time:
        yield "scoring.label_window: the age of rows needs columns.time"
    for place, rules in (("impute", cleaning.impute), ("outliers", cleaning.outliers)):
        yield from (
            f"cleaning.{place}: no feature {name}{_hint(name, features)}"
            for name in rules
            if name not in features
        )
    for name, filled in cleaning.impute.items():
        number = name in features and features[name].type == "number"
        if name in features and features[name].type == "date" and filled.how != "none":
            yield f"cleaning.impute: {name} is a date, and dates are not filled in"
        elif not number and filled.how in ("mean", "median"):
            yield f"cleaning.impute: {name} is a category and has no {filled.how}; mode or constant would do"
        elif filled.how == "constant" and isinstance(filled.value, str) == number:
            yield f"cleaning.impute: {filled.value!r} is no value for {name}, a {'number' if number else 'category'}"
        if filled.by and (filled.by not in features or features[filled.by].type != "category"):
            yield f"cleaning.impute: {name} by {filled.by}: that is no category among the features"
    for name, rule in cleaning.outliers.items():
        if name in features and features[name].type != "number" and rule.how != "none":
            yield f"cleaning.outliers: {name} is no number"
    yield from _misfits_of_join(config)


def _misfits_of_join(config: Config) -> Iterator[str]:
    """Give a message for each source that can't be joined as it is described, or is described for no join."""
    columns, join = config.columns, config.cleaning.join
    if join is None:
        if any(source.columns or source.aggregate or source.forward_fill for source in config.paths.source):
            yield "paths.source: columns, aggregate and forward_fill are for joined sources: cleaning.join is missing"
        return
    if columns.id not in join.keys:
        yield f"cleaning.join.keys: the id, {columns.id}, has to be among the columns"
    if join.frequency and (not columns.time or columns.time not in join.keys):
        yield "cleaning.join.frequency: periods need columns.time, and that among the columns of join.keys"
    if config.cleaning.key:
        yield "cleaning.key: joined rows have cleaning.join.keys for a key already"
    brought: list[str] = []
    for source in config.paths.source:
        brought += source.columns
        for name in [*source.columns, *source.aggregate]:
            if name not in columns.all or name in join.keys:
                yield f"paths.source: {source.path} can't bring {name}: it's no column, or one to join on"
            elif name not in source.columns:
                yield f"paths.source: {source.path} aggregates {name} and doesn't bring it"
        for name, how in source.aggregate.items():
            number = name in columns.features and columns.features[name].type == "number"
            number |= name == columns.target.name and config.task == "regression"
            if name in columns.all and not number and how not in ("first", "last"):
                yield f"paths.source: {source.path}: {name} is no number and has no {how}; first or last would do"
        if source.forward_fill and (not columns.time or columns.time not in join.keys):
            yield f"paths.source: {source.path}: forward_fill needs columns.time among cleaning.join.keys"
    twice = sorted({name for name in brought if brought.count(name) > 1})
    lacking = [name for name in columns.all if name not in (*brought, *join.keys)]
    if twice or lacking:
        yield f"paths.source: {', '.join(twice or lacking)}: each column is to be brought by one joined source"


def load(file: Path, known: Callable[[str], Mapping[str, Collection[str]]]) -> Config:
    """Read and check the whole config file.

    `known` gives, for a task, the names that exist for each dotted place in the file (`model.candidates`).
    Raise ConfigError, telling every mistake found with its line, if the file is missing or wrong.
    """
    root = _parse(file)
    _check_keys(file, root)
    values = yaml.constructor.SafeConstructor().construct_document(root)
    try:
        config = Config(**values)
    except ValidationError as wrong:
        raise _mistakes([_explain(file, root, error) for error in wrong.errors()]) from None
    config._file = str(file.resolve())
    mistakes = [*_unknown_names(file, root, config, known(config.task)), *_bad_paths(file, root, config)]
    for misfit in _misfits(config):
        place = misfit.partition(":")[0].split(".")
        mistakes.append(f"{file}, line {_line(root, place)}: {misfit}")
    if mistakes:
        raise _mistakes(mistakes)
    return config


def _mistakes(told: list[str]) -> ConfigError:
    """Give the error that tells all mistakes, on one line whatever the config holds."""
    return ConfigError("; ".join(told).replace("\n", "\\n").replace("\r", "\\r"))


def _bad_paths(file: Path, root: yaml.MappingNode, config: Config) -> Iterator[str]:
    """Give a message for each path that can't be one, and for a written folder that files are read from."""
    paths, read = config.paths, {}
    folders = [("source", source.path) for source in paths.source if not source.remote]
    for name, value in [*folders, ("test", paths.test)]:
        try:
            read[config.path(value)] = name
        except (ValueError, RuntimeError) as problem:
            yield f"{file}, line {_line(root, ['paths', name])}: paths.{name} is {value!r}: {problem}"
    for name in ("ingested", "models", "production", "reports", "database"):
        value = getattr(paths, name)
        where = f"{file}, line {_line(root, ['paths', name])}: paths.{name} is {value!r}"
        if "://" in value:
            kind = value.partition("://")[0]
            if name != "database" or kind not in DATABASES:  # there may be a password behind that
                where = where.replace(repr(value), f"a URL of {kind}")
                yield f"{where}: a path is expected, or for the database a URL of {', '.join(DATABASES)}"
            continue
        try:
            if config.path(value) in read:
                yield f"{where}: it is written, and paths.{read[config.path(value)]} is read from there; name another"
        except (ValueError, RuntimeError) as problem:
            yield f"{where}: {problem}"


def _parse(file: Path) -> yaml.MappingNode:
    """Give the file as a tree of YAML nodes, which know their lines."""
    try:
        with file.open("rb") as opened:
            text = opened.read(LONGEST_CONFIG + 1)
    except FileNotFoundError:
        raise ConfigError(f"{file}: no such file; name the config with --config FILE") from None
    except OSError as problem:
        raise ConfigError(f"{file}: can't be read: {problem.strerror}") from None
    if len(text) > LONGEST_CONFIG:
        raise ConfigError(f"{file}: larger than {LONGEST_CONFIG:,} bytes, this is no config file")
    try:
        depth = 0
        for event in yaml.parse(text, Loader=LOADER):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > DEEPEST:
                raise ConfigError(f"{file}, line {_line_of(event)}: nested too deeply")
            if getattr(event, "anchor", None) is not None:  # aliases of aliases grow without limit
                raise ConfigError(
                    f"{file}, line {_line_of(event)}: anchors and aliases (& and *) are not read here;"
                    " write the value out, in quotes if it begins with & or *"
                )
        root = yaml.compose(text, Loader=LOADER)
    except (yaml.YAMLError, UnicodeDecodeError) as problem:
        mark = getattr(problem, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        what = getattr(problem, "problem", None) or getattr(problem, "reason", None) or "nested too deeply"
        raise ConfigError(f"{file}{where}: not YAML: {what}") from None
    if not isinstance(root, yaml.MappingNode):
        raise ConfigError(f"{file}: empty, or no `key: value` lines; README.md shows a config to start from")
    return root


def _line_of(part: Any) -> int:
    """Give the line, counted from 1, on which a YAML event or node starts."""
    return part.start_mark.line + 1


def _check_keys(file: Path, root: yaml.MappingNode) -> None:
    """Raise ConfigError for a key that stands twice (YAML would take the last), and for what is no plain value."""
    for node in _walk(root):
        where = f"{file}, line {_line_of(node)}"
        if node.tag not in _PLAIN_TAGS:
            tag = node.tag.removeprefix("tag:yaml.org,2002:")
            raise ConfigError(f"{where}: {tag} is not read here; put it in quotes")
        if isinstance(node, yaml.MappingNode):
            _check_each_key(file, node)


def _check_each_key(file: Path, node: yaml.MappingNode) -> None:
    lines: dict[str, int] = {}
    for key, value in node.value:
        line = _line_of(key)
        if not isinstance(key, yaml.ScalarNode) or key.tag != "tag:yaml.org,2002:str":
            shown = key.value if isinstance(key, yaml.ScalarNode) else "a list or mapping"
            raise ConfigError(f"{file}, line {line}: key {shown} is no text; put it in quotes")
        if key.value in lines:
            first = lines[key.value]
            raise ConfigError(f"{file}, line {line}: key '{key.value}' stands twice, first in line {first}")
        lines[key.value] = line
        if isinstance(value, yaml.ScalarNode) and value.tag in _PLAIN_TAGS:
            try:
                yaml.constructor.SafeConstructor().construct_object(value)
            except ValueError:
                raise ConfigError(
                    f"{file}, line {line}: {key.value}: {value.value[:40]} is no number"
                ) from None


_PLAIN_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "seq", "map")}


def _walk(node: yaml.Node) -> Iterator[yaml.Node]:
    yield node
    if isinstance(node, yaml.MappingNode):
        for _, value in node.value:
            yield from _walk(value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _walk(value)


def _explain(file: Path, root: yaml.MappingNode, error: Any) -> str:
    """Give one mistake that pydantic found as: file, line, what is wrong, what would be right."""
    place = [part for part in error["loc"] if part != "_as_list"]
    where = f"{file}, line {_line(root, place)}"
    name = ".".join(str(part) for part in place)
    if error["type"] == "extra_forbidden":
        return f"{where}: unknown key '{place[-1]}'{_hint(str(place[-1]), _keys_at(place[:-1]))}"
    if error["type"] == "missing":
        return f"{where}: {name} is missing"
    if error["type"] == "value_error":
        return f"{where}: {name}: {error['ctx']['error']}"
    value = error["input"]
    advice = "; put it in quotes" if isinstance(value, (bool, int, float)) else ""
    if error["type"] in ("model_type", "model_attributes_type", "dict_type"):
        return f"{where}: {name} is {value!r}: `key: value` lines are expected{advice}"
    if error["type"] in ("float_type", "int_type") and isinstance(value, str):
        advice = "; without quotes, and with a dot before an exponent (1.0e-3)"
    elif error["type"] != "string_type":
        advice = ""
    told = error["msg"][0].lower() + error["msg"][1:].replace("Input ", "")
    return f"{where}: {name} is {value!r}: {told.removeprefix('input ')}{advice}"


def _keys_at(place: list[Any]) -> list[str]:
    """Give the keys that the section at this place of the config may have."""
    section: Any = Config
    for part in place:
        inside = get_args(section)  # of a list or dict of sections, or of an optional one
        if not inside:
            field = section.model_fields.get(part) if _is_section(section) else None
            section = field.annotation if field else None
        inside = get_args(section) if inside or NoneType in get_args(section) else ()
        section = next(filter(_is_section, inside), section)
    return list(section.model_fields) if _is_section(section) else []


def _is_section(kind: Any) -> bool:
    return not get_args(kind) and isinstance(kind, type) and issubclass(kind, BaseModel)


def _hint(name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f", did you mean '{near[0]}'?" if near else f"; known: {', '.join(known)}" if known else ""


def _line(root: yaml.MappingNode, place: list[Any]) -> int:
    """Give the line of the deepest node on the way to this place of the config."""
    node: yaml.Node = root
    line = 1
    for part in place:
        if isinstance(node, yaml.MappingNode):
            found = [(key, value) for key, value in node.value if key.value == part]
            if not found:
                break
            line, node = _line_of(found[0][0]), found[0][1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = _line_of(node)
    return line


def _unknown_names(
    file: Path, root: yaml.MappingNode, config: Config, known: Mapping[str, Collection[str]]
) -> Iterator[str]:
    """Give a message for each name (of a metric, model, test, policy) that does not exist."""
    for place, names in known.items():
        value: Any = config
        for part in place.split("."):
            value = getattr(value, part)
        for name in [value] if isinstance(value, str) else value or []:
            if name.split(" ")[0] not in names:
                line = _line(root, [*place.split("."), name])
                yield f"{file}, line {line}: {place}: no '{name}'{_hint(name, names)}"
