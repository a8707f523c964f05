"""``make evidence``: trains, searches and evaluates, then writes the tables of docs/evidence.

    python -m tests.bench.evidence [--only PART ...] [--systems NAME ...] [--seeds N] [--studies N]
                                   [--out FOLDER]

Many hours of two cores. Everything is kept in runs/evidence: started again, it goes on where it was. What
each study, field and tuned system has told is also a line beside the pages, and is not done anew.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from platform.comparison.systems import LABELS
from platform.pareto.selection import saved_front
from platform.storage.saved_study import is_saved, load_saved

from tests.bench.evidence import kept, pages, plan, results, searches, summaries
from tests.bench.main import positive
from trainers.data.store import Cohort
from trainers.references.store import References

ROOT = Path(__file__).parents[3]
PAGES = ROOT / "docs" / "evidence"
PARTS = ("coverage", "systems", "patients", "search", "fields", "tuned")


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what is missing of the parts, and write their pages."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="default: all")
    parser.add_argument("--systems", nargs="+", default=(), help="of the first part (default: all)")
    parser.add_argument("--seeds", type=positive, default=3, help="trainings of each system (default: 3)")
    parser.add_argument("--studies", type=positive, default=5, help="searches and reseedings (default: 5)")
    parser.add_argument("--out", type=Path, default=Path("runs/evidence"))
    options = parser.parse_args(arguments)
    out = options.out.resolve()
    if "coverage" in options.only:
        command("tests.bench.coverage")
    if "systems" in options.only:
        systems(out, options.seeds, options.systems)
    if "patients" in options.only:
        patients(out)
    if "search" in options.only:
        search(out, options.studies)
    if "fields" in options.only:
        fields(out, options.seeds)
    if "tuned" in options.only:
        tuned(out, options.seeds)


def systems(out: Path, seeds: int, names: Sequence[str]) -> None:
    """The systems as published and with restoration: compared, at every step count, and by factor."""
    known = {path.stem: path for path in plan.systems(out / "spaces")}
    if unknown := set(names) - known.keys():
        sys.exit(f"--systems: {', '.join(sorted(unknown))}: not known; allowed: {', '.join(known)}")
    spaces = [path for name, path in known.items() if name in (names or known)]
    folder = compared("systems", spaces, out, seeds)
    pages.write_systems(results.read(folder, out), folder, PAGES)


def patients(out: Path) -> None:
    """The trained systems on lesions, and on real scans where they are."""
    folder = out / "comparisons" / "systems"
    if not is_done(folder):
        sys.exit("--only patients: needs trained systems; allowed: after --only systems")
    cohort, references = results.origin(folder, out)
    opened = Cohort.open(cohort), References.open(references)
    trained = results.read(folder, out)
    pages.write_lesions(trained, *opened, PAGES)
    pages.write_patients(trained, *opened, PAGES)


def search(out: Path, studies: int) -> None:
    """Searches against seeds, those that are not kept yet."""
    done, path = kept.known(PAGES / pages.SEARCH), PAGES / pages.SEARCH
    for number in (i for i in range(studies) if str(i) not in done):
        study = searched(plan.search(out / "spaces", number), out)
        space, name = plan.start_point(out / "spaces", number), f"reseeding-{number}"
        asked = ("--systems", str(space), "--seeds", str(plan.TRIALS), "--profile", plan.PROFILE)
        command("platform.compare", *asked, "--name", name, "--storage", str(out))
        kept.keep(path, str(number), asdict(searches.compared(study, out / "comparisons" / name)))
    pages.write_search(PAGES)


def fields(out: Path, seeds: int) -> None:
    """The full method with each searched field at either end of its range, where that is not kept yet."""
    done, path = kept.known(PAGES / pages.FIELDS), PAGES / pages.FIELDS
    for name, ends in plan.fields(out / "spaces").items():
        if name not in done:
            folder = compared(f"field-{name}", ends, out, seeds)
            kept.keep(path, name, summaries.field(results.read(folder, out), name))
    pages.write_fields(PAGES)


def tuned(out: Path, seeds: int) -> None:
    """Every system by the settings that as many searched trials have chosen, where that is not kept yet."""
    done, path = kept.known(PAGES / pages.TUNED), PAGES / pages.TUNED
    for name in (name for name in LABELS if name not in done):
        front = saved_front(load_saved(searched(plan.tuning(out / "spaces", name), out)))
        space = plan.tuned(out / "spaces", name, front.candidates[front.best].params)
        folder = compared(f"tuned-{name}", [space], out, seeds)
        kept.keep(path, name, summaries.tuned(results.read(folder, out), folder))
    pages.write_tuned(PAGES)


def searched(space: Path, out: Path) -> Path:
    """The folder of a space's finished study."""
    folder = out / "studies" / space.stem
    new = ("--space", str(space), "--profile", plan.PROFILE)
    command(
        "platform.search", *(("--resume", space.stem) if is_saved(folder) else new), "--storage", str(out)
    )
    return folder


def compared(name: str, spaces: Sequence[Path], out: Path, seeds: int) -> Path:
    """The folder of the finished comparison of the spaces' first points."""
    asked = ("--systems", ",".join(map(str, spaces)), "--seeds", str(seeds), "--profile", plan.PROFILE)
    command("platform.compare", *asked, "--extended", "--name", name, "--storage", str(out))
    return out / "comparisons" / name


def is_done(comparison: Path) -> bool:
    """Whether a comparison has its report."""
    return (comparison / "report" / "tables.md").is_file()


def command(module: str, *options: str) -> None:
    """Run a command of the project; ends with it where it fails."""
    done = subprocess.run([sys.executable, "-m", module, *options], cwd=ROOT)
    if done.returncode:
        sys.exit(done.returncode)


if __name__ == "__main__":
    main()
