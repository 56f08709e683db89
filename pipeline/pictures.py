"""The report's pictures, drawn from plain facts. No disk, no clock: the same facts give the same bytes.

Matplotlib draws each once for the page and once as PNG. In the page's SVG every colour is a CSS variable, so that one
picture suits light, dark and paper; text stays text.
"""

import io
import itertools
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline import words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Facts = dict[str, Any]
Colors = dict[str, str]

PAPER: Colors = {  # for PNG; the page has its own in templates/report.html, under the same names
    "ink": "#1b2230",
    "muted": "#5b6676",
    "line": "#dde2ea",
    "card": "#ffffff",
    "accent": "#2b5cc4",
    "bad": "#c0352b",
}
# Colours that nothing else has: each stands for a CSS variable until the SVG is done.
STAND_INS: Colors = {name: f"#0{at}0{at}f{at}" for at, name in enumerate(PAPER, 1)}

SETTINGS: Any = {
    "font.family": "DejaVu Sans",  # comes with matplotlib
    "font.size": 11.0,
    "svg.fonttype": "none",
    "text.parse_math": False,  # a $ in a name is a $
    "path.simplify": False,
}
POINTS_PER_INCH = 72
SLOTS = 80  # batches and deployments shown: the newest
NAMED = 26  # batches with their number below
LONGEST = 14  # letters of a tick's name on an axis
SMOOTH = 5  # ticks whose mean a line of the backtest shows
EDGE = 0.12  # inches around a picture
LOUPE = 2  # pixels of a PNG per point


@dataclass(frozen=True)
class Picture:
    """A picture by its name in `reports/`: what to draw, its size in points, and what it shows in words."""

    name: str
    draw: Callable[["Figure", Facts, Colors], None]
    facts: Facts
    width: int
    height: int
    alt: str


def svg(picture: Picture) -> str:
    """Give the picture as SVG to stand in a page, colours as CSS variables."""
    out = io.StringIO()
    _save(
        picture, STAND_INS, out, "svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
    )
    text = out.getvalue()
    text = text[text.index("<svg") :]
    for name, color in STAND_INS.items():
        text = text.replace(color, f"var(--{name})")
    text = re.sub(r' id="(\w+_\d+)"', "", text)  # names of groups, the same in every picture
    text = re.sub(r' (width|height)="[\d.]+pt"', "", text, count=2)  # the page decides
    text = re.sub(r"<style.*?</style>\n?", "", text, flags=re.DOTALL)  # it would reach into the page
    return re.sub(r"\s*\n\s*", "\n", text)


def png(picture: Picture) -> bytes:
    """Give the picture as PNG, dark on white."""
    out = io.BytesIO()
    _save(
        picture,
        PAPER,
        out,
        "png",
        dpi=LOUPE * POINTS_PER_INCH,
        facecolor=PAPER["card"],
        metadata={"Software": None},
    )
    return out.getvalue()


def _save(picture: Picture, colors: Colors, out: Any, kind: str, **options: Any) -> None:
    import logging

    import matplotlib as mpl
    from matplotlib.figure import Figure

    logging.getLogger("matplotlib").setLevel(
        logging.ERROR
    )  # it talks of its font cache, and cron would mail that
    size = (picture.width / POINTS_PER_INCH, picture.height / POINTS_PER_INCH)
    with mpl.rc_context({**SETTINGS, "svg.hashsalt": picture.name}), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a name with letters that the font lacks is drawn with boxes
        figure = Figure(figsize=size, facecolor="none")
        figure.set_layout_engine("constrained", w_pad=EDGE, h_pad=EDGE)
        picture.draw(figure, picture.facts, colors)
        figure.savefig(out, format=kind, **options)


# ---------------------------------------------------------------------------------------------- score history
@dataclass(frozen=True)
class Slot:
    """A place on the time line: a batch's score, or the deployment of a release with the scores of its proof."""

    release: str
    batch: Facts | None
    proof: list[float]


def score_history(scores: list[Facts], names: dict[str, str]) -> Picture:
    """Give the picture of all scores, oldest first, deployments between them. `names` are releases' short names."""
    slots = time_line(scores)
    drifted = sum(bool(slot.batch and slot.batch["drifted"]) for slot in slots)
    batches = sum(slot.batch is not None for slot in slots)
    alt = f"Scores of {words.counted(batches, 'batch')}, {drifted or 'none'} of them drifted"
    facts = {"slots": slots, "names": names, "metric": scores[-1]["metric"]}
    return Picture("scorehistory", _draw_score_history, facts, 920, 380, alt)


def time_line(scores: list[Facts]) -> list[Slot]:
    """Give the newest places of the time line. Wherever another release takes over, it has a place of its own."""
    slots: list[Slot] = []
    live = ""
    for score in scores:
        if score["release"] != live:
            live = score["release"]
            slots.append(Slot(live, None, []))
        if score["kind"] == "batch":
            slots.append(Slot(live, score, []))
        else:
            next(slot for slot in reversed(slots) if slot.batch is None).proof.append(score["value"])
    return slots[-SLOTS:]


def _draw_score_history(figure: "Figure", facts: Facts, colors: Colors) -> None:
    axes = figure.add_subplot()
    places = list(enumerate(facts["slots"]))
    _draw_deployments(axes, [(x, slot) for x, slot in places if slot.batch is None], facts["names"], colors)
    _draw_batches(axes, [(x, slot) for x, slot in places if slot.batch is not None], colors)
    axes.set_xlim(-0.7, max(len(places) - 0.3, 6))
    axes.margins(y=0.08)
    axes.set_ylabel(words.metric_name(facts["metric"]), color=colors["muted"])
    _quiet(axes, colors, "y")
    named = [(x, slot.batch["batch"]) for x, slot in places if slot.batch is not None]
    named = named[:: -(-len(named) // NAMED) or 1]
    axes.set_xticks([x for x, _ in named], [batch for _, batch in named])
    axes.set_xlabel("batch, by the number of its file", color=colors["muted"])
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(
        handles, labels, loc="upper left", bbox_to_anchor=(-0.005, -0.17), ncols=5, frameon=False,
        labelcolor=colors["muted"], handletextpad=0.3, columnspacing=1.4, borderpad=0,
    )  # fmt: skip


def _draw_deployments(
    axes: "Axes", places: list[tuple[int, Slot]], names: dict[str, str], colors: Colors
) -> None:
    label = "deployment"
    for x, slot in places:
        axes.axvline(x, color=colors["muted"], linewidth=0.9, linestyle=(0, (3, 3)), label=label, zorder=1)
        axes.annotate(
            names.get(slot.release, slot.release), (x, 1), (-2, 4), xycoords=("data", "axes fraction"),
            textcoords="offset points", rotation=30, rotation_mode="anchor", color=colors["muted"], fontsize=9.5,
            annotation_clip=False,
        )  # fmt: skip
        label = "_"
    dots = [(x, value) for x, slot in places for value in slot.proof]
    if dots:
        axes.plot(
            *zip(*dots, strict=True), "o", markersize=4.5, markerfacecolor=colors["card"],
            markeredgecolor=colors["muted"], markeredgewidth=1, label="scores in its proof", zorder=2,
        )  # fmt: skip


def _draw_batches(axes: "Axes", places: list[tuple[int, Slot]], colors: Colors) -> None:
    points = [(x, slot.batch) for x, slot in places if slot.batch is not None]
    ends = [(x, batch["low"], batch["high"]) for x, batch in points if batch["low"] is not None]
    if ends:
        xs, lows, highs = zip(*ends, strict=True)
        axes.vlines(
            xs, lows, highs, colors=colors["accent"], alpha=0.3, linewidth=2, label="95 % interval", zorder=3
        )
    for _, stretch in itertools.groupby(
        enumerate(points), lambda at: at[1][0] - at[0]
    ):  # until the next deployment
        own = [(x, batch["value"]) for _, (x, batch) in stretch]
        axes.plot(*zip(*own, strict=True), color=colors["accent"], linewidth=1.4, zorder=4)
    _draw_dots(axes, points, False, "o", 6.5, colors["accent"], colors["card"], "score on new rows")
    _draw_dots(axes, points, True, "D", 8, colors["bad"], colors["card"], "drift found")


def _draw_dots(
    axes: "Axes", points, drifted: bool, marker: str, size: float, fill: str, edge: str, label: str
) -> None:
    dots = [(x, batch["value"]) for x, batch in points if batch["drifted"] is drifted]
    if dots:
        axes.plot(
            *zip(*dots, strict=True), marker, markersize=size, markerfacecolor=fill, markeredgecolor=edge, label=label,
            zorder=5,
        )  # fmt: skip


# ---------------------------------------------------------------------------------------------- backtest
def backtest(told: Facts, task: str) -> Picture:
    """Give the picture of policies compared: their loss over time with deployments marked, and trainings spent."""
    measure = "rmse" if task == "regression" else "brier"
    alt = f"{words.metric_name(measure)} of {words.listed(list(told['policies']))} over time, and their trainings"
    return Picture("scores", _draw_backtest, {**told, "measure": measure}, 920, 560, alt)


# Policies beside `never`, `always` and `configured`: five colours times three dashes.
DASHES = ((2, 2), (6, 2), (6, 2, 1, 2))
HUES = ("#1b2230", "#b36b00", "#2e7d4f", "#7b4fb5", "#0f8a9d")
OTHERS: list[Facts] = [
    {"color": hue, "linewidth": 1.2, "linestyle": (0, dashes)}
    for hue, dashes in zip(len(DASHES) * HUES, itertools.cycle(DASHES), strict=False)
]


def _draw_backtest(figure: "Figure", facts: Facts, colors: Colors) -> None:
    above, below = figure.subplots(2, sharex=True, height_ratios=[2.2, 1])
    looks: Facts = {
        "never": {"color": colors["bad"], "linewidth": 1.3},
        "always": {"color": colors["muted"], "linewidth": 1.3},
        "configured": {"color": colors["accent"], "linewidth": 2.2, "zorder": 4},
    }
    others = itertools.cycle(OTHERS)
    for name, one in facts["policies"].items():
        look = looks.get(name) or next(others)
        smooth = _running([tick[facts["measure"]] for tick in one["ticks"]])
        above.plot(smooth, label=name, **look)
        spent = list(itertools.accumulate(tick["fits"] for tick in one["ticks"]))
        below.plot(spent, **look)
        if name == "configured":
            moves = [at for at, tick in enumerate(one["ticks"]) if tick["decision"] == "deployed"]
            above.plot(moves, [smooth[at] for at in moves], "o", label="deployment", zorder=5, **_dot(colors))
    above.set_ylabel(f"{words.metric_name(facts['measure'])}, mean of {SMOOTH} ticks\n(lower is better)")
    below.set_ylabel("trainings so far")
    names = _told_apart([tick["tick"] for tick in facts["policies"]["configured"]["ticks"]])
    step = -(-len(names) // 10)
    below.set_xticks(range(0, len(names), step), [words.clipped(name, LONGEST) for name in names[::step]])
    for axes in (above, below):
        axes.yaxis.label.set_color(colors["muted"])
        _quiet(axes, colors, "y")
    above.legend(
        loc="lower left", bbox_to_anchor=(-0.01, 1), ncols=7, frameon=False, labelcolor=colors["muted"],
        handletextpad=0.5, columnspacing=1.6, borderpad=0,
    )  # fmt: skip


def _told_apart(names: list[str]) -> list[str]:
    """Give the names without the words they all begin with, if they're long: `clients_2025-W27` is `W27` among such."""
    if max(map(len, names)) <= LONGEST:
        return names
    letters = itertools.takewhile(lambda column: len(set(column)) == 1, zip(*names, strict=False))
    alike = re.sub(r"[^\W_]*$", "", "".join(column[0] for column in letters))
    return [name.removeprefix(alike) for name in names]


def _dot(colors: Colors) -> Facts:
    return {"markersize": 7, "markerfacecolor": colors["accent"], "markeredgecolor": colors["card"]}


def _running(values: list[float]) -> list[float]:
    """Give the mean of each value and those before it, at most `SMOOTH` of them."""
    return [sum(values[max(0, at + 1 - SMOOTH) : at + 1]) / min(at + 1, SMOOTH) for at in range(len(values))]


# ---------------------------------------------------------------------------------------------- predictions and truth
def outcomes(facts: Facts) -> Picture:
    """Give the picture of predictions against what happened: a confusion matrix, or points for regression."""
    if facts["kind"] == "confusion":
        right = facts["true_negative"] + facts["true_positive"]
        alt = f"Confusion matrix: {right:,} of {facts['rows']:,} rows right"
        return Picture("confusionmatrix", _draw_confusion, facts, 460, 380, alt)
    alt = f"Predicted against actual {facts['target']}, {words.counted(len(facts['pairs']), 'row')}"
    return Picture("confusionmatrix", _draw_pairs, facts, 460, 420, alt)


def _draw_confusion(figure: "Figure", facts: Facts, colors: Colors) -> None:
    axes = figure.add_subplot()
    labels = [words.clipped(facts["negative"], 24), words.clipped(facts["positive"], 24)]
    for row, actual in enumerate(("negative", "positive")):
        said = [
            facts[f"{'true' if actual == column else 'false'}_{column}"]
            for column in ("negative", "positive")
        ]
        for column, count in enumerate(said):
            share = count / sum(said) if sum(said) else 0.0
            _draw_cell(axes, (column, row), count, share, row == column, colors)
    axes.set_xlim(-0.02, 2.02)
    axes.set_ylim(2.02, -0.02)
    axes.set_xticks([0.5, 1.5], labels)
    axes.set_yticks([0.5, 1.5], labels, rotation=90, va="center")
    axes.set_xlabel(f"predicted {words.clipped(facts['target'], 40)}", color=colors["muted"], labelpad=8)
    axes.set_ylabel(f"actual {words.clipped(facts['target'], 40)}", color=colors["muted"], labelpad=8)
    _quiet(axes, colors, None)


def _draw_cell(
    axes: "Axes", at: tuple[int, int], count: int, share: float, right: bool, colors: Colors
) -> None:
    from matplotlib.patches import FancyBboxPatch

    column, row = at
    axes.add_patch(
        FancyBboxPatch(
            (column + 0.05, row + 0.05), 0.9, 0.9, boxstyle="round,pad=0,rounding_size=0.06", linewidth=0,
            facecolor=colors["accent" if right else "bad"], alpha=0.1 + 0.45 * share,
        )
    )  # fmt: skip
    middle: Facts = {"ha": "center", "va": "center", "color": colors["ink"]}
    axes.text(column + 0.5, row + 0.44, f"{count:,}", fontsize=23, **middle)
    axes.text(column + 0.5, row + 0.68, f"{words.percent(share)} of its row", fontsize=10, **middle)


def _draw_pairs(figure: "Figure", facts: Facts, colors: Colors) -> None:
    axes = figure.add_subplot()
    actual, predicted = zip(*facts["pairs"], strict=True)
    ends = [min(*actual, *predicted), max(*actual, *predicted)]
    axes.plot(ends, ends, color=colors["muted"], linewidth=1, linestyle=(0, (3, 3)), zorder=1)
    axes.plot(
        actual,
        predicted,
        "o",
        markersize=5,
        markerfacecolor=colors["accent"],
        markeredgewidth=0,
        alpha=0.45,
        zorder=2,
    )
    name = words.clipped(facts["target"], 40)
    axes.set_xlabel(f"actual {name}", color=colors["muted"])
    axes.set_ylabel(f"predicted {name}", color=colors["muted"])
    _quiet(axes, colors, "both")


def _quiet(axes: "Axes", colors: Colors, grid: str | None) -> None:
    """Take away all lines that say nothing."""
    axes.set_facecolor("none")
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(length=0, pad=6, colors=colors["muted"])
    if grid:
        axes.grid(axis=grid, color=colors["line"], linewidth=1, zorder=0)  # type: ignore[arg-type]
        axes.set_axisbelow(True)
