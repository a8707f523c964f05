"""What people's folders hold: each case is the right choice, or one line that names the file and why.

A case is a tree (bytes: a file's content; text: the target of a link; None: a small scan) and what its
outcome says: ``T1 PLACE`` of what is used, and fragments of reasons.
"""

import bz2
import gzip
import json
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from trainers.cohorts.folder import select, with_splits
from trainers.cohorts.preprocessing import nifti
from trainers.cohorts.scans import names
from trainers.cohorts.scans.listing import left_in_words, write_listing
from trainers.errors import InputError

VALUES = np.arange(120, dtype=np.int16).reshape(4, 5, 6)
AFFINE = np.diag([2.0, 2, 5, 1])
HEAD = b"subject,domain,contrast,path\n"
Tree = dict[str, bytes | str | None]
GLOBAL: Tree = {"T1w.json": b'{"MagneticFieldStrength": 0.064}'}


def scan(values: Any = VALUES, affine: Any = AFFINE, **fields: Any) -> bytes:
    """A scan whose header's fields were set behind nibabel's back."""
    content = bytearray(nib.Nifti1Image(values, affine).to_bytes())
    header = nib.Nifti1Header(bytes(content[:348]), check=False)
    for name, value in fields.items():
        header[name] = value
    return bytes(header.binaryblock) + bytes(content[348:])


def anat(ends: str, **more: bytes) -> Tree:
    return {f"sub-1/anat/sub-1_{end}.nii.gz": None for end in ends.split()} | more


def said(value: Any, end: str = "T1w") -> Tree:
    return anat(end) | {f"sub-1/anat/sub-1_{end}.json": json.dumps({"MagneticFieldStrength": value}).encode()}


def one(content: bytes | str, name: str = "sub-1_T1w.nii") -> Tree:
    return {name: content}


def table(rows: str, **files: None) -> Tree:
    return {"scans.csv": HEAD + rows.encode(), "a.nii": None, "b.nii": None, **files}


def participants(text: str) -> Tree:
    return {**anat("T1w"), "participants.tsv": text.encode()}


T1W = anat("T1w")
NFC = unicodedata.normalize("NFC", "sub-Zoé")
CASES: dict[str, tuple[Tree, str]] = {
    "localizers": (
        anat("T1w acq-localizer_T1w acq-Localiser3D_T1w acq-scoutAP_T1w acq-AAHScout_T1w acq-mrsLocCor_T1w"),
        "T1 sub-1/anat/sub-1_T1w.nii.gz|5 a localizer",
    ),
    "short localizers": (anat("T1w acq-loc_T1w acq-survey_T1w acq-plan_T1w"), "T1w.nii.gz|3 a localizer"),
    "views of one contrast": (
        anat("T1w acq-AXI_T2w acq-COR_T2w acq-SAG_T2w"),
        "T1 sub-1/anat/sub-1_T1w|T2 sub-1/anat/sub-1_acq-AXI|2 another view",
    ),
    "no axial view": (
        anat("T1w acq-COR_T2w acq-SAG_T2w"),
        'T2 may be sub-1/anat/sub-1_acq-COR_T2w|such as {"t2w": {"acq": "COR"}}|3 ambiguous',
    ),
    "runs": (anat("run-01_T1w run-2_T1w run-10_T1w"), "run-10_T1w.nii.gz|2 an earlier run"),
    "run in other digits": (anat("run-1_T1w run-²_T1w"), "run-1_T1w.nii.gz|1 an earlier run"),
    "echoes": (anat("echo-1_T1w echo-2_T1w"), "allowed: one, by a filter such as echo=1"),
    "two entities": (anat("acq-a_rec-x_T1w acq-a_rec-y_T1w acq-b_rec-x_T1w"), "such as acq=a,rec=x"),
    "many": (anat(" ".join(f"chunk-{i}_T1w" for i in range(9))), "or 4 more; allowed: one, by a filter"),
    "MP2RAGE": (
        anat("inv-1_MP2RAGE inv-2_MP2RAGE UNIT1 T1map acq-uni_T1w"),
        "T1 sub-1/anat/sub-1_acq-uni_T1w|4 neither T1w nor T2w",
    ),
    "MP2RAGE as T1w": (anat("acq-UNI_T1w inv-1_T1w inv-2_T1w"), "by a filter such as acq=UNI"),
    "MP2RAGE alone": (anat("inv-1_MP2RAGE UNIT1"), "holds no scan that is used (sub-1_UNIT1.nii.gz: _UNIT1)"),
    "defaced": (anat("T1w desc-defaced_T1w"), "sub-1_T1w.nii.gz|1 processed"),
    "two reconstructions": (anat("T1w rec-norm_T1w"), "by a filter such as rec=norm"),
    "contrast agent beside T2": (anat("T1w ce-gd_T1w T2w"), "T1 sub-1/anat/sub-1_T1w|1 another kind of scan"),
    "contrast agent alone": (anat("T1w ce-gd_T1w"), "by a filter such as ce=gd"),
    "phase in capitals": (anat("part-mag_T1w part-Phase_T1w"), "part-mag_T1w|1 not a magnitude image"),
    "T1 without w": (anat("T1w T1 FLAIR"), "T1 sub-1/anat/sub-1_T1w|2 neither T1w nor T2w"),
    "no subject": ({"T1w.nii.gz": None} | T1W, "T1w.nii.gz: a wrong name: is not as sub-01_T1w"),
    "a copy": (T1W | {"sub-1/anat/sub-1_T1w (1).nii.gz": None}, "(1).nii.gz: a wrong name"),
    "other formats": (T1W | {"sub-1/anat/sub-1_T2w.mgz": b"", "a.nii.bz2": b""}, "2 a wrong name"),
    "no label": (anat("T1w acq-_T1w"), "a wrong name: has acq- without a label"),
    "spaces": (T1W | {"sub-1/anat/sub-1_acq-my scan_T2w.nii": None}, "T2 sub-1/anat/sub-1_acq-my scan"),
    "composed and not": ({f"{unicodedata.normalize('NFD', NFC)}/{NFC}_T1w.nii": None}, f"{NFC}_64mT: T1 "),
    "no text": (anat("T1w acq-\udcff_T1w"), "acq-\\udcff_T1w.nii.gz: a wrong name"),
    "a line break": (T1W | {"sub-1/anat/sub-1_acq-a\nb_T1w.nii": None}, "acq-a\nb_T1w.nii: a wrong name"),
    "capitals": ({"SUB-01/ANAT/SUB-01_ACQ-3t_T1W.NII.GZ": None}, "sub-01_3T: T1 SUB-01/ANAT"),
    "macOS": (T1W | {"sub-1/anat/._sub-1_T1w.nii.gz": b""}, "T1 sub-1/anat/sub-1_T1w"),
    "sessions": (
        {f"sub-1/ses-{i}/anat/sub-1_ses-{i}_T1w.nii": None for i in "12"},
        "sub-1_ses-1_64mT: T1 sub-1/ses-1|sub-1_ses-2_64mT: T1 sub-1/ses-2",
    ),
    "a session in the folder alone": (
        {"sub-1/ses-1/anat/sub-1_T1w.nii": None} | T1W,
        "ses-1/anat/sub-1_T1w.nii: a wrong name: is in ses-1",
    ),
    "a data set inside": (
        {"more/dataset_description.json": b"{}", "more/sub-1/anat/sub-1_T2w.nii": None} | T1W,
        "more has its own description|sub-1_64mT: T1 sub-1/anat/sub-1_T1w.nii.gz (4, 5, 6)\n",
    ),
    "two centres": (
        {"A/sub-1/anat/sub-1_T1w.nii": None, "B/sub-1/anat/sub-1_T2w.nii": None},
        "sub-1 has scans of one visit in A/sub-1 and B/sub-1; allowed: one folder",
    ),
    "two fields in two folders": (
        {"A/sub-1/sub-1_acq-3T_T1w.nii": None, "B/sub-1/sub-1_T1w.nii": None},
        "sub-1_3T: T1 A/|sub-1_64mT: T1 B/|taken as one person each: sub-1 (A/sub-1, B/sub-1)",
    ),
    "masks of two pipelines": (
        T1W | {f"derivatives/{name}/sub-1_desc-brain_mask.nii": None for name in ("b", "a")},
        "mask derivatives/a/|derivatives/b/sub-1_desc-brain_mask.nii: another mask: used is ",
    ),
    "masks elsewhere": (
        T1W | {f"{name}/sub-1_desc-brain_mask.nii": None for name in ("sourcedata", "code")},
        "2 outside the raw scans",
    ),
    "masks of nothing": (
        anat("T1w run-2_desc-brain_mask desc-lesion_mask space-MNI_desc-brain_mask"),
        "1 a mask of no scan that is used|1 not a brain mask|1 a mask in another space",
    ),
    "inherited": (GLOBAL | T1W, "sub-1_64mT: T1"),
    "inherited, another case": ({"t1W.json": b'{"MagneticFieldStrength": "3T"}'} | T1W, "sub-1_3T: T1"),
    "contradicting": (
        {**GLOBAL, **anat("acq-3T_T1w")},
        "T1w.json says 0.064 T and its name 3 T; allowed: one",
    ),
    "in milliteslas": (said(" 64 mT"), "sub-1_64mT: T1"),
    "another field": (said("1.5 T") | anat("T2w"), "at another field strength: 1.5 T by "),
    "no field": (said("x" * 9999), "MagneticFieldStrength: 'xxx"),
    "digits without end": (said("1" * 50000 + "x"), "11111... is not understood"),
    "two values": (
        T1W | {"T1w.json": b'{"MagneticFieldStrength": 3, "MagneticFieldStrength": 0.064}'},
        "T1w.json: 'MagneticFieldStrength' is there with two values; allowed: one",
    ),
    "a damaged sidecar": (T1W | {"T1w.json": b"{"}, "T1w.json: cannot be read (JSONDecodeError); allowed"),
    "a sidecar in Latin-1": (T1W | {"T1w.json": b'{"a": "\xe9"}'}, "cannot be read (UnicodeDecodeError)"),
    "a sidecar elsewhere": (T1W | {"T1w.json": ".git/annex/objects/x"}, "cannot be read (FileNotFound"),
    "one scan twice": (
        T1W | {"sub-2/anat/sub-2_T1w.nii.gz": "../../sub-1/anat/sub-1_T1w.nii.gz"},
        "sub-2_T1w.nii.gz are one file; allowed: a scan for each",
    ),
    "links": (
        T1W | {"aaa": "sub-1", "loop": ".", "sub-1/up": ".."},
        "T1 sub-1/anat/sub-1_T1w.nii.gz (4, 5, 6)\n",
    ),
    "empty": ({"README": b""}, "holds no scan; allowed: sub-*_T1w.nii(.gz)"),
    "Windows": (table("x,64mT,T1,C:\\\\scans\\\\a.nii\n"), "line 2: path: 'C:"),
    "BOM and CRLF": (
        {"scans.csv": b"\xef\xbb\xbf" + (HEAD + b"x,64mT,T1,a.nii\n").replace(b"\n", b"\r\n"), "a.nii": None},
        "x_64mT: T1 a.nii",
    ),
    "a blank line first": (
        {"scans.csv": b"\n" + HEAD + b"x,64mT,T1,a.nii\n", "a.nii": None},
        "x_64mT: T1 a.nii",
    ),
    "semicolons": (
        {"scans.csv": HEAD.replace(b",", b";")},
        "columns subject;domain;contrast;path: 'subject'",
    ),
    "UTF-16": (
        {"scans.csv": HEAD.decode().encode("utf-16-le")},
        "holds NUL characters; allowed: a table in UTF-8",
    ),
    "one file for two people": (
        table("x,64mT,T1,a.nii\ny,64mT,T1,./b/../a.nii\n", **{"b/c.nii": None}),
        "line 3: path: |a.nii is that of line 2 too; allowed: each scan once",
    ),
    "a long path": (table(f"x,64mT,T1,{'a' * 256}.nii\n"), "line 2: path: 'aaaa|is too long for a file's"),
    "a missing file": (table("x,64mT,T1,c.nii\n"), "c.nii: no such file; allowed: a NIfTI scan"),
    "commas": (participants("participant_id,split\n1,test\n"), "has cells separated by ','; allowed: tabs"),
    "Split": (participants("Participant_ID\tSplit\nSUB-1\ttest\n"), "sub-1_64mT test: T1"),
    "another split": (
        participants("participant_id\tdata_split\n1\ttest\n"),
        "column 'data_split' is not known; allowed: split",
    ),
    "no split": (participants("participant_id\tage\n1\t30\n"), "has no column split, so splits are drawn"),
    "participants.csv": (T1W | {"participants.csv": b""}, "participants.csv: is not read; allowed: part"),
    "a broken link": (T1W | {"participants.tsv": "nowhere"}, "participants.tsv: cannot be read (File"),
    "a folder": (T1W | {"participants.tsv/x": b""}, "participants.tsv: cannot be read (FileNotFound"),
    "annex link": (one("../.git/annex/objects/x"), "is a pointer of git-annex to a scan that is not here"),
    "annex file": (one(b"/annex/objects/MD5E-s1--0.nii\n"), "allowed: the scan, by datalad get"),
    "LFS": (one(b"version https://git-lfs.github.com/spec/v1\n"), "allowed: the scan, by git lfs pull"),
    "empty scan": (one(b""), "sub-1_T1w.nii: not a readable NIfTI scan"),
    "cut off": (one(scan()[:-1]), "it ends after 591 of 592 bytes"),
    "named .gz": (one(scan(), "sub-1_T1w.nii.gz"), "is not compressed by gzip, though its name ends in .gz"),
    "bzip2 in .gz": (one(bz2.compress(scan()), "sub-1_T1w.nii.gz"), "is not compressed by gzip"),
    "gzip in .nii": (one(gzip.compress(scan())), "is compressed, though its name does not end in .gz"),
    "4-D of one": (one(scan(VALUES[..., None])), "64mT: T1 sub-1_T1w.nii (4, 5, 6)"),
    "4-D of two": (one(scan(np.stack([VALUES] * 2, 3))), "has shape (4, 5, 6, 2); allowed: a 3-D scan"),
    "two slices": (one(scan(VALUES[..., :2])), "T1 sub-1_T1w.nii (4, 5, 2)"),
    "one slice": (one(scan(VALUES[..., :1])), "allowed: a 3-D scan"),
    "colours": (one(scan(datatype=128)), "has voxels of type RGB"),
    "complex": (one(scan(VALUES.astype("complex64"))), "has voxels of type complex64"),
    "no scaling": (one(scan(scl_slope=np.nan, scl_inter=np.nan)), "T1 sub-1_T1w.nii (4, 5, 6)"),
    "left-handed": (one(scan(affine=np.diag([-2.0, 2, 5, 1]))), "T1 sub-1_T1w.nii (4, 5, 6)"),
    "sagittal": (one(scan(affine=AFFINE[[2, 0, 1, 3]])), "T1 sub-1_T1w.nii (6, 4, 5)"),
    "micrometres": (
        one(scan(affine=AFFINE * [1e3, 1e3, 1e3, 1], xyzt_units=3)),
        "T1 sub-1_T1w.nii (4, 5, 6)",
    ),
    "no unit": (one(scan(affine=AFFINE * [1e3, 1e3, 1e3, 1])), "allowed: 0.02 to 60 mm"),
    "no orientation": (one(scan(qform_code=0, sform_code=0)), "its qform_code and sform_code are 0"),
    "voxels at 0": (one(scan(vox_offset=0)), "its voxels start at byte 0; allowed: 352 to"),
    "huge": (one(scan(dim=[3, *[32767] * 3, 1, 1, 1, 1])), "voxels; allowed: at most 50331648"),
    "not finite": (
        one(scan(np.where(VALUES == 7, np.nan, VALUES).astype("f4"))),
        "values that are not finite",
    ),
    "constant": (one(scan(VALUES * 0)), "is constant (0)"),
}


def lay(root: Path, tree: Tree) -> None:
    for name, content in tree.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            path.symlink_to(content)
        else:
            good = gzip.compress(scan()) if name.lower().endswith(".gz") else scan()
            path.write_bytes(good if content is None else content)


def told(call: Callable[[], str]) -> str:
    """What a call returns or is refused with, which is one line."""
    try:
        return call()
    except InputError as error:
        assert str(error).isprintable() and "allowed: " in str(error)
        return str(error)


def outcome(root: Path) -> str:
    source = next(root.glob("*.csv"), root) if not (root / "sub-1").exists() else root
    found = select(source, "64mT")
    found = with_splits(found, root) if source is root else found
    lines = [*found.notes, left_in_words(each.kind for each in found.left)]
    lines += [f"{each.path}: {each.kind}: {each.reason}" for each in found.left]
    for visit in found.visits:
        files = {**visit.scans, **({"mask": visit.mask} if visit.mask else {})}
        read = [
            f"{k} {p.relative_to(root)} {told(lambda p=p: str(nifti.read(p).values.shape))}"
            for k, p in files.items()
        ]
        lines.append(f"{visit.id} {visit.split}".strip() + ": " + visit.problem + " ".join(read))
    write_listing(root / "files.csv", found)
    listed = {*(line.split(",")[0] for line in (root / "files.csv").read_text().splitlines())}
    images = [p for p in root.rglob("*") if names.is_image(p) and p.name[0] != "." and source is root]
    assert {p.name for p in images if p.name.isprintable()} <= {Path(each).name for each in listed}
    return "\n".join(lines)


@pytest.mark.parametrize("case", CASES)
def test_a_field_case_is_chosen_or_refused_with_its_reason(case: str, tmp_path: Path) -> None:
    tree, expected = CASES[case]
    lay(tmp_path, tree)
    text = told(lambda: outcome(tmp_path)) + "\n"
    text = text.encode("utf-8", "backslashreplace").decode()
    assert [part for part in expected.split("|") if part not in text] == [], text
