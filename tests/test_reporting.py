"""The report: one page that holds whatever happens, fetches nothing, and believes no name that comes from outside."""

import copy
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

import reporting
from pipeline import report, views
from tests.project import PRICES, Project, clients, houses

EVIL = "<script>alert('x')</script>\"'&\u202e$\\frac{1}{0}$"
LARGEST = 300_000  # bytes of the page
BROWSER = next(filter(None, map(shutil.which, reporting.BROWSERS)), None)
with_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome here to look at the page")


class Page(HTMLParser):
    """What a browser makes of the page: its tags with their attributes, and the text of each section."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.sections: dict[str, str] = {}
        self.inside = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        """Note the tag."""
        self.tags.append((tag, dict(attrs)))
        if tag == "section":
            self.inside = dict(attrs)["id"] or ""

    def handle_data(self, data):
        """Note the text under its section."""
        self.sections[self.inside] = self.sections.get(self.inside, "") + data


def page_of(project: Project) -> Page:
    """Write the report and give the page."""
    facts = project.does("reporting.py")
    text = Path(facts["files"][0]).read_text()
    assert len(text.encode()) == facts["bytes"] < LARGEST
    return Page(text)


def facts_of(project: Project) -> views.Facts:
    """Give what the page is made of."""
    with project.book() as book:
        return views.gathered(project.config, book)


@pytest.fixture(scope="module")
def facts(first_run: Project) -> views.Facts:
    """Give the facts of a small project after its first run; `copy.deepcopy` before a change."""
    return facts_of(first_run)


# ---------------------------------------------------------------------------------------------- what it says
def test_the_page_says_what_is_live_and_how_it_does(deployed):
    page = page_of(deployed)
    head = page.sections[""]
    score = deployed.champion().manifest["score"]["value"]
    for said in (
        "A new model went live in the last run",
        "logistic regression",
        deployed.live(),
        f"{score:.3f}",
    ):
        assert said in head


def test_every_section_stands_in_the_page(deployed):
    anchors = {title.lower().replace(" ", "-") for title in report.SECTIONS}
    assert set(page_of(deployed).sections) - {""} == anchors


def test_drift_makes_the_headline(facts):
    live = facts["champion"]["release"]
    judged = {"test": "iqr", "feature": None, "statistic": 0.5, "threshold": 0.8}
    verdict = {**judged, "drifted": True, "why": "0.5 is worse"}
    batch = {"batch": "3", "name": "week3.csv", "release": live, "at": "2026-01-01T00:00:00Z", "drifted": True,
             "judged": True, "verdicts": [verdict]}  # fmt: skip
    found = report.headline({**facts, "drift": [batch]})
    assert (found.tone, found.title) == ("bad", "Drift: the live model does worse on the newest data")
    assert "0.5 is worse" in Page(report.page({**facts, "drift": [batch]})).sections["drift"]


def test_the_newest_file_is_shown_beside_what_the_model_learnt_from(deployed):
    rows = clients(150, seed=3, day=15)
    deployed.drop("week3.csv", rows.assign(activity=rows["activity"] + 40, exited=""))
    deployed.does("fullprocess.py")
    page = page_of(deployed)
    said = page.sections["newest-file"]
    assert "week3.csv, 150 rows, 0 of them labelled" in said
    assert said.index("activity") < said.index("predictions") < said.index("branch")
    assert re.search(r"mean 9\d\.?\d*, was [45]\d", said)
    assert "Estimated without labels" in said
    deployed.drop("week4.csv", rows.assign(activity=""))
    deployed.does("fullprocess.py")
    page = page_of(deployed)
    assert "Bad data: week4.csv left out of learning and scoring" in page.sections[""]
    assert "week4.csv 150 rows bad data in activity" in " ".join(page.sections["set-aside"].split())
    assert "150 of 150 cells missing" in page.sections["newest-file"]


def test_the_numbers_are_those_of_the_views(deployed, facts):
    page = page_of(deployed)
    assert f"{facts['statistics']['columns']['activity']['mean']:.4g}" in page.sections["data"]
    assert facts["call_list"]["rows"][0][1] in page.sections["whom-to-call-first"]
    for name in ("true_positive", "false_negative"):
        assert f"{facts['outcomes'][name]:,}" in page.sections["predictions-and-truth"]
    for release in facts["releases"]:
        assert release["release"] in page.sections["releases"]


def test_what_was_set_aside_is_told(deployed):
    deployed.drop("noise.csv", b"\0\1")
    deployed.does("fullprocess.py")
    said = page_of(deployed).sections["set-aside"]
    assert "noise.csv" in said
    assert "NUL bytes" in said


def test_before_the_first_run_the_page_says_what_to_do(project):
    page = page_of(project)
    assert "No model is deployed yet" in page.sections[""]
    assert "put labelled files into" in page.sections[""]
    assert not list((project.folder / "reports").glob("*.png"))


def test_for_numbers_the_page_shows_predicted_against_actual(tmp_path):
    project = Project.made(tmp_path / "prices", PRICES)
    project.drop("houses.csv", houses(300, seed=1))
    project.does("fullprocess.py")
    page = page_of(project)
    assert "RMSE" in page.sections[""]
    assert "actual price" in page.sections["predictions-and-truth"]
    assert "half of the predictions" in page.sections["predictions-and-truth"]


@pytest.mark.parametrize("name", report.SECTIONS)
def test_every_section_is_documented_and_copes_with_nothing(name, facts):
    nothing: views.Facts = {
        **{view: [] for view in facts}, "champion": None, "outcomes": None, "call_list": None,
        "statistics": {"rows": 0, "columns": {}}, "files": {**facts["files"], "trouble": []},
    }  # fmt: skip
    assert report.SECTIONS[name].__doc__
    assert isinstance(report.SECTIONS[name](nothing), list)


def test_one_more_section_is_one_function_and_one_line(facts, monkeypatch):
    monkeypatch.setitem(report.SECTIONS, "News", lambda facts: [report.Text("there is news")])
    assert "there is news" in Page(report.page(facts)).sections["news"]


# ---------------------------------------------------------------------------------------------- what it is
def test_the_pictures_are_written_beside_it(deployed):
    page_of(deployed)
    for name in ("scorehistory.png", "confusionmatrix.png"):
        assert (deployed.folder / "reports" / name).read_bytes().startswith(b"\x89PNG")


def test_the_same_facts_give_the_same_page(facts):
    assert report.page(facts) == report.page(copy.deepcopy(facts))


def test_the_page_fetches_and_runs_nothing(deployed):
    page = page_of(deployed)
    assert not {tag for tag, _ in page.tags} & {
        "script",
        "img",
        "iframe",
        "object",
        "embed",
        "audio",
        "video",
        "base",
    }
    for tag, attributes in page.tags:
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            if name in ("href", "xlink:href", "src", "action"):
                assert (value or "").startswith(("#", "data:,")), (tag, value)
    text = (deployed.folder / "reports" / "report.html").read_text()
    assert re.findall(r"@import|url\((?!#)", text) == []


def evil(value, word: str):
    """Give the facts with this word in place of every text in them that comes from outside."""
    if isinstance(value, dict):
        free = ("name", "reason", "why", "negative", "positive", "target", "mode", "model", "on", "window")
        changed = {key: evil(item, word) for key, item in value.items()}
        return {key: word if key in free and isinstance(item, str) else item for key, item in changed.items()}
    if isinstance(value, list):
        return [word if isinstance(item, str) else evil(item, word) for item in value]
    return value


def test_no_name_or_reason_from_outside_becomes_markup(facts):
    changed = evil(copy.deepcopy(facts), EVIL)
    columns = changed["statistics"]["columns"].values()
    changed["statistics"]["columns"] = {f"{EVIL}{at}": column for at, column in enumerate(columns)}
    changed["files"]["trouble"] = [{"name": EVIL, "at": "2026", "set_aside": True, "rows": 0, "reason": EVIL}]
    text = report.page(changed)
    assert "<script" not in text
    page = Page(text)
    assert "script" not in {tag for tag, _ in page.tags}
    for section in (
        "data",
        "set-aside",
        "decisions",
        "releases",
        "predictions-and-truth",
        "whom-to-call-first",
    ):
        assert EVIL in page.sections[section], section


def test_a_file_with_an_evil_name_goes_all_the_way_and_harms_nothing(deployed):
    name = "<img src=x onerror=alert(1)>.csv"
    deployed.drop(name, "nonsense\n1\n")
    deployed.does("fullprocess.py")
    page = page_of(deployed)
    assert name in page.sections["set-aside"]
    assert "img" not in {tag for tag, _ in page.tags}


def test_a_long_life_does_not_make_a_large_page(facts):
    many = copy.deepcopy(facts)
    long = "x" * 5_000
    many["decisions"] = [{**one, "reasons": [long] * 3} for one in facts["decisions"]] * 500
    many["releases"] = [{**one, "model": long, "reasons": [long]} for one in facts["releases"]] * 500
    many["runs"] = facts["runs"] * 500
    many["scores"] = facts["scores"][:1] + [
        {**facts["scores"][0], "kind": "batch", "batch": str(at), "name": long} for at in range(2_000)
    ]
    many["statistics"]["columns"] = {f"{long} {at}": column for at in range(200) for column in
                                     facts["statistics"]["columns"].values()}  # fmt: skip
    many["files"]["trouble"] = [
        {"name": long, "at": "2026", "set_aside": True, "rows": 0, "reason": long}
    ] * 500
    many["call_list"]["rows"] = [["1", long, "0.5", "2026", "; ".join([long] * 3)]] * 10
    assert len(report.page(many).encode()) < LARGEST


# ---------------------------------------------------------------------------------------------- in a browser, on paper
OWN = re.compile(
    r"https?://([\w.-]+\.)?(google|googleapis|gstatic|chromium)\.(com|org)\b"
)  # the browser's own calls


def looked_at(page: Path, folder: Path) -> tuple[str, list[str], set[str]]:
    """Open a page in a real browser: its document afterwards, what the console said, what it asked the net for."""
    net = folder / "net.json"
    flags = [*reporting.QUIET, "--no-sandbox", f"--user-data-dir={folder}/profile", f"--log-net-log={net}"]
    command = [str(BROWSER), *flags, "--enable-logging=stderr", "--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
    console = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
    asked = set(re.findall(r'"(https?://[^"]+)"', net.read_text()))
    return done.stdout, console, {address for address in asked if not OWN.match(address)}


@with_browser
def test_a_browser_shows_the_page_asks_the_net_for_nothing_and_has_no_complaint(deployed, tmp_path):
    deployed.drop("<b>.csv", b"\0")
    deployed.does("fullprocess.py")
    document, console, asked = looked_at(deployed.folder / "reports" / "report.html", tmp_path)
    assert "The live model is new: too early to judge drift</h1>" in document
    assert document.count("<svg") == 2
    assert console == []
    assert asked == set()


@with_browser
def test_this_way_of_looking_sees_a_request_and_a_complaint(tmp_path):
    bad = tmp_path / "bad.html"
    bad.write_text('<img src="http://127.0.0.1:9/x.png"><script>nothing()</script>')
    _, console, asked = looked_at(bad, tmp_path)
    assert "http://127.0.0.1:9/x.png" in asked
    assert any("nothing is not defined" in line for line in console)


@with_browser
def test_the_page_is_printed(deployed):
    facts = deployed.does("reporting.py", "--pdf")
    assert Path(facts["files"][-1]).read_bytes().startswith(b"%PDF")


def test_without_a_browser_the_page_is_written_and_one_line_says_what_to_install(
    deployed, monkeypatch, tmp_path
):
    monkeypatch.setenv("PATH", str(tmp_path))
    ran = deployed.call("reporting.py", "--pdf")
    assert ran.code == 74
    assert "apt install chromium" in ran.complaint
    assert (deployed.folder / "reports" / "report.html").exists()
    assert not (deployed.folder / "reports" / "report.pdf").exists()


def test_a_browser_that_fails_leaves_no_half_written_file(deployed, monkeypatch, tmp_path):
    browser = tmp_path / "chromium"
    browser.write_text("#!/bin/sh\nexit 3\n")
    browser.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    ran = deployed.call("reporting.py", "--pdf")
    assert ran.code == 74
    assert "failed with exit code 3" in ran.complaint
    assert deployed.leftovers() == []
