"""``python -m platform.promote STUDY``: register the best translator of a study and point an alias at it."""

import argparse
import json
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from platform import cli
from platform.cli import console
from platform.models import registry
from platform.pareto.front import Candidate, Front
from platform.pareto.selection import saved_front
from platform.storage.layout import Storage
from platform.storage.saved_study import load_saved
from platform.study.study import Study
from platform.tracking import store
from platform.tracking.replay import Replayer
from typing import Any

from trainers import weights
from trainers.config import build
from trainers.data.store import Cohort
from trainers.data.writer import folder as cohort_folder
from trainers.errors import InputError
from trainers.export import export
from trainers.references.config import ReferenceConfig

PICKS = ("knee", "confirmed", "best-fid", "best-psnr", "best-ms_ssim")
ALIAS = re.compile(r"[\w-]{1,255}")
CONFIRMED = Path("confirm", "report", "confirm.json")
"""What a confirmation leaves in a study's folder."""


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = cli.parser("promote", __doc__)
    parser.add_argument("study", help="the study's name")
    wishes = f"{', '.join(PICKS)}, TRIAL or TRIAL/STEPS"
    parser.add_argument("--pick", default="knee", help=f"{wishes} (default: knee)")
    parser.add_argument("--alias", default="champion", help="alias to set (default: champion)")
    parser.add_argument("--model", help="registered model's name (default: the study's)")
    parser.add_argument("--storage", default="runs", help="folder of the study (default: runs)")
    parser.add_argument("--tracking", help="MLflow (default: the study's)")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> None:
    """Run the command; raises InputError for what the user got wrong."""
    options = arguments(argv)
    require_alias(options.alias)
    registry.require_model(options.model or "")
    storage = Storage.open(options.storage)
    folder = storage.existing(options.study)
    study, saved = load_saved(folder)
    front = saved_front(folder, study, saved)
    chosen = pick(options.pick, front, folder)
    uri, name = options.tracking or saved["tracking"], options.model or study.name
    experiment = store.prepare(uri, store.EXPERIMENT, storage.artifacts)
    run_id = Replayer(uri, experiment, study.name).find(chosen.trial)
    if run_id is None:
        missing = f"MLflow at {store.redact(uri)} has no run of trial {chosen.trial}"
        raise InputError(f"--tracking: {missing}; allowed: the study's own")
    version = publish(study, storage, chosen, uri, name, run_id)
    registry.set_alias(uri, name, options.alias, version)
    told = ", ".join(f"{o.name} {chosen.values[o.name]:.4g}" for o in study.objectives)
    origin = f"trial {chosen.trial} at {chosen.steps} steps ({told})"
    console.print(f"models:/{name}@{options.alias} is version {version}: {origin}")


def require_alias(alias: str) -> None:
    """Raises InputError for what MLflow would refuse as an alias, but only after the registration."""
    if not ALIAS.fullmatch(alias) or re.fullmatch(r"latest|v\d+", alias, re.IGNORECASE):
        allowed = "letters, digits, - and _, but not latest or v and a number, which name versions"
        raise InputError(f"--alias: {alias!r} is not allowed; allowed: {allowed}")


def pick(wish: str, front: Front, folder: Path) -> Candidate:
    """The candidate that ``--pick`` names; raises InputError where there is none.

    ``confirmed`` is the first of the confirmation's ranking, by the training that the search has made.
    """
    if wish == "knee":
        assert front.knee is not None  # a front without members was refused
        return front.knee
    if wish == "confirmed":
        ranked = finalists(folder)
        if not ranked:
            cure = f"allowed: it after python -m platform.confirm {folder.name}"
            raise InputError(f"--pick: {wish!r}, but {folder.name!r} was never confirmed; {cure}")
        if ranked[0].get("broken"):
            told = f"every finalist of {folder.name!r} breaks a constraint with its new seeds"
            cure = "allowed: knee, a trial, or it after a confirmation with a larger --top"
            raise InputError(f"--pick: {wish!r}, but {told}; {cure}")
        best = ranked[0]["trial"], ranked[0]["steps"]
        return next(c for c in front.candidates if (c.trial, c.steps) == best)
    if wish in PICKS:
        metric = wish.removeprefix("best-")
        kept = [c for c, feasible in zip(front.candidates, front.feasible, strict=True) if feasible]
        if metric not in kept[0].values:
            measured = ", ".join(sorted(kept[0].values))
            raise InputError(f"--pick: {wish!r}, but {metric} was not measured; allowed: of {measured}")
        return (min if metric == "fid" else max)(kept, key=lambda c: c.values[metric])
    number, _, steps = wish.partition("/")
    found = [c for c in front.candidates if str(c.trial) == number and steps in ("", str(c.steps))]
    if not found:
        trials = ", ".join(str(n) for n in sorted({c.trial for c in front.candidates}))
        allowed = f"{', '.join(PICKS)}, or a completed trial ({trials}) or TRIAL/STEPS"
        raise InputError(f"--pick: {wish!r} is not allowed; allowed: {allowed}")
    members = [c for c in found if c in front.members]
    return (members or found)[-1]


def finalists(folder: Path) -> list[dict[str, Any]]:
    """The confirmation's candidates by rank; empty for a study that was never confirmed."""
    return list(confirmation(folder)["finalists"])


def confirmation(folder: Path) -> dict[str, Any]:
    """What the last confirmation that came to its end has published: ``finalists``, new ``seeds`` of each."""
    path = folder / CONFIRMED
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"finalists": [], "seeds": 0}
    return found


def confirmed(folder: Path, chosen: Candidate) -> dict[str, str]:
    """Tags that tell a candidate's confirmed means with their intervals, if it was confirmed."""
    found = [f for f in finalists(folder) if (f["trial"], f["steps"]) == (chosen.trial, chosen.steps)]
    tags = {}
    for finalist in found:
        for name, value in finalist["values"].items():
            bounds = [end for end in (value["low"], value["high"]) if end is not None]
            told = f" [{', '.join(f'{end:.6g}' for end in bounds)}]" if bounds else ""
            tags[f"confirmed.{name}"] = f"{value['estimate']:.6g}{told}"
        tags["confirmed.seeds"] = ", ".join(map(str, finalist["seeds"]))
        tags["confirmed.p_nondominated"] = f"{finalist['nondominated']:.3f}"
    return tags


def publish(study: Study, storage: Storage, chosen: Candidate, uri: str, name: str, run_id: str) -> str:
    """Export, package and register a candidate; returns its version."""
    checkpoint = Path(chosen.checkpoint)
    facts = weights.verify(checkpoint)
    cohort = Cohort.open(cohort_folder(storage.root, facts["cohort"]))
    references = build(ReferenceConfig, study.references)
    tags = registry.facts(
        {
            "study": study.name,
            "trial": str(chosen.trial),
            "steps": str(chosen.steps),
            "trial_key": facts["key"],
            "cohort": facts["cohort"],
            "config": json.dumps(facts["config"], sort_keys=True),
            **{f"validation.{key}": f"{value:.6g}" for key, value in chosen.values.items()},
            **confirmed(storage.study(study.name), chosen),
        }
    )
    with tempfile.TemporaryDirectory() as work:
        model, packaged = Path(work) / "translator", Path(work) / "model"
        export(model, checkpoint, chosen.steps, cohort, references, chosen.values)
        registry.package(model, packaged)
        return registry.register(uri, name, run_id, packaged, tags)


if __name__ == "__main__":
    cli.run(main)
