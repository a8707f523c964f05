import numpy as np
import pytest
import torch

from trainers.cohorts.simulation import deformation, focal, morphology, pathology, physics
from trainers.cohorts.simulation.lesion_tissues import KINDS, Lesion, diluted, exclusive, lesion_relaxation

MM = np.array([2.0, 2.0, 1.0])


def test_dilution_mixes_rates_and_agrees_with_measured_ratios() -> None:
    for at in physics.FIELDS:
        white, fluid = physics.RELAXATION[at][0], physics.RELAXATION[at][3]
        for share, tissue in ((0.0, white), (1.0, fluid)):
            mixed = diluted(at, share)
            assert (mixed.pd, mixed.t1, mixed.t2) == pytest.approx((tissue.pd, tissue.t1, tissue.t2))
    white, table = physics.RELAXATION["3T"][0], dict(zip(KINDS, lesion_relaxation("3T"), strict=True))
    assert table["oedema"].t1 / white.t1 == pytest.approx(1261 / 933, rel=0.01)
    assert 1444 / 938 < table["mass"].t1 / white.t1 < 1863 / 938  # solid tumours, high-grade ones


@pytest.mark.parametrize("at", physics.FIELDS)
def test_lesions_are_dark_in_t1_and_bright_in_t2_blood_the_other_way(at: physics.Field) -> None:
    found = dict(zip(KINDS, lesion_relaxation(at), strict=True))
    t1, t2 = (
        {
            k: physics.signal(v, physics.SEQUENCES[at, c])
            for k, v in {**found, "WM": physics.RELAXATION[at][0]}.items()
        }
        for c in physics.CONTRASTS
    )
    for kind in set(KINDS) - {"haemorrhage"}:
        assert t1[kind] < 0.9 * t1["WM"] and t2[kind] > 1.4 * t2["WM"]
    assert t1["haemorrhage"] > 1.05 * t1["WM"] and t2["haemorrhage"] < t2["WM"]


def test_where_lesions_overlap_each_has_what_the_later_ones_leave() -> None:
    rng, sizes = np.random.default_rng(0), ((0, 6), (2, 8), (4, 5))
    drawn = [
        Lesion("infarct", (slice(a, b),) * 3, rng.random((b - a,) * 3, np.float32), 0.5) for a, b in sizes
    ]
    weights, found = np.zeros((2, 3, 8, 8, 8))
    for i, (before, after) in enumerate(zip(drawn, exclusive(drawn, (8, 8, 8)), strict=True)):
        weights[i][before.box], found[i][after.box] = before.weight, after.weight
        assert after.volume == pytest.approx(0.5 * found[i].sum())
    later = [(1 - weights[i + 1 :]).prod(0) for i in range(3)]
    np.testing.assert_allclose(found, weights * later, atol=1e-6)  # as if each replaced those before it
    assert found.sum(0).max() <= 1 + 1e-6


def test_blobs_have_their_volume_on_average() -> None:
    ratios = []
    for seed in range(40):
        blob = focal.Blob.draw(np.random.default_rng(seed), 5.0).at(np.array([25, 25, 50]))
        box = blob.box((50, 50, 100), MM, 0)
        ratios.append(focal.soft(blob.depth(box, MM), MM).sum() * 0.004 / 5.0)
    assert np.mean(ratios) == pytest.approx(1 + 3 * focal.ROUGH**2, abs=0.06)  # E (1 + e)^3 of a normal e
    assert np.std(ratios) < 0.35


def test_a_mass_pushes_outwards_by_its_formula_and_folds_nothing() -> None:
    blob = focal.Blob.draw(np.random.default_rng(0), 10.0).at(np.array([30, 30, 60]))
    grid = deformation.identity(torch.zeros(3, 60, 60, 120))
    step = torch.tensor(MM, dtype=torch.float32).view(3, 1, 1, 1)
    pushed = focal.Mass(blob).push(grid, MM) * step
    away = 2.0 * 8
    expected = away * (1 - focal.PUSH * np.exp(-((away / focal.PUSH_REACH / blob.radius) ** 2)))
    assert float(pushed[0, 38, 30, 60]) - 60 == pytest.approx(expected, abs=0.02)
    assert morphology.jacobian(pushed, MM.tolist()).min() / MM.prod() * MM.prod() > 0.15
    assert torch.equal(pushed[:, 0, 0, 0], grid[:, 0, 0, 0] * step[:, 0, 0, 0])


def test_plans_follow_rates_and_volumes_keep_within_their_limits() -> None:
    rng = np.random.default_rng(0)
    plans = [pathology.draw_plan(rng, pathology.RATES["ordinary"], 1.0) for _ in range(2000)]
    for kind, rate in pathology.RATES["ordinary"].focal.items():
        volumes = np.array([plan.focal[kind] for plan in plans if plan.focal[kind]])
        assert len(volumes) / 2000 == pytest.approx(rate, abs=0.03)
        assert pathology.VOLUMES[kind][2] <= volumes.min() and volumes.max() <= pathology.VOLUMES[kind][3]
    found = np.array([plan.hyperintensities for plan in plans if plan.hyperintensities])
    assert found.min() >= 0.5 and found.max() <= 30 and np.median(found) == pytest.approx(4, rel=0.15)
    none = pathology.draw_plan(rng, pathology.RATES["none"], 1.0)
    assert not none.hyperintensities and not any(none.focal.values())


def test_the_determinant_of_a_linear_map_is_that_of_its_matrix() -> None:
    matrix = torch.tensor([[1.1, 0.2, 0.0], [-0.1, 0.9, 0.3], [0.0, 0.1, 1.2]])
    grid = deformation.identity(torch.zeros(3, 5, 6, 7)) * torch.tensor(MM, dtype=torch.float32).view(
        3, 1, 1, 1
    )
    found = morphology.jacobian(torch.einsum("ij,jxyz->ixyz", matrix, grid), MM.tolist())
    torch.testing.assert_close(found, torch.det(matrix).expand(5, 6, 7), atol=1e-4, rtol=0)
