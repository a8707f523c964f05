"""``make simulate``: studies with faults, each from one seed; the first that violates an invariant is named.

python -m tests.simulation [--studies N] [--from SEED]
"""

import argparse
import logging
import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from platform.reporting.console import console, counting_bar

from tests.simulation.simulated import Simulation

CHUNK = 50


def simulated(first: int) -> tuple[int, Counter[str], str]:
    """Events and faults of a chunk of studies, and the first violation."""
    logging.disable()
    events, faults = 0, Counter[str]()
    for seed in range(first, first + CHUNK):
        folder = Path(f"/dev/shm/simulated-{os.getpid()}")
        try:
            outcome = Simulation(seed, folder).run()
        except Exception as error:
            return events, faults, f"seed {seed}: {error.__class__.__name__}: {error}"
        events += outcome.events
        faults += outcome.faults
    return events, faults, ""


def main() -> None:
    """Run the studies; exit code 1 where an invariant is violated."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--studies", type=int, default=20_000)
    parser.add_argument("--from", type=int, default=0, dest="first", metavar="SEED")
    options = parser.parse_args()
    started, events, faults, failed = time.monotonic(), 0, Counter[str](), []
    seeds = range(options.first, options.first + options.studies, CHUNK)
    with ProcessPoolExecutor(os.cpu_count()) as pool, counting_bar(console) as bar:
        row = bar.add_task("studies", total=len(seeds) * CHUNK)
        for count, seen, violation in pool.map(simulated, seeds):
            events, faults = events + count, faults + seen
            failed += [violation] if violation else []
            bar.advance(row, CHUNK)
    console.print(
        f"{len(seeds) * CHUNK:,} studies, {events:,} events, {sum(faults.values()):,} faults in "
        f"{time.monotonic() - started:.0f} s: {len(failed)} violations"
    )
    for kind, count in faults.most_common():
        console.print(f"  {kind}: {count:,}")
    for line in failed[:10]:
        console.print(line, markup=False)
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
