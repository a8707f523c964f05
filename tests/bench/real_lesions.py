"""The lesion check on real scans, looked at once: nothing is chosen on them.

    python -m tests.bench.real_lesions MODEL --storage RUNS --pictures FOLDER

Four patients at 55 mT, translated by an exported model, and their own 3 T in place of a translation; and a
stroke at 3 T, degraded to 64 mT as the cohort's is and translated. Brains and slices are those of
:mod:`tests.bench.evidence.patients`.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from platform.reporting import outlines
from platform.reporting.outlines import Outlined
from platform.reporting.tables import markdown_table

import numpy as np
import torch
from torch import Tensor

from tests.bench.evidence import patients
from tests.bench.evidence.patients import LAYOUT, STROKE_EVERY, Patient
from trainers.data import channels
from trainers.data.arrays import Array
from trainers.data.store import Cohort
from trainers.export import Translator
from trainers.metrics import lesion_check
from trainers.metrics.lesion_check import Region, Report
from trainers.references.store import References

APART = {"stroke": 1.3 * STROKE_EVERY}
"""Millimetres from slice to slice; 10 of the others."""
COLUMNS = ("scan", "output", "stand out", "contrast kept", "extent kept", "vanished (ml)", "appeared (ml)")


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table and draw the pictures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--storage", type=Path, required=True, help="of the model's cohort and references")
    parser.add_argument("--pictures", type=Path, required=True)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    translator = Translator.open(options.model)
    cohort = Cohort.open(options.storage / "cohorts" / translator.facts["cohort"][:16])
    references = References.open(options.storage / "references" / translator.facts["references"][:16])
    people = [*patients.low_field(cohort), *patients.stroke(cohort, references)]
    print(
        markdown_table(COLUMNS, [row for each in people for row in rows(each, translator, options.pictures)])
    )


def rows(patient: Patient, translator: Translator, folder: Path) -> Iterator[list[str]]:
    """Of the translation and of the paired 3 T."""
    outputs = {"translated": translator.slices(patient.source, patient.mask).cpu(), "3 T": patient.truth}
    for name, output in outputs.items():
        before, after = unit(patient.source), unit(output)
        spacing = (APART.get(patient.name, 10.0), patient.spacing, patient.spacing)
        report = lesion_check.compare(before, after, patient.mask.numpy(), spacing)
        draw(report, before, after, folder / f"{patient.name} {name}.png".replace(" ", "_"))
        lists = (of_kind(report.changed, kind) for kind in ("vanished", "appeared"))
        shares = (f"{x:.0%}" if np.isfinite(x) else "" for x in (report.kept, report.extent))
        yield [patient.name, name, str(len(report.standing)), *shares, *lists]


def unit(images: Tensor) -> dict[str, Array]:
    """Both contrasts in [0, 1]."""
    return {c: ((x + 1) / 2).numpy() for c, x in channels.split(images, LAYOUT).items()}


def of_kind(regions: Sequence[Region], kind: str) -> str:
    """The volumes of a kind."""
    return ", ".join(f"{region.ml:.1f}" for region in regions if region.kind == kind) or "none"


def draw(report: Report, before: dict[str, Array], after: dict[str, Array], path: Path) -> None:
    """Up to six slices that have something to outline, else the middle ones."""
    masks = {"standing": report.standing, "vanished": report.changed, "appeared": report.changed}
    count = len(before["T1"])
    union = {
        kind: np.any([r.mask for r in regions if r.kind == kind] or [np.zeros(before["T1"].shape, bool)], 0)
        for kind, regions in masks.items()
    }
    busy = sum(mask.sum((1, 2)) for mask in union.values())
    shown = sorted(np.argsort(-busy, kind="stable")[: min(6, count)])
    drawn = [
        [
            Outlined(f"{c} {name}", images[c][k], {kind: mask[k] for kind, mask in union.items()})
            for c in before
            for name, images in (("input", before), ("output", after))
        ]
        for k in shown
    ]
    outlines.draw(drawn, path, "Green: stands out; orange: vanished; blue: appeared")


if __name__ == "__main__":
    main()
