"""The measures of :mod:`trainers.metrics.measures`, computed per subject."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trainers.metrics import image_scores
from trainers.metrics.edges import Edges, edges, unsupported
from trainers.metrics.lesions import Part, kept
from trainers.metrics.measures import LESIONS, MEASURES
from trainers.metrics.plausibility import change, input_residual, shift
from trainers.metrics.sharpness import gradient_energy
from trainers.metrics.tissue import agreement, tissue_masks

Images = Mapping[str, Tensor]
"""Slices [N, H, W] in [0, 1], 0 outside the brain, of "T1", "T2" or both."""


@dataclass(frozen=True, eq=False)
class Outline:
    """What the images of one subject show in a region, whatever they are compared with; by contrast."""

    edges: Mapping[str, Edges]
    changes: Mapping[str, Tensor]
    shifts: Mapping[str, Tensor]

    @classmethod
    def of(cls, images: Images, region: Tensor, spacing: float) -> "Outline":
        """Of slices [n, H, W] in ``region`` [n, H, W]."""
        return cls(
            {c: edges(image, region, spacing) for c, image in images.items()},
            {c: change(image, region) for c, image in images.items()},
            {c: shift(image, region) for c, image in images.items()},
        )


@dataclass(frozen=True, eq=False)
class Anatomy:
    """The same and, in the brain at both fields, the tissues [n, 3, H, W] and the gradients' energy."""

    outline: Outline
    tissues: Tensor
    energies: Mapping[str, Tensor]

    @classmethod
    def of(cls, images: Images, region: Tensor, spacing: float) -> "Anatomy":
        """Of slices [n, H, W] in ``region`` [n, H, W]."""
        energies = {c: gradient_energy(image, region) for c, image in images.items()}
        return cls(Outline.of(images, region, spacing), tissue_masks(images, region), energies)


@dataclass(frozen=True, eq=False)
class Subject:
    """One subject's rows, brains and lesions, and what its input and 3 T show, found once for all outputs."""

    rows: slice
    mask: Tensor
    """[n, H, W] bool, the brain in the input."""
    region: Tensor
    """[n, H, W] bool, the brain at both fields; that of the input without a 3 T."""
    spacing: float
    lesions: Sequence[Part] | None
    source: Outline
    truth: Anatomy | None


def prepare_subjects(
    source: Images,
    truth: Images | None,
    mask: Tensor,
    region: Tensor,
    subjects: Sequence[tuple[int, int]],
    spacing: float,
    lesions: Sequence[Sequence[Part]] | None = None,
) -> list[Subject]:
    """What :func:`extended_measures` needs to know of every subject.

    ``mask`` [N, H, W] is the brain in the source, ``region`` [N, H, W] that at both fields; ``subjects`` are
    rows (start, stop), inferior to superior; ``spacing`` is in the plane (mm); ``lesions`` of each subject.
    """
    found = []
    for i, (start, stop) in enumerate(subjects):
        rows = slice(start, stop)
        inside = mask[rows], mask[rows] if truth is None else region[rows]
        known = Outline.of(_cut(source, rows), inside[0], spacing)
        real = None if truth is None else Anatomy.of(_cut(truth, rows), inside[1], spacing)
        found.append(Subject(rows, *inside, spacing, lesions[i] if lesions else None, known, real))
    return found


def extended_measures(
    output: Images, source: Images, truth: Images | None, subjects: Sequence[Subject]
) -> dict[str, Tensor]:
    """Each extended measure per subject: [S], float64, NaN for a subject that has no such value.

    The contrasts of all images are the same, source and truth those of which ``subjects`` were prepared.
    Without ``truth`` the paired measures are left out, and without lesions those of lesions. A subject whose
    output is not finite has NaN throughout.
    """
    names = [
        name
        for name, measure in MEASURES.items()
        if (truth is not None or not measure.paired)
        and (all(subject.lesions is not None for subject in subjects) or name not in LESIONS)
    ]
    rows = []
    for subject in subjects:
        own, given = (_cut(images, subject.rows) for images in (output, source))
        scores = dict.fromkeys(names, torch.tensor(torch.nan))
        if all(image.isfinite().all() for image in own.values()):
            scores |= _against_input(own, given, subject)
            if truth is not None:
                real = _cut(truth, subject.rows)
                scores |= _against_truth(own, real, subject)
                scores |= {} if subject.lesions is None else kept(own, real, subject.lesions)
        rows.append(scores)
    return {name: torch.stack([scores[name].double() for scores in rows]) for name in names}


def _cut(images: Images, rows: slice) -> dict[str, Tensor]:
    return {contrast: image[rows] for contrast, image in images.items()}


def _against_input(output: Images, source: Images, subject: Subject) -> dict[str, Tensor]:
    """The measures of one subject that need only the input; means over contrasts."""
    mask, spacing, own = subject.mask, subject.spacing, Outline.of(output, subject.mask, subject.spacing)
    residuals = [input_residual(image, source[c], mask, spacing) for c, image in output.items()]
    return {
        "input_consistency": torch.stack(residuals).mean(),
        "through_plane": _deviation(own.changes, subject.source.changes),
        "slice_shift": _deviation(own.shifts, subject.source.shifts),
        "edges_unsupported_by_input": unsupported(own.edges, subject.source.edges, spacing),
    }


def _against_truth(output: Images, truth: Images, subject: Subject) -> dict[str, Tensor]:
    """The measures of one subject against its 3 T; means over contrasts."""
    region, spacing, real = subject.region, subject.spacing, subject.truth
    assert real is not None
    own = Anatomy.of(output, region, spacing)
    scores = [image_scores.scores(image, truth[c], region) for c, image in output.items()]
    means = {name: torch.stack([each[name] for each in scores]).mean() for name in scores[0]}
    return (
        agreement(own.tissues, real.tissues, spacing)
        | means
        | {
            "gradient_energy": _deviation(own.energies, real.energies),
            "through_plane_error": _deviation(own.outline.changes, real.outline.changes),
            "slice_shift_error": _deviation(own.outline.shifts, real.outline.shifts),
            "edges_unsupported_by_3t": unsupported(own.outline.edges, real.outline.edges, spacing),
            "edges_missed": unsupported(real.outline.edges, own.outline.edges, spacing),
        }
    )


def _deviation(values: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> Tensor:
    """Mean over contrasts of the absolute logarithm of their ratio."""
    return torch.stack([(value / expected[c]).log().abs() for c, value in values.items()]).mean()
