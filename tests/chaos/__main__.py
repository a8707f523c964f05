"""``make chaos``: the rows of faults with full counts, on real processes and servers; one line a row.

Results are kept in ``docs/evidence/chaos.jsonl`` row by row: a run that was ended goes on where it was.
"""

import argparse
import json
import logging
import shutil
import tempfile
import time
from pathlib import Path

from tests.chaos import clusters, drivers, inputs, stores, trials
from tests.chaos.row import Row

ROWS: tuple[Row, ...] = tuple(
    sorted(
        (*drivers.ROWS, *stores.ROWS, *inputs.ROWS, *trials.ROWS, *clusters.ROWS),
        key=lambda row: int(row.name),
    )
)
KEPT = Path("docs/evidence/chaos.jsonl")
HEAD = "| row | what | stood | besides | minutes |\n|---|---|---|---|---|\n"


def main() -> None:
    logging.disable(logging.WARNING)
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--rows", nargs="*", help="only these")
    parser.add_argument("--quick", action="store_true", help="few of each, and nothing is kept")
    parser.add_argument("--again", action="store_true", help="also what is kept already")
    options = parser.parse_args()
    kept = {} if options.quick else read()
    for row in ROWS:
        if (options.rows and row.name not in options.rows) or (row.name in kept and not options.again):
            continue
        result = run(row, row.few if options.quick else row.full)
        print(line(result), flush=True)
        if not options.quick:
            kept = read() | {row.name: result}
            results = [kept[name] for name in sorted(kept, key=int)]
            KEPT.write_text("".join(json.dumps(each) + "\n" for each in results))
            KEPT.with_suffix(".md").write_text(table(results))


def run(row: Row, count: int) -> dict[str, object]:
    """A row's result, in a folder that is removed."""
    folder, started = Path(tempfile.mkdtemp(prefix="chaos-")), time.monotonic()
    try:
        found = row.run(folder, count)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    minutes = round((time.monotonic() - started) / 60, 1)
    facts = {"row": row.name, "what": row.what, "stood": found.stood, "tried": found.tried}
    return {**facts, "note": found.note, "minutes": minutes}


def read() -> dict[str, dict[str, object]]:
    if not KEPT.exists():
        return {}
    return {result["row"]: result for result in map(json.loads, KEPT.read_text().splitlines())}


def line(result: dict[str, object]) -> str:
    return "row {row:<3} {stood}/{tried}  {what} ({note})  {minutes} min".format(**result)


def table(results: list[dict[str, object]]) -> str:
    rows = ("| {row} | {what} | {stood} of {tried} | {note} | {minutes} |\n".format(**r) for r in results)
    return HEAD + "".join(rows)


if __name__ == "__main__":
    main()
