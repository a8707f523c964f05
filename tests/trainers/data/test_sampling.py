"""Batches: independent or level pairs, the same crop of both domains, functions of their counter."""

from typing import Any

import numpy as np
import pytest
import torch

from trainers.cohorts.phantom import PhantomConfig, site_names
from trainers.config import FieldError
from trainers.data.neighbours import parted
from trainers.data.sampling import Slices, example_subject, halves, relative_heights


@pytest.fixture
def slices(tiny: Any) -> Slices:
    return Slices.of(tiny.cohort, "t1_t2_mean", 32)


def rows_of(slices: Slices, domain: str, crop: torch.Tensor) -> set[int]:
    """The rows of the split that contain this T1 crop."""
    patch = crop.numpy().astype(np.float16)
    found = set()
    for row, image in enumerate(np.asarray(slices.split.slices(domain, "T1"))):
        for candidate in (image, image[:, ::-1]):
            windows = np.lib.stride_tricks.sliding_window_view(candidate, patch.shape)
            starts = np.argwhere((windows[:, :, ::8, ::8] == patch[::8, ::8]).all((2, 3)))
            if any((windows[y, x] == patch).all() for y, x in starts):
                found.add(row)
    return found


def test_level_pairs_are_crops_at_one_relative_height_and_overlap_more_than_random_ones(
    slices: Slices,
) -> None:
    batch = slices.batch(4, 7, pairing="level")
    low, high = relative_heights(slices.split, "64mT"), relative_heights(slices.split, "3T")
    for source, target in zip(batch.source[:, 0], batch.target[:, 0], strict=True):
        below = [low[row] for row in rows_of(slices, "64mT", source)]
        above = [high[row] for row in rows_of(slices, "3T", target)]
        assert below and above
        assert min(abs(float(a - b)) for a in above for b in below) < 0.1

    def overlap(**pairing: Any) -> float:
        batches = [slices.batch(8, n, **pairing) for n in range(12)]
        both = torch.cat([b.source_mask & b.target_mask for b in batches]).float().mean()
        either = torch.cat([b.source_mask | b.target_mask for b in batches]).float().mean()
        return float(both / either)

    assert overlap(pairing="level") > overlap() + 0.05


def test_a_batch_is_a_function_of_its_counter_and_its_source_not_of_the_pairing(slices: Slices) -> None:
    for pairing in ("random", "level"):
        first, same, other = (slices.batch(3, 0, n, pairing=pairing) for n in (7, 7, 8))  # type: ignore[arg-type]
        for domain in ("source", "target"):
            one, again, another = (getattr(batch, domain) for batch in (first, same, other))
            assert torch.equal(one, again) and not torch.equal(one, another)
    assert torch.equal(slices.batch(3, 5).source, slices.batch(3, 5, pairing="level").source)


def test_degraded_crops_are_of_the_same_places_and_change_no_other_draw(tiny: Any, slices: Slices) -> None:
    """Undone by the inverse of the map, a degraded crop is its 3 T crop but for blur and noise."""
    degradation = tiny.references.degradation
    plain = Slices.of(tiny.cohort, "t1_t2_mean", 96).batch(8, 5)
    batch = Slices.of(tiny.cohort, "t1_t2_mean", 96, degradation).batch(8, 5)
    assert plain.degraded is None and batch.degraded is not None
    for name in ("source_mask", "target", "target_mask"):
        assert torch.equal(getattr(plain, name), getattr(batch, name))
    own, mean = parted(batch.source)
    assert torch.equal(plain.source, own)
    # Crops of the same place: neighbours resemble them more than what is beside them, or mirrored, does.
    rivals = {"same": mean, "mirrored": mean.flip(-1), "moved": mean.roll(4, -1), "other": mean.roll(1, 0)}
    errors = {name: float((own - rival).abs().mean()) for name, rival in rivals.items()}
    assert min(errors, key=lambda name: errors[name]) == "same" and errors["same"] > 0
    again = Slices.of(tiny.cohort, "t1_t2_mean", 96, degradation).batch(8, 5).degraded
    assert again is not None and torch.equal(batch.degraded, again)
    assert torch.allclose(batch.degraded[:, 2], batch.degraded[:, :2].mean(1), atol=1e-6)
    outside = ~batch.target_mask[:, None].expand_as(batch.target)
    assert float((parted(batch.degraded)[0][outside] == -1).float().mean()) > 0.97
    own, other = (
        np.corrcoef(batch.degraded[:, 0][m], t[m])[0, 1]
        for t, m in (
            (batch.target[:, 0], batch.target_mask),
            (batch.target[:, 0].roll(1, 0), batch.target_mask & batch.target_mask.roll(1, 0)),
        )
    )
    assert own > 0.8 > other


def test_every_crop_shows_brain_and_its_channels_agree(tiny: Any) -> None:
    batch = Slices.of(tiny.cohort, "t1_t2_mean", 32).batch(16, 3)
    assert batch.source.shape == (16, 3, 32, 32) and batch.source_mask.shape == (16, 32, 32)
    assert batch.source_mask.flatten(1).any(1).all() and batch.target_mask.flatten(1).any(1).all()
    assert torch.allclose(batch.source[:, 2], (batch.source[:, 0] + batch.source[:, 1]) / 2, atol=1e-6)
    assert (batch.target[~batch.target_mask[:, None].expand_as(batch.target)] == -1).all()


def test_half_of_the_crops_are_mirrored_slices_of_the_store(tiny: Any) -> None:
    """Every crop is found, mirrored or not, in the training slices; both kinds occur."""
    batch = Slices.of(tiny.cohort, "t1", 96).batch(8, 5)
    store = np.asarray(tiny.cohort.split("train").slices("64mT", "T1"), np.float32)
    windows = [store[:, top : top + 96] for top in range(store.shape[1] - 95)]
    kinds = []
    for crop in batch.source[:, 0].numpy():
        upright = any((window == crop).all((1, 2)).any() for window in windows)
        mirrored = any((window[:, :, ::-1] == crop).all((1, 2)).any() for window in windows)
        assert upright or mirrored
        kinds.append(upright)
    assert 0 < sum(kinds) < len(kinds)


def test_heights_the_example_subject_and_crops_larger_than_a_slice(tiny: Any) -> None:
    split = tiny.cohort.split("train")
    level = relative_heights(split, "3T")
    for subject in split.subjects("3T"):
        mine = level[subject.start : subject.stop]
        assert float(mine[0]) == 0 and float(mine[-1]) == 1
        assert (mine.diff() > 0).all()
    stack = example_subject(tiny.cohort, "t1_t2_mean")
    first = tiny.cohort.split("train").subjects("3T")[0]
    assert stack.shape == (first.stop - first.start, 3, *tiny.cohort.shape)
    brain = (stack[:, 0] > -1).float().mean((1, 2))
    assert brain.argmax() not in (0, len(brain) - 1)
    with pytest.raises(FieldError, match="crop: 128 is not allowed; allowed: at most 96"):
        Slices.of(tiny.cohort, "t1", 128)


def test_halves_share_the_subjects_out_and_have_as_many_of_each_population() -> None:
    config = PhantomConfig(val=16)
    people = [site_names(config, f"val-{i:04d}")["people"] for i in range(config.val)]
    subjects = [(i * (i + 1) // 2, (i + 1) * (i + 2) // 2) for i in range(config.val)]
    first, second = halves(subjects)
    assert sorted([*first.tolist(), *second.tolist()]) == list(range(subjects[-1][1]))
    for rows in (first.tolist(), second.tolist()):
        taken = [name for name, own in zip(people, subjects, strict=True) if set(range(*own)) <= set(rows)]
        assert sorted(taken) == ["north"] * 4 + ["south"] * 4
