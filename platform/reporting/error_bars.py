"""Points with error bars, for matplotlib and plotly, and axis limits that keep the points apart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from platform.pareto.dominance import Values
from typing import Any

import numpy as np

from trainers.metrics.frechet import Interval


@dataclass(frozen=True, eq=False)
class ErrorBars:
    """``points`` [n, 2] and the ``lengths`` [n, 2, 2] of their bars: of x and of y, down and up."""

    points: Values
    lengths: Values

    @classmethod
    def of(cls, pairs: Sequence[tuple[Interval, Interval]]) -> "ErrorBars":
        """Of intervals in x and y; a bar whose end is unknown has no length."""
        points = np.array([[side.estimate for side in pair] for pair in pairs]).reshape(-1, 2)
        lengths = [[[s.estimate - s.low, s.high - s.estimate] for s in pair] for pair in pairs]
        return cls(points, np.nan_to_num(np.array(lengths).reshape(-1, 2, 2)))

    @property
    def ends(self) -> Values:
        """Values [n, 2, 2] at the ends of the bars."""
        return self.points[:, :, None] + self.lengths * (-1, 1)

    def draw(self, ax: Any, **style: Any) -> None:
        """On matplotlib's axes."""
        (x, y), (x_lengths, y_lengths) = self.points.T, self.lengths.transpose(1, 2, 0)
        ax.errorbar(x, y, xerr=x_lengths, yerr=y_lengths, capsize=2.5, **style)

    def trace(self, bars: Mapping[str, Any], **style: Any) -> Any:
        """As a trace of plotly; ``bars`` is their style."""
        import plotly.graph_objects as go

        x, y = self.points.T.tolist()
        ends = [
            {"type": "data", "symmetric": False, **bars, "array": up, "arrayminus": down}
            for down, up in self.lengths.transpose(1, 2, 0).tolist()
        ]
        return go.Scatter(x=x, y=y, error_x=ends[0], error_y=ends[1], mode="markers", **style)


def limits(points: Values, ends: Values) -> list[float]:
    """Of an axis, around all ``points``; bars' ``ends`` lie within no further than the points' own range."""
    low, high = float(points.min()), float(points.max())
    room = (high - low) or abs(high) or 1.0
    low, high = max(low - room, min(low, float(ends.min()))), min(high + room, max(high, float(ends.max())))
    return [low - 0.06 * room, high + 0.06 * room]
