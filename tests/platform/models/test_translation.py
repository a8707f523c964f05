"""Scans through an exported translator: on whatever grid they lie, with every warning that applies."""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from platform import translate
from platform.models.translation import aligned, compare, less_alike, planes, spread_of, square
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes

from tests.validator import validated
from trainers.cohorts.phantom import PhantomConfig, native_volumes
from trainers.cohorts.preprocessing import nifti, registration
from trainers.cohorts.preprocessing.examination import Examination
from trainers.cohorts.preprocessing.nifti import Scan
from trainers.cohorts.preprocessing.registration import Image
from trainers.cohorts.preprocessing.skullstrip import Stripped
from trainers.cohorts.preprocessing.slicing import normalise
from trainers.errors import InputError
from trainers.inference import Enhanced

Array = NDArray[Any]
Run = Callable[..., "Result"]
Volumes = dict[tuple[str, str], Image]
Scans = dict[str, Path]


CONFIG = PhantomConfig(train=3, val=2, test=2, anatomy="first")


@pytest.fixture(scope="module")
def phantom() -> Volumes:
    """Both contrasts of one subject at both fields, brain-extracted, by (field, contrast)."""
    return {key: Image(*pair) for key, pair in native_volumes(CONFIG, "test-0000").items()}


@pytest.fixture
def scans(phantom: Volumes, tmp_path: Path) -> Scans:
    """The low-field pair as files."""
    return {c: save(tmp_path / f"in/{c}.nii.gz", *low(phantom, c)) for c in ("T1", "T2")}


@dataclass(frozen=True)
class Result:
    """What a translation printed and wrote."""

    model: Path
    printed: str
    folder: Path

    def volume(self, contrast: str, kind: str = "enhanced") -> Any:
        (found,) = self.folder.rglob(f"*_desc-{kind}_{contrast}w.nii.gz")
        return nib.load(found)

    def sidecar(self, contrast: str) -> Any:
        (found,) = self.folder.rglob(f"*_desc-enhanced_{contrast}w.json")
        text = found.read_text()
        return json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))

    def names(self) -> set[str]:
        """Of the files of the one subject, whose label is shown as ``X``."""
        (subject,) = self.folder.glob("sub-*")
        return {path.name.replace(subject.name, "sub-X") for path in subject.rglob("*") if path.is_file()}


@pytest.fixture
def run(translator: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """``run("cut t1", "--t1", path, ...)``: by a model of a method, or also of some channels."""

    def call(model: str, *words: object) -> Result:
        method, *channels = model.split()
        options = {"channels": channels[0]} if channels else {}
        path = translator(method, **options)
        known = () if "--field-strength" in words else ("--field-strength", 0.064)
        translate.main([str(word) for word in (path, "-o", tmp_path / "out", *known, *words)])
        return Result(path, capsys.readouterr().out, tmp_path / "out")

    return call


def low(phantom: Volumes, contrast: str) -> tuple[Array, Array]:
    """Values and affine at 64 mT."""
    image = phantom["64mT", contrast]
    return image.values, image.affine


def save(path: Path, values: Array, affine: Array) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(values.astype(np.float32), affine), path)
    return path


def pair(scans: Scans) -> tuple[object, ...]:
    return "--t1", scans["T1"], "--t2", scans["T2"]


def test_a_pair_is_translated_on_its_grid_with_all_facts(scans: Scans, run: Run) -> None:
    result = run("unsb", *pair(scans))
    brain = binary_fill_holes(nib.load(scans["T1"]).get_fdata())
    for contrast in ("T1", "T2"):
        source, made = nib.load(scans[contrast]), result.volume(contrast)
        assert made.shape == source.shape and made.get_data_dtype() == np.float32
        np.testing.assert_array_equal(made.affine, source.affine)
        values = made.get_fdata()
        assert values.min() == 0 and values.max() <= 1 and values[brain].std() > 0.05
        assert not values[~brain].any()
        facts = result.sidecar(contrast)
        source_hash = f"urn:sha256:{hashlib.sha256(scans[contrast].read_bytes()).hexdigest()}"
        expected = {"model": result.model.name, "Sources": [source_hash], "warnings": [], "psnr_db": {}}
        expected |= {"method": "unsb", "steps": 2, "trial_key": "a trial", "cohort": "a cohort"}
        assert facts.items() >= {**expected, "normalisation": "by percentiles"}.items()
        assert facts["version"].startswith("sha256 ") and facts["use"].startswith("research only")
        assert facts["preprocessing"]["brain_mask"] == "given" and 0 < facts["seconds"] < 100
        assert facts["consistency"].keys() == {"through_plane_change", "slice_shift"}
        assert f"_desc-enhanced_{contrast}w.nii.gz, through-plane change" in result.printed
    assert (next(result.folder.rglob("*_desc-beforeAfter.png"))).stat().st_size > 10_000
    assert "warning" not in result.printed
    files = {f"sub-X_desc-enhanced_{c}w{ending}" for c in ("T1", "T2") for ending in (".nii.gz", ".json")}
    assert result.names() == files | {"sub-X_desc-beforeAfter.png"}


def moved(image: Image, how: str) -> Image:
    """T2 as another scan protocol would have stored the very same brain."""
    if how in ("LAS", "PIL"):
        turned = oriented(nib.Nifti1Image(image.values, image.affine), how)
        return Image(turned.get_fdata(dtype=np.float32), turned.affine)
    if how == "shifted":
        return Image(image.values, shifted(image.affine))
    finer = Image(np.empty((75, 85, 36)), image.affine @ np.diag([62 / 75, 72 / 85, 20 / 36, 1]))
    values = registration.resample(image, finer, np.eye(4), order=1)
    return Image(np.where(values > 0.02 * values.max(), values, 0), finer.affine)


def oriented(image: Any, code: str) -> Any:
    """The same points stored along other axes and from other ends."""
    axes = nib.orientations.axcodes2ornt(code)
    return image.as_reoriented(nib.orientations.ornt_transform(nib.io_orientation(image.affine), axes))


def shifted(affine: Array) -> Array:
    """By 6, -5 and 4 mm."""
    return affine + np.pad(np.array([[6, -5, 4]]).T, ((0, 1), (3, 0)))


@pytest.fixture(scope="module")
def unmoved(translator: Any, phantom: Volumes, tmp_path_factory: pytest.TempPathFactory) -> Array:
    """The translated T2 of a pair on one grid."""
    model, folder = translator("cut"), tmp_path_factory.mktemp("unmoved")
    scans = {c: save(folder / f"{c}.nii.gz", *low(phantom, c)) for c in ("T1", "T2")}
    known = "--field-strength", 0.064
    translate.main([str(word) for word in (model, "-o", folder / "out", *known, *pair(scans))])
    volume: Array = Result(model, "", folder / "out").volume("T2").get_fdata()
    return volume


@pytest.mark.parametrize("how", ["shifted", "LAS", "PIL", "finer"])
def test_a_second_contrast_is_translated_on_its_own_grid(
    how: str, phantom: Volumes, scans: Scans, unmoved: Array, run: Run, tmp_path: Path
) -> None:
    other = moved(phantom["64mT", "T2"], how)
    path = save(tmp_path / "in/other.nii.gz", other.values, other.affine)
    result = run("cut", "--t1", scans["T1"], "--t2", path)
    made = result.volume("T2")
    assert made.shape == other.values.shape
    np.testing.assert_array_equal(made.affine, nib.load(path).affine)
    assert nib.aff2axcodes(made.affine) == nib.aff2axcodes(other.affine)
    if how == "finer":
        image = Image(made.get_fdata(), made.affine)
        there = registration.resample(image, phantom["64mT", "T2"], np.eye(4), 1)
    else:
        turned = nib.as_closest_canonical(made)
        assert nib.aff2axcodes(turned.affine) == nib.aff2axcodes(phantom["64mT", "T2"].affine)
        there = turned.get_fdata()
    least = 0.9 if how == "finer" else 0.97  # interpolated twice through planes of 10 mm
    assert np.corrcoef(there.ravel(), unmoved.ravel())[0, 1] > least


def test_a_reference_with_its_skull_is_stripped_and_registered(
    phantom: Volumes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The brain's own 3 T scan, shifted; its brain mask is given in place of skull stripping."""
    scan, high = phantom["64mT", "T1"], phantom["3T", "T1"]
    brain, affine = high.values != 0, shifted(high.affine)
    path = save(tmp_path / "3T.nii.gz", np.where(brain, high.values, 0.01), affine)
    stripped = Stripped(brain, "template", {})
    monkeypatch.setattr("platform.models.translation.skullstrip.strip", lambda image: stripped)
    unit = (normalise(high.values, brain) + 1) / 2
    expected, wrong = (
        registration.resample(Image(unit, a), scan, np.eye(4), order=1) for a in (high.affine, affine)
    )
    registered = aligned(scan, nifti.read(path))
    assert np.corrcoef(registered.ravel(), expected.ravel())[0, 1] > 0.98
    assert np.corrcoef(wrong.ravel(), expected.ravel())[0, 1] < 0.9


def test_an_output_less_like_its_reference_than_the_scan_says_so(scans: Scans, run: Run) -> None:
    result = run("unsb t1", "--t1", scans["T1"], "--t1-reference", scans["T1"])
    (line,) = result.sidecar("T1")["warnings"]
    assert line.startswith("T1: the output is less like its 3 T reference than the scan itself: PSNR ")
    assert f"warning: {scans['T1']}: {line}" in result.printed
    assert less_alike("T1", {"output": 20.0, "untouched input": 19.0}) == [] == less_alike("T1", {})


@pytest.mark.parametrize(
    ("channels", "given", "missing", "takes"),
    [("t1", "T1", "T1", "T1"), ("t2", "T2", "T2", "T2"), ("t1_t2_mean", None, "T2", "T1 and T2")],
)
def test_a_model_needs_a_scan_of_each_of_its_contrasts_alone(
    channels: str, given: str | None, missing: str, takes: str, scans: Scans, run: Run
) -> None:
    model = f"cut {channels}"
    if given:
        result = run(model, f"--{given.lower()}", scans[given])
        assert result.volume(given).shape == nib.load(scans[given]).shape
    other = {"T1": "T2", "T2": "T1"}[missing]
    with pytest.raises(InputError) as error:
        run(model, f"--{other.lower()}", scans[other])
    line = f"is missing, and this model translates {takes}; allowed: a scan of each"
    assert str(error.value) == f"--{missing.lower()}: {line}"


def test_a_scan_that_the_model_does_not_use_is_not_read(scans: Scans, run: Run) -> None:
    scans["T2"].write_bytes(b"not even a scan")
    scans["T2"].with_name("T2.json").write_text(json.dumps({"MagneticFieldStrength": 3}))
    result = run("cut t1", *pair(scans))
    files = {"sub-X_desc-enhanced_T1w.nii.gz", "sub-X_desc-enhanced_T1w.json", "sub-X_desc-beforeAfter.png"}
    assert result.names() == files
    assert "warning" not in result.printed and result.sidecar("T1")["warnings"] == []
    line = r"^--t2-reference: is not used; allowed: references of what this model translates, T1$"
    with pytest.raises(InputError, match=line):
        run("cut t1", *pair(scans), "--t2-reference", scans["T1"])


def test_a_given_mask_is_the_brain(phantom: Volumes, scans: Scans, run: Run, tmp_path: Path) -> None:
    values, affine = low(phantom, "T1")
    brain = values != 0
    brain[31:] = False
    mask = save(tmp_path / "in/mask.nii.gz", brain, affine)
    for choice in ((), ("--brain-mask", "given")):
        result = run("cut", *pair(scans), "--mask", mask, *choice)
        for contrast in ("T1", "T2"):
            volume = result.volume(contrast).get_fdata()
            assert not volume[~brain].any() and volume[brain].std() > 0.05
        assert result.sidecar("T1")["preprocessing"]["brain_mask"] == "given"
    affine = affine.copy()
    affine[0, 3] += 0.5
    mask = save(tmp_path / "in/mask.nii.gz", values != 0, affine)
    with pytest.raises(InputError) as error:
        run("cut", *pair(scans), "--mask", mask)
    assert str(error.value) == f"{mask}: its grid differs from that of {scans['T1']}; allowed: the scan's own"


def test_a_brain_larger_than_the_models_slices_is_one_line(
    phantom: Volumes, run: Run, tmp_path: Path
) -> None:
    values, affine = low(phantom, "T1")
    path = save(tmp_path / "in/giant.nii.gz", values, affine @ np.diag([1.5, 1.5, 1, 1]))
    with pytest.raises(InputError, match=r"^.*giant\.nii\.gz: its brain is .* mm in plane; allowed: at most"):
        run("cut t1", "--t1", path, "--brain-mask", "given")


@pytest.mark.parametrize("n", [2, 3])
def test_measures_that_few_slices_do_not_have_are_null(
    n: int, phantom: Volumes, run: Run, tmp_path: Path
) -> None:
    values, affine = low(phantom, "T1")
    path = save(tmp_path / "in/few.nii.gz", values[:, :, 9 : 9 + n], affine)
    result = run("cut t1", "--t1", path, "--brain-mask", "given")
    measures = result.sidecar("T1")["consistency"]
    assert (measures["slice_shift"] is None) == (n == 2) and measures["through_plane_change"] > 0
    assert "nan" not in result.printed


def test_swapped_contrasts_are_a_warning(scans: Scans, run: Run) -> None:
    result = run("cut", "--t1", scans["T2"], "--t2", scans["T1"])
    for contrast, stem in (("T1", "T2"), ("T2", "T1")):
        line = f"{contrast}: said to be {contrast}w but looks like {stem}"
        assert f"warning: {scans[stem]}: {line}" in result.printed
        assert any(warning.startswith(line) for warning in result.sidecar(contrast)["warnings"])


def test_a_scan_without_a_brain_is_a_warning(run: Run, tmp_path: Path) -> None:
    noise, affine = np.random.default_rng(0).random((40, 40, 20)), np.diag([3.2, 3.2, 6, 1])
    path = save(tmp_path / "in/noise.nii.gz", noise, affine)
    small = np.zeros(noise.shape)
    small[10:30, 10:30, 5:15] = 1
    mask = save(tmp_path / "in/mask.nii.gz", small, affine)
    result = run("cut t1", "--t1", path, "--mask", mask)
    line = "T1: no brain found: its mask holds 246 ml, a brain 900 to 2100"
    assert f"warning: {path}: {line}" in result.printed and line in result.sidecar("T1")["warnings"]


def test_another_or_an_unknown_field_strength_is_refused(
    scans: Scans, run: Run, translator: Any, tmp_path: Path
) -> None:
    words = [str(word) for word in (translator("cut"), "-o", tmp_path / "out", *pair(scans))]
    missing = f"--field-strength: is missing, as nothing says at what field {scans['T1']} was scanned"
    with pytest.raises(InputError, match=missing):
        translate.main(words)
    for contrast in ("T1", "T2"):
        scans[contrast].with_name(f"{contrast}.json").write_text('{"MagneticFieldStrength": "64 mT"}')
    translate.main(words)
    scans["T2"].with_name("T2.json").write_text('{"MagneticFieldStrength": 3}')
    line = (
        f"{scans['T2']}: was scanned at 3 T, as .*T2.json says, and models translate about 0.064 T; allowed:"
    )
    with pytest.raises(InputError, match=line):
        run("cut", *pair(scans))


def test_a_map_of_uncertainty_is_written_beside_each_scan(scans: Scans, run: Run) -> None:
    result = run("unsb", *pair(scans), "--uncertainty", 3)
    for contrast in ("T1", "T2"):
        source, spread = nib.load(scans[contrast]), result.volume(contrast, "uncertainty")
        np.testing.assert_array_equal(spread.affine, source.affine)
        values, inside = spread.get_fdata(), result.volume(contrast).get_fdata() > 0
        assert values.min() == 0 and values.max() < 0.5 and values[inside].mean() > 1e-4
        assert not values[~binary_fill_holes(nib.load(scans["T1"]).get_fdata())].any()
    assert "spread over latents 0." in result.printed
    first = result.volume("T1").get_fdata()
    np.testing.assert_array_equal(run("unsb", *pair(scans)).volume("T1").get_fdata(), first)


def test_a_model_without_latents_has_no_uncertainty(scans: Scans, run: Run) -> None:
    result = run("cut", *pair(scans), "--uncertainty", 2)
    assert result.printed.count("no uncertainty: the model draws nothing") == 2
    assert not [name for name in result.names() if "uncertainty" in name]


def test_outputs_go_by_the_label_that_was_given_or_that_of_the_name_or_a_hash(
    scans: Scans, run: Run, tmp_path: Path
) -> None:
    odd = scans["T1"].rename(tmp_path / "in/Jane Doe [1970].nii.gz")
    first = run("unsb t1", "--t1", odd, "--uncertainty", 2)
    label = f"sub-{hashlib.sha256(odd.read_bytes()).hexdigest()[:8]}"
    ends = ("desc-enhanced_T1w.nii.gz", "desc-enhanced_T1w.json", "desc-beforeAfter.png")
    ends += ("desc-uncertainty_T1w.nii.gz", "desc-uncertainty_T1w.json")
    assert first.names() == {f"sub-X_{end}" for end in ends} and (first.folder / label / "anat").is_dir()
    run("unsb t1", "--t1", odd, "--subject", "P7")
    named = odd.rename(tmp_path / "in/sub-9_ses-1_acq-AXI_desc-n4_T1w.nii.gz")
    run("unsb t1", "--t1", named)
    found = {str(path.relative_to(first.folder)) for path in first.folder.rglob("*_desc-enhanced_T1w.json")}
    own = "sub-9/ses-1/anat/sub-9_ses-1_acq-AXI_desc-enhanced_T1w.json"
    assert found == {f"{s}/anat/{s}_desc-enhanced_T1w.json" for s in (label, "sub-P7")} | {own}


def test_outputs_are_a_valid_derivative_and_nothing_is_left_of_a_failed_call(
    scans: Scans, run: Run, tmp_path: Path
) -> None:
    scans["T2"].write_bytes(b"no scan")
    for words in (pair(scans), ("--t1", scans["T1"], "--mask", scans["T2"])):
        with pytest.raises(InputError):
            run("cut", *words, "-o", tmp_path / "some/where")
    assert not (tmp_path / "some").exists() and not (tmp_path / "out").exists()
    result = run("unsb t1", "--t1", scans["T1"], "--uncertainty", 2)
    assert validated(result.folder) == []
    (result.folder / "dataset_description.json").write_text('{"Name": "raw", "BIDSVersion": "1.8.0"}')
    with pytest.raises(InputError, match=r"^--output: .*out is another data set; allowed: another folder"):
        run("unsb t1", "--t1", scans["T1"])


def test_a_bids_folder_is_translated_into_a_tree_like_it(
    translator: Any, phantom: Volumes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, out = tmp_path / "bids", tmp_path / "out"
    done = ["sub-01/anat/sub-01_acq-64mT", "sub-02/ses-1/anat/sub-02_ses-1"]
    for stem in (*done, "sub-03/anat/sub-03", "sub-03/anat/sub-03_acq-3T", "sub-04/anat/sub-04"):
        for contrast in ("T1", "T2"):
            save(root / f"{stem}_{contrast}w.nii.gz", *low(phantom, contrast))
    (root / "sub-03/anat/sub-03_T2w.nii.gz").write_bytes(b"no scan")
    (root / "sub-04/anat/sub-04_T2w.nii.gz").unlink()
    stranger = root / "sub-05/anat/sub-05_T2w.nii.gz"
    save(root / "sub-05/anat/sub-05_T1w.nii.gz", *low(phantom, "T1"))
    save(stranger, *native_volumes(CONFIG, "val-0000")["64mT", "T2"])
    words = [str(word) for word in (translator("cut"), "--bids", root, "-o", out, "--field-strength", 0.064)]
    with pytest.raises(InputError) as error:
        translate.main(words)
    assert str(error.value) == "3 of 5 visits were not translated; the lines above say why"
    errors = [line for line in capsys.readouterr().out.splitlines() if line.startswith("error: ")]
    assert len(errors) == 3 and f"error: {stranger}: beside " in errors[2]
    assert (
        "it may be of another person" in errors[2] and "allowed: scans of one person, or --force" in errors[2]
    )
    assert f"error: {root / 'sub-04/anat/sub-04_T1w.nii.gz'}: has no T2, and this" in errors[1]
    files = {str(path.relative_to(out)) for path in out.rglob("*.nii.gz")}
    assert files == {f"{stem}_desc-enhanced_{contrast}w.nii.gz" for stem in done for contrast in ("T1", "T2")}
    assert len(list(out.rglob("*_desc-enhanced_*.json"))) == 4 and len(list(out.rglob("*.png"))) == 2
    sources = json.loads((out / f"{done[1]}_desc-enhanced_T2w.json").read_text())["Sources"]
    assert sources == ["bids:raw:sub-02/ses-1/anat/sub-02_ses-1_T2w.nii.gz"]
    with pytest.raises(InputError, match=r"2 of 5 visits were not translated"):
        translate.main([*words, "--force"])
    app = [str(root), str(tmp_path / "app"), "participant", "--model", words[0], "--field-strength", "0.064"]
    translate.main([*app, "--participant-label", "01"])
    assert {path.name for path in (tmp_path / "app").glob("sub-*")} == {"sub-01"}
    with pytest.raises(InputError, match=r"^--participant-label: 'sub-9' is not allowed; allowed: sub-01, "):
        translate.main([*app, "--participant-label", "9"])
    translate.main([str(root), str(out), "group"])
    assert validated(out) == []
    assert capsys.readouterr().out.splitlines()[-2:] == [str(out / "index.html"), str(out / "methods.md")]
    page, text = (out / "index.html").read_text(), (out / "methods.md").read_text()
    assert page.count("<article") == 3 and page.count("<img") == 3 and "sub-03/anat/sub-03_T2w.nii.gz" in page
    assert all((out / picture).is_file() for picture in re.findall(r'src="([^"]+)"', page))
    assert text.startswith("# Methods\n\n6 scans of 3 visits of 3 subjects") and "2 visits were not" in text
    (sidecar,) = out.rglob("sub-05_desc-enhanced_T2w.json")
    assert json.loads(sidecar.read_text())["warnings"][0].startswith("T2: it may be of another person")


def test_a_dicom_series_is_translated_under_the_name_of_its_folder(
    phantom: Volumes, series: Any, run: Run, tmp_path: Path
) -> None:
    image = phantom["64mT", "T1"]
    stored = np.rint(1000 * image.values / image.values.max())[::-1, ::-1].transpose(2, 1, 0)  # LPS
    folder = series(tmp_path / "brain", stored, spacing=(3.2, 3.2, 10.0), field=3.0)
    with pytest.raises(InputError, match=f"{folder}: was scanned at 3 T, as its DICOM files says"):
        run("cut t1", "--t1", folder)
    result = run("cut t1", "--t1", series(tmp_path / "brain", stored, spacing=(3.2, 3.2, 10.0), field=0.064))
    made = nib.as_closest_canonical(result.volume("T1"))
    assert made.shape == image.values.shape and made.header.get_zooms() == pytest.approx((3.2, 3.2, 10))
    assert not made.get_fdata()[~binary_fill_holes(image.values)].any()
    facts = result.sidecar("T1")
    assert facts["Sources"][0].startswith("urn:sha256:") and "brain" not in json.dumps(facts["Sources"])


SHAPE = (18, 20, 16)
GRID = np.diag([8.0, 8.0, 8.0, 1.0])
"""Voxels so large that an ellipsoid of a few thousand of them has a brain's volume."""


def brain(seed: int) -> Array:
    """Intensities in (100, 900), zero outside an ellipsoid."""
    grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij"))
    values = np.random.default_rng(seed).uniform(100, 900, SHAPE)
    return np.where((grid**2).sum(0) < 0.9, values, 0).astype(np.float32)


def unit(values: Array, mask: Array) -> Array:
    """p0.5..p99.5 inside the mask to [0, 1], clipped, 0 outside."""
    low, high = np.percentile(values[mask], [0.5, 99.5])
    return np.where(mask, np.clip((values - low) / (high - low), 0, 1), 0)


def decibel(x: Array, y: Array) -> float:
    return float(-10 * np.log10(np.mean((x - y) ** 2)))


def scan(values: Array, affine: Array = GRID) -> Scan:
    return Scan(Path("t1.nii"), values, affine, nib.io_orientation(affine))


def scores(volume: Array, inside: Array, reference: Path) -> dict[str, float]:
    """Of ``volume`` as the output for ``brain(0)`` with its brain ``inside``."""
    untouched = unit(brain(0), inside)
    enhanced = Enhanced({"T1": volume}, {}, {"T1": inside}, {"T1": untouched}, {})
    examination = Examination({"T1": scan(brain(0))}, Stripped(inside, "given", {}), {"T1": np.eye(4)})
    return compare(enhanced, "T1", examination, reference)


def test_psnr_is_of_output_and_untouched_input_against_the_normalised_reference(tmp_path: Path) -> None:
    reference, inside = brain(1), brain(0) != 0
    inside[:2] = False
    volume = np.where(inside, np.random.default_rng(2).uniform(0, 1, SHAPE), 0)
    truth = np.where(inside, unit(reference, reference != 0), 0)
    assert scores(volume, inside, save(tmp_path / "3T.nii.gz", reference, GRID)) == {
        "output": pytest.approx(decibel(volume, truth), abs=1e-3),
        "untouched input": pytest.approx(decibel(unit(brain(0), inside), truth), abs=1e-3),
    }


def test_the_psnr_of_a_perfect_output_is_high_on_any_scale_of_the_reference(tmp_path: Path) -> None:
    inside = brain(0) != 0
    truth = unit(brain(1), inside).astype(np.float32)
    for scale in (1.0, 1000.0):
        psnr = scores(truth, inside, save(tmp_path / "3T.nii.gz", brain(1) * scale, GRID))
        assert psnr["output"] > 100 and 0 < psnr["untouched input"] < 20


@pytest.mark.parametrize("code", ["RAS", "LPS", "LAS", "RPI", "ASR", "PIL", "SRA", "IPL"])
def test_a_reference_is_read_in_any_orientation(code: str, tmp_path: Path) -> None:
    nib.save(oriented(nib.Nifti1Image(brain(1), GRID), code), tmp_path / "3T.nii")
    placed = aligned(Image(brain(0), GRID), nifti.read(tmp_path / "3T.nii"))
    np.testing.assert_allclose(placed, unit(brain(1), brain(1) != 0), atol=1e-5)


def test_a_reference_is_interpolated_linearly_between_its_voxels(tmp_path: Path) -> None:
    moved = GRID.copy()
    moved[0, 3] = 2.0  # a quarter of a voxel to the right
    placed = aligned(Image(np.zeros(SHAPE), moved), nifti.read(save(tmp_path / "3T.nii", brain(1), GRID)))
    whole = unit(brain(1), brain(1) != 0)
    expected = 0.75 * whole[:-1] + 0.25 * whole[1:]
    np.testing.assert_allclose(placed[:-1], expected, atol=1e-5)


def test_beyond_the_reference_is_black(tmp_path: Path) -> None:
    far = GRID.copy()
    far[2, 3] = 1000.0
    reference = nifti.read(save(tmp_path / "3T.nii", brain(1), GRID))
    assert not aligned(Image(brain(0), far), reference).any()


def test_planes_show_most_brain_anterior_and_superior_up() -> None:
    volume = np.zeros(SHAPE, np.float32)
    volume[2:6, 2:6, 3] = 0.5
    volume[1, 19, 3] = 0.75  # left, most anterior
    axial, coronal = square(volume, scan(volume), 2, 3), square(volume, scan(volume), 1, 2)
    assert axial.shape == (20, 18) and coronal.shape == (16, 18)
    assert np.argwhere(axial == 0.75).tolist() == [[0, 1]]
    assert np.flatnonzero(coronal.any(1)).tolist() == [16 - 1 - 3]
    brain_of_most = volume > 0.4
    enhanced = Enhanced({"T1": volume}, {}, {"T1": brain_of_most}, {"T1": volume / 2}, {})
    rows = planes("T1", scan(volume), enhanced)
    assert [list(row) for row in rows] == [["T1 input", "T1 output"]] * 2
    np.testing.assert_array_equal(rows[0]["T1 input"], axial / 2)
    np.testing.assert_array_equal(rows[1]["T1 output"], coronal)


@pytest.mark.parametrize(
    ("spacing", "axis", "shape"),
    [
        ((2, 2, 10), 2, (20, 18)),
        ((2, 2, 10), 1, (80, 18)),
        ((5, 1, 1), 2, (20, 90)),
        ((3, 2, 2), 1, (16, 36)),
    ],
)
def test_pixels_of_planes_are_about_square(spacing: Any, axis: int, shape: tuple[int, int]) -> None:
    volume = brain(0)
    assert square(volume, scan(volume, np.diag([*spacing, 1.0])), axis, 8).shape == shape


def test_spread_is_the_mean_inside_the_brain() -> None:
    inside, map_ = np.zeros(SHAPE, bool), np.full(SHAPE, 7.0)
    inside[:2], map_[0], map_[1] = True, 0.25, 0.75
    assert spread_of(Enhanced({}, {"T1": map_}, {"T1": inside}, {}, {}), "T1") == 0.5
    assert spread_of(Enhanced({}, {}, {"T1": inside}, {}, {}), "T1") == 0
