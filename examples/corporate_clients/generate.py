"""Practice data: a made-up portfolio of corporate clients, some of whom leave.

    python examples/corporate_clients/generate.py [FOLDER]

Writes FOLDER/practicedata/clients_2025-01.csv ... clients_2025-06.csv   six months to learn from
       FOLDER/sourcedata/clients_2025-W27.csv ... clients_2025-W52.csv   26 weeks that follow on
       FOLDER/testdata/clients_test.csv                                  other clients, same months

FOLDER is the project's own unless given. The bytes are the same each time, so running it again
changes nothing for git.

A file is one review of part of the portfolio. A row is one client as it stood on that day:

    corporation          the client; no other has its name
    snapshot_date        the day of the review
    industry             one of seven, in unequal shares
    lastmonth_activity   orders in the last month
    lastyear_activity    orders in the last twelve months
    number_of_employees  size of the client
    contract_months      how long it has been a client
    support_tickets      complaints in the last three months
    exited               1 if it left before its next review; it is then not seen again

Until September clients leave when their orders fall, and new ones when they have to complain. In
week W40, the 14th drop, a competitor enters and courts the large old clients of three industries,
who used to be the loyal ones; a fall in orders now says little. A model that learnt before W40 is
hardly better than a coin after it, and one that learns again is as good as the old one was.

The files have the usual warts: empty cells, and rows delivered twice, in one file or in the next.
"""

import argparse
import itertools
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

PROJECT = Path(__file__).resolve().parents[2]
SEED = 37  # any seed tells the story; this one in plain numbers
PANEL = 1400  # clients in the portfolio at any time

MONTHS = {
    f"practicedata/clients_2025-{month:02}.csv": date(2025, month + 1, 1) - timedelta(days=1)
    for month in range(1, 7)
}
WEEKS = {
    f"sourcedata/clients_2025-W{week}.csv": date.fromisocalendar(2025, week, 7) for week in range(27, 53)
}
TEST = "testdata/clients_test.csv"
ROWS_A_MONTH, ROWS_A_WEEK = (310, 430), (130, 190)
TEST_ROWS_A_MONTH = 134

COMPETITOR_ENTERS = date.fromisocalendar(2025, 40, 1)
COURTED = ["finance", "retail", "technology"]

SHARES = {
    "manufacturing": 0.24,
    "retail": 0.20,
    "technology": 0.16,
    "finance": 0.14,
    "logistics": 0.11,
    "healthcare": 0.09,
    "hospitality": 0.06,
}
TRADES = {
    "manufacturing": ["Castings", "Fittings", "Instruments", "Tools", "Works"],
    "retail": ["Furnishings", "Grocers", "Outfitters", "Stores", "Traders"],
    "technology": ["Analytics", "Circuits", "Networks", "Software", "Systems"],
    "finance": ["Advisers", "Capital", "Insurance", "Leasing", "Trust"],
    "logistics": ["Couriers", "Freight", "Haulage", "Shipping", "Storage"],
    "healthcare": ["Clinics", "Dental", "Diagnostics", "Medical", "Pharmacies"],
    "hospitality": ["Caterers", "Hotels", "Inns", "Kitchens", "Resorts"],
}
HEADS = (
    "Alder Bram Cald Dun Elm Fen Glen Hazel Ings Kell Lang Marl Nor Oak Pen Quen Rother Stan Thorn Wex"
).split()
TAILS = (
    "beck bourne by cliffe combe croft dale field ford gate "
    "holm hurst ley mere rigg stow thorpe ton well wick"
).split()
SUFFIXES = ["Ltd", "Group", "& Co", "Partners"]

EMPTY = {  # share of cells
    "industry": 0.02,
    "lastmonth_activity": 0.02,
    "lastyear_activity": 0.01,
    "number_of_employees": 0.03,
    "contract_months": 0.01,
    "support_tickets": 0.02,
}
REPEATED = 0.01  # share of a file's rows that it holds twice, and that the next file holds again


def main(folder):
    # RandomState, because its stream is frozen: default_rng's may change with a later numpy.
    rng = np.random.RandomState(SEED)
    names = shuffled_names(rng)

    panel = new_clients(rng, names, PANEL, min(MONTHS.values()))
    previous = None
    for path, day in {**MONTHS, **WEEKS}.items():
        size = rng.randint(*(ROWS_A_MONTH if path in MONTHS else ROWS_A_WEEK))
        rows = review(rng, panel.loc[rng.choice(panel.index, size, replace=False)], day)
        panel = replace_the_gone(rng, names, panel, rows, day)
        rows = with_gaps(rng, rows)
        write(with_repeats(rng, rows, previous), folder / path)
        previous = rows

    others = {day: new_clients(rng, names, TEST_ROWS_A_MONTH, day) for day in MONTHS.values()}
    reviews = [review(rng, clients, day) for day, clients in others.items()]
    write(with_gaps(rng, pd.concat(reviews)), folder / TEST)


def shuffled_names(rng):
    """For each industry an iterator of unused company names, more than it will ever need."""
    names = {}
    for industry, trades in TRADES.items():
        parts = list(itertools.product(HEADS, TAILS, trades, SUFFIXES))
        shuffled = [parts[i] for i in rng.permutation(len(parts))]
        names[industry] = (f"{head}{tail} {trade} {form}" for head, tail, trade, form in shuffled)
    return names


def new_clients(rng, names, count, day):
    """Clients as they enter the portfolio that day: what stays with each as long as it is there."""
    industry = rng.choice(list(SHARES), count, p=list(SHARES.values()))
    employees = np.exp(rng.normal(4.4, 1.0, count)).clip(4, 4000).round()
    months = np.exp(rng.normal(3.2, 0.8, count)).clip(1, 240)
    return pd.DataFrame(
        {
            "corporation": [next(names[name]) for name in industry],
            "industry": industry,
            "number_of_employees": employees,
            "usual_year": 700 * employees**0.4 * np.exp(rng.normal(0, 0.3, count)),
            "client_since": day.toordinal() - 30.4 * months,
        }
    )


def review(rng, clients, day):
    """One row for each of the clients as it stands that day, and whether it then leaves."""
    count = len(clients)
    season = 1 + 0.04 * np.sin(2 * np.pi * day.timetuple().tm_yday / 365)
    year = (clients["usual_year"] * season * np.exp(rng.normal(0, 0.08, count))).round()
    fall = rng.normal(0, 0.35, count).clip(-0.9, 0.9)  # of the last month below the year's mean
    rows = pd.DataFrame(
        {
            "corporation": clients["corporation"],
            "snapshot_date": day.isoformat(),
            "industry": clients["industry"],
            "lastmonth_activity": (year / 12 * (1 - fall)).round(),
            "lastyear_activity": year,
            "number_of_employees": clients["number_of_employees"],
            "contract_months": ((day.toordinal() - clients["client_since"]) / 30.4).round(),
            "support_tickets": rng.poisson(rng.gamma(2.0, 1.0, count)),
        }
    )
    rows["exited"] = (rng.uniform(size=count) < chance_to_exit(rows, fall, day)).astype(int)
    return rows


def chance_to_exit(rows, fall, day):
    """The truth behind the labels. Each feature is put near mean 0 and deviation 1 first."""
    fall = fall / 0.35
    tickets = (rows["support_tickets"] - 2) / 2
    tenure = (np.log(rows["contract_months"]) - 3.2) / 0.8
    size = (np.log(rows["lastyear_activity"]) - 8.3) / 0.5
    courted = rows["industry"].isin(COURTED)
    if day < COMPETITOR_ENTERS:
        new_and_cross = (tenure < 0) * tickets.clip(lower=0)
        logit = -1.75 + 1.8 * fall + 0.2 * tickets + new_and_cross - 0.6 * tenure - 0.2 * courted
    else:
        pull = courted * (1.9 + 1.8 * size + 0.4 * tenure)
        logit = -2.5 + 0.6 * fall + 0.4 * tickets + pull
    return 1 / (1 + np.exp(-logit))


def replace_the_gone(rng, names, panel, rows, day):
    """The portfolio after a review: those who exited are out, and as many new ones are in."""
    stay = panel.drop(index=rows.index[rows["exited"] == 1])
    added = new_clients(rng, names, len(panel) - len(stay), day)
    added.index += panel.index.max() + 1
    return pd.concat([stay, added])


def with_gaps(rng, rows):
    rows = rows.astype(dict.fromkeys(rows.select_dtypes("number"), "Int64"))
    for column, share in EMPTY.items():
        rows.loc[rng.uniform(size=len(rows)) < share, column] = pd.NA
    return rows


def with_repeats(rng, rows, previous):
    """The rows in any order, a few of them twice, and a few from the file before."""
    sources = [rows] if previous is None else [rows, previous]
    repeats = [
        source.iloc[rng.choice(len(source), round(REPEATED * len(source)), replace=False)]
        for source in sources
    ]
    together = pd.concat([rows, *repeats])
    return together.iloc[rng.permutation(len(together))]


def write(rows, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    rows.to_csv(path, index=False, lineterminator="\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", type=Path, default=PROJECT)
    main(parser.parse_args().folder)
