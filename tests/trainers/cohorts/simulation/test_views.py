"""Coronal and sagittal scans of the phantom, against an analytic volume and the axial scan's subject."""

from types import MappingProxyType

import numpy as np
import pytest

from trainers.cohorts import phantom
from trainers.cohorts.simulation import views
from trainers.cohorts.simulation.person import Person
from trainers.data.views import NORMAL, View, view_of

OTHERS: tuple[View, ...] = ("coronal", "sagittal")


def person() -> Person:
    """A grid of 2 x 2 x 1 mm without anatomy."""
    shape = (98, 116, 188)
    affine = np.array([[2.0, 0, 0, -97], [0, 2, 0, -133], [0, 0, 1, -72], [0, 0, 0, 1]])
    empty = np.zeros(0, np.float32)
    return Person(empty, np.ones(shape, bool), affine, empty, (), MappingProxyType({}), empty, empty, empty)


def blob(points: np.ndarray) -> np.ndarray:
    """A Gaussian of 16, 22 and 30 mm about a place, at RAS points [..., 3]."""
    return np.exp(-0.5 * (((points - [6, -25, 18]) / [16, 22, 30]) ** 2).sum(-1))


def places(shape: tuple[int, ...], affine: np.ndarray) -> np.ndarray:
    """RAS points [X, Y, Z, 3] of a grid."""
    return np.moveaxis(np.indices(shape), 0, -1) @ affine[:3, :3].T + affine[:3, 3]


@pytest.mark.parametrize("view", OTHERS)
def test_a_scan_shows_the_moved_subject_where_its_affine_says(view: View) -> None:
    subject = person()
    grid, move = views.ViewGrid.of(subject, view), views.draw_move(np.random.default_rng(3), subject)
    image = blob(places(subject.mask.shape, subject.affine)).astype(np.float32)
    slices = grid.geometry.blur(grid.moved(image, subject.affine, move, 3))
    values, affine = grid.in_ras(slices)
    sizes = np.full(3, views.IN_PLANE)
    sizes[NORMAL[view]] = views.THICKNESS
    np.testing.assert_allclose(np.diag(affine), [*sizes, 1])
    assert view_of(affine) == view
    there = places(values.shape, affine) @ np.linalg.inv(move)[:3, :3].T + np.linalg.inv(move)[:3, 3]
    # A slab of 5 mm lowers the top of a Gaussian of 16 mm by its variance: 1 %.
    np.testing.assert_allclose(values, blob(there), atol=0.02)
    turn = np.rad2deg(np.arccos((np.trace(move[:3, :3]) - 1) / 2))
    assert views.TURN[0] <= turn <= views.TURN[1]


@pytest.mark.parametrize("view", OTHERS)
def test_a_smooth_field_is_that_of_the_axial_slices(view: View) -> None:
    subject = person()
    grid = views.ViewGrid.of(subject, view)
    axial = np.diag([2.0, 2, 5, 1])
    axial[:3, 3] = -97, -133, -70
    at = places((98, 116, 38), axial) @ [0.01, 0.02, 0.03]
    field = grid.at_slices(at.astype(np.float32), axial)
    lines = grid.geometry.anatomy_affine.copy()
    lines[2] = grid.geometry.affine(grid.shape)[2]
    points = places(field.shape, grid.to_ras(lines))
    high = axial[:3, 3] + np.diag(axial)[:3] * [97, 115, 37]
    inside = ((points >= axial[:3, 3]) & (points <= high)).all(-1)
    assert inside.mean() > 0.9
    np.testing.assert_allclose(field[inside], (points @ [0.01, 0.02, 0.03])[inside], atol=1e-4)


def test_three_views_show_one_subject_beside_its_truth() -> None:
    config = phantom.PhantomConfig(train=1, val=1, test=1, shifted=0, views="three")
    found = phantom.viewed_subject(config, "val-0000")
    native = phantom.native_volumes(config, "val-0000")
    np.testing.assert_allclose(np.diag(found.affine), [2, 2, 2, 1])
    assert {view_of(affine) for (label, _), (_, affine) in native.items() if label != "3T"} == {*NORMAL}
    for (view, contrast), scan in found.scans.items():
        np.testing.assert_array_equal(native[phantom.LABELS[view], contrast][0], scan.volume.values)
        points = places(scan.volume.mask.shape, scan.volume.affine)
        back = np.linalg.inv(found.affine) @ np.linalg.inv(scan.to_view)
        voxels = np.rint(points @ back[:3, :3].T + back[:3, 3]).astype(int)
        clipped = np.clip(voxels, 0, np.array(found.brain.shape) - 1)
        brain = found.brain[tuple(np.moveaxis(clipped, -1, 0))] & (clipped == voxels).all(-1)
        overlap = 2 * (brain & scan.volume.mask).sum() / (brain.sum() + scan.volume.mask.sum())
        assert overlap > 0.97
    axial = phantom.native_volumes(phantom.PhantomConfig(train=1, val=1, test=1, shifted=0), "val-0000")
    for contrast in ("T1", "T2"):
        np.testing.assert_array_equal(axial["64mT", contrast][0], native["AXI", contrast][0])
