"""The scores that a trial reports per refinement step count."""

from collections.abc import Sequence

REALISM = {"fid": "minimize", "kid": "minimize", "rad_fid": "minimize", "piqe": "minimize"}
"""Scores that need no pairs, with the direction in which each is better."""
FIDELITY = {
    "psnr": "maximize",
    "ms_ssim": "maximize",
}
"""Scores against the subject's own 3 T: of each contrast, and their mean."""
METRICS = {
    **REALISM,
    **{name + end: better for name, better in FIDELITY.items() for end in ("", "_t1", "_t2")},
    "seconds_per_volume": "minimize",
}
"""Every score with the direction in which it is better; without contrast, the mean of both."""


def score_names(contrasts: Sequence[str], paired: bool) -> tuple[str, ...]:
    """The scores of outputs with these contrasts; ``paired``: whether subjects were scanned at 3 T too."""
    compared = [name for kind in FIDELITY for name in (kind, *(f"{kind}_{c.lower()}" for c in contrasts))]
    return (*REALISM, *(compared if paired else ()))
