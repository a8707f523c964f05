"""Batches: independent or level pairs, the same crop of both domains, functions of their counter."""

from typing import Any

import numpy as np
import pytest
import torch

from trainers.data.sampling import Slices, example_subject, relative_heights


@pytest.fixture
def slices(tiny: Any) -> Slices:
    return Slices.of(tiny.cohort, "t1_t2_mean", 32)


def rows_of(slices: Slices, domain: str, crop: torch.Tensor) -> set[int]:
    """Which rows of the split hold this T1 crop somewhere."""
    patch = crop.numpy().astype(np.float16)
    found = set()
    for row, image in enumerate(np.asarray(slices.split.slices(domain, "T1"))):
        for candidate in (image, image[:, ::-1]):
            windows = np.lib.stride_tricks.sliding_window_view(candidate, patch.shape)
            starts = np.argwhere((windows[:, :, ::8, ::8] == patch[::8, ::8]).all((2, 3)))
            if any((windows[y, x] == patch).all() for y, x in starts):
                found.add(row)
    return found


def test_level_pairs_are_crops_at_one_relative_height(slices: Slices) -> None:
    batch = slices.batch(4, 7, pairing="level")
    low, high = relative_heights(slices.split, "64mT"), relative_heights(slices.split, "3T")
    for source, target in zip(batch.source[:, 0], batch.target[:, 0], strict=True):
        below = [low[row] for row in rows_of(slices, "64mT", source)]
        above = [high[row] for row in rows_of(slices, "3T", target)]
        assert below and above
        assert min(abs(float(a - b)) for a in above for b in below) < 0.1


def test_level_pairs_overlap_more_than_random_ones(slices: Slices) -> None:
    def overlap(**pairing: Any) -> float:
        batches = [slices.batch(8, n, **pairing) for n in range(12)]
        both = torch.cat([b.source_mask & b.target_mask for b in batches]).float().mean()
        either = torch.cat([b.source_mask | b.target_mask for b in batches]).float().mean()
        return float(both / either)

    assert overlap(pairing="level") > overlap() + 0.05


def test_a_batch_is_a_function_of_its_counter(slices: Slices) -> None:
    for pairing in ("random", "level"):
        first, same, other = (slices.batch(2, 0, n, pairing=pairing) for n in (1, 1, 2))  # type: ignore[arg-type]
        assert torch.equal(first.target, same.target) and not torch.equal(first.target, other.target)


def test_the_source_of_a_batch_does_not_depend_on_the_pairing(slices: Slices) -> None:
    assert torch.equal(slices.batch(3, 5).source, slices.batch(3, 5, pairing="level").source)


def test_the_exemplar_is_one_subject_from_below_to_above(tiny: Any) -> None:
    stack = example_subject(tiny.cohort, "t1_t2_mean")
    first = tiny.cohort.split("train").subjects("3T")[0]
    assert stack.shape == (first.stop - first.start, 3, *tiny.cohort.shape)
    brain = (stack[:, 0] > -1).float().mean((1, 2))
    assert brain.argmax() not in (0, len(brain) - 1)
