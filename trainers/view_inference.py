"""Translation of a visit with several views: each in its own plane, then fused.

The translated views determine the contrast of the result and the fused scans its detail: where the model has
drawn structure into a thick slice that no other view supports, the scans' own is kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from trainers.cohorts.preprocessing import slicing
from trainers.cohorts.preprocessing.fusion import Fused
from trainers.cohorts.preprocessing.guided import guided
from trainers.cohorts.preprocessing.views import ViewedVisit
from trainers.data.arrays import Array
from trainers.data.views import IN_ORDER, View
from trainers.export import Translator
from trainers.inference import Enhanced, consistency, enhance


@dataclass(frozen=True)
class EnhancedViews:
    """A translated visit with several views, on its isotropic grid."""

    enhanced: Enhanced
    """As of one view; ``untouched`` are the fused scans."""
    disagreement: Mapping[str, Array]
    """Weighted standard deviation of the translated views about their fusion, [X, Y, Z], 0 outside the brain
    (in the units of the volumes)."""
    fused: Mapping[str, Fused]
    """Of the translated views."""


def enhance_views(translator: Translator, visit: ViewedVisit) -> EnhancedViews:
    """Translate every view in slices of its own plane, and fuse; raises InputError where one does not fit."""
    translated: dict[str, dict[View, tuple[Array, Array]]] = {contrast: {} for contrast in visit.scans}
    for view in visit.views:
        back, found = np.argsort(IN_ORDER[view]), enhance(translator, visit.turned(view))
        for contrast, volume in found.volumes.items():
            translated[contrast][view] = volume.transpose(back), found.brain[contrast].transpose(back)
    untouched = {c: np.where(visit.brain, visit.fused(c).image.values, 0).clip(0, 1) for c in visit.scans}
    fused = {c: visit.fused(c, volumes) for c, volumes in translated.items()}
    spacing, guides = float(visit.grid.spacing[0]), list(untouched.values())
    volumes = {
        c: np.where(visit.brain, guided(each.image.values, guides, visit.brain, spacing), 0).clip(0, 1)
        for c, each in fused.items()
    }
    figures = {c: _consistency(volumes[c], untouched[c], visit.brain) for c in volumes}
    enhanced = Enhanced(volumes, {}, dict.fromkeys(volumes, visit.brain), untouched, figures)
    spread = {c: np.where(visit.brain, each.disagreement, 0) for c, each in fused.items()}
    return EnhancedViews(enhanced, spread, fused)


def _consistency(output: Array, source: Array, brain: Array) -> dict[str, float]:
    """Of the axial slices that hold brain."""
    levels = brain.any((0, 1))
    slices, inputs, inside = (
        torch.from_numpy(slicing.axial(each[:, :, levels].astype(np.float32)))
        for each in (2 * output - 1, 2 * source - 1, brain)
    )
    return consistency(slices, inputs, inside > 0)
