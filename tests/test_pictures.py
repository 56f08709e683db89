"""The report's pictures: the same facts give the same bytes, and any name may stand in them."""

import re
import xml.etree.ElementTree as ET

import pytest
from matplotlib.figure import Figure

from pipeline import pictures
from pipeline.pictures import PAPER, Picture

EVIL = '<script>alert("$x^$\\frac")</script> & Ü字'


def score(release: str, number: int, value: float, drifted: bool = False, kind: str = "batch") -> dict:
    """Give a score as `views.scores` does."""
    ends = {"low": value - 0.1, "high": value + 0.05}
    about = {"release": release, "batch": str(number), "kind": kind, "metric": "roc_auc", "drifted": drifted}
    return {**about, "value": value, **ends}


SCORES = [
    *(score("one", at, 0.8 + at / 10, kind="proof") for at in range(3)),
    *(score("one", at, 0.82 - at / 100) for at in range(5)),
    score("one", 5, 0.6, drifted=True),
    score("two", 1, 0.8, kind="proof"),
    score("two", 6, 0.81),
]
CONFUSION = {
    "kind": "confusion", "target": EVIL, "negative": "0", "positive": "1", "rows": 10,
    "true_negative": 5, "false_positive": 1, "false_negative": 0, "true_positive": 4,
}  # fmt: skip
ERRORS = {"kind": "errors", "target": EVIL, "pairs": [[1.0, 2.0], [3.0, 2.5], [5.0, 5.0]]}

ALL = {
    "history": pictures.score_history(SCORES, {"one": "#1 a", "two": EVIL}),
    "one score": pictures.score_history([score("one", 0, 0.8)], {}),
    "one proof": pictures.score_history([score("one", 0, 0.8, kind="proof")], {}),
    "no interval": pictures.score_history([{**score("one", 0, 0.8), "low": None, "high": None}], {}),
    "confusion": pictures.outcomes(CONFUSION),
    "confusion, one class only": pictures.outcomes({**CONFUSION, "true_positive": 0, "rows": 6}),
    "errors": pictures.outcomes(ERRORS),
    "errors, one row": pictures.outcomes({**ERRORS, "pairs": [[1.0, 1.0]]}),
}


@pytest.mark.parametrize("picture", ALL.values(), ids=ALL)
def test_the_same_facts_give_the_same_bytes(picture: Picture):
    assert pictures.svg(picture) == pictures.svg(picture)
    assert pictures.png(picture) == pictures.png(picture)


@pytest.mark.parametrize("picture", ALL.values(), ids=ALL)
def test_the_svg_is_well_formed_and_runs_and_fetches_nothing(picture: Picture):
    text = pictures.svg(picture)
    tags = {element.tag.rpartition("}")[2] for element in ET.fromstring(text).iter()}
    assert tags <= {"svg", "g", "path", "text", "defs", "use", "clipPath", "rect", "metadata"}
    assert not re.search(r'href="(?!#)', text)


@pytest.mark.parametrize("picture", ALL.values(), ids=ALL)
def test_every_colour_of_the_svg_is_the_pages(picture: Picture):
    colors = set(re.findall(r"(?:fill|stroke): ?([^;\"]+)", pictures.svg(picture)))
    assert colors <= {"none", *(f"var(--{name})" for name in PAPER)}


@pytest.mark.parametrize("picture", ALL.values(), ids=ALL)
def test_the_png_is_a_picture_of_twice_the_size(picture: Picture):
    import io

    from PIL import Image

    image = Image.open(io.BytesIO(pictures.png(picture)))
    assert image.size == (2 * picture.width, 2 * picture.height)
    assert image.convert("RGB").getpixel((0, 0)) == tuple(bytes.fromhex(PAPER["card"][1:]))


def test_names_stand_as_they_are_whatever_signs_they_hold():
    said = "".join(ET.fromstring(pictures.svg(ALL["history"])).itertext())
    assert EVIL in said


def test_the_time_line_has_a_place_for_each_deployment_and_each_batch():
    slots = pictures.time_line(SCORES)
    assert [slot.batch["batch"] if slot.batch else slot.release for slot in slots] == [
        "one",
        *"012345",
        "two",
        "6",
    ]
    assert slots[0].proof == [0.8, 0.9, 1.0]


def test_a_release_that_comes_back_has_a_new_place_and_no_line_across_the_other():
    slots = pictures.time_line([*SCORES, score("one", 7, 0.8)])
    assert [slot.release for slot in slots if slot.batch is None] == ["one", "two", "one"]


def test_a_long_history_shows_the_newest():
    many = [score("one", at, 0.8) for at in range(1000)]
    slots = pictures.time_line(many)
    assert len(slots) == pictures.SLOTS
    assert slots[-1].batch == many[-1]
    assert len(pictures.svg(pictures.score_history(many, {}))) < 60_000


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (["clients_2025-W27", "clients_2025-W28"], ["W27", "W28"]),
        (["clients_2025-W27", "clients_2026-W01"], ["2025-W27", "2026-W01"]),
        (["2025-03-01", "2025-03-02"], ["2025-03-01", "2025-03-02"]),
        (["a name without end", "another without"], ["a name without end", "another without"]),
    ],
)
def test_ticks_with_long_names_are_told_apart_by_what_differs(names, shown):
    assert pictures._told_apart(names) == shown


def test_every_policy_of_a_backtest_has_a_line_of_its_own():
    names = [
        "never",
        "always",
        "on_drift",
        "adaptive",
        *(f"every {number}" for number in range(2, 10)),
        "configured",
    ]
    ticks = [{"tick": str(at), "brier": 0.1, "fits": 1, "decision": "deployed"} for at in range(9)]
    figure = Figure()
    picture = pictures.backtest({"policies": {name: {"ticks": ticks} for name in names}}, "classification")
    picture.draw(figure, picture.facts, PAPER)
    for axes, others in zip(figure.axes, (1, 0), strict=True):  # the deployments
        looks = {str((vars(line)["_color"], vars(line)["_dash_pattern"])) for line in axes.lines}
        assert len(looks) == len(names) + others
