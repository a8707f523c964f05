"""Measures in addition to the published ones: tissue agreement, hallucination, through-plane consistency."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import torch
from torch import Tensor

from trainers.metrics.edges import unsupported
from trainers.metrics.plausibility import input_residual, slice_shift, through_plane_change
from trainers.metrics.tissue import TISSUES, agreement

Images = Mapping[str, Tensor]
"""Slices [N, H, W] in [0, 1], 0 outside the brain, of "T1", "T2" or both."""


@dataclass(frozen=True)
class Measure:
    """How a measure is shown."""

    label: str
    """Its name in tables and pictures."""
    direction: str
    """``minimize``, ``maximize``, or ``none``: to be compared with the 3 T's own value."""
    meaning: str
    paired: bool
    """Whether it needs the subject's 3 T."""


def _tissues(name: str, label: str, short: str, meaning: str) -> dict[str, Measure]:
    """The mean over tissues, then each of them under the ``short`` label."""
    mean = Measure(label, "maximize", f"{meaning}, mean of the tissues", True)
    return {name: mean} | {
        f"{name}_{tissue}": Measure(
            f"{short} {tissue.upper()}", "maximize", f"{meaning}, {tissue.upper()}", True
        )
        for tissue in TISSUES
    }


MEASURES: Mapping[str, Measure] = MappingProxyType(
    _tissues("dice", "Dice", "Dice", "overlap with the tissue of the paired 3 T, both segmented by intensity")
    | _tissues("nsd", "NSD 2 mm", "NSD", "share of tissue boundaries within 2 mm of those in the paired 3 T")
    | {
        "edges_unsupported_by_3t": Measure(
            "edges not in the 3 T",
            "minimize",
            "share of the output's edges farther than 2 mm from any edge of the paired 3 T",
            True,
        ),
        "edges_missed": Measure(
            "3 T edges missed",
            "minimize",
            "share of the edges of the paired 3 T farther than 2 mm from any edge of the output",
            True,
        ),
        "edges_unsupported_by_input": Measure(
            "edges not in the input",
            "none",
            "share of the output's edges farther than 2 mm from any edge of the 64 mT input; "
            "not 0 for the 3 T, which shows more than the input",
            False,
        ),
        "input_consistency": Measure(
            "input unexplained",
            "none",
            "share of the input (standard deviations) that the output, blurred to its resolution, gain and "
            "offset fitted, leaves unexplained; not 0 for the 3 T, whose contrast differs",
            False,
        ),
        "through_plane": Measure(
            "through-plane change",
            "none",
            "mean absolute change from slice to slice in units of the image's deviation, over the input's: "
            "absolute logarithm of the ratio, 0 = as the input",
            False,
        ),
        "slice_shift": Measure(
            "slice flicker",
            "none",
            "deviation over slices of the change in mean intensity, in the same units and form",
            False,
        ),
    }
)
"""Every extended measure in the order of a table."""
EXTENDED = {name: measure.direction for name, measure in MEASURES.items()}
"""Every extended measure with its direction."""


def extended_measures(
    output: Images,
    source: Images,
    truth: Images | None,
    mask: Tensor,
    subjects: Sequence[tuple[int, int]],
    spacing: float,
) -> dict[str, Tensor]:
    """Each extended measure per subject: [S], float64, NaN for a subject that has no such value.

    ``mask`` [N, H, W] is the brain in the source, ``subjects`` are rows (start, stop), inferior to superior,
    ``spacing`` is in the plane (mm); the contrasts are those of ``output``. Without ``truth`` the paired
    measures are left out. With it, only pixels of both brains count; the 3 T's is where it is not black.
    A subject whose output is not finite has NaN throughout.
    """
    names = [name for name, measure in MEASURES.items() if truth is not None or not measure.paired]
    rows = []
    for start, stop in subjects:
        own, given = (_rows(images, output, start, stop) for images in (output, source))
        scores = dict.fromkeys(names, torch.tensor(torch.nan))
        if all(image.isfinite().all() for image in own.values()):
            scores |= _against_input(own, given, mask[start:stop], spacing)
            if truth is not None:
                real = _rows(truth, output, start, stop)
                scores |= _against_truth(real, own, mask[start:stop], spacing)
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
    """The measures of one subject against its 3 T."""
    region = mask & torch.stack([image > 0 for image in truth.values()]).any(0)
    return agreement(output, truth, region, spacing) | {
        "edges_unsupported_by_3t": unsupported(output, truth, region, spacing),
        "edges_missed": unsupported(truth, output, region, spacing),
    }
