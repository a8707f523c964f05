"""The scores that a trial reports per refinement step count."""

import math
from collections.abc import Iterable, Sequence

from trainers.errors import InputError
from trainers.metrics.measures import EXTENDED, MEASURES

VERSION = 3
"""Of the measures: saved with every study, comparison and report; scores of two versions never compare.

1: the encoders saw the network's own third channel; PSNR and MS-SSIM were those of whole slices; neither
positions nor patches were compared. 2: before its release; ``patch_fd`` had other units.
"""
MEASURABLE = (1, VERSION)
"""Versions by which a saved study can be continued."""
REALISM = dict.fromkeys(
    (
        *("fid", "fid_infinity", "fid_spatial", "kid", "rad_fid", "piqe"),
        *("patch_fd", "patch_texture", "patch_place", "patch_symmetry"),
    ),
    "minimize",
)
"""Scores that need no pairs, with the direction in which each is better."""
NEEDS_RADIMAGENET = (
    "is measured in RadImageNet's ResNet-50; allowed: with references: {radimagenet: its file}"
)
"""Why ``rad_fid`` is refused."""
FIDELITY = {
    "psnr": "maximize",
    "ms_ssim": "maximize",
    "psnr_slice": "maximize",
    "ms_ssim_slice": "maximize",
}
"""Scores against the subject's own 3 T, in the brain of both or, ``_slice``, of whole slices: of each
contrast, and their mean."""
METRICS = {
    **REALISM,
    **{name + end: better for name, better in FIDELITY.items() for end in ("", "_t1", "_t2")},
    "seconds_per_volume": "minimize",
}
"""Every score with the direction in which it is better; without contrast, the mean of both."""
OBJECTIVES = {**METRICS, **{name: better for name, better in EXTENDED.items() if better != "none"}}
"""What a study may search for: the extended measures are computed where one of them is asked for."""
CONSTRAINABLE = {**METRICS, **EXTENDED}
"""What a study may set bounds for."""


def require_measurable_version(version: int, study: str) -> None:
    """Raises InputError for a study whose measures this code does not have."""
    if version not in MEASURABLE:
        allowed = " and ".join(str(known) for known in MEASURABLE)
        raise InputError(
            f"{study}: scored by version {version} of the measures, which is no longer computed; "
            f"allowed: {allowed}; start a new study, which may start from this one"
        )


def score_names(contrasts: Sequence[str], paired: bool, radiology: bool) -> tuple[str, ...]:
    """The scores of outputs with these contrasts.

    ``paired``: whether subjects were scanned at 3 T too; ``radiology``: whether there is Rad-FID's encoder.
    """
    realism = [name for name in REALISM if radiology or name != "rad_fid"]
    compared = [name for kind in FIDELITY for name in (kind, *(f"{kind}_{c.lower()}" for c in contrasts))]
    extended = [name for name, measure in MEASURES.items() if paired or not measure.paired]
    return (*realism, *(compared if paired else ()), *extended)


BASELINES = {
    "input": "untouched input",
    "matched": "histogram-matched input",
    "restored": "closed-form restoration (no pairs)",
    "lookup": "joint lookup (bound, from pairs)",
    "supervised": "supervised network (bound, from pairs)",
}
"""What is scored beside the candidates, with its label; see :mod:`trainers.metrics.baselines`."""


def value_range(name: str) -> tuple[float, float]:
    """Least and greatest possible value of a score, infinite where there is none."""
    if name == "piqe":
        return 0.0, 100.0
    if name in ("kid", "fid_infinity") or name.startswith("psnr"):
        return -math.inf, math.inf
    if CONSTRAINABLE[name] == "maximize":
        return 0.0 if name.startswith("ms_ssim") else -math.inf, 1.0
    return 0.0, math.inf


def any_extended(names: Iterable[str]) -> bool:
    """Whether one of the names is an extended measure."""
    return not EXTENDED.keys().isdisjoint(names)
