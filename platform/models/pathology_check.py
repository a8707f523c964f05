"""``translate --check``: what has vanished of a scan's lesions, or appeared: listed and drawn."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from platform.models import derivatives
from platform.reporting import outlines
from platform.reporting.outlines import Outlined
from typing import Any

import numpy as np

from trainers.data.arrays import Array
from trainers.inference import Working
from trainers.metrics import lesion_check
from trainers.metrics.lesion_check import Region, Report

DRAWN = 6
"""Regions that are drawn, the largest first."""
NAME = "desc-check"


def check(working: Working) -> Report:
    """The comparison of a translated visit, on the grid on which it was translated."""
    return lesion_check.compare(working.before, working.after, working.brain, working.spacing)


def lines(report: Report, working: Working) -> list[str]:
    """For the screen: a line for what stands out, then one for each region that vanished or appeared."""
    count = len(report.standing)
    kept = f", median contrast kept {report.kept:.0%}" if count else ""
    head = f"check: {count} regions stand out in the scan{kept}; {_counts(report)}"
    return [head, *(f"check: {sentence(region, working)}" for region in report.changed)]


def sentence(region: Region, working: Working) -> str:
    """``0.8 ml at x -23, y 14, z 31 mm (left, anterior, superior) lost 83 % of its contrast (T2 ...)``."""
    x, y, z = working.point(region.place)
    where = f"{region.ml:.1f} ml at x {x:.0f}, y {y:.0f}, z {z:.0f} mm ({side(region, working)})"
    levels = ", ".join(f"{c} {region.before[c]:+.2f} to {region.after[c]:+.2f}" for c in region.before)
    if region.kind == "vanished":
        return f"a region of {where} lost {1 - region.kept:.0%} of its contrast ({levels})"
    return f"a region of {where} appeared, of which the scan shows {max(region.kept, 0):.0%} ({levels})"


def side(region: Region, working: Working) -> str:
    """Where a region is from the brain's middle, e.g. ``left, anterior, superior``."""
    middle = working.point(np.argwhere(working.brain).mean(0))
    pairs = (("left", "right"), ("posterior", "anterior"), ("inferior", "superior"))
    offsets = working.point(region.place) - middle
    return ", ".join(pair[int(offset > 0)] for pair, offset in zip(pairs, offsets, strict=True))


def facts(report: Report, working: Working) -> dict[str, Any]:
    """The sidecar's block."""
    return {
        "standing_out": len(report.standing),
        "median_contrast_kept": round(report.kept, 3) if report.standing else None,
        "median_extent_kept": round(report.extent, 3) if report.standing else None,
        "vanished": [_entry(r, working) for r in report.changed if r.kind == "vanished"],
        "appeared": [_entry(r, working) for r in report.changed if r.kind == "appeared"],
        "units": "ml; mm in the RAS coordinates of the first scan; contrasts in the output's [0, 1]",
    }


def draw(report: Report, working: Working, work: Path, prefix: str) -> Path | None:
    """Draw the regions on input and output; the picture's place below ``work``, none without regions."""
    if not report.changed:
        return None
    path = derivatives.place(prefix, "figures") / f"{prefix}_{NAME}.png"
    largest = sorted(report.changed, key=lambda region: -region.ml)[:DRAWN]
    left = len(report.changed) - len(largest)
    title = "Orange: vanished in the output; blue: appeared" + (f"; {left} more not drawn" if left else "")
    outlines.draw([rows(region, working) for region in largest], work / path, title)
    return path


def rows(region: Region, working: Working) -> Sequence[Outlined]:
    """A region's middle slice in each contrast, input and output."""
    level = int(np.bincount(np.argwhere(region.mask)[:, 0]).argmax())
    pictures: list[tuple[str, Array]] = []
    for contrast in working.before:
        pictures.append((f"{contrast} input", working.before[contrast][level]))
        pictures.append((f"{contrast} output", working.after[contrast][level]))
    colour = outlines.COLOURS[region.kind]
    return [Outlined(name, image, region.mask[level], colour) for name, image in pictures]


def _counts(report: Report) -> str:
    kinds = [region.kind for region in report.changed]
    return f"{kinds.count('vanished')} vanished, {kinds.count('appeared')} appeared"


def _entry(region: Region, working: Working) -> Mapping[str, Any]:
    return {
        "ml": round(region.ml, 2),
        "mm": [round(float(v), 1) for v in working.point(region.place)],
        "side": side(region, working),
        "contrast_kept": round(region.kept, 3),
        "input": {c: round(v, 3) for c, v in region.before.items()},
        "output": {c: round(v, 3) for c, v in region.after.items()},
    }
