"""The grid shows every system's slice, detail and error, where it belongs."""

from pathlib import Path
from platform.comparison import slice_grid
from platform.reporting import matplotlib_plots
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.platform.reporting.reading import size

Array = NDArray[np.float64]


def disc(height: int = 60, width: int = 48) -> Array:
    """A brain of 0.5 in a black margin, without detail inside."""
    y, x = np.mgrid[:height, :width]
    return np.where(((y - height / 2) / 24) ** 2 + ((x - width / 2) / 18) ** 2 < 1, 0.5, 0.0)


def striped(rows: slice, columns: slice) -> Array:
    """The disc with stripes in a window, its only detail."""
    image = disc()
    image[rows, columns] += 0.3 * np.sin(np.arange(100)[rows] * 1.5)[:, None]
    return image


def images(*systems: str, truth: bool = True) -> dict[str, dict[str, Array]]:
    """Systems that are off by 0.1, 0.2, ... within the brain."""
    clean = {"T1": striped(slice(30, 38), slice(22, 30)), "T2": disc()}
    made = {"64 mT input": {c: x * 0.5 for c, x in clean.items()}}
    for number, name in enumerate(systems, 1):
        made[name] = {c: np.where(x > 0, x + 0.1 * number, 0) for c, x in clean.items()}
    return made | ({"3 T": clean} if truth else {})


def draw(images: dict[str, dict[str, Array]]) -> Any:
    """The figure, in place of its file."""
    saved: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matplotlib_plots, "save", lambda picture, path: saved.append(picture))
        slice_grid.slice_grid_figure(images, Path("grid.png"))
    return saved[0]


def in_rows(figure: Any) -> list[list[Any]]:
    """The axes in rows from above, each from the left."""
    rows: dict[float, list[Any]] = {}
    for ax in sorted(figure.axes, key=lambda ax: ax.get_position().x0):
        rows.setdefault(round(ax.get_position().y1, 3), []).append(ax)
    return [row for _, row in sorted(rows.items(), reverse=True) if len(row) > 1]


TWO = images("CUT", "UNSB")


@pytest.fixture(scope="module")
def rows() -> list[list[Any]]:
    """The axes of two systems."""
    return in_rows(draw(TWO))


def test_the_grid_has_a_readable_size_and_160_dots_an_inch(tmp_path: Path) -> None:
    width, height = draw(images(*(f"System {number}" for number in range(10)))).get_size_inches()
    assert 22 < width < 26 and height < width
    path = slice_grid.slice_grid_figure(images("CUT"), tmp_path / "new" / "grid.png")
    assert size(path)[0] == pytest.approx(160 * draw(images("CUT")).get_size_inches()[0], abs=1)


def test_each_contrast_has_slice_detail_and_error_in_the_order_of_the_columns(rows: list[list[Any]]) -> None:
    cut = slice_grid.trimmed(TWO)
    assert [len(row) for row in rows] == [4] * 6
    assert [ax.get_title() for ax in rows[0]] == ["64 mT input", "CUT", "UNSB", "3 T"]
    assert [row[0].get_ylabel() for row in rows] == [
        f"{contrast}{kind}" for contrast in ("T1", "T2") for kind in ("", " detail", " error")
    ]
    where = slice_grid.window(list(cut["3 T"].values()))
    for contrast, (whole, detail, error) in (("T1", rows[:3]), ("T2", rows[3:])):
        for index, column in enumerate(cut.values()):
            image = column[contrast]
            np.testing.assert_array_equal(whole[index].images[0].get_array(), image)
            np.testing.assert_array_equal(detail[index].images[0].get_array(), image[where])
            if index < 3:
                gap = np.abs(image - cut["3 T"][contrast])
                np.testing.assert_allclose(error[index].images[0].get_array(), gap)
        assert not error[3].images
        assert {ax.images[0].get_clim() for ax in whole + detail} == {(0.0, 1.0)}


def test_errors_share_one_scale_with_a_bar(rows: list[list[Any]]) -> None:
    (limits,) = {ax.images[0].get_clim() for row in (rows[2], rows[5]) for ax in row[:3]}
    cut = slice_grid.trimmed(TWO)
    errors = [np.abs(cut[s][c] - cut["3 T"][c]) for s in list(cut)[:3] for c in ("T1", "T2")]
    assert limits == pytest.approx((0, np.percentile(errors, 99.5)))
    bars = [bar for row in (rows[2], rows[5]) for bar in row[3].child_axes]
    assert [bar.get_ylabel() for bar in bars] == ["|output − 3 T|"] * 2
    assert {bar.get_ylim() for bar in bars} == {limits}


def test_without_3t_there_are_no_errors() -> None:
    figure = draw(images("CUT", truth=False))
    assert [len(row) for row in in_rows(figure)] == [2] * 4
    assert not any("error" in ax.get_ylabel() for ax in figure.axes)


def test_the_window_is_drawn_as_a_box_around_what_the_detail_shows(rows: list[list[Any]]) -> None:
    down, right = slice_grid.window(list(slice_grid.trimmed(TWO)["3 T"].values()))
    for ax in rows[0]:
        (box,) = ax.patches
        assert (box.get_x(), box.get_y()) == (right.start - 0.5, down.start - 0.5)
        assert (box.get_width(), box.get_height()) == (right.stop - right.start, down.stop - down.start)


RIM = disc()
RIM[30:34, 22:26] += 0.01 * np.sin(np.arange(4) * 1.5)
"""The step of 0.5 at the brain's rim has a hundred times the gradient of these stripes."""


@pytest.mark.parametrize(
    ("image", "row", "column"),
    [(striped(slice(r, r + 8), slice(c, c + 8)), r, c) for r, c in ((20, 14), (34, 26), (26, 20))]
    + [(RIM, 30, 22)],
)
def test_the_window_holds_the_detail_and_the_rim_is_none(image: Array, row: int, column: int) -> None:
    size = 4 if image is RIM else 8
    rows, columns = slice_grid.window([image] if image is RIM else [image, disc()])
    assert rows.start <= row and row + size <= rows.stop
    assert columns.start <= column and column + size <= columns.stop
    assert rows.stop - rows.start == columns.stop - columns.start == round(0.4 * 48)


def test_only_a_margin_that_is_black_everywhere_is_cut() -> None:
    small, other = np.zeros((40, 50)), np.zeros((40, 50))
    small[10:20, 20:30], other[12:30, 22:25] = 1, 1
    cut = slice_grid.trimmed({"a": {"T1": small}, "b": {"T1": other}})
    assert {image.shape for column in cut.values() for image in column.values()} == {(20 + 6, 10 + 6)}
    assert cut["a"]["T1"].sum() == small.sum() and cut["b"]["T1"].sum() == other.sum()
    assert slice_grid.trimmed({"a": {"T1": np.zeros((8, 9))}})["a"]["T1"].shape == (8, 9)
