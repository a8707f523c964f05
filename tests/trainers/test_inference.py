"""Translation of a visit: identities in closed form, deviations against single seeds."""

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import nibabel as nib
import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from tests.trainers.cohorts.geometry import ORIENTATIONS
from trainers.cohorts.preprocessing import nifti
from trainers.cohorts.preprocessing.examination import Examination, examine
from trainers.cohorts.preprocessing.nifti import Scan
from trainers.cohorts.preprocessing.skullstrip import Stripped
from trainers.data.arrays import Array
from trainers.errors import InputError
from trainers.export import Translator
from trainers.inference import enhance
from trainers.methods.unsb import Config, Method
from trainers.metrics.judge import clamp_and_mask
from trainers.references.config import ReferenceConfig

SHAPE = (30, 34, 9)
AFFINE = np.array([[2.0, 0, 0, -31], [0, 2, 0, -40], [0, 0, 8, 5], [0, 0, 0, 1]])
"""2 mm in plane, as the working grid: nothing is interpolated."""


class Identity(Translator):
    """Returns its source and records its inputs."""

    given: ClassVar[list[tuple[Tensor, Tensor, int]]] = []

    def slices(self, source: Tensor, mask: Tensor, draw: int = 0) -> Tensor:
        self.given.append((source, mask, draw))
        return clamp_and_mask(source + 0.01 * draw, mask)


def facts(channels: str = "t1_t2_mean", seed: int = 0) -> dict[str, Any]:
    config = {"generator_width": 4, "generator_blocks": 1, "latent": 8, "seed": seed}
    grid = {"shape": [48, 40], "spacing": 2.0}
    return {
        "method": "unsb",
        "config": config,
        "steps": 2,
        "reference_config": {"channels": channels},
        **grid,
    }


def identity(channels: str = "t1_t2_mean") -> Translator:
    Identity.given.clear()
    return Identity(facts(channels), {}, torch.device("cpu"))


def drawing(seed: int) -> Translator:
    """An untrained UNSB, its weights so large that the latent has an effect."""
    torch.manual_seed(0)
    networks = Method.translators(Config(**facts()["config"]), ReferenceConfig())
    for parameter in (p for network in networks.values() for p in network.parameters()):
        parameter.requires_grad_(False).add_(0.1 * torch.randn_like(parameter))
    return Translator(facts(seed=seed), networks, torch.device("cpu"))


def brain() -> Array:
    grid = np.stack(np.meshgrid(*(np.linspace(-1.2, 1.2, n) for n in SHAPE), indexing="ij"))
    return np.asarray((grid**2).sum(0) < 1)


def scan(seed: int, affine: Array = AFFINE) -> Scan:
    values = np.random.default_rng(seed).uniform(10, 90, SHAPE).astype(np.float32)
    return Scan(Path(f"{seed}.nii"), values, affine, nib.io_orientation(affine))


def visit(**scans: Scan) -> Examination:
    stripped = Stripped(brain(), "given", {})
    return Examination(scans, stripped, {contrast: np.eye(4) for contrast in scans})


def unit(values: Array) -> Array:
    """p0.5..p99.5 in the brain to [0, 1], 0 outside."""
    low, high = np.percentile(values[brain()], (0.5, 99.5))
    return np.where(brain(), np.clip((values - low) / (high - low), 0, 1), 0)


def test_the_identity_returns_the_normalised_scan_and_flicker_raises_the_measures() -> None:
    pair = {"T1": scan(1), "T2": scan(2)}
    found = enhance(identity(), visit(**pair))
    assert found.volumes.keys() == {"T1", "T2"} and not found.spread
    for contrast, one in pair.items():
        assert found.volumes[contrast].dtype == np.float32
        np.testing.assert_allclose(found.volumes[contrast], unit(one.values), atol=1e-5)
        np.testing.assert_allclose(found.untouched[contrast], unit(one.values), atol=1e-5)
        np.testing.assert_array_equal(found.brain[contrast], brain())
        assert found.consistency[contrast] == pytest.approx({"through_plane_change": 1, "slice_shift": 1})

    class Flickering(Identity):
        def slices(self, source: Tensor, mask: Tensor, draw: int = 0) -> Tensor:
            sign = torch.tensor([(-1.0) ** i for i in range(len(source))])
            return clamp_and_mask(0.5 * source + 0.3 * sign[:, None, None, None], mask)

    smooth = scan(1)
    smooth.values[:] = smooth.values[:, :, :1] + np.linspace(0, 5, SHAPE[2])
    found = enhance(Flickering(facts("t1"), {}, torch.device("cpu")), visit(T1=smooth))
    assert found.consistency["T1"]["through_plane_change"] > 3
    assert found.consistency["T1"]["slice_shift"] > 3


def test_slices_are_given_anterior_first_from_inferior_with_both_contrasts_and_their_mean() -> None:
    pair = {"T1": scan(1), "T2": scan(2)}
    enhance(identity(), visit(**pair))
    ((source, mask, draw),) = Identity.given
    levels = np.flatnonzero(brain().any((0, 1)))
    assert source.shape == (len(levels), 3, 48, 40) and draw == 0
    t1, t2 = (2 * unit(one.values) - 1 for one in pair.values())
    rows, columns = (np.flatnonzero(brain().any(axis)) for axis in ((0, 2), (1, 2)))
    box = np.ix_(columns, rows, levels)
    height, width = (48 - len(rows)) // 2, (40 - len(columns)) // 2
    window = (..., slice(height, height + len(rows)), slice(width, width + len(columns)))
    for channel, values in enumerate((t1, t2, (t1 + t2) / 2)):
        expected = values[box].transpose(2, 1, 0)[:, ::-1]
        np.testing.assert_allclose(source[:, channel][window], expected, atol=1e-5)
    np.testing.assert_array_equal(mask[window], brain()[box].transpose(2, 1, 0)[:, ::-1])
    assert not mask.sum() - mask[window].sum() and source[:, 0][~mask].max() == -1


def test_a_contrast_on_another_grid_is_returned_on_its_grid() -> None:
    """T2's points are T1's moved by three voxels and mirrored in the file: a lossless registration."""
    turned = np.diag([-1.0, 1, 1, 1])
    turned[0, 3] = SHAPE[0] - 1
    shift = np.eye(4)
    shift[:3, 3] = (6, -4, 8)
    t1, t2 = scan(1), scan(2)
    moved = replace(t2, affine=shift @ AFFINE @ turned, orientation=nib.io_orientation(AFFINE @ turned))
    examination = replace(visit(T1=t1, T2=moved), to_scan={"T1": np.eye(4), "T2": shift})
    np.testing.assert_allclose(moved.ras_affine, shift @ AFFINE, atol=1e-9)
    found = enhance(identity(), examination)
    np.testing.assert_allclose(found.volumes["T2"], unit(t2.values), atol=1e-4)
    np.testing.assert_array_equal(found.brain["T2"], brain())


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
@pytest.mark.parametrize("code", ORIENTATIONS)
@pytest.mark.parametrize("zoom", [1.0, 0.8])
def test_a_file_keeps_its_grid_and_its_intensities(
    code: str, dtype: str, zoom: float, tmp_path: Path
) -> None:
    """Exactly at 2 mm in plane, as the working grid; at 1.6 mm within interpolation error."""
    rough = np.random.default_rng(0).uniform(10, 90, SHAPE)
    values = np.where(brain(), gaussian_filter(rough, (2, 2, 0)) * 2, 0).astype(dtype)
    ras = nib.Nifti1Image(values, AFFINE @ np.diag([zoom, zoom, 1, 1]))
    turn = nib.orientations.ornt_transform(nib.io_orientation(AFFINE), nib.orientations.axcodes2ornt(code))
    nib.save(ras.as_reoriented(turn), tmp_path / "in.nii.gz")
    one = nifti.read(tmp_path / "in.nii.gz")
    given = replace(one, values=brain().astype(np.float32))
    found = enhance(identity("t1"), examine({"T1": one}, "given", given))
    nifti.write(tmp_path / "out.nii.gz", found.volumes["T1"], one)
    before, after = nib.load(tmp_path / "in.nii.gz"), nib.load(tmp_path / "out.nii.gz")
    assert after.shape == before.shape and nib.aff2axcodes(after.affine) == tuple(code)
    np.testing.assert_array_equal(after.affine, before.affine)
    expected = nib.Nifti1Image(unit(values.astype(np.float32)), ras.affine).as_reoriented(turn).get_fdata()
    error = np.abs(after.get_fdata() - expected)
    assert error.max() < 1e-5 if zoom == 1 else np.sqrt((error[expected > 0] ** 2).mean()) < 0.03


@pytest.mark.parametrize("shift", [0.0, 0.7])
def test_slices_of_one_intensity_keep_it_up_to_their_rim(shift: float) -> None:
    """At 1.6 mm, and for T2 with its points between those of T1: the background is not mixed in."""
    affine, offset = AFFINE @ np.diag([0.8, 0.8, 1, 1]), np.eye(4)
    offset[:2, 3] = shift
    level = np.tile([10.0, 20.0, 30.0], SHAPE[2])[: SHAPE[2]]
    flat = replace(scan(1, affine), values=np.broadcast_to(level, SHAPE).astype(np.float32))
    other = replace(flat, affine=offset @ affine)
    found = enhance(identity(), visit(T1=flat, T2=other))
    for contrast in ("T1", "T2"):
        inside = found.brain[contrast]
        assert inside.sum() > 0.9 * brain().sum()
        expected = np.broadcast_to((level - 10) / 20, SHAPE)
        least = 5e-3 if shift else 1e-4  # splines ring at the end of the scan
        np.testing.assert_allclose(found.volumes[contrast][inside], expected[inside], atol=least)


@pytest.mark.parametrize(("channels", "contrast"), [("t1", "T1"), ("t2", "T2")])
def test_one_contrast_is_enough_for_a_model_of_one(channels: str, contrast: str) -> None:
    found = enhance(identity(channels), visit(**{contrast: scan(1)}))
    assert found.volumes.keys() == {contrast}
    np.testing.assert_allclose(found.volumes[contrast], unit(scan(1).values), atol=1e-5)


def test_the_deviation_over_draws_is_that_of_seeds_alone_and_slices_share_a_latent() -> None:
    examination = visit(T1=scan(1), T2=scan(2))
    found = enhance(drawing(seed=5), examination, draws=3)
    alone = [enhance(drawing(seed=5 + k), examination) for k in range(3)]
    for contrast in ("T1", "T2"):
        volumes = np.stack([one.volumes[contrast] for one in alone])
        spread = found.spread[contrast]
        np.testing.assert_allclose(spread, volumes.std(0), atol=1e-6)
        assert spread[brain()].mean() > 1e-3 and spread.min() == 0 and not spread[~brain()].any()
        np.testing.assert_array_equal(found.volumes[contrast], volumes[0])
    # Equidistant draws have a closed form.
    found = enhance(identity("t1"), visit(T1=scan(1)), draws=3)
    assert [draw for *_, draw in Identity.given] == [0, 1, 2]
    grey = brain() & (unit(scan(1).values) < 0.98)  # nothing is clipped
    np.testing.assert_allclose(found.spread["T1"][grey], 0.005 * np.sqrt(2 / 3), rtol=1e-3)
    # Equal slices stay equal: all variation between slices is from the scan.
    source = torch.rand(1, 3, 48, 40).repeat(5, 1, 1, 1) * 2 - 1
    translated = drawing(seed=0).slices(source, torch.ones(5, 48, 40, dtype=torch.bool))
    assert torch.allclose(translated, translated[:1].expand_as(translated), atol=1e-5)


def test_a_brain_larger_than_the_grid_and_an_empty_mask_are_errors() -> None:
    wide = AFFINE @ np.diag([3, 1, 1, 1])
    with pytest.raises(InputError, match=r"its brain is .* mm in plane; allowed: at most 96 x 80"):
        enhance(identity("t1"), visit(T1=scan(1, wide)))
    empty = replace(visit(T1=scan(1)), stripped=Stripped(np.zeros(SHAPE, bool), "given", {}))
    with pytest.raises(InputError, match="mask is empty"):
        enhance(identity("t1"), empty)
