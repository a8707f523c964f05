"""The teacher's check against filters in closed form, and what is stored of it."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from trainers import weights
from trainers.networks.denoiser import schedule
from trainers.networks.patch_filter import PatchFilter
from trainers.references import store, teacher_check
from trainers.references.teacher_check import Denoising, FourierFilter, compare, worst


class Linear(nn.Module):
    """A denoiser whose estimate is a fitted 8x8 filter's, ``change`` of the way to the truth or away."""

    def __init__(self, train: Tensor, truth: Tensor, change: float) -> None:
        super().__init__()
        self.patches, self.truth, self.change = PatchFilter(3), truth, change
        self.patches.fit(train)

    def forward(self, noisy: Tensor, t: Tensor) -> Tensor:
        """The velocity of which that estimate follows."""
        alpha, sigma = (values[t].view(-1, 1, 1, 1) for values in schedule())
        clean = self.patches(noisy, alpha, sigma)
        return (alpha * noisy - clean - self.change * (self.truth - clean)) / sigma


def _images(seed: int, count: int) -> Tensor:
    """White images [N, 3, 16, 16] of unit variance around 0.5, for which both filters have a closed form."""
    return 0.5 + torch.randn(count, 3, 16, 16, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("change", "ratio"), [(0.1, 0.81), (-0.1, 1.21), (0.0, 1.0)])
def test_errors_are_the_posterior_variances_and_the_teachers_ratio_is_to_the_better_filter(
    change: float, ratio: float
) -> None:
    train, test = _images(2, 4000), _images(3, 16)
    found = compare(Linear(train, test, change), train, test)  # type: ignore[arg-type]
    assert [each.t for each in found] == list(teacher_check.TIMES)
    _, sigma = schedule()
    for each in found:
        expected = float(sigma[each.t] ** 2)  # of a unit variance: s^2 / (a^2 + s^2)
        assert each.fourier == pytest.approx(expected, rel=0.08)
        assert each.patches == pytest.approx(expected, rel=0.08)
        assert each.teacher == pytest.approx(ratio * each.patches, rel=1e-3)
        assert each.ratio == each.teacher / min(each.fourier, each.patches)
        assert each.loses == (change < 0)
    chosen = worst([vars(each) for each in found])
    assert chosen is not None and chosen.ratio == max(each.ratio for each in found)
    assert worst([]) is None
    far, tie = Denoising(50, 2.0, 1.0, 1.5, 0.6), Denoising(20, 1.1, 1.0, 1.5, 0.04)
    assert (far.loses, tie.loses, worst([vars(far), vars(tie)])) == (False, True, tie)


def test_the_fourier_filter_is_the_best_linear_estimate_of_stationary_images() -> None:
    """Circulant covariance with correlated channels: the closed form in the pixels' own basis."""
    rng = torch.Generator().manual_seed(0)
    mixing = torch.tensor([[1.0, 0.6], [0.0, 0.5]], dtype=torch.float64)
    white = torch.randn(5000, 2, 4, 4, generator=rng, dtype=torch.float64)
    smooth = white + 0.7 * white.roll(1, -1) + 0.4 * white.roll(1, -2)
    images = torch.einsum("cd, ndhw -> nchw", mixing, smooth)
    fourier = FourierFilter(images)
    shifts = [(i, j) for i in range(4) for j in range(4)]
    every = torch.cat([images.roll(shift, (-2, -1)) for shift in shifts]) - fourier.mean
    covariance = torch.cov(every.flatten(1).T, correction=0)
    alpha, sigma = torch.tensor(0.6, dtype=torch.float64), torch.tensor(0.8, dtype=torch.float64)
    noisy = images[:3]
    system = alpha**2 * covariance + sigma**2 * torch.eye(32, dtype=torch.float64)
    deviation = (noisy - alpha * fourier.mean).flatten(1)
    expected = fourier.mean.flatten() + deviation @ torch.linalg.solve(system, alpha * covariance)
    torch.testing.assert_close(fourier(noisy, alpha, sigma).flatten(1), expected, rtol=0, atol=0.02)


def test_a_trained_teacher_has_its_figures_unless_it_is_not_checked(tiny: Any, tmp_path: Any) -> None:
    assert "denoising" not in weights.read_manifest(tiny.folder / "teacher")
    config = replace(tiny.references.config, teacher_check=True)
    store.train_part("teacher", tiny.cohort.path, config, tmp_path, lambda step: None)
    folder = store.reference_folder(tmp_path, tiny.cohort, config)
    assert folder.name == tiny.folder.name
    figures = weights.read_manifest(folder / "teacher")["denoising"]
    again = teacher_check.check(store.References.open(tiny.folder).teacher, tiny.cohort, config)
    assert figures == again and len(figures) == len(teacher_check.TIMES)
    assert all(0 < value < 1 for each in figures for key, value in each.items() if key != "t")
