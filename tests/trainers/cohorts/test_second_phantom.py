"""The second anatomy of the phantom, from a subject to its stored arrays."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import distance_transform_edt

from trainers.cohorts import phantom
from trainers.cohorts.simulation import morphology, pathology, person, surfaces
from trainers.cohorts.simulation.lesion_tissues import KINDS
from trainers.cohorts.simulation.scan import contrast_image
from trainers.cohorts.simulation.site import NORTH
from trainers.config import FieldError
from trainers.config import build as build_config
from trainers.data.store import CONTRASTS, MASK, Cohort
from trainers.data.writer import SubjectArrays

CONFIG = phantom.PhantomConfig(train=2, val=2, test=2, pathology="more")
SICK = pathology.Rates(1.0, dict.fromkeys(pathology.VOLUMES, 1.0))


@pytest.fixture(scope="module")
def template() -> surfaces.Surfaces:
    torch.set_num_threads(1)
    return surfaces.template_surfaces("2mm")


@pytest.fixture(scope="module")
def sick(template: surfaces.Surfaces) -> person.Person:
    """A subject with every kind of lesion."""
    return person.make_person(template, np.random.default_rng(4), NORTH, SICK)


@pytest.fixture(scope="module")
def subject(template: surfaces.Surfaces) -> SubjectArrays:
    return phantom.prepare_subject(CONFIG, "val-0001")


def test_earlier_settings_mean_the_first_anatomy_with_its_hash() -> None:
    old = phantom.PhantomConfig(train=1, val=2, test=2, anatomy="first")
    assert phantom.cohort_hash(old)[:16] == "709e55dccc48fe9d"  # of a cohort made before there was a second
    changes: list[dict[str, Any]] = [{}, {"anatomy": "first", "pathology": "ordinary"}, {"pathology": "none"}]
    changes += [{"voxel": "scaled"}, {"site": "same"}]
    assert len({phantom.cohort_hash(replace(CONFIG, **change)) for change in changes}) == len(changes)
    assert phantom.PhantomConfig() == build_config(
        phantom.PhantomConfig, {"anatomy": "second", "voxel": True}
    )
    with pytest.raises(
        FieldError, match="pathology: 'more' is not allowed; allowed: none with anatomy: first"
    ):
        build_config(phantom.PhantomConfig, {"anatomy": "first", "pathology": "more"})


def test_tissues_fill_the_brain_and_lie_as_in_a_brain(sick: person.Person) -> None:
    np.testing.assert_allclose(sick.fractions.sum(0)[sick.mask], 1, atol=1e-5)
    assert not sick.fractions[:3, ~sick.mask].any() and sick.fractions.min() >= 0
    _, grey, deep, _ = sick.fractions[:, sick.mask].mean(1)  # shares of the brain
    assert 0.3 < grey < 0.5 and 0.01 < deep < 0.04


def test_healthy_brains_have_adults_volumes(template: surfaces.Surfaces) -> None:
    """Mean of two subjects (ml); the ranges are those of adults, and a subject's head varies by 15 %."""
    people = [
        person.make_person(template, np.random.default_rng(seed), NORTH, pathology.RATES["none"])
        for seed in range(2)
    ]
    shares = np.mean([each.fractions[:, each.mask].sum(1) for each in people], 0)
    white, grey, deep, fluid = shares * template.spacing.prod() / 1000
    assert 400 < white < 600 and 600 < grey + deep < 750 and 25 < deep < 50 and 200 < fluid < 400
    assert 1300 < white + grey + deep + fluid < 1600


def test_origins_say_where_in_the_template_a_point_lies(
    template: surfaces.Surfaces, sick: person.Person
) -> None:
    """Where there is no mass, the template's distance to the skull there is the subject's mask."""
    first, spacing = template.affine[:3, 3], template.spacing
    voxels = (sick.origin.astype(float) - first[:, None, None, None]) / spacing[:, None, None, None]
    at = tuple(
        np.clip(np.rint(v).astype(int), 0, n - 1) for v, n in zip(voxels, sick.mask.shape, strict=True)
    )
    inside = template.levels[surfaces.BRAIN][at]
    mask = sick.mask[::2, ::2, ::4]
    assert (mask == (inside > 0))[np.abs(inside) > 3].mean() > 0.999


@pytest.mark.parametrize("seed", range(3))
def test_subjects_are_diffeomorphic_to_the_template(template: surfaces.Surfaces, seed: int) -> None:
    shape = morphology.draw_shape(template, np.random.default_rng(seed))
    step = torch.from_numpy(template.spacing.astype(np.float32)).view(3, 1, 1, 1)
    determinant = morphology.jacobian(shape.coordinates * step, template.spacing.tolist())
    assert determinant[1:-1, 1:-1, 1:-1].min() > 0.1 and determinant.std() > 0.15


def test_lesions_are_of_every_kind_on_one_side_each_and_replace_tissue(sick: person.Person) -> None:
    assert {each.kind for each in sick.lesions} == set(KINDS)
    middle = -sick.affine[0, 3]
    for each in sick.lesions:
        assert each.weight.min() >= 0 and each.weight.max() <= 1 and each.volume > pathology.LEAST
        assert each.weight.shape == sick.mask[each.box].shape
        assert not each.weight[~sick.mask[each.box]].any()
        if each.kind != "hyperintensity":
            x = (np.arange(each.box[0].start, each.box[0].stop) * sick.spacing[0] - middle)[:, None, None]
            share = each.weight[np.broadcast_to(x > 0, each.weight.shape)].sum() / each.weight.sum()
            assert min(share, 1 - share) < 0.1  # of the straight middle; the true one is curved
    (caps,) = (each for each in sick.lesions if each.kind == "hyperintensity")
    assert (caps.weight <= sick.fractions[0][caps.box] + 1e-6).all()
    labels, filled = sick.lesion_map, np.zeros(sick.mask.shape)
    for each in sick.lesions:
        filled[each.box] += each.weight
        count = (labels == 1 + KINDS.index(each.kind)).sum() * each.voxel
        own = sum(other.volume for other in sick.lesions if other.kind == each.kind)
        assert count == pytest.approx(own, rel=0.15, abs=0.1)
    assert filled.max() <= 1 + 1e-6 and np.array_equal(labels > 0, filled.astype(np.float32) >= 0.5)


def test_stated_volumes_are_those_that_the_image_shows(sick: person.Person) -> None:
    for kind in KINDS:
        signals = np.zeros(len(person.TISSUES) + len(KINDS), np.float32)
        signals[len(person.TISSUES) + KINDS.index(kind)] = 1
        shown = (contrast_image(sick, signals) / sick.texture).sum(dtype=float) * sick.spacing.prod() / 1000
        assert shown == pytest.approx(sum(e.volume for e in sick.lesions if e.kind == kind), rel=1e-4)


def test_slices_are_normalised_and_all_planes_maps_and_transforms_are_beside_them(
    subject: SubjectArrays,
) -> None:
    arrays, optional = subject.arrays, subject.optional
    count = len(arrays["3T", MASK])
    assert 20 <= count <= 32  # at 5 mm, whatever the spacing in plane
    for domain in ("64mT", "3T"):
        for contrast in CONTRASTS:
            slices = arrays[domain, contrast]
            assert slices.shape == (count, 112, 96) and slices.min() == -1 and slices.max() == 1
            assert (slices[arrays[domain, MASK] == 0] == -1).all()
    rows = subject.provenance["plane_of_slice"]
    assert np.array_equal(np.diff(rows), np.full(count - 1, 5))
    for contrast in CONTRASTS:
        np.testing.assert_array_equal(optional[f"3T_{contrast}"][rows], arrays["3T", contrast])
    np.testing.assert_array_equal(optional["tissue"][rows] > 0, arrays["3T", MASK] > 0)
    assert set(np.unique(optional["tissue"])) == {0, 1, 2, 3, 4}
    assert subject.provenance["site"] == {"people": "north", "64mT": "north", "3T": "south"}
    voxels = np.bincount(optional["lesion"].ravel(), minlength=7)[1:] * 0.004
    stated = dict.fromkeys(KINDS, 0.0)
    for each in subject.provenance["lesions"]:
        stated[each["kind"]] += each["ml"]
    for kind, volume in zip(KINDS, voxels, strict=True):
        assert volume == pytest.approx(stated[kind], rel=0.2, abs=0.3)


def test_the_same_subject_again_and_a_training_subject_of_one_field(subject: SubjectArrays) -> None:
    again = phantom.prepare_subject(CONFIG, "val-0001")
    for key, array in subject.arrays.items():
        np.testing.assert_array_equal(array, again.arrays[key])
    for name, array in subject.optional.items():
        np.testing.assert_array_equal(array, again.optional[name])
    alone = phantom.prepare_subject(CONFIG, "train-64mT-0000")
    assert {domain for domain, _ in alone.arrays} == {"64mT"} and "3T_T1" not in alone.optional
    volumes = phantom.native_volumes(CONFIG, "train-64mT-0000")
    assert {v.shape for v, _ in volumes.values()} == {(124, 146, 38)}
    np.testing.assert_allclose(np.diag(volumes["64mT", "T1"][1])[:3], (1.6, 1.6, 5))


def test_the_same_person_without_lesions_differs_near_them_alone(subject: SubjectArrays) -> None:
    well = phantom.prepare_subject(CONFIG, "val-0001", healthy=True)
    labels = subject.optional["lesion"]
    assert labels.any() and not well.optional["lesion"].any() and not well.provenance["lesions"]
    for name in ("tissue", "origin"):
        np.testing.assert_array_equal(subject.optional[name], well.optional[name])
    far = distance_transform_edt(labels == 0, (1, 2, 2)) > 6
    for contrast in CONTRASTS:
        pair = [each.optional[f"3T_{contrast}"].astype(float) for each in (subject, well)]
        # Elsewhere by the percentiles of the normalisation alone: an affine map, but for what is clipped.
        plain = far & (np.abs(pair) < 0.95).all(0)
        change = np.abs(np.polyval(np.polyfit(*(x[plain] for x in pair), 1), pair[0]) - pair[1])
        assert change[labels > 0].mean() > 0.1 and np.percentile(change[plain], 99) < 0.02


@pytest.mark.slow  # the meshes and five subjects
def test_a_stored_cohort_has_a_shifted_test_split_from_another_site(tmp_path: Path) -> None:
    config = replace(CONFIG, train=1, val=1, test=1, shifted=1)
    cohort = Cohort.open(phantom.prepare(config, tmp_path))
    assert cohort.splits == ("train", "val", "test", "shifted")
    split = cohort.split("shifted")
    assert split.subjects("64mT") == split.subjects("3T") and len(split.subjects("3T")) == 1
    (entry,) = (s for s in cohort.manifest["subjects"] if s["split"] == "shifted")
    assert set(entry["provenance"]["site"].values()) == {"east"}
    tissue = cohort.optional("shifted", "tissue").of("shifted-0000")
    assert set(np.unique(tissue)) == {0, 1, 2, 3, 4}
    cohort.verify()
