"""Labels keep clear of one another and of the points, and their lines too."""

from platform.comparison.label_placement import place_labels

import numpy as np


def test_labels_keep_clear_of_many_equal_anchors() -> None:
    anchors, sizes = np.full((9, 2), 150.0), np.tile([60.0, 12.0], (9, 1))
    centres = place_labels(anchors, sizes, (300.0, 300.0), np.empty((0, 4)))
    gaps = np.abs(centres[:, None] - centres[None])
    assert ((gaps >= sizes).any(-1) | np.eye(9, dtype=bool)).all()
    assert (np.abs(centres - 150) < 150 - sizes / 2).all()


def test_no_line_passes_through_another_point() -> None:
    """Obstacles leave one lane free, behind the second point."""
    anchors = np.array([[100.0, 100.0], [112.0, 100.0]])
    obstacles = np.array([[0.0, 0, 97, 300], [97, 0, 300, 94], [97, 106, 300, 300]])
    first, _ = place_labels(anchors, np.full((2, 2), 12.0), (300.0, 300.0), obstacles)
    line = first - anchors[0]
    along = np.clip((anchors[1] - anchors[0]) @ line / (line @ line), 0, 1)
    assert np.hypot(*(anchors[0] + along * line - anchors[1])) > 6
