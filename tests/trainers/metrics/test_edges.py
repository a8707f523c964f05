"""Edges and their support against closed forms, scipy and scikit-image."""

import numpy as np
import pytest
import torch
from scipy.ndimage import distance_transform_edt, gaussian_filter
from scipy.stats import median_abs_deviation
from skimage.feature import canny
from torch import Tensor

from trainers.metrics.edges import THRESHOLD, edges, smooth_inside, unsupported

EVERYWHERE = torch.ones(1, 96, 96, dtype=torch.bool)


def disc(row: float, column: float, radius: float) -> Tensor:
    rows, columns = torch.meshgrid(torch.arange(96), torch.arange(96), indexing="ij")
    return ((rows - row) ** 2 + (columns - column) ** 2 <= radius**2)[None]


def head() -> Tensor:
    """A shaded ground, three discs that differ from it by a half, and a little texture."""
    ground = torch.linspace(0.2, 0.6, 96, dtype=torch.float64).expand(1, 96, 96)
    image = ground + 0.5 * disc(34, 34, 20) - 0.5 * disc(74, 70, 12) + 0.5 * disc(18, 80, 8)
    texture = np.random.default_rng(0).normal(size=(1, 96, 96))
    return image + 0.02 * torch.from_numpy(gaussian_filter(texture, (0, 2, 2)))


def share(image: Tensor, reference: Tensor, region: Tensor = EVERYWHERE, spacing: float = 2.0) -> float:
    a, b = ({"T1": edges(x, region, spacing)} for x in (image, reference))
    return float(unsupported(a, b, spacing))


def test_a_step_is_one_line_above_the_threshold_and_no_edge_below() -> None:
    """On a ramp that sets the robust deviation; the ramp itself, a small gradient everywhere, is no edge."""
    ramp = torch.linspace(0, 1, 96, dtype=torch.float64).expand(1, 96, 96)
    found = []
    for height in np.linspace(0.4, 0.9, 21):
        image = ramp.clone()
        image[:, 80:] += height
        ratio = height / median_abs_deviation(image.numpy(), axis=None, scale="normal")
        lines, full = edges(image, EVERYWHERE, 2.0)
        found.append((ratio, bool(lines.any())))
        if lines.any():
            # Rows 79 and 80 tie; the columns at the region's border have no gradient.
            assert lines[0, 79:81].sum(0).tolist() == [0, *[1] * 94, 0]
            assert lines.sum() == 94
            assert bool((full | ~lines).all())
    under = [edge for ratio, edge in found if ratio < 0.97 * THRESHOLD]
    over = [edge for ratio, edge in found if ratio > 1.03 * THRESHOLD]
    assert len(under) > 3 and not any(under)
    assert len(over) > 3 and all(over)


def test_lines_are_where_cannys_are_and_smoothing_is_scipys_inside() -> None:
    image = head()
    ours, _ = edges(image, EVERYWHERE, 2.0)
    theirs = canny(image[0].numpy(), sigma=0.75, low_threshold=0.1, high_threshold=0.1)  # type: ignore[no-untyped-call]
    for a, b in ((ours[0].numpy(), theirs), (theirs, ours[0].numpy())):
        assert a.sum() > 250
        assert distance_transform_edt(~b)[a].max() <= 1.5
    image, region = head(), disc(50, 45, 30)
    expected = gaussian_filter(image.numpy(), (0, 1.3, 1.3), mode="nearest", radius=(0, 4, 4))
    assert np.allclose(smooth_inside(image, EVERYWHERE, 1.3).numpy(), expected, atol=1e-12)
    flat = smooth_inside(0.4 * region.double(), region, 1.3)
    assert torch.allclose(flat, 0.4 * region.double())


def test_gain_offset_polarity_and_the_border_of_the_brain_make_no_edge() -> None:
    image, (lines, full) = head(), edges(head(), EVERYWHERE, 2.0)
    for other in (0.5 * image + 0.1, 1 - image):
        again = edges(other, EVERYWHERE, 2.0)
        assert torch.equal(again[1], full)
        assert (again[0] ^ lines).sum() <= 0.02 * lines.sum()  # ties
    region = disc(50, 45, 30)
    lines, full = edges(0.3 * region, region, 2.0)
    assert not lines.any() and not full.any()
    assert np.isnan(share(0.3 * region, head(), region))


def test_an_inserted_disc_is_unsupported_blur_is_not_and_contrasts_and_slices_are_pooled() -> None:
    image = torch.where(disc(44, 76, 5), 1.0, head())
    lines, _ = edges(image, EVERYWHERE, 2.0)
    rim = lines & disc(44, 76, 8)
    assert rim.sum() > 20
    assert share(image, head()) == pytest.approx(float(rim.sum() / lines.sum()))
    assert share(head(), image) < 0.01
    for sigma in (0, 0.5, 1, 1.5):  # blurring makes no unsupported edge
        smooth = torch.from_numpy(gaussian_filter(head().numpy(), (0, sigma, sigma)))
        assert edges(smooth, EVERYWHERE, 2.0)[0].sum() > 20 and share(smooth, head()) == 0
    a, b = head(), torch.where(disc(44, 76, 5), 1.0, head())
    lines = {name: int(edges(image, EVERYWHERE, 2.0)[0].sum()) for name, image in (("a", a), ("b", b))}
    extra = share(b, a) * lines["b"]
    of = [edges(image, EVERYWHERE, 2.0) for image in (a, b)]
    both = unsupported(dict(zip(("T1", "T2"), of, strict=True)), {"T1": of[0], "T2": of[0]}, 2.0)
    assert float(both) == pytest.approx(extra / (lines["a"] + lines["b"]))
    two = EVERYWHERE.expand(2, -1, -1)
    assert share(torch.cat([b, b]), torch.cat([a, a]), two) == pytest.approx(share(b, a))


@pytest.mark.parametrize(
    ("moved", "spacing", "expected"), [(1, 2.0, 0), (3, 2.0, 1), (2, 1.0, 0), (6, 1.0, 1)]
)
def test_the_tolerance_is_in_millimetres_from_the_reference_s_slope(
    moved: int, spacing: float, expected: float
) -> None:
    """The slope of a step is two pixels wide at 2 mm and four at 1 mm; two mm on either side of it count."""
    ramp = torch.linspace(0, 0.5, 96, dtype=torch.float64).expand(1, 96, 96)
    steps = [ramp + 0.9 * (torch.arange(96) >= at)[:, None] for at in (80, 80 + moved)]
    assert share(steps[1], steps[0], spacing=spacing) == expected
