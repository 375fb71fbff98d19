"""``python -m benchmarks.diagnosis [check] [names] [--seconds 120] [--keep]``."""

from __future__ import annotations

import argparse

from benchmarks.diagnosis.run import check, main

parser = argparse.ArgumentParser(description="Diagnose the scripts of the suite.")
parser.add_argument("names", nargs="*", help="beginnings of names; 'check' first checks the suite")
parser.add_argument("--seconds", type=float, default=120.0)
parser.add_argument("--keep", action="store_true", help="write benchmarks/results/diagnosis.json")
parser.add_argument("--answers", default="", help="folder for the whole answers")
given = parser.parse_args()
if given.names[:1] == ["check"]:
    check(given.names[1:])
else:
    main(given.names, given.seconds, given.keep, given.answers)
