import numpy as np
import pytest
import torch

from trainers.cohorts.simulation import deformation

SHAPE = (24, 28, 22)


def centred(shape: tuple[int, ...]) -> torch.Tensor:
    middle = torch.tensor([(n - 1) / 2 for n in shape]).view(3, 1, 1, 1)
    return deformation.identity(torch.zeros(3, *shape)) - middle


def test_constant_and_linear_velocities_have_closed_form_displacements() -> None:
    assert not deformation.exponential(torch.zeros(3, *SHAPE)).any()
    velocity = torch.tensor([1.5, -2.0, 0.25]).view(3, 1, 1, 1).expand(3, *SHAPE)
    torch.testing.assert_close(deformation.exponential(velocity), velocity.contiguous())
    rates = torch.tensor([-0.3, -0.1, -0.2]).view(3, 1, 1, 1)  # inwards: no sample leaves the grid
    x = centred(SHAPE)
    expected = (torch.exp(rates) - 1) * x
    torch.testing.assert_close(deformation.exponential(rates * x), expected, atol=0.01, rtol=0)
    coarse = (deformation.exponential(rates * x, 3) - expected).abs().max()
    fine = (deformation.exponential(rates * x, 4) - expected).abs().max()
    assert coarse / fine == pytest.approx(2, rel=0.1)  # first order in the step


def test_the_flow_of_minus_the_velocity_is_the_inverse() -> None:
    velocity = deformation.velocity(np.random.default_rng(0), (48, 56, 46), 4.0)
    forth, back = deformation.exponential(velocity), deformation.exponential(-velocity)
    residual = forth + deformation.sample(back, deformation.identity(forth) + forth)
    inside = residual[:, 6:-6, 6:-6, 6:-6]
    assert forth.abs().max() > 1.0
    assert inside.abs().max() < 0.15


@pytest.mark.parametrize("seed", range(4))
def test_subjects_are_diffeomorphic_to_the_template(seed: int) -> None:
    coordinates = deformation.random_coordinates(np.random.default_rng(seed), (98, 116, 94), 2.0)
    derivatives = torch.stack(torch.gradient(coordinates, dim=(1, 2, 3)), dim=-1)
    determinant = torch.det(derivatives[:, 1:-1, 1:-1, 1:-1].permute(1, 2, 3, 0, 4))
    assert determinant.min() > 0.1
    assert determinant.std() > 0.05  # it does deform


def test_affine_changes_keep_within_their_bounds() -> None:
    rng = np.random.default_rng(0)
    draws = [deformation.random_affine(rng, 2.0) for _ in range(200)]
    stretches = np.array([np.linalg.svd(matrix)[1] for matrix, _ in draws])
    shifts = np.array([shift for _, shift in draws]) * 2.0
    assert 0.94 <= stretches.min() < 0.945 and 1.055 < stretches.max() <= 1.06
    assert 3.9 < np.abs(shifts).max() <= 4.0
    rotations = [matrix / np.linalg.norm(matrix, axis=0) for matrix, _ in draws]
    np.testing.assert_allclose([r @ r.T for r in rotations], np.tile(np.eye(3), (200, 1, 1)), atol=1e-12)
    angles = np.rad2deg([np.arccos((np.trace(r) - 1) / 2) for r in rotations])
    assert 5 < angles.max() < 6 * np.sqrt(3) + 0.5


def test_enlarging_keeps_the_displacement_in_mm_and_sampling_is_linear() -> None:
    coarse = 0.1 * centred((12, 14, 11))
    fine = deformation.enlarge(coarse, (23, 27, 21))
    torch.testing.assert_close(fine, 0.1 * centred((23, 27, 21)), atol=1e-5, rtol=0)
    ramp = centred(SHAPE)[:1]
    at = torch.tensor([3.25, 4.5, 5.75]).view(3, 1, 1, 1)
    assert deformation.sample(ramp, at).item() == pytest.approx(3.25 - 11.5, abs=1e-4)
