"""Measures in addition to the published ones: what each means, and in which direction it is better.

Without torch: a space's objectives and constraints are checked against these names.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

TISSUES = ("csf", "gm", "wm")


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


def _tissues(name: str, label: str, short: str, direction: str, meaning: str) -> dict[str, Measure]:
    """The mean over tissues, then each of them under the ``short`` label."""
    mean = Measure(label, direction, f"{meaning}, mean of the tissues", True)
    return {name: mean} | {
        f"{name}_{tissue}": Measure(
            f"{short} {tissue.upper()}", direction, f"{meaning}, {tissue.upper()}", True
        )
        for tissue in TISSUES
    }


MEASURES: Mapping[str, Measure] = MappingProxyType(
    {
        "ulf_enc": Measure(
            "ULF-EnC score",
            "maximize",
            "the ULF-EnC challenge 2025's: .7 SSIM + .1 PSNR / 32 + .1 (1 - MAE) + .1 (1 - NMSE)",
            True,
        ),
        "ssim": Measure("SSIM", "maximize", "structural similarity of one scale in the brain", True),
        "nrmse": Measure("nRMSE", "minimize", "root mean square error in the brain over the 3 T's own", True),
    }
    | _tissues(
        "dice",
        "Dice",
        "Dice",
        "maximize",
        "overlap with the tissue of the paired 3 T, both segmented by intensity",
    )
    | _tissues(
        "nsd",
        "NSD 2 mm",
        "NSD",
        "maximize",
        "share of tissue boundaries within 2 mm of those in the paired 3 T",
    )
    | _tissues(
        "volume_error",
        "volume error",
        "volume error",
        "minimize",
        "difference of a tissue's volume from the 3 T's, relative",
    )
    | {
        "gradient_energy": Measure(
            "gradient energy error",
            "minimize",
            "mean squared gradient in the brain over the paired 3 T's: absolute logarithm, 0 = as sharp",
            True,
        ),
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
        "lesion_contrast": Measure(
            "lesion contrast error",
            "minimize",
            "difference of a lesion to the white matter around it, against that in the paired 3 T, relative: "
            "0 = kept, 1 = lost",
            True,
        ),
        "lesion_extent": Measure(
            "lesion extent",
            "maximize",
            "overlap (Dice) of a lesion's extent, beyond half its height, with that found in the paired 3 T",
            True,
        ),
        "through_plane_error": Measure(
            "through-plane error",
            "minimize",
            "through-plane change, in units of the image's deviation, against the paired 3 T's own: absolute "
            "logarithm of the ratio",
            True,
        ),
        "slice_shift_error": Measure(
            "slice flicker error",
            "minimize",
            "slice flicker against the paired 3 T's own, in the same form",
            True,
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
LESIONS = ("lesion_contrast", "lesion_extent")
"""Those that need a map of lesions, which only some cohorts have."""
EXTENDED = {name: measure.direction for name, measure in MEASURES.items()}
"""Every extended measure with its direction."""
