"""Inputs of `translate`: files, BIDS folders, and DICOM series against their geometry in closed form."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from platform.translation import dicom, scan_inputs
from platform.translation.scan_inputs import Job
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray

from trainers.cohorts.preprocessing import nifti
from trainers.cohorts.scans.field_strength import Sidecars
from trainers.cohorts.scans.filters import Filters
from trainers.errors import InputError
from trainers.files import file_sha256

Array = NDArray[Any]
ORIGIN, SPACING = np.array([-31.5, -42.25, 10.0]), (2.0, 1.5, 5.0)
AXIAL = np.eye(3)[:2]
OBLIQUE = np.array([[0.36, 0.48, -0.8], [-0.8, 0.6, 0.0]])


def pixels(seed: int = 0) -> Array:
    """Slices, rows, columns."""
    return np.random.default_rng(seed).integers(1, 1000, (14, 20, 16))


@pytest.mark.parametrize("axes", [AXIAL, OBLIQUE], ids=["axial", "oblique"])
def test_every_pixel_of_a_series_is_where_dicom_says(axes: Array, series: Any, tmp_path: Path) -> None:
    """DICOM PS3.3 C.7.6.2.1.1: P = origin + column * X + row * Y + slice * X x Y, in LPS."""
    volume = pixels()
    folder = series(tmp_path / "series", volume, axes, ORIGIN, SPACING)
    converted = dicom.convert(folder, tmp_path / "work")
    scan = nifti.read(converted.path)
    assert converted.warnings == ()
    k, row, column = (grid.ravel() for grid in np.indices(volume.shape))
    directions = np.stack([axes[0] * SPACING[1], axes[1] * SPACING[0], np.cross(*axes) * SPACING[2]])
    lps = ORIGIN + np.stack([column, row, k], 1) @ directions
    there = np.linalg.solve(scan.ras_affine, np.c_[lps * [-1, -1, 1], np.ones(len(lps))].T)[:3]
    np.testing.assert_allclose(there, np.rint(there), atol=1e-3)
    np.testing.assert_array_equal(scan.values[tuple(np.rint(there).astype(int))], volume.ravel())
    assert scan.values.size == volume.size


def test_a_series_is_converted_beside_a_file_and_shares_its_label(series: Any, tmp_path: Path) -> None:
    t1, t2 = series(tmp_path / "t1_series", pixels()), tmp_path / "t2.nii.gz"
    nib.save(nib.Nifti1Image(pixels().astype("int16"), np.eye(4)), t2)
    job = scan_inputs.from_files({"T1": t1, "T2": t2}, None, tmp_path / "out", tmp_path / "work")
    label = f"sub-{file_sha256(job.paths['T1'])[:8]}"
    assert job.prefixes == {"T1": label, "T2": label} and job.paths["T2"] == t2
    assert job.sources == {"T1": t1, "T2": t2}
    assert (job.output, job.mask) == (tmp_path / "out", None)
    assert job.origins["T2"] == f"urn:sha256:{file_sha256(t2)}"


@pytest.mark.parametrize("field", [0.064, 3.0])
def test_the_field_strength_of_a_series_is_kept(field: float, series: Any, tmp_path: Path) -> None:
    path = dicom.convert(series(tmp_path / "series", pixels(), field=field), tmp_path / "work").path
    said = Sidecars.around(path).strength(path)
    assert said and said.tesla == pytest.approx(field)


def test_a_folder_with_another_number_of_series_is_one_line(series: Any, tmp_path: Path) -> None:
    for name in ("none", "garbage"):
        (tmp_path / name).mkdir()
    (tmp_path / "garbage/IM0001.dcm").write_bytes(b"this is no DICOM " * 100)
    (tmp_path / "garbage/notes.txt").write_text("nor this")
    series(series(tmp_path / "two", pixels()), pixels(1), number=2)
    reasons = {
        "none": f"holds no DICOM series (Unable to find any DICOM images in {tmp_path / 'none'} ",
        "garbage": "holds no DICOM series (",
        "two": "holds 2 DICOM series (1_scan, 2_scan); allowed: one, chosen by --series 1_scan",
    }
    for name, reason in reasons.items():
        with pytest.raises(InputError) as error:
            dicom.convert(tmp_path / name, tmp_path / f"work_{name}")
        text = str(error.value)
        assert text.startswith(f"{tmp_path / name}: {reason}") and "\n" not in text and "work" not in text
    for chosen in ("2_scan", "2"):
        found = dicom.convert(tmp_path / "two", tmp_path / f"work_{chosen}", chosen)
        assert found.path.name == "2_scan.nii"
    with pytest.raises(InputError, match=r"^--series: '3' is not in .*two; allowed: 1_scan, 2_scan"):
        dicom.convert(tmp_path / "two", tmp_path / "work_three", "3")


def changed(folder: Path, keep: Callable[[int, Any], bool], **tags: Any) -> Path:
    """A series without the slices (from inferior to superior) that are not kept, with other tags."""
    read = [(pydicom.dcmread(path), path) for path in folder.iterdir()]
    for i, (image, path) in enumerate(sorted(read, key=lambda pair: pair[0].ImagePositionPatient[2])):
        for key, value in tags.items():
            setattr(image, key, value)
        image.save_as(path)
        if not keep(i, image):
            path.unlink()
    return folder


INCOMPLETE: dict[str, tuple[Callable[[int, Any], bool], str]] = {
    "a gap": (lambda i, _: not 5 <= i < 8, "Interslice distance varies in this volume"),
    "two gaps": (lambda i, _: i not in (3, 9), "Interslice distance varies in this volume"),
    "one slice": (lambda i, _: i != 6, "Interslice distance varies in this volume"),
    "every second": (
        lambda i, _: i % 2 == 0,
        "its slices are 10 mm apart and should be 5 mm: some are missing",
    ),
    "the ends alone": (lambda i, _: i in (0, 13), "its slices are 65 mm apart and should be 5 mm"),
}


@pytest.mark.parametrize("kind", INCOMPLETE)
@pytest.mark.parametrize("tag", ["", "SpacingBetweenSlices"])
def test_a_series_that_lacks_slices_is_refused(kind: str, tag: str, series: Any, tmp_path: Path) -> None:
    kept, reason = INCOMPLETE[kind]
    folder = changed(
        series(tmp_path / "series", pixels(), spacing=SPACING), kept, **({tag: None} if tag else {})
    )
    with pytest.raises(InputError) as error:
        dicom.convert(folder, tmp_path / "work")
    text = str(error.value)
    assert text.startswith(f"{folder}: ") and reason in text and "work" not in text and "\n" not in text


@pytest.mark.parametrize(
    ("apart", "tags", "complete"),
    [
        (6, {"SliceThickness": 3, "SpacingBetweenSlices": 6}, True),  # a gap that is stated
        (6, {"SliceThickness": 5, "SpacingBetweenSlices": 1}, True),  # the gap alone is
        (6, {"SliceThickness": 3, "SpacingBetweenSlices": None}, False),
        (6, {"SliceThickness": 3, "SpacingBetweenSlices": 2}, False),
        (6, {"SliceThickness": None, "SpacingBetweenSlices": None}, True),
    ],
)
def test_slices_are_as_far_apart_as_the_larger_of_what_they_say(
    apart: float, tags: dict[str, Any], complete: bool, series: Any, tmp_path: Path
) -> None:
    folder = series(tmp_path / "series", pixels(), spacing=(2.0, 2.0, apart))
    changed(folder, lambda *_: True, **tags)
    if complete:
        assert dicom.convert(folder, tmp_path / "work").warnings == ()
    else:
        with pytest.raises(InputError, match=r"its slices are 6 mm apart and should be 3 mm"):
            dicom.convert(folder, tmp_path / "work")


SIDECARS = {
    "of another encoding": b'{"SeriesDescription": "Sch\xe4del", "MagneticFieldStrength": 0.064}',
    "not a number": b'{"SliceThickness": NaN, "SpacingBetweenSlices": NaN, "MagneticFieldStrength": 0.064}',
    "null": b'{"ImageType": null, "SliceThickness": null, "MagneticFieldStrength": 0.064}',
    "text": b'{"ImageType": "PHASE", "SliceThickness": "5", "MagneticFieldStrength": 0.064}',
    "a list": b"[]",
    "cut off": b'{"MagneticFieldStrength": 0.0',
    "missing": None,
}


@pytest.mark.parametrize("kind", SIDECARS)
def test_a_sidecar_that_dcm2niix_garbled_stops_nothing(
    kind: str, series: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real converter, whose sidecar is replaced."""
    run = dicom.subprocess.run

    def converted(*words: Any, **options: Any) -> Any:
        done = run(*words, **options)
        path, content = tmp_path / "work/1_scan.json", SIDECARS[kind]
        path.unlink() if content is None else path.write_bytes(content)
        return done

    monkeypatch.setattr(dicom.subprocess, "run", converted)
    path = dicom.convert(series(tmp_path / "series", pixels()), tmp_path / "work").path
    said = Sidecars.around(path).strength(path)
    assert (said and said.tesla) == (0.064 if b"0.064" in (SIDECARS[kind] or b"") else None)


def test_localizers_and_derived_images_are_used_only_by_name(series: Any, tmp_path: Path) -> None:
    folder = tmp_path / "exam"
    kinds = {2: ("3-plane localizer", "ORIGINAL"), 3: ("T1 MPR", "DERIVED"), 4: ("T1 axial", "ORIGINAL")}
    for number, (description, kind) in kinds.items():
        part = series(tmp_path / f"part{number}", pixels(number), number=number)
        tags = {"SeriesDescription": description, "ImageType": [kind, "PRIMARY", "M"]}
        changed(part, lambda *_: True, **tags)
        folder.mkdir(exist_ok=True)
        for path in part.iterdir():
            path.rename(folder / path.name)
    chosen = {name: dicom.convert(folder, tmp_path / f"w{name}", name).path.stem for name in ("", "2", "3")}
    assert {name: stem[0] for name, stem in chosen.items()} == {"": "4", "2": "2", "3": "3"}
    for path in folder.glob("4_*"):
        path.unlink()
    assert dicom.convert(folder, tmp_path / "rest").path.stem[0] == "3"  # nothing else is left


def test_a_file_name_of_another_encoding_is_shown(series: Any, tmp_path: Path) -> None:
    folder = series(tmp_path / "exam", pixels())
    path = min(folder.iterdir())
    path.write_bytes(path.read_bytes()[:-100])
    path.rename(os.fsdecode(os.fsencode(folder) + b"/sch\xe4del"))
    with pytest.raises(InputError, match=r"not large enough to store image data: .*/exam/sch") as error:
        dicom.convert(folder, tmp_path / "work")
    str(error.value).encode("utf-8")


def test_warnings_for_sidecars_hold_no_path_and_nothing_of_a_header(tmp_path: Path) -> None:
    folder, work = tmp_path / "DOE^JANE", tmp_path / "work"
    lines = {
        f"Unable to sort: {folder}/IM 0001": "Unable to sort",
        f"Saved '{work}/1_scan.nii'": "Saved",
        "Slices not stacked: protocol name varies 'JANE' != 'DOE'": "varies ... != ...",
        "Study Date/Time varies 20240203101112.000000 ~= 20240204": "varies ... ~= ...",
    }
    for line, ending in lines.items():
        assert dicom._anonymous(line, folder, work).endswith(ending)


def test_a_truncated_file_is_refused(series: Any, tmp_path: Path) -> None:
    folder = series(tmp_path / "series", pixels())
    path = min(folder.iterdir())
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match=rf"^{folder}: .*not large enough to store image data: {folder}/"):
        dicom.convert(folder, tmp_path / "work")


def test_magnitude_is_taken_of_parts_and_one_echo_by_name(series: Any, tmp_path: Path) -> None:
    def all_slices(i: int, image: Any) -> bool:
        return True

    def mixed(name: str, **tags: Any) -> Path:
        folder = series(tmp_path / name, pixels())
        other = changed(series(tmp_path / f"{name}_other", pixels(1)), all_slices, **tags)
        for path in other.iterdir():
            path.rename(folder / f"other_{path.name}")
        return folder

    parts = mixed("parts", ImageType=["ORIGINAL", "PRIMARY", "P", "ND"])
    assert dicom.convert(parts, tmp_path / "work").path.name == "1_scan.nii"
    assert dicom.convert(parts, tmp_path / "again", "1_scan_ph").path.name == "1_scan_ph.nii"
    echoes = mixed("echoes", EchoTime=90, EchoNumbers=2)
    with pytest.raises(InputError, match=r"2 DICOM series \(1_scan, 1_scan_e2\); allowed: one, chosen by"):
        dicom.convert(echoes, tmp_path / "two")
    assert dicom.convert(echoes, tmp_path / "second", "1_scan_e2").path.name == "1_scan_e2.nii"


def test_a_conversion_that_takes_too_long_is_stopped(
    series: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dicom, "TIMEOUT", 0.001)
    with pytest.raises(InputError, match=r"series: not converted within 0\.001 s; allowed: one DICOM series"):
        dicom.convert(series(tmp_path / "series", pixels()), tmp_path / "work")


def test_both_contrasts_may_come_from_one_folder(series: Any, tmp_path: Path) -> None:
    folder = series(series(tmp_path / "exam", pixels()), pixels(1), number=2)
    chosen = {"T1": "1", "T2": "2_scan"}
    job = scan_inputs.from_files({"T1": folder, "T2": folder}, None, tmp_path, tmp_path / "work", chosen)
    assert [path.name for path in job.paths.values()] == ["1_scan.nii", "2_scan.nii"] and job.warnings == []


@pytest.mark.parametrize(
    ("t1", "t2", "prefixes"),
    [
        ("sub-1_ses-1_T1w.nii", "t2.nii", ("sub-1_ses-1", "sub-1_ses-1")),
        ("t1.nii", "sub-1_acq-64mT_T2w.nii", ("sub-1", "sub-1_acq-64mT")),
        ("sub-1_ses-2_T1w.nii", "sub-1_T2w.nii", ("sub-1_ses-2", "sub-1_ses-2")),
        ("sub-Jane Doe_T1w.nii", "sub-1_T2w.nii", ("sub-1", "sub-1")),
        ("sub-DOE_JANE_T1w.nii", "sub-1_T2w.nii", ("sub-1", "sub-1")),
        (
            "sub-1_T1w.nii",
            "sub-2_T2w.nii",
            "--t1 is of sub-1 and --t2 of sub-2; allowed: scans of one subject",
        ),
        (
            "sub-1_ses-1_T1w.nii",
            "sub-1_ses-2_T2w.nii",
            "--t1 is of ses-1 and --t2 of ses-2; allowed: scans of one session, or --subject LABEL",
        ),
    ],
)
def test_scans_go_by_the_one_label_that_is_known(
    t1: str, t2: str, prefixes: tuple[str, str] | str, tmp_path: Path
) -> None:
    pair = {"T1": tmp_path / t1, "T2": tmp_path / t2}
    for path in pair.values():
        path.write_text(path.name)
    given = pair, None, tmp_path, tmp_path / "work"
    if isinstance(prefixes, str):
        with pytest.raises(InputError) as error:
            scan_inputs.from_files(*given)
        assert str(error.value).startswith(prefixes)
    else:
        assert scan_inputs.from_files(*given).prefixes == dict(zip(pair, prefixes, strict=True))
    job = scan_inputs.from_files(*given, subject="7")
    assert all(prefix.startswith("sub-7") for prefix in job.prefixes.values())


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_a_bids_folder_gives_its_low_field_visits_in_a_tree_like_it(tmp_path: Path) -> None:
    root, out = tmp_path / "bids", tmp_path / "out"
    touch(
        root,
        "sub-01/anat/sub-01_acq-64mT_T1w.nii.gz",
        "sub-01/anat/sub-01_acq-64mT_T2w.nii.gz",
        "sub-01/anat/sub-01_acq-3T_T1w.nii.gz",
        "sub-01/anat/sub-01_acq-64mT_FLAIR.nii.gz",
        "sub-02/ses-01/anat/sub-02_ses-01_T1w.nii",
        "sub-02/ses-02/anat/sub-02_ses-02_T2w.nii",
        "sub-02/ses-02/anat/sub-02_ses-02_acq-mrsLocAx_run-1_T2w.nii",
        "sub-03/anat/sub-03_T1w.nii.gz",
        "sub-03/anat/sub-03_T2w.nii.gz",
        "derivatives/strip/sub-01/anat/sub-01_acq-64mT_desc-brain_mask.nii.gz",
    )
    for contrast in ("T1", "T2"):
        sidecar = root / f"sub-03/anat/sub-03_{contrast}w.json"
        sidecar.write_text(json.dumps({"MagneticFieldStrength": 3}))

    def job(place: str, mask: str | None = None, **names: str) -> Job:
        paths = {c: root / place / name for c, name in names.items()}
        prefixes = {c: name.partition(f"_{c}w")[0] for c, name in names.items()}
        origins = {c: f"bids:raw:{place}/{name}" for c, name in names.items()}
        visit = "_".join(part for part in place.split("/") if part != "anat") + "_64mT"
        return Job(paths, paths, prefixes, origins, out, None if mask is None else root / mask, visit)

    first = {c: f"sub-01_acq-64mT_{c}w.nii.gz" for c in ("T1", "T2")}
    mask = "derivatives/strip/sub-01/anat/sub-01_acq-64mT_desc-brain_mask.nii.gz"
    jobs, selection = scan_inputs.from_bids(root, out, Filters.of(), known_field=True)
    assert jobs == [
        job("sub-01/anat", mask, **first),
        job("sub-02/ses-01/anat", T1="sub-02_ses-01_T1w.nii"),
        job("sub-02/ses-02/anat", T2="sub-02_ses-02_T2w.nii"),
    ]
    assert [left.kind for left in selection.left] == ["neither T1w nor T2w", "a localizer"]
    known, *unknown = scan_inputs.from_bids(root, out, Filters.of())[0]
    assert known == jobs[0] and all("no strength in a sidecar" in each.problem for each in unknown)


def test_a_bids_folder_without_low_field_scans_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "bids/sub-01/anat/sub-01_acq-3T_T1w.nii.gz", "empty/README")
    line = r"--bids: .*bids holds no 64 mT scan; allowed: a folder with some"
    for name, expected in (("bids", line), ("empty", r"empty: holds no scan; allowed: ")):
        with pytest.raises(InputError, match=expected):
            scan_inputs.from_bids(tmp_path / name, tmp_path, Filters.of())
