"""Error bars have the lengths of their intervals, and limits keep the points apart."""

from platform.reporting.error_bars import ErrorBars, limits

import numpy as np
import pytest
from matplotlib.figure import Figure

from trainers.metrics.frechet import Interval


def test_both_libraries_draw_the_same_bars_and_none_where_a_bound_is_unknown() -> None:
    bars = ErrorBars.of([(Interval(2.0, 1.5, 4.0), Interval(20.0, np.nan, np.nan))])
    assert bars.lengths.tolist() == [[[0.5, 2.0], [0.0, 0.0]]]
    assert bars.ends.tolist() == [[[1.5, 4.0], [20.0, 20.0]]]
    trace = bars.trace({})
    assert (trace.error_x.arrayminus, trace.error_x.array) == ((0.5,), (2.0,))
    ax = Figure().subplots()
    bars.draw(ax, fmt="o")
    (x_bar, y_bar) = ax.containers[0].lines[2]
    assert x_bar.get_segments()[0].tolist() == [[1.5, 20.0], [4.0, 20.0]]
    assert y_bar.get_segments()[0].tolist() == [[2.0, 20.0], [2.0, 20.0]]


@pytest.mark.parametrize(
    ("ends", "low", "high"), [([-90.0, 2.5], (-2, 0), (3, 4)), ([2.0, 4.0], (0, 1), (4, 5))]
)
def test_limits_show_all_points_and_long_bars_only_in_part(
    ends: list[float], low: tuple[float, float], high: tuple[float, float]
) -> None:
    found = limits(np.array([1.0, 3.0]), np.array([ends]))
    assert low[0] < found[0] < low[1] and high[0] < found[1] < high[1]
