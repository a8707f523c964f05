"""The picture of a translated visit: which panels, on which scales."""

from platform.reporting.before_after import CHANGE, INPUT, OUTPUT, REFERENCE, SPREAD, picture

import numpy as np
import pytest


def test_a_row_shows_every_kind_on_a_scale_of_its_own() -> None:
    rng = np.random.default_rng(0)
    before, after, spread = rng.random((3, 60, 50))
    full = {INPUT: before, OUTPUT: after, SPREAD: 0.02 * spread, REFERENCE: after}
    drawn = picture([("T1 axial", full), ("T1 coronal", {INPUT: before, OUTPUT: before})], "sub-01, model")
    panels = {ax.get_title(): ax.images[0] for ax in drawn.axes if ax.images and ax.get_title()}
    kinds = (INPUT, OUTPUT, CHANGE, SPREAD, REFERENCE)
    second = [f"T1 coronal: {kind}" for kind in (INPUT, OUTPUT, CHANGE)]
    assert list(panels) == [f"T1 axial: {kind}" for kind in kinds] + second
    end = np.percentile(np.abs(after - before), 99.5)
    assert panels[f"T1 axial: {CHANGE}"].get_clim() == pytest.approx((-end, end))
    assert panels[f"T1 coronal: {CHANGE}"].get_clim() == pytest.approx((-end, end))
    assert panels[f"T1 axial: {SPREAD}"].get_clim()[1] == pytest.approx(0.02 * np.percentile(spread, 99.5))
    assert panels[f"T1 axial: {REFERENCE}"].get_clim() == (0, 1)
    np.testing.assert_array_equal(panels[f"T1 axial: {CHANGE}"].get_array(), after - before)
    assert drawn.get_suptitle() == "sub-01, model"
