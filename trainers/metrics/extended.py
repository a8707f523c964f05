"""The measures of :mod:`trainers.metrics.measures`, computed per subject."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from trainers.metrics import image_scores
from trainers.metrics.edges import unsupported
from trainers.metrics.lesions import Part, kept
from trainers.metrics.measures import LESIONS, MEASURES
from trainers.metrics.plausibility import input_residual, slice_shift, through_plane_change
from trainers.metrics.sharpness import gradient_energy
from trainers.metrics.tissue import agreement

Images = Mapping[str, Tensor]
"""Slices [N, H, W] in [0, 1], 0 outside the brain, of "T1", "T2" or both."""


def extended_measures(
    output: Images,
    source: Images,
    truth: Images | None,
    mask: Tensor,
    subjects: Sequence[tuple[int, int]],
    spacing: float,
    lesions: Sequence[Sequence[Part]] | None = None,
) -> dict[str, Tensor]:
    """Each extended measure per subject: [S], float64, NaN for a subject that has no such value.

    ``mask`` [N, H, W] is the brain in the source, ``subjects`` are rows (start, stop), inferior to superior,
    ``spacing`` is in the plane (mm); the contrasts are those of ``output``. Without ``truth`` the paired
    measures are left out, and theirs without ``lesions``, those of each subject. With a truth, only pixels of
    both brains count; the 3 T's is where it is not black. A subject whose output is not finite has NaN
    throughout.
    """
    names = [
        name
        for name, measure in MEASURES.items()
        if (truth is not None or not measure.paired) and (lesions is not None or name not in LESIONS)
    ]
    rows = []
    for i, (start, stop) in enumerate(subjects):
        own, given = (_rows(images, output, start, stop) for images in (output, source))
        scores = dict.fromkeys(names, torch.tensor(torch.nan))
        if all(image.isfinite().all() for image in own.values()):
            scores |= _against_input(own, given, mask[start:stop], spacing)
            if truth is not None:
                real = _rows(truth, output, start, stop)
                scores |= _against_truth(real, own, mask[start:stop], spacing)
                scores |= {} if lesions is None else kept(own, real, lesions[i])
        rows.append(scores)
    return {name: torch.stack([scores[name].double() for scores in rows]) for name in names}


def _rows(images: Images, contrasts: Iterable[str], start: int, stop: int) -> dict[str, Tensor]:
    return {contrast: images[contrast][start:stop] for contrast in contrasts}


def _against_input(output: Images, source: Images, mask: Tensor, spacing: float) -> dict[str, Tensor]:
    """The measures of one subject that need only the input; means over contrasts."""
    by_contrast: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
        "input_consistency": partial(input_residual, spacing=spacing),
        "through_plane": lambda *images: through_plane_change(*images).log().abs(),
        "slice_shift": lambda *images: slice_shift(*images).log().abs(),
    }
    means = {
        name: torch.stack([measure(image, source[c], mask) for c, image in output.items()]).mean()
        for name, measure in by_contrast.items()
    }
    return means | {"edges_unsupported_by_input": unsupported(output, source, mask, spacing)}


def _against_truth(truth: Images, output: Images, mask: Tensor, spacing: float) -> dict[str, Tensor]:
    """The measures of one subject against its 3 T; means over contrasts."""
    region = mask & torch.stack([image > 0 for image in truth.values()]).any(0)
    by_contrast: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
        "ulf_enc": image_scores.ulf_enc,
        "ssim": image_scores.ssim,
        "nrmse": image_scores.nrmse,
        "gradient_energy": lambda x, y, inside: (
            (gradient_energy(x, inside) / gradient_energy(y, inside)).log().abs()
        ),
        "through_plane_error": lambda *images: through_plane_change(*images).log().abs(),
        "slice_shift_error": lambda *images: slice_shift(*images).log().abs(),
    }
    means = {
        name: torch.stack([measure(image, truth[c], region) for c, image in output.items()]).mean()
        for name, measure in by_contrast.items()
    }
    return (
        agreement(output, truth, region, spacing)
        | means
        | {
            "edges_unsupported_by_3t": unsupported(output, truth, region, spacing),
            "edges_missed": unsupported(truth, output, region, spacing),
        }
    )
