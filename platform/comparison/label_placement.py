"""Where to write names beside points, so that they hide neither one another nor the points."""

from platform.pareto.dominance import Values

import numpy as np
from numpy.typing import NDArray

DIRECTIONS = 16
DISTANCES = np.array([8.0, 14, 22, 34, 50, 70, 95])
"""From a point to its label."""
ROUNDS = 3
POINT_RADIUS = 6.0
LINE_CLEARANCE = 7.0


def place_labels(anchors: Values, sizes: Values, frame: tuple[float, float], obstacles: Values) -> Values:
    """Centres [n, 2] for labels of ``sizes`` [n, 2] near ``anchors`` [n, 2], within ``frame``.

    Clear of one another, of the anchors and, with less weight, of ``obstacles`` [m, 4] (left, low, right,
    high); the line from an anchor to its label passes no other anchor. Each label takes the cheapest place
    around its anchor given the others', several times over.
    """
    angles = np.linspace(0, 2 * np.pi, DIRECTIONS, endpoint=False)
    directions = np.stack([np.cos(angles), np.sin(angles)], 1)
    shifts = np.concatenate([directions * distance for distance in DISTANCES])
    to_edge = directions / np.abs(directions).max(1, keepdims=True) / 2
    half_sizes = np.tile(to_edge, (len(DISTANCES), 1))
    points = np.concatenate([anchors - POINT_RADIUS, anchors + POINT_RADIUS], 1)
    centres = np.full(anchors.shape, -1e6)
    for index in [*range(len(anchors))] * ROUNDS:
        places = anchors[index] + shifts + half_sizes * sizes[index]
        boxes = _boxes(places, sizes[index])
        others = np.delete(_boxes(centres, sizes + 4), index, 0)
        outside = np.maximum(-boxes[:, :2], 0) + np.maximum(boxes[:, 2:] - frame, 0)
        cost = 10 * _overlap(boxes, others) + 5 * _overlap(boxes, points) + _overlap(boxes, obstacles)
        cost += 1e3 * outside.sum(1) + 3 * np.repeat(DISTANCES, DIRECTIONS)
        cost += 150 * _passed(anchors[index], places, np.delete(anchors, index, 0))
        centres[index] = places[cost.argmin()]
    return centres


def _boxes(centres: Values, sizes: Values) -> Values:
    return np.concatenate([centres - sizes / 2, centres + sizes / 2], 1)


def _passed(start: Values, ends: Values, points: Values) -> NDArray[np.int64]:
    """How many ``points`` [m, 2] each line [n] from ``start`` [2] to one of ``ends`` [n, 2] comes near."""
    lines, gaps = ends - start, points - start
    along = np.clip(lines @ gaps.T / (lines**2).sum(1)[:, None], 0, 1)
    missed = gaps - along[..., None] * lines[:, None]
    return np.asarray((np.hypot(missed[..., 0], missed[..., 1]) < LINE_CLEARANCE).sum(1))


def _overlap(boxes: Values, others: Values) -> Values:
    """Area [n] of each box [n, 4] that ``others`` [m, 4] cover."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    return np.asarray(np.prod(np.maximum(high - low, 0), axis=2).sum(1))
