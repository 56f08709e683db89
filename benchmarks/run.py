"""All benchmarks, each a table of ratios measured in this run.

    python benchmarks/run.py [NAME ...] [--quick] [--evidently PYTHON]
    python benchmarks/run.py policies [--streams A,B] [--delays 0,5] [--models logreg,hgb] [--data DIR]

Bare times say little on a shared machine, so each figure stands beside one measured in the same minute. `policies`
takes 10 to 20 minutes, and streams that are not in the project, so it runs only if it's named.
"""

import argparse
import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

import deploying
import false_alarms
import feature_drift
import ingesting
import loss_alarm
import nothing_to_do
import policies

BENCHMARKS = {
    "false_alarms": false_alarms.table,
    "feature_drift": feature_drift.table,
    "ingesting": ingesting.table,
    "nothing_to_do": nothing_to_do.table,
    "deploying": deploying.table,
    "loss_alarm": loss_alarm.table,
}
LONG = {"policies": policies.table}
CHOOSY = (feature_drift.table, policies.table)  # they have options of their own


def main() -> int:
    """Run the named benchmarks, or all; give 1 if a bar is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", nargs="*", help=", ".join(BENCHMARKS | LONG))
    parser.add_argument("--quick", action="store_true", help="smaller, to see that it works")
    feature_drift.add_options(parser)
    policies.add_options(parser)
    options = parser.parse_args()
    known = {
        name: partial(table, options=options) if table in CHOOSY else table
        for name, table in (BENCHMARKS | LONG).items()
    }
    unknown = set(options.name) - set(known)
    if unknown:
        parser.error(f"no {', '.join(unknown)}; known: {', '.join(known)}")
    missed = False
    for name in options.name or BENCHMARKS:
        lines, held = known[name](options.quick)
        print("\n".join(lines))
        missed |= not held
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
