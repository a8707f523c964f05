import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from trainers.data import store, writer
from trainers.data.store import Cohort
from trainers.data.writer import SubjectArrays
from trainers.errors import InputError

HASH = "ab" * 32
HEAD = {"config": {"size": "2mm"}, "spacing": 2.0, "shape": [6, 5], "dtype": "float16"}


def subject(id_: str, split: str, domains: tuple[str, ...], n: int, seed: int) -> SubjectArrays:
    rng = np.random.default_rng(seed)
    arrays: dict[tuple[str, str], np.ndarray] = {}
    for domain in domains:
        for kind in store.CONTRASTS:
            arrays[domain, kind] = rng.uniform(-1, 1, (n, 6, 5))
        arrays[domain, store.MASK] = rng.random((n, 6, 5)) < 0.5
    return SubjectArrays(id_, split, arrays, {"seed": seed})


def subjects() -> list[SubjectArrays]:
    return [
        subject("a", "train", ("64mT",), 3, 0),
        subject("b", "train", ("64mT",), 2, 1),
        subject("c", "train", ("3T",), 4, 2),
        subject("d", "val", ("64mT", "3T"), 2, 3),
        subject("e", "test", ("64mT", "3T"), 3, 4),
    ]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return writer.write(tmp_path, HASH, HEAD, subjects())


def test_what_is_written_is_read_by_subjects_from_read_only_maps(path: Path) -> None:
    cohort = Cohort.open(path)
    assert (cohort.hash, cohort.spacing, cohort.shape) == (HASH, 2.0, (6, 5))
    given = {e.id: e for e in subjects()}
    for name in store.SPLITS:
        split = cohort.split(name)
        for domain in store.DOMAINS:
            for row in split.subjects(domain):
                rows = slice(row.start, row.stop)
                arrays = given[row.id].arrays
                np.testing.assert_array_equal(split.mask(domain)[rows], arrays[domain, "mask"])
                for contrast in store.CONTRASTS:
                    stored = split.slices(domain, contrast)[rows].astype(float)
                    np.testing.assert_allclose(stored, arrays[domain, contrast], rtol=0, atol=2.0**-12)
    train = Cohort.open(path).split("train")
    assert train.subjects("64mT") == (store.Subject("a", 0, 3), store.Subject("b", 3, 5))
    assert train.subjects("3T") == (store.Subject("c", 0, 4),)
    assert train.slices("64mT", "T1").shape == (5, 6, 5)
    assert train.slices("64mT", "T1").dtype == np.float16 and train.mask("3T").dtype == np.uint8
    val = cohort.split("val")
    assert val.subjects("64mT") == val.subjects("3T")
    array = np.load(path / "val" / "3T_T2.npy", allow_pickle=False)
    slices = Cohort.open(path).split("val").slices("3T", "T2")
    np.testing.assert_array_equal(array, slices)
    with pytest.raises(ValueError, match="read-only"):
        slices[0, 0, 0] = 0


def test_truncated_files_wrong_headers_pickles_and_unknown_splits_are_errors(path: Path) -> None:
    file = path / "val" / "64mT_T1.npy"
    file.write_bytes(file.read_bytes()[:-7])
    Cohort.open(path).split("train")
    with pytest.raises(
        InputError, match=r"^[^\n]*val/64mT_T1\.npy: holds .* bytes, not .*; delete the folder[^\n]*$"
    ):
        Cohort.open(path).split("val")
    file = path / "train" / "3T_T1.npy"
    file.write_bytes(file.read_bytes().replace(b"(4, 6, 5)", b"(4, 5, 6)"))
    with pytest.raises(InputError, match=r"train/3T_T1\.npy: holds float16\[4, 5, 6\]"):
        Cohort.open(path).split("train")
    file = path / "train" / "3T_T1.npy"
    size = file.stat().st_size
    np.save(file, np.array([{"a": 1}], dtype=object))
    file.write_bytes(file.read_bytes().ljust(size, b"\0")[:size])
    with pytest.raises(InputError, match=r"3T_T1\.npy: cannot be read"):
        Cohort.open(path).split("train")
    with pytest.raises(InputError, match="'training' is not allowed; allowed: train, val, test"):
        Cohort.open(path).split("training")


def test_flipped_bits_are_found_and_other_splits_open_without_the_test_split(path: Path) -> None:
    Cohort.open(path).verify()
    file = path / "test" / "3T_mask.npy"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    cohort = Cohort.open(path)
    cohort.verify("train", "val")
    with pytest.raises(InputError, match=r"test/3T_mask\.npy: does not match its sha256; delete"):
        cohort.verify()
    (path / "test").rename(path / "hidden")
    cohort = Cohort.open(path)
    assert len(cohort.split("train").slices("3T", "T1")) == 4
    assert len(cohort.split("val").slices("3T", "T1")) == 2
    cohort.verify("train", "val")
    with pytest.raises(InputError, match=r"test/64mT_T1\.npy: is missing; delete the folder"):
        cohort.split("test")


def test_manifest_missing_garbled_or_edited(path: Path) -> None:
    file = path / "manifest.json"
    text = file.read_text()
    edited = json.loads(text)
    edited["spacing"] = 1.0
    for content in ("{", "[]", json.dumps(edited)):
        file.write_text(content)
        with pytest.raises(InputError, match=r"manifest\.json: .*; delete the folder"):
            Cohort.open(path)
    file.unlink()
    with pytest.raises(InputError, match=r"manifest\.json: not found"):
        Cohort.open(path)


@pytest.mark.parametrize("failure", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_build_leaves_nothing(tmp_path: Path, failure: type[BaseException]) -> None:
    def broken() -> Iterator[SubjectArrays]:
        yield subjects()[0]
        raise failure

    with pytest.raises(failure):
        writer.write(tmp_path, HASH, HEAD, broken())
    assert not list((tmp_path / "cohorts").iterdir())
    assert writer.find(tmp_path, HASH) is None


def test_the_folder_appears_only_when_complete_and_float32_is_exact(tmp_path: Path) -> None:
    def watched() -> Iterator[SubjectArrays]:
        for item in subjects():
            assert not writer.folder(tmp_path, HASH).exists()
            yield item

    assert writer.write(tmp_path, HASH, HEAD, watched()) == writer.find(tmp_path, HASH)
    path = writer.write(tmp_path, "cd" * 32, {**HEAD, "dtype": "float32"}, subjects())
    stored = Cohort.open(path).split("test").slices("3T", "T1")
    np.testing.assert_array_equal(stored, subjects()[4].arrays["3T", "T1"].astype(np.float32))


def test_a_second_builder_takes_the_first_folder_and_one_without_manifest_is_an_error(
    path: Path, tmp_path: Path
) -> None:
    before = (path / "manifest.json").stat().st_mtime_ns
    assert writer.write(tmp_path, HASH, HEAD, subjects()) == path
    assert (path / "manifest.json").stat().st_mtime_ns == before
    assert [p.name for p in (tmp_path / "cohorts").iterdir()] == [HASH[:16]]
    (path / "manifest.json").unlink()
    with pytest.raises(InputError, match=r"has no manifest\.json; delete the folder"):
        writer.find(tmp_path, HASH)


def test_optional_arrays_are_opened_alone_by_subject_and_absent_ones_are_one_line(
    path: Path, tmp_path: Path
) -> None:
    given = [
        replace(each, optional={"tissue": np.full((k + 2, 4, 3), k, np.uint8)} if each.split == "val" else {})
        for k, each in enumerate(subjects())
    ]
    cohort = Cohort.open(writer.write(tmp_path, "ef" * 32, HEAD, given))
    found = cohort.optional("val", "tissue")
    assert found.subjects == ("d",) and not found.array.flags.writeable
    np.testing.assert_array_equal(found.of("d"), given[3].optional["tissue"])
    np.testing.assert_array_equal(cohort.split("val").mask("3T"), Cohort.open(path).split("val").mask("3T"))
    cohort.verify()
    with pytest.raises(InputError, match=r"has no array 'lesion' of val; allowed: tissue$"):
        cohort.optional("val", "lesion")
    with pytest.raises(InputError, match=r"has no array 'tissue' of val; allowed: none$"):
        Cohort.open(path).optional("val", "tissue")
    with pytest.raises(InputError, match=r"subject: 'x' has no such array; allowed: d$"):
        found.of("x")
    with pytest.raises(InputError, match=r"'shifted' is not in this cohort; allowed: train, val, test$"):
        cohort.split("shifted")
    file = cohort.path / "val/optional/tissue.npy"
    file.write_bytes(file.read_bytes()[:-1] + b"\7")
    cohort.verify("train", "test")
    with pytest.raises(InputError, match=r"optional/tissue\.npy: does not match its sha256"):
        cohort.verify("val")


def test_a_cohort_may_have_a_shifted_test_split(tmp_path: Path) -> None:
    extra = subject("f", "shifted", ("64mT", "3T"), 2, 7)
    cohort = Cohort.open(writer.write(tmp_path, HASH, HEAD, [*subjects(), extra], (*store.SPLITS, "shifted")))
    assert cohort.splits == ("train", "val", "test", "shifted")
    assert cohort.split("shifted").subjects("3T") == (store.Subject("f", 0, 2),)
    cohort.verify()
