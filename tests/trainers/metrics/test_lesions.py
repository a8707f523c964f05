"""Lesions kept, lost, faded and grown: closed forms on drawn discs, and what a cohort must have."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from trainers.data import writer
from trainers.data.store import CONTRASTS, DOMAINS, MASK, Cohort
from trainers.errors import InputError
from trainers.metrics.lesions import kept, parts, read

SIDE = 64
ROWS, COLUMNS = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
REGION = torch.ones(3, SIDE, SIDE, dtype=torch.bool)
WHITE = REGION.clone()
WHITE[:, :, :4] = False


def disc(row: int, column: int, radius: float) -> Tensor:
    """[3, H, W], in the middle slice."""
    mask = torch.zeros(3, SIDE, SIDE, dtype=torch.bool)
    mask[1] = (ROWS - row) ** 2 + (COLUMNS - column) ** 2 <= radius**2
    return mask


def image(*lesions: tuple[Tensor, float], normal: float = 0.5) -> dict[str, Tensor]:
    drawn = torch.full((3, SIDE, SIDE), normal, dtype=torch.float64)
    for mask, height in lesions:
        drawn[mask] = normal + height
    return {"T2": drawn}


A, B = disc(20, 20, 5), disc(44, 40, 6)
LABELS = (A + 2 * B).to(torch.uint8)
TRUTH = image((A, 0.2), (B, -0.1))


def scored(
    output: dict[str, Tensor], truth: dict[str, Tensor] = TRUTH, labels: Tensor = LABELS
) -> list[float]:
    return [float(x) for x in kept(output, truth, list(parts(labels, REGION, WHITE, 2.0))).values()]


def test_kept_faded_lost_inverted_and_doubled_contrasts_are_weighted_by_that_of_the_3_t() -> None:
    assert scored(TRUTH) == [0, 1]
    assert scored(image((A, 0.1), (B, -0.05), normal=0.3)) == pytest.approx([0.5, 1])
    assert scored(image()) == scored(image((A, -0.2), (B, 0.1))) == [1, 0]
    assert scored(image((A, 0.4), (B, -0.2))) == pytest.approx([1, 1])
    # One of both is lost: .2 or .1 of .3.
    assert scored(image((B, -0.1))) == pytest.approx([2 / 3, 1 / 3])
    assert scored(image((A, 0.2))) == pytest.approx([1 / 3, 2 / 3])
    # Less than a quarter of the contrast has no extent.
    assert scored(image((A, 0.049), (B, -0.0251)))[1] == pytest.approx(1 / 3)


def test_the_extent_is_the_dice_overlap_beyond_half_height_and_independent_of_the_contrast() -> None:
    truth = image((A, 0.2))
    for radius, height in ((3.0, 0.2), (6.0, 0.2), (6.0, 0.15)):
        own = disc(20, 20, radius)
        expected = 2 * float((own & A).sum()) / float(own.sum() + A.sum())
        assert scored(image((own, height)), truth, A.byte())[1] == pytest.approx(expected)


def test_small_lesions_are_left_out_kinds_scored_apart_and_no_other_lesion_is_around() -> None:
    tiny = disc(20, 20, 1.5)
    assert tiny.sum() < 10 and not list(parts(tiny.byte(), REGION, WHITE, 2.0))
    assert all(math.isnan(value) for value in scored(TRUTH, labels=tiny.byte()))
    core, beside = disc(20, 20, 3), disc(20, 31, 4)
    labels = A.byte() + core + 3 * beside
    found = list(parts(labels, REGION, WHITE, 2.0))
    assert [int(p.inside.sum()) for p in found] == [int(x.sum()) for x in (A & ~core, core, beside)]
    truth = image((A, 0.3), (core, -0.3), (beside, 0.4))
    assert [p.seen(truth["T2"]) for p in found] == [(pytest.approx(0.5 + h), 0.5) for h in (0.3, -0.3, 0.4)]
    assert not list(parts(labels, REGION, WHITE & False, 2.0)), "nothing to compare with"


def cohort(root: Path, lesion: bool, planes: bool = True) -> Cohort:
    """A validation subject with a disc in its second slice, three of five planes; a test subject without."""
    rng, subjects = np.random.default_rng(0), []
    tissues = np.where(COLUMNS < 12, 0.1, np.where(COLUMNS < 30, 0.4, 0.8)) * np.ones((3, 1, 1))
    slices = {"T1": tissues, "T2": 0.9 - tissues}
    for split in ("train", "val", "test"):
        arrays: dict[tuple[str, str], Any] = {(d, MASK): np.ones((3, SIDE, SIDE), "uint8") for d in DOMAINS}
        for domain in DOMAINS:
            arrays |= {
                (domain, c): 2 * (slices[c] + 0.02 * rng.standard_normal(tissues.shape)) - 1
                for c in CONTRASTS
            }
        labels = np.zeros((5, SIDE, SIDE), "uint8")
        labels[2] = 4 * disc(40, 46, 5)[1].numpy() * (lesion and split == "val")
        optional = {"lesion": labels} if planes else {}
        facts = {"plane_of_slice": [1, 2, 4]}
        subjects.append(writer.SubjectArrays(f"{split}-0", split, arrays, facts, optional))
    head = {"spacing": 2.0, "shape": [SIDE, SIDE], "dtype": "float32"}
    return Cohort.open(writer.write(root, "0" * 64, head, subjects))


def test_the_lesions_of_a_cohort_are_those_of_its_slices_in_white_matter(tmp_path: Path) -> None:
    opened = cohort(tmp_path / "some", lesion=True)
    ((part,),) = read(opened, "val")
    assert part.box[0] == slice(1, 2) and int(part.inside.sum()) == int(disc(40, 46, 5).sum())
    with pytest.raises(
        InputError, match=r"^lesion_contrast, lesion_extent: no paired subject of test .* allowed"
    ):
        read(opened, "test")
    with pytest.raises(InputError, match=r"no map of lesions of val; allowed: a cohort with one"):
        read(cohort(tmp_path / "none", lesion=False, planes=False), "val")


def test_a_cohort_without_lesions_leaves_them_out_and_refuses_them(tiny: Any) -> None:
    assert not {"lesion_contrast", "lesion_extent"} & tiny.judge.extended(tiny.judge.truth).keys()
    missing = "lesion_contrast, lesion_extent: the cohort has no map of lesions of val"
    assert str(tiny.judge.refusal("lesion_extent")).startswith(missing)
