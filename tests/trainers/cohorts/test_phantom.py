import importlib.util
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trainers.cohorts import phantom
from trainers.cohorts.preprocessing import slicing
from trainers.cohorts.simulation import anatomy, imaging, physics, subject
from trainers.cohorts.simulation.physics import Field
from trainers.config import FieldError
from trainers.config import build as build_config
from trainers.data.grid import GRIDS
from trainers.data.store import CONTRASTS, DOMAINS, MASK, Cohort
from trainers.errors import InputError

CONFIG = phantom.PhantomConfig(train=3, val=2, test=2, anatomy="first")


@pytest.fixture(scope="module")
def cohort(tiny: Any) -> Cohort:
    """The session's cohort, which has these settings."""
    opened: Cohort = tiny.cohort
    return opened


@pytest.fixture(scope="module")
def person() -> subject.Anatomy:
    return subject.make_anatomy(anatomy.tissue_template("2mm"), np.random.default_rng(0))


def test_tissues_fill_the_brain_lesions_replace_white_matter_and_nilearn_is_needed(
    person: subject.Anatomy, monkeypatch: pytest.MonkeyPatch
) -> None:
    template = anatomy.tissue_template("2mm")
    assert template.mask.shape == (98, 116, 94)
    np.testing.assert_allclose(template.tissues.sum(0), 1, atol=1e-5)
    assert template.tissues.min() >= 0
    assert 1850 < template.mask.sum() * 8 / 1000 < 1950  # nilearn's own mask holds 1883 ml
    white, grey, deep, _ = (template.tissues * template.mask).sum((1, 2, 3)) * 8 / 1000
    assert 600 < white < 750 and 850 < grey < 1000 and 30 < deep < 60
    total = person.fractions.sum(0)
    np.testing.assert_allclose(total[person.mask], 1, atol=1e-5)
    assert not total[~person.mask].any()
    fractions = np.zeros((5, 60, 60, 60), np.float32)
    fractions[0] = 1
    for seed in range(12):
        rng, radii = np.random.default_rng(seed), np.random.default_rng(seed)
        found = fractions.copy()
        count = subject.add_lesions(found, rng, 1.0)
        expected = radii.uniform(2.0, 5.0, int(radii.integers(0, 4)))
        assert count == len(expected)
        np.testing.assert_allclose(found.sum(0), 1, atol=1e-6)
        if count == 1 and (edges := np.argwhere(found[4])).min() > 0 and edges.max() < 59:
            assert found[4].sum() == pytest.approx(4 / 3 * np.pi * expected[0] ** 3, rel=0.12)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"nilearn.*pip install nilearn"):
        anatomy.tissue_files()


@pytest.mark.parametrize("field", physics.FIELDS)
def test_contrast_order_of_the_simulated_images(person: subject.Anatomy, field: Field) -> None:
    """The images mix tissues linearly, so least squares on the (blurred) fractions gives their signals."""
    geometry = imaging.Geometry.of("2mm", person.affine)
    fractions = person.fractions[[0, 1, 3]]
    if field == "64mT":
        fractions = np.stack([geometry.blur(fraction) for fraction in fractions])
    for contrast in physics.CONTRASTS:
        volume = imaging.acquire(person, geometry, field, contrast, np.random.default_rng(1))
        design, image = fractions[:, volume.mask].T, volume.values[volume.mask]
        white, grey, fluid = np.linalg.lstsq(design, image, rcond=None)[0]
        assert (white > 1.1 * grey > 2 * fluid) if contrast == "T1" else (1.3 * white < grey < 0.7 * fluid)


def test_noise_of_a_64mT_volume_is_the_stated_snr(person: subject.Anatomy) -> None:
    """Two scans with one receive field differ by noise alone: SNR 14 in T1w, less the denoising's gain."""
    geometry = imaging.Geometry.of("2mm", person.affine)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(physics, "SCANNERS", {"64mT": replace(physics.SCANNERS["64mT"], bias=0.0)})
        a, b = (imaging.acquire(person, geometry, "64mT", "T1", np.random.default_rng(s)) for s in (1, 2))
    white = geometry.blur(person.fractions[0]) > 0.95
    noise = (a.values - b.values)[white].std() / np.sqrt(2)
    weights = np.exp(-0.5 * (np.arange(-3, 4) / 0.5) ** 2)
    gain = ((weights / weights.sum()) ** 2).sum()
    assert a.values[white].mean() / noise * gain == pytest.approx(14, rel=0.1)


@pytest.mark.parametrize(
    ("size", "voxel", "shape", "through"),
    [
        ("2mm", "2mm", (98, 116, 94), 2.0),
        ("1mm", "1mm", (197, 233, 189), 1.0),
        ("2mm", "1mm", (98, 116, 188), 1.0),  # the second anatomy, 64 mT at its true voxel
    ],
)
def test_both_fields_put_a_point_on_the_same_pixel_and_the_same_mm(
    size: str, voxel: str, shape: tuple[int, int, int], through: float
) -> None:
    spacing = GRIDS[size].spacing
    affine = np.diag([spacing, spacing, through, 1.0])
    affine[:3, 3] = -98, -134, -72
    geometry, grid = imaging.Geometry.of(voxel, affine), GRIDS[size]
    at = np.array([0.4, 0.55, 0.5]) * shape
    axes = np.ogrid[tuple(slice(n) for n in shape)]
    steps = np.diag(affine)[:3]
    square = sum(((a - c) * d) ** 2 for a, c, d in zip(axes, at, steps, strict=True))
    bell = np.exp(-square / (2 * 8.0**2))
    thick, planes = geometry.blur(bell.astype(np.float32)), geometry.planes(shape[2])

    def centroid(volume: np.ndarray) -> np.ndarray:
        indices = np.indices(volume.shape, sparse=True)
        return np.array([(index * volume).sum() for index in indices]) / volume.sum()

    native = geometry.affine(shape)
    mm = affine[:3, :3] @ centroid(bell) + affine[:3, 3]
    np.testing.assert_allclose(native[:3, :3] @ centroid(thick) + native[:3, 3], mm, atol=0.05)
    slices = []
    for volume, step in ((thick, native[0, 0]), (slicing.take_planes(bell, planes), spacing)):
        everywhere = np.ones(volume.shape, bool)
        working, _ = slicing.to_working(slicing.axial(volume), slicing.axial(everywhere), (step, step), grid)
        slices.append(centroid(working))
    np.testing.assert_allclose(slices[0], slices[1], atol=0.03)


@pytest.mark.parametrize("seed", range(5))
def test_no_brain_is_cut_off_by_the_working_grid(seed: int) -> None:
    brain = subject.make_anatomy(anatomy.tissue_template("2mm"), np.random.default_rng(seed)).mask
    slices = slicing.axial(brain)
    assert slicing.crop_pad(slices, GRIDS["2mm"].shape).sum() == brain.sum()


def test_a_subject_depends_on_its_id_and_seed_alone_not_on_the_order_of_work(
    cohort: Cohort, tmp_path: Path
) -> None:
    again = phantom.prepare_subject(CONFIG, "val-0001")
    split = cohort.split("val")
    (row,) = (s for s in split.subjects("3T") if s.id == "val-0001")
    for (domain, kind), array in again.arrays.items():
        stored = split.mask(domain) if kind == MASK else split.slices(domain, kind)
        np.testing.assert_array_equal(array, stored[row.start : row.stop])
    other = phantom.prepare_subject(replace(CONFIG, seed=1), "val-0001")
    assert any(not np.array_equal(other.arrays[key], again.arrays[key]) for key in again.arrays)

    def backwards(fn: Callable[[str], Any], items: list[str]) -> Iterable[Any]:
        return [fn(item) for item in items[::-1]][::-1]

    other = Cohort.open(phantom.prepare(CONFIG, tmp_path, backwards))
    assert other.manifest == cohort.manifest  # sha256 of every file among it


def test_settings_are_typed_bounded_and_part_of_the_hash() -> None:
    changes: list[dict[str, Any]] = [{}, {"size": "1mm"}, {"train": 4}, {"val": 3}, {"test": 3}]
    changes += [{"seed": 1}, {"dtype": "float32"}]
    assert len({phantom.cohort_hash(replace(CONFIG, **change)) for change in changes}) == len(changes)
    assert build_config(phantom.PhantomConfig, {"train": 3}) == phantom.PhantomConfig(train=3)
    with pytest.raises(FieldError, match="size: '3mm' is not allowed; allowed: 2mm, 1mm"):
        build_config(phantom.PhantomConfig, {"size": "3mm"})
    with pytest.raises(FieldError, match="train"):
        build_config(phantom.PhantomConfig, {"train": 0})


def test_a_stored_cohort_has_disjoint_subjects_normalised_slices_and_a_manifest_and_is_reused(
    cohort: Cohort, tiny: Any
) -> None:
    train, val, test = (cohort.split(name) for name in ("train", "val", "test"))
    groups = [{s.id for s in train.subjects(domain)} for domain in DOMAINS]
    groups += [{s.id for s in split.subjects("3T")} for split in (val, test)]
    assert [len(group) for group in groups] == [3, 3, 2, 2]
    assert len(set.union(*groups)) == 10
    for split in (val, test):
        assert split.subjects("64mT") == split.subjects("3T")
    assert cohort.shape == (112, 96) and cohort.spacing == 2.0
    for name in ("train", "val", "test"):
        split = cohort.split(name)
        for domain in DOMAINS:
            mask = split.mask(domain)
            assert mask.mean((1, 2)).min() >= 0.1 and 8 <= len(mask) / len(split.subjects(domain)) <= 16
            for contrast in CONTRASTS:
                slices = split.slices(domain, contrast)
                assert (slices[mask == 0] == -1).all()
                assert slices.min() == -1 and slices.max() == 1 and np.isfinite(slices).all()
    assert cohort.manifest["config"]["seed"] == 0 and cohort.hash == phantom.cohort_hash(CONFIG)
    assert set(cohort.manifest["choices"]) == {"grid", "normalisation", "mask", "slice_filter", "order"}
    for person in cohort.manifest["subjects"]:
        assert len(person["provenance"]["slices"]) == person["stop"] - person["start"]
        assert 0 <= person["provenance"]["lesions"] <= 3

    def idle(fn: object, items: object) -> Iterable[Any]:
        raise AssertionError("no work was to be done")

    assert phantom.prepare(CONFIG, tiny.root, idle) == cohort.path
    assert cohort.path == tiny.root / "cohorts" / phantom.cohort_hash(CONFIG)[:16]


def test_paired_rows_show_the_same_slice_of_the_same_subject(cohort: Cohort) -> None:
    val = cohort.split("val")
    low, high = (np.asarray(val.slices(d, "T1"), float).reshape(len(val.mask(d)), -1) for d in DOMAINS)
    overlap = 2 * (val.mask("64mT") & val.mask("3T")).sum((1, 2))
    dice = overlap / (val.mask("64mT").sum((1, 2)) + val.mask("3T").sum((1, 2)))
    assert dice.min() > 0.9 and dice.mean() > 0.97
    correlation = np.corrcoef(low, high)[: len(low), len(low) :]
    assert (correlation.argmax(1) == np.arange(len(low))).all()


def test_native_volumes_are_stripped_and_placed(cohort: Cohort) -> None:
    volumes = phantom.native_volumes(CONFIG, "test-0000")
    assert set(volumes) == {(field, contrast) for field in DOMAINS for contrast in CONTRASTS}
    centres = []
    for (field, _), (values, affine) in volumes.items():
        spacing = np.diag(affine)[:3]
        assert values.shape == ((62, 72, 20) if field == "64mT" else (98, 116, 94))
        np.testing.assert_allclose(spacing, (3.2, 3.2, 10) if field == "64mT" else (2, 2, 2))
        brain = values > 0
        assert 1500 < brain.sum() * spacing.prod() / 1000 < 2400 and values.min() == 0
        centres.append(affine[:3, :3] @ np.argwhere(brain).mean(0) + affine[:3, 3])
    np.testing.assert_allclose(centres, np.tile(centres[0], (4, 1)), atol=1.0)
    alone = phantom.native_volumes(CONFIG, "train-3T-0001")
    assert set(alone) == {("3T", "T1"), ("3T", "T2")}
    with pytest.raises(InputError, match="'test-0002' is not in this cohort"):
        phantom.native_volumes(CONFIG, "test-0002")
