"""Three views against one, on phantoms that no model has seen: PSNR, disagreement and time.

    python -m tests.bench.views --model FOLDER [--subjects N] [--out FILE]

Written down before this bench first ran, when the fusion and this definition of truth had been chosen on
other subjects (seed 20270101): truth is the 3 T image without receive field, noise and ghost, on its
isotropic grid of 2 mm, by its own percentiles in the brain; PSNR is over the voxels of the true brain, of a
range of 1; a single view is translated alone and resampled by cubic splines, registered as in the fusion;
the best single view is chosen for each subject and contrast by its PSNR. An error is a voxel whose absolute
difference from the truth is above its 90th percentile in the brain; the disagreement is judged by the area
under its curve for errors (AUROC). The same for a planted fault: a third of the last view's slices is moved
by three voxels in plane, as by a patient who moves during the scan; an error is then a voxel of the fused
scans that this changes by more than the 90th percentile of all. Time is of everything between the scans in
memory and the volumes: for one view the axial one's examination and translation. Added after the first
subject had been seen once: the planted fault; sagittal slices with anterior on top, without which brains do
not fit; fewer points in the registration.
"""

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt, gaussian_filter
from scipy.stats import rankdata

from tests.bench.main import positive
from trainers.cohorts.phantom import PhantomConfig, ViewedSubject, viewed_subject
from trainers.cohorts.preprocessing import registration
from trainers.cohorts.preprocessing.examination import examine
from trainers.cohorts.preprocessing.fusion import Fused
from trainers.cohorts.preprocessing.nifti import Scan
from trainers.cohorts.preprocessing.registration import Image
from trainers.cohorts.preprocessing.slicing import normalise
from trainers.cohorts.preprocessing.views import ViewedVisit, by_view, examine_views
from trainers.data.arrays import Array
from trainers.data.views import IN_ORDER, NORMAL
from trainers.export import Translator
from trainers.inference import enhance
from trainers.view_inference import enhance_views

SEED = 20270102
"""Of the phantom: another than that of any cohort, and than that on which the fusion was chosen, 20270101."""
GAIN = 30.0
"""Standard deviation (mm) of the window of a smooth gain that is fitted to the truth, where it is said."""
Row = dict[str, float | str]


@dataclass(frozen=True)
class Truth:
    """The true image and brain on their grid."""

    values: Array
    brain: Array
    affine: Array

    def at(self, image: Image, to_image: Array | None = None, order: int = 3) -> Array:
        """An image at the voxels of the truth."""
        like, matrix = Image(self.values, self.affine), np.eye(4) if to_image is None else to_image
        return registration.resample(image, like, matrix, 3 if order == 3 else 1)

    def psnr(self, values: Array) -> float:
        """Of values in [0, 1], in the brain (dB)."""
        error = values.clip(0, 1)[self.brain] - self.values[self.brain]
        return float(-10 * np.log10((error**2).mean()))

    def with_gain(self, values: Array) -> Array:
        """The values times the smooth gain that is nearest to the truth: without a receive field."""
        weight, width = self.brain.astype(np.float32), GAIN / self.affine[0, 0]
        right, square = (gaussian_filter(values * other * weight, width) for other in (self.values, values))
        return np.asarray(values * right / np.maximum(square, 1e-9))

    def auroc(self, values: Array, disagreement: Array) -> float:
        """Of the disagreement for errors of the values above their 90th percentile in the brain."""
        error = np.abs(values.clip(0, 1) - self.values)[self.brain]
        wrong, ranks = error > np.percentile(error, 90), rankdata(disagreement[self.brain])
        count = int(wrong.sum())
        return float((ranks[wrong].sum() - count * (count + 1) / 2) / (count * (len(error) - count)))


def scans_of(subject: ViewedSubject) -> dict[str, list[Scan]]:
    """The views of each contrast, in memory."""
    order = np.array([[0, 1], [1, 1], [2, 1]], float)
    found: dict[str, list[Scan]] = {"T1": [], "T2": []}
    for (view, contrast), scan in subject.scans.items():
        values = scan.volume.values.astype(np.float32)
        found[contrast].append(Scan(Path(f"{view}_{contrast}.nii"), values, scan.volume.affine, order))
    return found


def measured(translator: Translator, subject: ViewedSubject, name: str) -> Iterator[Row]:
    """A row for each contrast."""
    scans = scans_of(subject)
    started = time.process_time()
    enhance(translator, examine({c: each[0] for c, each in scans.items()}, "auto"))
    one = time.process_time() - started
    started = time.process_time()
    visit = examine_views({c: by_view(each) for c, each in scans.items()}, "auto")
    found = enhance_views(translator, visit)
    three = time.process_time() - started
    single = {view: enhance(translator, visit.turned(view)) for view in visit.views}
    for contrast in scans:
        values = (normalise(subject.truth[contrast], subject.brain) + 1) / 2
        truth = Truth(values, subject.brain, subject.affine)
        untouched, alone = {}, {}
        for view in visit.views:
            back, to_view = np.argsort(IN_ORDER[view]), visit.to_view[contrast][view]
            inside = single[view].brain[contrast].transpose(back)
            affine = visit.scans[contrast][view].ras_affine
            for kept, volumes in ((untouched, single[view].untouched), (alone, single[view].volumes)):
                volume = _filled(volumes[contrast].transpose(back), inside, affine)
                kept[view] = truth.at(volume, to_view)
        grid = visit.grid.affine
        scan, own = visit.fused(contrast), found.fused[contrast]
        fused, result, views = (
            truth.at(Image(v, grid))
            for v in (scan.image.values, found.enhanced.volumes[contrast], own.image.values)
        )
        maps = [truth.at(Image(v, grid), order=1) for v in (scan.disagreement, found.disagreement[contrast])]
        faulty = _with_fault(visit, contrast)
        change = np.abs(truth.at(Image(faulty.image.values, grid)) - fused)
        fault = replace(truth, values=np.zeros_like(change)).auroc(
            change, truth.at(Image(faulty.disagreement, grid), order=1)
        )
        yield {
            "subject": name,
            "contrast": contrast,
            **{f"scan {v}": truth.psnr(image) for v, image in untouched.items()},
            "scans fused": truth.psnr(fused),
            **{f"translated {v}": truth.psnr(image) for v, image in alone.items()},
            "translated fused": truth.psnr(views),
            "with detail": truth.psnr(result),
            "with detail, gain fitted": truth.psnr(truth.with_gain(result)),
            "best translated, gain fitted": max(truth.psnr(truth.with_gain(i)) for i in alone.values()),
            "AUROC scans": truth.auroc(fused, maps[0]),
            "AUROC": truth.auroc(result, maps[1]),
            "AUROC, gain fitted": truth.auroc(truth.with_gain(result), maps[1]),
            "AUROC, fault of one view": fault,
            "one view s": one,
            "three views s": three,
        }


def _with_fault(visit: ViewedVisit, contrast: str) -> Fused:
    """The fused scans, had the subject moved during the last view's."""
    view, scan = list(visit.scans[contrast].items())[-1]
    normal, moved = NORMAL[view], scan.values.copy()
    axis = next(axis for axis in (0, 1, 2) if axis != normal)
    third = moved.shape[normal] // 3
    part = tuple(slice(third, 2 * third) if k == normal else slice(None) for k in range(3))
    moved[part] = np.roll(moved[part], 3, axis)
    by = {**visit.scans[contrast], view: replace(scan, values=moved)}
    return replace(visit, scans={contrast: by}).fused(contrast)


def _filled(values: Array, inside: Array, affine: Array) -> Image:
    """Voxels outside the brain take the nearest brain value, so that resampling mixes in no black."""
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    nearest = distance_transform_edt(~inside, spacing, return_distances=False, return_indices=True)
    return Image(values[tuple(nearest)], affine)


def page(rows: Sequence[Row]) -> str:
    """The measures as Markdown: means over subjects, the gains' least, and every subject."""
    lines = ["| measure | T1 | T2 |", "| --- | ---: | ---: |"]
    by = {c: [r for r in rows if r["contrast"] == c] for c in ("T1", "T2")}
    for key in [k for k in rows[0] if k not in ("subject", "contrast")]:
        figures = [np.mean([float(r[key]) for r in by[c]]) for c in by]
        lines.append(f"| {key} | {figures[0]:.3f} | {figures[1]:.3f} |")
    for label, kind, fused in (
        ("scans", "scan ", "scans fused"),
        ("translated", "translated ", "with detail"),
    ):
        gains = {c: [float(r[fused]) - _best(r, kind) for r in by[c]] for c in by}
        text = " | ".join(f"{np.mean(g):+.2f} (least {min(g):+.2f})" for g in gains.values())
        lines.append(f"| **{label}: fused minus best view (dB)** | {text} |")
    ratio = np.mean([float(r["three views s"]) / float(r["one view s"]) for r in rows])
    lines.append(f"| **time of three views over one** | {ratio:.2f} | {ratio:.2f} |")
    return "\n".join(lines) + "\n"


def _best(row: Mapping[str, float | str], kind: str) -> float:
    return max(float(row[kind + view]) for view in IN_ORDER)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure subject after subject; the page is written after each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", type=Path, required=True, help="folder of an exported translator")
    parser.add_argument("--subjects", type=positive, default=8, help="default: 8")
    parser.add_argument("--out", type=Path, default=Path("docs/evidence/views.md"))
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    translator, rows = Translator.open(options.model), list[Row]()
    config = PhantomConfig(seed=SEED, test=options.subjects)
    for index in range(options.subjects):
        name = f"test-{index:04d}"
        rows += measured(translator, viewed_subject(config, name), name)
        said = " ".join((__doc__ or "").partition("Written down")[2].split())
        head = (
            f"# Three views against one\n\nPhantom seed {SEED}, {index + 1} test subjects, 2 mm. "
            f"`python -m tests.bench.views --model FOLDER --subjects {index + 1}` computes this page; "
            f"seconds are of a processor.\n\n"
            f"Written down{' ' + said}\n\n"
        )
        options.out.write_text(head + page(rows), "utf-8")
        print(*(row for row in rows[-2:]), sep="\n", flush=True)


if __name__ == "__main__":
    main()
