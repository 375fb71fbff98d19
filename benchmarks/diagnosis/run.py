"""Run: diagnose every script of the suite and count what was right."""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.diagnosis.suite import Entry, entries
from benchmarks.measure import RESULTS

_NEAR = 2  # lines from a marked one that still count


def diagnosed(entry: Entry, seconds: float, folder: Path) -> dict[str, Any]:
    """What ``chainrule diagnose`` says of a script, and how long it takes."""
    script = folder / "train.py"
    script.write_text(entry.faulty)
    begun = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "chainrule", "diagnose", "train.py", "--json", "-", "--quiet",
         "--seconds", str(seconds)],
        cwd=folder, capture_output=True, text=True, timeout=seconds * 3 + 60, check=False,
    )  # fmt: skip
    try:
        answer = json.loads(done.stdout)
    except json.JSONDecodeError:
        answer = {"verdict": "error", "causes": [], "equivalent": [], "error": done.stderr[-400:]}
    return {"answer": answer, "exit": done.returncode, "seconds": time.perf_counter() - begun}


def judged(entry: Entry, found: dict[str, Any]) -> dict[str, Any]:
    """What was right of it."""
    answer = found["answer"]
    truth = set(entry.faults)
    named = [item["code"] for item in answer["causes"]]
    allowed = truth | set(entry.also)
    exact = set(named) == truth or _equivalent(truth, entry, named, answer)
    lines = [_right_line(entry, item) for item in answer["causes"] if item["code"] in allowed]
    return {
        "name": entry.name, "faults": sorted(truth), "verdict": answer["verdict"],
        "named": [f"{item['code']} ({item['status']})" for item in answer["causes"]],
        "equivalent": answer.get("equivalent", []), "exact": exact,
        "right": sum(code in allowed for code in named), "wrong": sum(
            code not in allowed for code in named),
        "found": sum(code in named or _covered(code, entry, named, answer) for code in truth),
        "line": bool(lines) and all(lines), "seconds": round(found["seconds"], 1),
        "proved": any(item["status"] == "proved" for item in answer["causes"]),
        "checked": [item.get("checked") for item in answer["causes"]],
        "suspects": [code for code, _ in answer.get("suspects", [])],
        "reason": answer.get("reason", answer.get("error", ""))[:300],
    }  # fmt: skip


def _equivalent(truth: set[str], entry: Entry, named: list[str], answer: dict[str, Any]) -> bool:
    """Whether what was named cures as well as the truth, by the suite or by the replays."""
    if sorted(truth) in [sorted(codes) for codes in answer.get("equivalent", [])]:
        return True
    if len(truth) == 1 and len(named) == 1:
        return named[0] in entry.also or [next(iter(truth))] in answer.get("equivalent", [])
    rest, extra = truth - set(named), set(named) - truth
    return bool(truth) and len(rest) == len(extra) and extra <= set(entry.also)


def _covered(code: str, entry: Entry, named: list[str], answer: dict[str, Any]) -> bool:
    return [code] in answer.get("equivalent", []) or any(item in entry.also for item in named)


def _right_line(entry: Entry, item: dict[str, Any]) -> bool:
    wanted = entry.lines.get(item["code"]) or set().union(*entry.lines.values())
    return any(abs(item["line"] - line) <= _NEAR for line in wanted)


def main(names: list[str], seconds: float, keep: bool, folder: str = "") -> None:
    """Diagnose, print a line each and the sums; whole answers go to a folder, if one is named."""
    rows = []
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)  # before an hour of work, not after
    for entry in entries(names):
        with tempfile.TemporaryDirectory() as scratch:
            found = diagnosed(entry, seconds, Path(scratch))
        row = judged(entry, found)
        if folder:
            (Path(folder) / f"{entry.name}.json").write_text(json.dumps(found, indent=1))
        rows.append(row)
        mark = (
            "ok  " if row["exact"] or (not entry.faults and row["verdict"] == "healthy") else "MISS"
        )
        print(
            f"{mark} {row['name']:32s} {','.join(row['faults']) or 'healthy':40s} -> "
            f"{row['verdict']} {row['named']} line={row['line']} {row['seconds']:.0f}s",
            flush=True,
        )
        if mark == "MISS":
            print(f"       {row['reason']}  eq={row['equivalent']}", flush=True)
    sums = summary(rows)
    print(json.dumps(sums, indent=1))
    if keep:
        target = RESULTS / "diagnosis.json"
        target.write_text(json.dumps({"numbers": sums, "scripts": rows}, indent=1) + "\n")


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Shares over all scripts."""
    faulty = [row for row in rows if row["faults"]]
    healthy = [row for row in rows if not row["faults"]]
    right, wrong = sum(r["right"] for r in rows), sum(r["wrong"] for r in rows)
    planted = sum(len(row["faults"]) for row in faulty)
    fixes = [item for row in faulty for item in row["checked"] if item is not None]
    return {
        "faulty scripts": len(faulty), "healthy scripts": len(healthy),
        "detected": _share(sum(row["verdict"] == "faulty" for row in faulty), len(faulty)),
        "exact set, equivalent cures counted": _share(sum(r["exact"] for r in faulty), len(faulty)),
        "precision over codes": _share(right, right + wrong),
        "recall over codes": _share(sum(row["found"] for row in faulty), planted),
        "right line": _share(sum(row["line"] for row in faulty), len(faulty)),
        "repairs that learn": _share(sum(map(bool, fixes)), len(fixes)),
        "healthy called healthy": _share(
            sum(row["verdict"] == "healthy" for row in healthy), len(healthy)),
        "false proved on healthy": sum(row["proved"] for row in healthy),
        "constant answer (learning rate or activation) names a true cause": _share(
            sum(bool(set(row["faults"]) & CONSTANT) for row in faulty), len(faulty)),
        **_symptoms_alone(faulty, healthy),
        "median seconds": statistics.median([row["seconds"] for row in rows]) if rows else 0,
    }  # fmt: skip


def _symptoms_alone(faulty: list[dict[str, Any]], healthy: list[dict[str, Any]]) -> dict[str, str]:
    """What naming all that symptoms speak for, without a replay, would have come to."""
    named = sum(len(row["suspects"]) for row in faulty + healthy)
    right = sum(len(set(row["suspects"]) & set(row["faults"])) for row in faulty)
    exact = sum(set(row["suspects"]) == set(row["faults"]) for row in faulty)
    planted = sum(len(row["faults"]) for row in faulty)
    return {
        "symptoms alone: exact set": _share(exact, len(faulty)),
        "symptoms alone: precision over codes": _share(right, named),
        "symptoms alone: recall over codes": _share(right, planted),
        "symptoms alone: alarms on healthy": _share(
            sum(bool(row["suspects"]) for row in healthy), len(healthy)),
    }  # fmt: skip


CONSTANT = {
    "learning-rate-too-low", "learning-rate-too-high", "output-activation-wrong", "dead-relu",
    "saturated-activations", "missing-nonlinearity",
}  # fmt: skip


def _share(part: int, whole: int) -> str:
    return f"{part}/{whole} = {part / whole:.2f}" if whole else "-"


def check(names: list[str]) -> None:
    """Run every script and its twin over three seeds, and say which break a rule."""
    for entry in entries(names):
        finals = {
            which: [_final(text, seed) for seed in range(3)]
            for which, text in (("faulty", entry.faulty), ("fixed", entry.fixed))
        }
        better = min(finals["fixed"]) - max(finals["faulty"])
        fine = not entry.faults or better >= 0.1
        print(f"{'ok  ' if fine else 'BAD '} {entry.name:32s} {finals}", flush=True)


def _final(text: str, seed: int) -> float:
    moved = re.sub(
        r"(manual_seed|\.seed)\((\d+)\)", lambda m: f"{m[1]}({int(m[2]) + 101 * seed})", text
    )
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "train.py").write_text(moved)
        done = subprocess.run([sys.executable, "train.py"], cwd=folder, capture_output=True,
                              text=True, timeout=120, check=False)  # fmt: skip
    lines = done.stdout.strip().splitlines()
    try:
        return float(lines[-1].split()[-1])
    except (IndexError, ValueError):
        return float("-inf")
