"""Data for the examples: made-up tables of three other kinds, from a seed.

    python examples/generate.py [FOLDER]

Writes FOLDER/house_prices/data/       eight months of house sales, 150 a month
       FOLDER/sales_by_period/data/    a year of weekly sales of 40 shops, and the coming week without its sales
       FOLDER/stock_ratios/data/       16 quarters of 120 companies: ratios, and whether the share then beat the index,
                                       which of the last quarter isn't known yet

FOLDER is `examples` unless given. Each file appears whole, so this may run beside the pipeline; the bytes are the
same each time. The tables have the usual warts: empty cells, unseen categories, and rows delivered twice.
"""

import argparse
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

HERE = Path(__file__).resolve().parent
SEED = 11
Files = dict[str, pd.DataFrame]  # by name
Random = np.random.RandomState  # its stream is frozen: default_rng's may change with a later numpy

DISTRICTS = {"Harbour": 5200, "Old Town": 4600, "Northfield": 3100, "Millbank": 2700, "Eastgate": 2300}
CONDITIONS = {"new": 1.12, "good": 1.0, "fair": 0.9, "to renovate": 0.72}
SECTORS = ["energy", "finance", "health", "industry", "technology", "utilities"]


def main(folder: Path) -> None:
    """Write all examples' data."""
    for name, table in EXAMPLES.items():
        (folder / name / "data").mkdir(parents=True, exist_ok=True)
        for file, rows in table(Random(SEED)).items():
            draft = folder / name / "data" / f".{file}.draft"
            rows.to_csv(draft, index=False, lineterminator="\n")
            draft.replace(folder / name / "data" / file)


def house_prices(random: Random) -> Files:
    """Sales of houses: the price follows area, plot, district, condition, age and distance to the station."""
    files = {}
    for month in range(1, 9):
        count = 150
        district = random.choice(list(DISTRICTS), count)
        condition = random.choice(list(CONDITIONS), count, p=[0.15, 0.5, 0.25, 0.1])
        area = np.exp(random.normal(4.75, 0.3, count)).round()
        plot = (area * random.uniform(0.8, 6, count)).round()
        built = random.randint(1890, 2025, count)
        station = random.gamma(2, 0.9, count).round(1)
        a_metre = pd.Series(district).map(DISTRICTS) * pd.Series(condition).map(CONDITIONS)
        value = (a_metre * area * 0.9**station + 90 * plot) * (1 - 0.0012 * (2025 - built))
        price = value * np.exp(random.normal(0, 0.1, count)) * (1 + 0.004 * month)
        rows = pd.DataFrame(
            {
                "sale": [f"2025-{month:02}-{number:04}" for number in range(count)],
                "sold_on": [date(2025, month, day).isoformat() for day in random.randint(1, 29, count)],
                "district": district,
                "condition": condition,
                "Living area (m2)": area.astype(int),
                "plot_m2": plot.astype(int),
                "year_built": built,
                "km_to_station": station,
                "price": (price / 500).round().astype(int) * 500,
            }
        )
        files[f"sales_2025-{month:02}.csv"] = with_repeats(
            random, with_gaps(random, rows, ["plot_m2", "km_to_station"])
        )
    return files


def sales_by_period(random: Random) -> Files:
    """Weekly sales of shops: each has its level; season, price, promotion and holidays move it."""
    shops = [f"S{number:02}" for number in range(1, 41)]
    level, region = np.exp(random.normal(5.5, 0.5, 40)), random.choice(["north", "south", "west"], 40)
    files, last, before = {}, level.round(), level.round()
    for week in range(1, 54):
        monday = date(2024, 12, 30) + timedelta(weeks=week - 1)
        price = random.choice([3.49, 3.99, 4.49], 40, p=[0.2, 0.6, 0.2])
        promotion = random.choice(["none", "leaflet", "display"], 40, p=[0.7, 0.2, 0.1])
        holidays = int(week in (1, 16, 17, 18, 22, 52))
        lift = pd.Series(promotion).map({"none": 1.0, "leaflet": 1.25, "display": 1.5}).to_numpy()
        season = 1 + 0.25 * np.sin(2 * np.pi * (week - 8) / 52)
        mean = level * season * lift * (3.99 / price) ** 1.5 * (1 - 0.12 * holidays)
        sold = random.poisson(mean * np.exp(random.normal(0, 0.08, 40)))
        rows = pd.DataFrame(
            {
                "shop": shops,
                "week_start": monday.isoformat(),
                "units_sold": sold,
                "region": region,
                "week_of_year": (week - 1) % 52 + 1,
                "price": price,
                "promotion": promotion,
                "holidays": holidays,
                "units_last_week": last.astype(int),
                "units_usual": ((last + before) / 2).round().astype(int),
            }
        )
        if week == 53:  # the coming week: what is planned is known, what will be sold isn't
            rows["units_sold"] = None
        files[f"week_2025-{week:02}.csv"] = with_gaps(random, rows, ["price"])
        before, last = (last + before) / 2, sold
    return files


def stock_ratios(random: Random) -> Files:
    """Ratios of companies at the end of a quarter: cheap, profitable ones with little debt beat it more often."""
    tickers = [f"{a}{b}{c}" for a in "BDFK" for b in "AEIOU" for c in "LMNRST"]
    sector = random.choice(SECTORS, 120)
    quality = random.normal(0, 1, 120)
    files = {}
    for quarter in range(16):
        year, number = 2021 + quarter // 4, quarter % 4 + 1
        earnings = 0.05 + 0.03 * quality + random.normal(0, 0.03, 120)  # per unit of price
        book = np.exp(0.8 + 0.3 * quality + random.normal(0, 0.4, 120))
        debt = np.exp(-0.3 - 0.3 * quality + random.normal(0, 0.5, 120))
        momentum = random.normal(0, 0.2, 120)
        logit = 1.2 * quality - 0.7 * np.log(book) + 2.5 * momentum + 8 * (earnings - 0.05) + 0.4
        rows = pd.DataFrame(
            {
                "ticker": tickers,
                "quarter_end": (pd.Timestamp(year, 3 * number, 1) + pd.offsets.MonthEnd(0))
                .date()
                .isoformat(),
                "sector": sector,
                "price_to_earnings": np.where(earnings > 0.005, 1 / earnings, np.nan).round(1),
                "price_to_book": book.round(2),
                "debt_to_equity": debt.round(2),
                "return_on_equity": (earnings * book).round(3),
                "momentum_12m": momentum.round(3),
                "beat_index": np.where(random.uniform(size=120) < 1 / (1 + np.exp(-logit)), "Yes", "No"),
            }
        )
        if quarter == 9:
            rows.loc[:2, "sector"] = "shipping"  # nobody had heard of it before
        if quarter == 15:
            rows["beat_index"] = None
        files[f"ratios_{year}Q{number}.csv"] = with_gaps(random, rows, ["debt_to_equity"])
    return files


EXAMPLES: dict[str, Callable[[Random], Files]] = {
    "house_prices": house_prices,
    "sales_by_period": sales_by_period,
    "stock_ratios": stock_ratios,
}


def with_gaps(random: Random, rows: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """Empty a few cells of these columns."""
    gaps = {name: random.uniform(size=len(rows)) < 0.02 for name in columns}
    return rows.assign(**{name: rows[name].astype(object).mask(gone, None) for name, gone in gaps.items()})


def with_repeats(random: Random, rows: pd.DataFrame) -> pd.DataFrame:
    """Deliver a few rows twice."""
    return pd.concat([rows, rows.iloc[random.choice(len(rows), 3, replace=False)]])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", type=Path, default=HERE)
    main(parser.parse_args().folder)
