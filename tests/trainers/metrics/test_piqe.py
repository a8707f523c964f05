"""PIQE against the published table, pypiqe and a block-by-block loop over pypiqe's own criteria."""

import importlib
import math
from pathlib import Path

import numpy as np
import pytest
import skimage
import torch
from numpy.typing import NDArray
from pypiqe import piqe as pypiqe  # type: ignore[import-untyped]
from scipy.ndimage import correlate1d
from torch import Tensor

from trainers.metrics.piqe import _inside, _per_grid, piqe

Array = NDArray[np.float64]


def picture(name: str) -> NDArray[np.uint8]:
    path = Path(skimage.__file__).parent / "data" / f"{name}.png"
    if not path.exists():
        pytest.skip(f"skimage's {path.name} is not in its wheel and is not downloaded")
    return np.asarray(skimage.io.imread(path))


def score(image: NDArray[np.uint8] | Array) -> float:
    return float(piqe(torch.from_numpy(image.astype(np.float64) / 255)[None]))


@pytest.mark.parametrize(
    ("name", "window", "expected"),
    [
        ("camera", np.s_[:, :], 40.137402),
        ("camera", np.s_[100:356, 100:356], 37.282101),
        ("camera", np.s_[:250, :238], 31.255462),
        ("camera", np.s_[200:312, 200:338], 35.545942),
        ("coins", np.s_[:, :], 22.074878),
        ("moon", np.s_[:, :], 36.679168),
    ],
    ids=str,
)
def test_the_table_of_data_md_is_met(name: str, window: tuple[slice, slice], expected: float) -> None:
    assert score(picture(name)[window]) == pytest.approx(expected, abs=1e-6)


def test_random_crops_and_noise_equal_pypiqe_to_a_millionth() -> None:
    camera, rng = picture("camera"), np.random.default_rng(0)
    for side in (16, 40, 96, 112, 129, 138, 160, 3, 7):
        row, column = rng.integers(0, 512 - 170, 2)
        crop = camera[row : row + side, column : column + side + 5] + rng.normal(0, 3, (side, side + 5))
        crop = crop.clip(0, 255)
        assert score(crop) == pytest.approx(pypiqe(crop)[0], abs=1e-6)


def test_a_batch_is_its_slices_and_uniform_images_score_100() -> None:
    camera = torch.from_numpy(picture("camera") / 255.0)
    batch = torch.stack([camera[i : i + 112, 2 * i : 2 * i + 96] * (1 - i / 400) for i in range(0, 200, 40)])
    masks = torch.rand(batch.shape) < 0.9995
    assert torch.equal(piqe(batch), torch.cat([piqe(image[None]) for image in batch]))
    singly = torch.cat([piqe(batch[i : i + 1], masks[i : i + 1]) for i in range(len(batch))])
    assert torch.allclose(piqe(batch, masks), singly, equal_nan=True)
    uniform = torch.tensor([0.0, 0.5, 1.0])[:, None, None].expand(3, 48, 50)
    for scores in (piqe(uniform), piqe(uniform, torch.ones(3, 48, 50, dtype=torch.bool))):
        assert scores.tolist() == [100, 100, 100]


def brain(height: int, width: int) -> tuple[Tensor, Tensor]:
    """A textured ellipse of about the size of a brain at 2 mm, black outside, and its mask."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    mask = ((rows - height / 2) / 43) ** 2 + ((columns - width / 2) / 35) ** 2 < 1
    image = torch.from_numpy(picture("camera")[180 : 180 + height, 150 : 150 + width] / 280.0)
    return image * mask, mask


def looped(image: Array, mask: NDArray[np.bool_]) -> tuple[float, list[int]]:
    """Masked PIQE by loops: scipy's smoothing, pypiqe's criteria, one block at a time."""
    criteria = importlib.import_module("pypiqe.piqe")
    levels = np.round(255 * image)
    taps = np.exp(-(np.arange(-3, 4) ** 2) / (2 * (7 / 6) ** 2))
    taps /= taps.sum()

    def smooth(x: Array) -> Array:
        return correlate1d(correlate1d(x, taps, 0, mode="nearest"), taps, 1, mode="nearest")

    mean = smooth(levels)
    normalised = (levels - mean) / (np.sqrt(np.abs(smooth(levels**2) - mean**2)) + 1)
    scores, counts = [], []
    for down, right in ((0, 0), (0, 8), (8, 0), (8, 8)):
        total, active, inside = 0.0, 0, 0
        for i in range(down, image.shape[0] - 15, 16):
            for j in range(right, image.shape[1] - 15, 16):
                if not mask[i : i + 16, j : j + 16].all():
                    continue
                inside += 1
                block = normalised[i : i + 16, j : j + 16]
                variance = np.var(block, ddof=1)
                if variance > 0.1:
                    active += 1
                    spread, beta = criteria.noiseCriterion(block, 15, variance)
                    total += (1 - variance) * criteria.noticeDistCriterion(block, 11, 15, 6, 0.1, 16)
                    total += variance * (spread > 2 * beta)
        counts.append(inside)
        if inside:
            scores.append(100 * (total + 1) / (active + 1))
    return float(np.mean(scores)), counts


@pytest.mark.parametrize(("height", "width"), [(112, 96), (109, 91), (192, 192)], ids=str)
def test_masked_piqe_equals_the_loop_over_blocks_inside(height: int, width: int) -> None:
    image, mask = brain(height, width)
    expected, counts = looped(image.numpy(), mask.numpy())
    assert _per_grid(_inside(mask[None])).tolist() == [counts] and min(counts) >= 7
    assert float(piqe(image[None], mask[None])) == pytest.approx(expected, abs=1e-6)


def test_masked_scores_ignore_the_outside_and_grids_without_blocks() -> None:
    image, mask = brain(112, 96)
    bright = image.clone()
    bright[:8] = 1.0
    assert float(piqe(bright[None], mask[None])) == float(piqe(image[None], mask[None]))
    assert float(piqe(bright[None])) != float(piqe(image[None]))
    masks = torch.zeros(2, 112, 96, dtype=torch.bool)
    masks[0, 40:56, 32:48] = True  # one block, of the grid shifted by (8, 0)
    assert _per_grid(_inside(masks)).tolist() == [[0, 0, 1, 0], [0, 0, 0, 0]]
    scores = piqe(image.expand(2, -1, -1), masks)
    expected, _counts = looped(image.numpy(), masks[0].numpy())
    assert float(scores[0]) == pytest.approx(expected, abs=1e-6) and math.isnan(scores[1])


def test_blur_raises_the_score_and_a_little_noise_lowers_it_as_the_docstring_warns() -> None:
    camera = torch.from_numpy(picture("camera")[100:292, 100:292] / 255.0)[None]
    noise = torch.randn(camera.shape, generator=torch.Generator().manual_seed(0))
    blurred = torch.nn.functional.avg_pool2d(camera, 7, stride=1, padding=3, count_include_pad=False)
    little, much = ((camera + sd * noise).clamp(0, 1) for sd in (0.005, 0.06))
    assert float(piqe(little)) + 10 < float(piqe(camera)) < float(piqe(much)) < float(piqe(blurred))
