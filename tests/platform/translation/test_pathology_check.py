"""What ``translate --check`` says, keeps and draws of a ball that is gone, or of one that is new."""

from pathlib import Path
from platform.translation.pathology_check import Checked

import numpy as np
import pytest

from tests.trainers.metrics.balls import (
    BRAIN,
    CENTRE,
    SHAPE,
    SPACING,
    ball,
    lesioned,
    mapped,
    scanned,
    tissue,
)
from trainers.cohorts.preprocessing.frame import Frame
from trainers.data.grid import Grid
from trainers.inference import Enhanced, Working

SLICES, ROWS, COLUMNS = SHAPE
AFFINE = np.array([[2.0, 0, 0, -63], [0, 2, 0, -50], [0, 0, 5, -12], [0, 0, 0, 1]])
FRAME = Frame(
    (COLUMNS, ROWS, SLICES), AFFINE, ((0, COLUMNS), (0, ROWS), (0, SLICES)), Grid((ROWS, COLUMNS), 2.0)
)


def checked(shown: float, made: float) -> Checked:
    """Of a ball of 12 mm: shares of its height in scan and output."""
    healthy, mask = tissue(0), ball(12)
    before = scanned(lesioned(healthy, mask, shown), 0)
    after = scanned(mapped(lesioned(healthy, mask, made)), 1, 0.005)
    return Checked.of(Enhanced({}, {}, {}, {}, {}, Working(FRAME, BRAIN, before, after)))


def test_a_place_is_where_its_voxel_is_in_the_scan() -> None:
    working = Working(FRAME, BRAIN, {}, {})
    assert working.spacing == SPACING
    slice_, row, column = CENTRE
    expected = AFFINE @ [column, ROWS - 1 - row, slice_, 1]
    np.testing.assert_allclose(working.point(CENTRE), expected[:3])


@pytest.mark.parametrize(("shown", "made", "kind"), [(1.0, 0.0, "vanished"), (0.0, 1.0, "appeared")])
def test_a_region_has_a_line_an_entry_and_a_picture(
    shown: float, made: float, kind: str, tmp_path: Path
) -> None:
    found = checked(shown, made)
    head, line = found.lines()
    assert f"1 {kind}" in head and line == f"check: {found.warnings()[0]}"
    x, y, z = found.working.point(CENTRE)
    (entry,) = found.facts()[kind]
    np.testing.assert_allclose(entry["mm"], (x, y, z), atol=2)
    assert entry["side"].startswith("left, anterior") and f"{entry['ml']:.1f} ml at x " in line
    assert abs(entry["contrast_kept"]) < 0.15 and np.sign(entry["contrast"]["T2"]) == 1
    assert ("lost" if kind == "vanished" else "appeared") in line
    picture = found.draw(tmp_path, "sub-01_acq-x")
    assert picture == Path("sub-01/figures/sub-01_acq-x_desc-check.png")
    assert (tmp_path / picture).stat().st_size > 10_000


def test_nothing_is_drawn_where_nothing_changed(tmp_path: Path) -> None:
    found = checked(1.0, 1.0)
    assert not found.warnings() and found.draw(tmp_path, "sub-01") is None
    assert found.facts()["vanished"] == found.facts()["appeared"] == []
    assert found.facts()["median_contrast_kept"] == pytest.approx(1, abs=0.1)
