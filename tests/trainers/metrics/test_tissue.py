"""The tissue mixture against drawn mixtures, scipy's densities and the phantom's own anatomy."""

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from torch import Tensor

from trainers.cohorts.preprocessing import slicing
from trainers.cohorts.simulation import anatomy
from trainers.cohorts.simulation.imaging import Geometry, acquire
from trainers.cohorts.simulation.subject import make_anatomy
from trainers.metrics.tissue import agreement, fit_mixture, segment, tissue_masks

MEANS = np.array([[0.2, -0.9], [0.55, -0.5], [0.8, -0.3]])
COVARIANCE = np.diag(MEANS.var(0)) / 9
"""A tenth of all pixels' variance: nine tenths are between the classes."""


def drawn(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Values [2, 3 * count] of three equally frequent tissues in random order, and their classes."""
    rng = np.random.default_rng(seed)
    values = np.concatenate([rng.multivariate_normal(mean, COVARIANCE, count) for mean in MEANS])
    order = rng.permutation(3 * count)
    return torch.from_numpy(values[order].T.copy()), torch.from_numpy(np.repeat(np.arange(3), count)[order])


def test_a_known_mixture_is_recovered_and_the_fit_is_a_fixed_point_of_scipys_likelihoods() -> None:
    values, _ = drawn(20_000)
    deviations = values.std(1, keepdim=True)
    means = fit_mixture(values / deviations) * deviations
    # Three standard errors, doubled because the classes overlap.
    assert (np.abs(means.numpy().T - MEANS) < 6 * np.sqrt(np.diag(COVARIANCE) / 20_000)).all()
    values, _ = drawn(1000)
    values = values / values.std(1, keepdim=True)
    means, points = fit_mixture(values).numpy().T, values.numpy().T
    density = np.stack([multivariate_normal(mean, 0.1 * np.eye(2)).pdf(points) for mean in means])
    shares = density / density.sum(0)
    assert np.allclose(shares @ points / shares.sum(1, keepdims=True), means, atol=2e-3)


@pytest.mark.parametrize("contrasts", [("T1", "T2"), ("T1",), ("T2",)], ids=str)
def test_tissues_are_separated_as_well_as_by_the_true_mixture(contrasts: tuple[str, ...]) -> None:
    values, classes = drawn(8000)
    images = {"T1": values[0].reshape(2, 120, 100), "T2": -values[1].reshape(2, 120, 100)}
    region = torch.ones(2, 120, 100, dtype=torch.bool)
    region[:, :20] = False
    labels = segment({contrast: images[contrast] for contrast in contrasts}, region)
    assert set(labels[~region].tolist()) == {-1}
    used = [("T1", "T2").index(contrast) for contrast in contrasts]
    points, spread = values.numpy().T[:, used], COVARIANCE[np.ix_(used, used)]
    bayes = np.stack([multivariate_normal(mean[used], spread).pdf(points) for mean in MEANS]).argmax(0)
    kept = region.flatten()
    ours, best = ((x == classes)[kept].double().mean() for x in (labels.flatten(), torch.from_numpy(bayes)))
    assert 0.9 < best < 0.995
    assert ours > best - 0.003


def test_means_rise_gain_and_offset_change_no_tissue_and_a_constant_image_is_one() -> None:
    values, _ = drawn(2000)
    region = torch.ones(1, 60, 100, dtype=torch.bool)
    images = {"T1": values[0].reshape(region.shape), "T2": -values[1].reshape(region.shape)}
    brighter = {"T1": 0.8 * images["T1"] + 0.1, "T2": 1.1 * images["T2"] - 0.05}
    agreed = segment(images, region) == segment(brighter, region)
    assert agreed.double().mean() > 0.999
    region = torch.ones(1, 20, 20, dtype=torch.bool)
    labels = segment({"T1": torch.full((1, 20, 20), 0.3)}, region)
    assert len(set(labels.flatten().tolist())) == 1
    for seed in range(60):
        rng = np.random.default_rng(seed)
        classes, means, spread = rng.integers(0, 3, 1000), rng.random((3, 2)), rng.uniform(0.02, 0.2, (3, 2))
        values = torch.from_numpy((means[classes] + spread[classes] * rng.normal(size=(1000, 2))).T.copy())
        assert (fit_mixture(values / values.std(1, keepdim=True)).sum(0).diff() > 0).all()


Brain = tuple[dict[str, Tensor], Tensor, Tensor]


@pytest.fixture(scope="module")
def brain() -> Brain:
    """3 T slices of a phantom by contrast, their mask, and the tissue that fills most of each pixel."""
    person = make_anatomy(anatomy.tissue_template("2mm"), np.random.default_rng(3))
    geometry, planes = Geometry.of("2mm", person.affine), slice(25, 75, 5)
    images, mask = {}, slicing.axial(person.mask)[planes]
    for seed, contrast in enumerate(("T1", "T2")):
        volume = acquire(person, geometry, "3T", contrast, np.random.default_rng(seed))  # type: ignore[arg-type]
        unit = (slicing.normalise(volume.values, volume.mask) + 1) / 2
        images[contrast] = torch.from_numpy(slicing.axial(unit)[planes])
    white, grey, deep, fluid, lesion = (slicing.axial(f)[planes] for f in person.fractions)
    tissue = np.stack([fluid, grey + deep, white + lesion]).argmax(0)
    return images, torch.from_numpy(mask), torch.from_numpy(tissue)


@pytest.mark.parametrize(
    ("contrasts", "least"), [(("T1", "T2"), 0.9), (("T1",), 0.88), (("T2",), 0.78)], ids=str
)
def test_the_phantoms_anatomy_is_found_in_its_3_t_slices(
    brain: Brain, contrasts: tuple[str, ...], least: float
) -> None:
    images, mask, tissue = brain
    labels = segment({contrast: images[contrast] for contrast in contrasts}, mask)[mask]
    for k in range(3):
        ours, theirs = labels == k, tissue[mask] == k
        assert 2 * (ours & theirs).sum() / (ours.sum() + theirs.sum()) > least


def test_agreement_is_perfect_with_itself_falls_with_every_shift_and_is_in_millimetres(brain: Brain) -> None:
    images, mask, _ = brain
    names = {f"{name}{tissue}" for name in ("dice", "nsd") for tissue in ("", "_csf", "_gm", "_wm")}
    own = tissue_masks(images, mask)
    itself = agreement(own, own, 2.0)
    perfect = {name: float(name in names) for name in itself}
    assert {name: float(value) for name, value in itself.items()} == perfect and names < perfect.keys()
    shifts = [tissue_masks({c: image.roll(by, -1) for c, image in images.items()}, mask) for by in (1, 2, 3)]
    scores = [itself] + [agreement(moved, own, 2.0) for moved in shifts]
    for name in names:
        values = [float(score[name]) for score in scores]
        assert values == sorted(values, reverse=True) and values[3] < 0.75 * values[0]
    coarse, fine = (agreement(shifts[1], own, spacing) for spacing in (2.0, 1.0))
    for name in ("dice", "nsd"):
        mean = sum(float(coarse[f"{name}_{tissue}"]) for tissue in ("csf", "gm", "wm")) / 3
        assert float(coarse[name]) == pytest.approx(mean)
    assert float(fine["dice"]) == float(coarse["dice"])
    assert float(fine["nsd"]) > 0.95 > float(coarse["nsd"])
