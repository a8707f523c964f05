"""Translating scans by an exported translator: on whatever grid they lie, with every warning they deserve."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from platform import translate
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes

from trainers.cohorts.phantom import PhantomConfig, native_volumes
from trainers.cohorts.preprocessing import nifti, registration
from trainers.cohorts.preprocessing.registration import Image
from trainers.cohorts.preprocessing.skullstrip import Stripped
from trainers.cohorts.preprocessing.slicing import normalise
from trainers.errors import InputError

Array = NDArray[Any]
Run = Callable[..., str]
Scans = dict[str, "nib.Nifti1Image"]


@pytest.fixture(scope="module")
def phantom() -> dict[tuple[str, str], Image]:
    """Both contrasts of one subject at both fields, brain-extracted, by (field, contrast)."""
    config = PhantomConfig(train=3, val=2, test=2)
    return {key: Image(*pair) for key, pair in native_volumes(config, "test-0000").items()}


@pytest.fixture
def scans(phantom: dict[tuple[str, str], Image], tmp_path: Path) -> dict[str, Path]:
    """The low-field pair as files; those at 3 T as ``3T_T1`` and ``3T_T2``."""
    paths = {}
    for (field, contrast), image in phantom.items():
        name = contrast if field == "64mT" else f"3T_{contrast}"
        paths[name] = save(tmp_path / f"in/{name}.nii.gz", image.values, image.affine)
    return paths


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """``run(model, "--t1", path, ...)`` into ``tmp_path / "out"``; returns what it printed."""

    def call(model: Path, *words: object) -> str:
        translate.main([str(word) for word in (model, "-o", tmp_path / "out", *words)])
        return capsys.readouterr().out

    return call


def save(path: Path, values: Array, affine: Array) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(values.astype(np.float32), affine), path)
    return path


def output(folder: Path, stem: str, kind: str = "enhanced") -> Any:
    return nib.load(folder / "out" / f"{stem}_desc-{kind}.nii.gz")


def sidecar(folder: Path, stem: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "out" / f"{stem}_desc-enhanced.json").read_text())
    return found


def pair(scans: dict[str, Path]) -> tuple[object, ...]:
    return "--t1", scans["T1"], "--t2", scans["T2"]


def test_a_pair_comes_back_on_its_grid_with_all_that_is_known_of_it(
    translator: Any, scans: dict[str, Path], run: Run, tmp_path: Path
) -> None:
    model = translator()
    told = run(model, *pair(scans))
    brain = binary_fill_holes(nib.load(scans["T1"]).get_fdata())
    for contrast in ("T1", "T2"):
        source, made = nib.load(scans[contrast]), output(tmp_path, contrast)
        assert made.shape == source.shape and made.get_data_dtype() == np.float32
        np.testing.assert_array_equal(made.affine, source.affine)
        values = made.get_fdata()
        assert values.min() == 0 and values.max() <= 1 and values[brain].std() > 0.05
        assert not values[~brain].any()
        facts = sidecar(tmp_path, contrast)
        assert facts["model"] == str(model) and facts["source"] == str(scans[contrast])
        assert facts["version"].startswith("sha256 ")
        assert facts["use"].startswith("research only")
        assert (facts["method"], facts["steps"], facts["trial_key"]) == ("unsb", 2, "a trial")
        assert (facts["cohort"], facts["normalisation"]) == ("a cohort", "by percentiles")
        assert (facts["preprocessing"]["brain_mask"], facts["warnings"], facts["psnr_db"]) == (
            "given",
            [],
            {},
        )
        assert facts["consistency"].keys() == {"through_plane_change", "slice_shift"}
        assert 0 < facts["seconds"] < 100
        assert f"{contrast}_desc-enhanced.nii.gz, through-plane change" in told
    assert (tmp_path / "out/T1_T2_before_after.png").stat().st_size > 10_000
    assert "warning" not in told
    names = {f"{c}_desc-enhanced{ending}" for c in ("T1", "T2") for ending in (".nii.gz", ".json")}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names | {"T1_T2_before_after.png"}


def moved(image: Image, how: str) -> Image:
    """T2 as another scan protocol would have stored the very same brain."""
    if how in ("LAS", "PIL"):
        turn = nib.orientations.axcodes2ornt(how)
        turned = nib.Nifti1Image(image.values, image.affine).as_reoriented(
            nib.orientations.ornt_transform(nib.io_orientation(image.affine), turn)
        )
        return Image(turned.get_fdata(dtype=np.float32), turned.affine)
    if how == "shifted":
        affine = image.affine.copy()
        affine[:3, 3] += (6, -5, 4)
        return Image(image.values, affine)
    finer = Image(np.empty((75, 85, 36)), image.affine @ np.diag([62 / 75, 72 / 85, 20 / 36, 1]))
    found = registration.resample(image, finer, np.eye(4), order=1)
    return Image(np.where(found > 0.02 * found.max(), found, 0), finer.affine)


@pytest.mark.parametrize("how", ["shifted", "LAS", "PIL", "finer"])
def test_a_second_contrast_on_another_grid_comes_back_on_that_one(
    how: str, translator: Any, phantom: Any, scans: dict[str, Path], run: Run, tmp_path: Path
) -> None:
    other = moved(phantom["64mT", "T2"], how)
    path = save(tmp_path / "in/other.nii.gz", other.values, other.affine)
    run(translator("cut"), "--t1", scans["T1"], "--t2", path)
    made = output(tmp_path, "other")
    assert made.shape == other.values.shape
    np.testing.assert_array_equal(made.affine, nib.load(path).affine)
    assert nib.aff2axcodes(made.affine) == nib.aff2axcodes(other.affine)
    run(translator("cut"), *pair(scans))
    expected = output(tmp_path, "T2").get_fdata()
    if how == "finer":
        there = registration.resample(
            Image(made.get_fdata(), made.affine), phantom["64mT", "T2"], np.eye(4), 1
        )
    else:
        turned = nib.as_closest_canonical(made)
        assert nib.aff2axcodes(turned.affine) == nib.aff2axcodes(phantom["64mT", "T2"].affine)
        there = turned.get_fdata()
    least = 0.9 if how == "finer" else 0.97  # interpolated twice through planes of 10 mm
    assert np.corrcoef(there.ravel(), expected.ravel())[0, 1] > least


def test_a_reference_with_its_skull_is_stripped_and_registered(
    phantom: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The brain's own 3 T scan, moved by 6, -5 and 4 mm, its stripping taken for granted."""
    low, high = phantom["64mT", "T1"], phantom["3T", "T1"]
    brain = high.values != 0
    moved = high.affine.copy()
    moved[:3, 3] += (6, -5, 4)
    path = save(tmp_path / "3T.nii.gz", np.where(brain, high.values, 0.01), moved)
    stripped = Stripped(brain, "template", {})
    monkeypatch.setattr("platform.translate.skullstrip.strip", lambda image: stripped)
    unit = Image((normalise(high.values, brain) + 1) / 2, high.affine)
    expected = registration.resample(unit, low, np.eye(4), order=1)
    found = translate.laid_onto(low, nifti.read(path))
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.98
    unmoved = registration.resample(Image(unit.values, moved), low, np.eye(4), order=1)
    assert np.corrcoef(unmoved.ravel(), expected.ravel())[0, 1] < 0.9


@pytest.mark.parametrize("contrast", ["T1", "T2"])
def test_a_model_of_one_contrast_takes_that_scan_alone(
    contrast: str, translator: Any, scans: dict[str, Path], run: Run, tmp_path: Path
) -> None:
    model = translator("cut", channels=contrast.lower())
    run(model, f"--{contrast.lower()}", scans[contrast])
    assert output(tmp_path, contrast).shape == nib.load(scans[contrast]).shape
    other = {"T1": "T2", "T2": "T1"}[contrast]
    with pytest.raises(InputError) as told:
        run(model, f"--{other.lower()}", scans[other])
    takes = f"is missing, and this model translates {contrast}; allowed: a scan of each"
    assert str(told.value) == f"--{contrast.lower()}: {takes}"


def test_a_scan_that_the_model_does_not_look_at_leaves_no_trace(
    translator: Any, scans: dict[str, Path], run: Run, tmp_path: Path
) -> None:
    scans["T2"].write_bytes(b"not even a scan")
    scans["T2"].with_name("T2.json").write_text(json.dumps({"MagneticFieldStrength": 3}))
    told = run(translator("cut", channels="t1"), *pair(scans))
    names = {"T1_desc-enhanced.nii.gz", "T1_desc-enhanced.json", "T1_before_after.png"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names
    assert "warning" not in told and sidecar(tmp_path, "T1")["warnings"] == []


def test_a_model_of_two_contrasts_wants_both(translator: Any, scans: dict[str, Path], run: Run) -> None:
    with pytest.raises(InputError) as told:
        run(translator(), "--t1", scans["T1"])
    takes = "is missing, and this model translates T1 and T2; allowed: a scan of each"
    assert str(told.value) == f"--t2: {takes}"


def test_a_mask_of_the_users_is_the_brain(
    translator: Any, phantom: Any, scans: dict[str, Path], run: Run, tmp_path: Path
) -> None:
    brain = phantom["64mT", "T1"].values != 0
    brain[31:] = False
    mask = save(tmp_path / "in/mask.nii.gz", brain, phantom["64mT", "T1"].affine)
    for choice in ((), ("--brain-mask", "given")):
        run(translator("cut"), *pair(scans), "--mask", mask, *choice)
        for contrast in ("T1", "T2"):
            values = output(tmp_path, contrast).get_fdata()
            assert not values[~brain].any() and values[brain].std() > 0.05
        assert sidecar(tmp_path, "T1")["preprocessing"]["brain_mask"] == "given"


def test_a_mask_on_another_grid_is_one_line(
    translator: Any, phantom: Any, scans: dict[str, Path], run: Run, tmp_path: Path
) -> None:
    image = phantom["64mT", "T1"]
    affine = image.affine.copy()
    affine[0, 3] += 0.5
    mask = save(tmp_path / "in/mask.nii.gz", image.values != 0, affine)
    with pytest.raises(InputError) as told:
        run(translator("cut"), *pair(scans), "--mask", mask)
    assert str(told.value) == f"{mask}: its grid differs from that of {scans['T1']}; allowed: the scan's own"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--bids", "b", "--t1", "a"], "--bids: give either a BIDS folder or --t1 and --t2"),
        ([], "--bids: give either a BIDS folder or --t1 and --t2"),
        (["--bids", "b", "--mask", "m"], "--bids: takes no --mask and no reference"),
        (["--bids", "b", "--t2-reference", "r"], "--bids: takes no --mask and no reference"),
        (
            ["--t1", "a", "--mask", "m", "--brain-mask", "template"],
            "--mask: not used with --brain-mask template",
        ),
        (["--t1", "a", "--uncertainty", "1"], "--uncertainty: 1 is not allowed; allowed: 2 or more"),
    ],
)
def test_options_that_contradict_each_other_are_one_line(words: list[str], line: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as told:
        translate.main(["nowhere", "-o", str(tmp_path / "out"), *words])
    assert str(told.value).startswith(line) and "\n" not in str(told.value)
    assert not (tmp_path / "out").exists()


def test_a_scan_that_is_nowhere_is_one_line(translator: Any, run: Run, tmp_path: Path) -> None:
    with pytest.raises(InputError) as told:
        run(translator("cut", channels="t1"), "--t1", tmp_path / "no.nii.gz")
    assert str(told.value) == f"{tmp_path}/no.nii.gz: no such file; allowed: a NIfTI scan (.nii, .nii.gz)"


def test_an_output_folder_that_cannot_be_made_is_one_line(
    translator: Any, scans: dict[str, Path], run: Run, tmp_path: Path
) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(
        InputError, match=r"--output: .*out cannot be written \(File exists\); allowed: a folder"
    ):
        run(translator("cut"), *pair(scans))


def test_swapped_contrasts_are_told(
    translator: Any, scans: dict[str, Path], run: Run, tmp_path: Path
) -> None:
    told = run(translator("cut"), "--t1", scans["T2"], "--t2", scans["T1"])
    for contrast, stem in (("T1", "T2"), ("T2", "T1")):
        line = f"{contrast}: said to be {contrast}w but looks like {stem}"
        assert f"warning: {scans['T2']}: {line}" in told
        assert any(warning.startswith(line) for warning in sidecar(tmp_path, stem)["warnings"])


def test_a_brain_that_the_model_has_no_room_for_is_one_line(
    translator: Any, phantom: Any, run: Run, tmp_path: Path
) -> None:
    image = phantom["64mT", "T1"]
    path = save(tmp_path / "in/giant.nii.gz", image.values, image.affine @ np.diag([1.5, 1.5, 1, 1]))
    with pytest.raises(InputError, match=r"^.*giant\.nii\.gz: its brain is .* mm in plane; allowed: at most"):
        run(translator("cut", channels="t1"), "--t1", path, "--brain-mask", "given")


@pytest.mark.parametrize("n", [2, 3])
def test_figures_that_few_slices_do_not_have_are_null(
    n: int, translator: Any, phantom: Any, run: Run, tmp_path: Path
) -> None:
    image = phantom["64mT", "T1"]
    path = save(tmp_path / "in/few.nii.gz", image.values[:, :, 9 : 9 + n], image.affine)
    told = run(translator("cut", channels="t1"), "--t1", path, "--brain-mask", "given")
    text = (tmp_path / "out/few_desc-enhanced.json").read_text()
    figures = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))["consistency"]
    assert (figures["slice_shift"] is None) == (n == 2) and figures["through_plane_change"] > 0
    assert "nan" not in told


def test_a_scan_without_a_brain_is_told(translator: Any, run: Run, tmp_path: Path) -> None:
    noise, affine = np.random.default_rng(0).random((40, 40, 20)), np.diag([3.2, 3.2, 6, 1])
    path = save(tmp_path / "in/noise.nii.gz", noise, affine)
    small = np.zeros(noise.shape)
    small[10:30, 10:30, 5:15] = 1
    mask = save(tmp_path / "in/mask.nii.gz", small, affine)
    told = run(translator("cut", channels="t1"), "--t1", path, "--mask", mask)
    line = "T1: no brain found: its mask holds 246 ml, a brain 900 to 2100"
    assert f"warning: {path}: {line}" in told and line in sidecar(tmp_path, "noise")["warnings"]


def test_a_field_strength_that_the_model_does_not_know_is_told(
    translator: Any, scans: dict[str, Path], run: Run, tmp_path: Path
) -> None:
    line = "T2: its sidecar tells of 3 tesla, the model was trained on about 0.064"
    for strength, expected in ((3, [line]), (0.064, [])):
        beside = scans["T2"].with_name("T2.json")
        beside.write_text(json.dumps({"MagneticFieldStrength": strength}))
        told = run(translator("cut"), *pair(scans))
        assert (line in told) == bool(expected)
        assert sidecar(tmp_path, "T1")["warnings"] == expected


def test_the_map_of_uncertainty_lies_beside_its_scan(
    translator: Any, scans: dict[str, Path], run: Run, tmp_path: Path
) -> None:
    told = run(translator(), *pair(scans), "--uncertainty", 3)
    for contrast in ("T1", "T2"):
        source, spread = nib.load(scans[contrast]), output(tmp_path, contrast, "uncertainty")
        np.testing.assert_array_equal(spread.affine, source.affine)
        values, inside = spread.get_fdata(), output(tmp_path, contrast).get_fdata() > 0
        assert values.min() == 0 and values.max() < 0.5 and values[inside].mean() > 1e-4
        assert not values[~binary_fill_holes(nib.load(scans["T1"]).get_fdata())].any()
    assert "spread over latents 0." in told
    first = output(tmp_path, "T1").get_fdata()
    run(translator(), *pair(scans))
    np.testing.assert_array_equal(output(tmp_path, "T1").get_fdata(), first)


def test_a_model_that_draws_nothing_says_so(
    translator: Any, scans: dict[str, Path], run: Run, tmp_path: Path
) -> None:
    told = run(translator("cut"), *pair(scans), "--uncertainty", 2)
    assert told.count("no uncertainty: the model draws nothing") == 2
    assert not list((tmp_path / "out").glob("*uncertainty*"))


def test_names_of_scans_are_kept_whatever_they_hold(
    translator: Any, scans: dict[str, Path], run: Run, tmp_path: Path
) -> None:
    odd = scans["T1"].rename(tmp_path / "in/enhanced_[x].nii.gz_old.nii.gz")
    run(translator("unsb", channels="t1"), "--t1", odd, "--uncertainty", 2)
    stem = "enhanced_[x].nii.gz_old"
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        f"{stem}_desc-enhanced.nii.gz",
        f"{stem}_desc-uncertainty.nii.gz",
        f"{stem}_desc-enhanced.json",
        f"{stem}_before_after.png",
    }


def bids(root: Path, phantom: Any, **names: str) -> None:
    """A scan pair a name, as ``sub-01/anat/sub-01``."""
    for stem in names.values():
        for contrast in ("T1", "T2"):
            image = phantom["64mT", contrast]
            save(root / f"{stem}_{contrast}w.nii.gz", image.values, image.affine)


def test_a_bids_folder_is_translated_into_a_tree_like_it(
    translator: Any, phantom: Any, run: Run, tmp_path: Path
) -> None:
    root, out = tmp_path / "bids", tmp_path / "out"
    bids(root, phantom, one="sub-01/anat/sub-01_acq-64mT", two="sub-02/ses-1/anat/sub-02_ses-1")
    bids(root, phantom, three="sub-03/anat/sub-03", strong="sub-03/anat/sub-03_acq-3T")
    (root / "sub-03/anat/sub-03_T2w.nii.gz").write_bytes(b"no scan")
    with pytest.raises(InputError) as told:
        run(translator("cut"), "--bids", root)
    assert str(told.value) == "1 of 3 visits were not translated; the lines above say why"
    done = ["sub-01/anat/sub-01_acq-64mT", "sub-02/ses-1/anat/sub-02_ses-1"]
    found = {str(path.relative_to(out)) for path in out.rglob("*.nii.gz")}
    assert found == {f"{stem}_{contrast}w_desc-enhanced.nii.gz" for stem in done for contrast in ("T1", "T2")}
    assert len(list(out.rglob("*_desc-enhanced.json"))) == 4 and len(list(out.rglob("*.png"))) == 2


def test_a_failing_visit_is_told_while_the_others_go_on(
    translator: Any, phantom: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "bids"
    bids(root, phantom, one="sub-01/anat/sub-01", two="sub-02/anat/sub-02")
    (root / "sub-01/anat/sub-01_T2w.nii.gz").unlink()
    with pytest.raises(InputError, match="1 of 2 visits"):
        translate.main([str(translator("cut")), "--bids", str(root), "-o", str(tmp_path / "out")])
    printed = capsys.readouterr().out.splitlines()
    assert len([line for line in printed if line.startswith("error: ")]) == 1
    assert printed[0].startswith(f"error: {root / 'sub-01/anat/sub-01_T1w.nii.gz'}: has no T2, and this")


def test_a_dicom_series_is_translated_under_its_folders_name(
    translator: Any, phantom: Any, series: Any, run: Run, tmp_path: Path
) -> None:
    image = phantom["64mT", "T1"]
    stored = np.rint(1000 * image.values / image.values.max())[::-1, ::-1].transpose(2, 1, 0)  # LPS
    folder = series(tmp_path / "brain", stored, spacing=(3.2, 3.2, 10.0), field=3.0)
    told = run(translator("cut", channels="t1"), "--t1", folder)
    made = nib.as_closest_canonical(output(tmp_path, "brain"))
    assert made.shape == image.values.shape and made.header.get_zooms() == pytest.approx((3.2, 3.2, 10))
    assert not made.get_fdata()[~binary_fill_holes(image.values)].any()
    facts = sidecar(tmp_path, "brain")
    assert facts["source"] == str(folder)
    assert facts["warnings"] == ["T1: its sidecar tells of 3 tesla, the model was trained on about 0.064"]
    assert f"warning: {folder}: T1: its sidecar" in told


def test_a_damaged_scan_is_one_line_and_exit_code_2(
    translator: Any, scans: dict[str, Path], tmp_path: Path
) -> None:
    scans["T2"].write_bytes(scans["T2"].read_bytes()[:-500])
    words = [str(word) for word in (translator("cut"), *pair(scans), "-o", tmp_path / "out")]
    command = [sys.executable, "-m", "platform.translate", *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {scans['T2']}: ") and done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr
