"""``translate --check``: what has vanished of a scan's lesions, or appeared: listed and drawn."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from platform.reporting import outlines
from platform.reporting.outlines import Outlined
from platform.translation import derivatives
from typing import Any

import numpy as np

from trainers.inference import Enhanced, Working
from trainers.metrics.lesion_check import Region, Report, compare

DRAWN = 6
"""Regions that are drawn, the largest first."""
AXES = (("left", "right"), ("posterior", "anterior"), ("inferior", "superior"))
UNITS = "ml; mm in the RAS coordinates of the first scan; contrasts in the output's 0 to 1"


@dataclass(frozen=True)
class Checked:
    """The comparison of a translated visit, on the grid on which it was translated."""

    report: Report
    working: Working

    @classmethod
    def of(cls, enhanced: Enhanced) -> "Checked":
        """Compare a visit's output with its input."""
        working = enhanced.working
        assert working is not None
        report = compare(working.before, working.after, working.brain, working.spacing)
        return cls(report, working)

    def lines(self) -> list[str]:
        """For the screen: what stands out, then each region that vanished or appeared."""
        count, kinds = len(self.report.standing), [region.kind for region in self.report.changed]
        kept = f", median contrast kept {self.report.kept:.0%}" if count else ""
        changed = f"{kinds.count('vanished')} vanished, {kinds.count('appeared')} appeared"
        found = "1 region stands out" if count == 1 else f"{count} regions stand out"
        head = f"check: {found} in the scan{kept}; {changed}"
        return [head, *(f"check: {line}" for line in self.warnings())]

    def warnings(self) -> list[str]:
        """A sentence for each region that vanished or appeared."""
        return [self.sentence(region) for region in self.report.changed]

    def sentence(self, region: Region) -> str:
        """``a region of 0.8 ml at x -23, y 14, z 31 mm (left, anterior, superior) lost 83 % ...``."""
        x, y, z = self.working.point(region.place)
        where = f"a region of {region.ml:.1f} ml at x {x:.0f}, y {y:.0f}, z {z:.0f} mm ({self.side(region)})"
        levels = ", ".join(f"{c} {region.shown[c]:+.2f} to {region.other[c]:+.2f}" for c in region.shown)
        if region.kind == "vanished":
            return f"{where} lost {min(1 - region.kept, 1):.0%} of its contrast ({levels})"
        return f"{where} appeared: the scan has {max(region.kept, 0):.0%} of its contrast ({levels})"

    def side(self, region: Region) -> str:
        """Where a region is from the brain's middle, e.g. ``left, anterior, superior``."""
        middle = self.working.point(np.argwhere(self.working.brain).mean(0))
        offsets = self.working.point(region.place) - middle
        return ", ".join(pair[int(offset > 0)] for pair, offset in zip(AXES, offsets, strict=True))

    def facts(self) -> dict[str, Any]:
        """The sidecar's block."""
        known, changed = bool(self.report.standing), self.report.changed
        return {
            "standing_out": len(self.report.standing),
            "median_contrast_kept": round(self.report.kept, 3) if known else None,
            "median_extent_kept": round(self.report.extent, 3) if known else None,
            **{
                kind: [self._entry(r) for r in changed if r.kind == kind] for kind in ("vanished", "appeared")
            },
            "units": UNITS,
        }

    def draw(self, work: Path, prefix: str) -> Path | None:
        """Draw what changed; the picture's place below ``work``, none where nothing did."""
        if not self.report.changed:
            return None
        path = derivatives.place(prefix, "figures") / f"{prefix}_{derivatives.CHECK}.png"
        largest = sorted(self.report.changed, key=lambda region: -region.ml)[:DRAWN]
        more = len(self.report.changed) - len(largest)
        title = "Orange: vanished; blue: appeared" + (f"; {more} smaller ones not drawn" if more else "")
        outlines.draw([self._row(region) for region in largest], work / path, title)
        return path

    def _row(self, region: Region) -> list[Outlined]:
        """The slice with most of a region, of each contrast before and after."""
        level = int(region.mask.sum((1, 2)).argmax())
        return [
            Outlined(f"{contrast} {name}", images[contrast][level], {region.kind: region.mask[level]})
            for contrast in self.working.before
            for name, images in (("input", self.working.before), ("output", self.working.after))
        ]

    def _entry(self, region: Region) -> Mapping[str, Any]:
        return {
            "ml": round(region.ml, 2),
            "mm": [round(float(v), 1) for v in self.working.point(region.place)],
            "side": self.side(region),
            "contrast_kept": round(region.kept, 3),
            "contrast": {c: round(v, 3) for c, v in region.shown.items()},
            "contrast_in_the_other": {c: round(v, 3) for c, v in region.other.items()},
        }
