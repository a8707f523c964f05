"""The extended measures of a paired phantom: perfect where they must be, worse where they should be."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from trainers.cohorts.phantom import PhantomConfig, prepare_subject
from trainers.metrics.edges import smooth_inside
from trainers.metrics.extended import extended_measures
from trainers.metrics.measures import EXTENDED, LESIONS, MEASURES
from trainers.metrics.names import METRICS

Images = dict[str, Tensor]
Pair = tuple[Images, Images, Tensor]
Run = Callable[[Images], dict[str, float]]
ALONE = ("edges_unsupported_by_input", "input_consistency", "through_plane", "slice_shift")
AGAINST_3T = tuple(name for name in EXTENDED if name not in (*ALONE, *LESIONS))


@pytest.fixture(scope="module")
def pair() -> Pair:
    """64 mT and 3 T slices in [0, 1] of one phantom, black outside the 64 mT brain, and that brain."""
    arrays = prepare_subject(
        PhantomConfig(train=1, val=1, test=1, seed=5, anatomy="first"), "val-0000"
    ).arrays
    mask = torch.from_numpy(arrays["64mT", "mask"]) > 0
    source, truth = (
        {c: (torch.from_numpy(arrays[field, c]).float() + 1) / 2 * mask for c in ("T1", "T2")}
        for field in ("64mT", "3T")
    )
    return source, truth, mask


def single(scores: dict[str, Tensor]) -> dict[str, float]:
    return {name: float(value) for name, value in scores.items()}


@pytest.fixture(scope="module")
def run(pair: Pair) -> Run:
    source, truth, mask = pair
    return lambda output: single(extended_measures(output, source, truth, mask, [(0, len(mask))], 2.0))


def test_the_list_of_measures_is_complete_and_separate_from_the_published_metrics(
    pair: Pair, run: Run
) -> None:
    source, truth, mask = pair
    scores = extended_measures(truth, source, truth, mask, [(0, len(mask))], 2.0, [[]])
    assert list(scores) == list(EXTENDED)
    assert all(scores[name].isnan() for name in LESIONS), "as no subject has any"
    assert {(value.shape, value.dtype) for value in scores.values()} == {((1,), torch.float64)}
    assert list(extended_measures(truth, source, None, mask, [(0, len(mask))], 2.0)) == list(ALONE)
    assert not EXTENDED.keys() & METRICS.keys()
    assert all((EXTENDED[name] == "none") == (name in ALONE) for name in EXTENDED)
    assert len({measure.label for measure in MEASURES.values()}) == len(MEASURES)
    assert all(measure.meaning and "\n" not in measure.meaning for measure in MEASURES.values())


def test_the_3_t_is_perfect_and_the_input_consistent_with_itself_and_worse_than_the_3_t(
    pair: Pair, run: Run
) -> None:
    scores = run(pair[1])
    best = {"maximize": 1.0, "minimize": 0.0}
    assert {name: scores[name] for name in AGAINST_3T} == {name: best[EXTENDED[name]] for name in AGAINST_3T}
    scores = run(pair[0])
    assert {name: scores[name] for name in ALONE} == pytest.approx(dict.fromkeys(ALONE, 0), abs=1e-6)
    for name in AGAINST_3T:
        distance = 1 - scores[name] if EXTENDED[name] == "maximize" else scores[name]
        assert 0.02 < distance < 0.9, name


def test_invented_edges_flicker_and_blur_show_in_their_measures(pair: Pair, run: Run) -> None:
    _, truth, mask = pair
    clean = run(truth)
    spots = torch.zeros_like(mask)
    spots[:, 40:100:12, 30:70:12] = True
    spots = torch.nn.functional.max_pool2d(spots.float(), 5, 1, 2).bool() & mask
    invented = run({c: torch.where(spots, 1.0, image) for c, image in truth.items()})
    assert invented["edges_unsupported_by_3t"] > 0.05
    assert invented["edges_unsupported_by_input"] > clean["edges_unsupported_by_input"]
    assert invented["input_consistency"] > clean["input_consistency"] + 0.05
    signs = (1 - 2 * (torch.arange(len(mask)) % 2))[:, None, None]
    flicker = run({c: (image + 0.1 * signs) * mask for c, image in truth.items()})
    assert flicker["slice_shift"] > 2 * clean["slice_shift"]
    assert flicker["through_plane"] > 1.2 * clean["through_plane"]
    assert flicker["edges_unsupported_by_3t"] < 0.05
    blurred = run({c: smooth_inside(x, mask, 1.0) for c, x in truth.items()})
    assert blurred["edges_unsupported_by_3t"] < 0.002
    assert blurred["edges_missed"] > 0.1
    # The 3 T shows what the input does not, and less so when it is blurred.
    assert clean["edges_unsupported_by_input"] > 1.2 * blurred["edges_unsupported_by_input"] > 0.2


def test_only_pixels_of_both_brains_count(pair: Pair, run: Run) -> None:
    source, truth, mask = pair
    filled = [{c: torch.where(mask, x, 0.7) for c, x in images.items()} for images in (source, source, truth)]
    output, given, real = filled
    assert single(extended_measures(output, given, real, mask, [(0, len(mask))], 2.0)) == run(source)
    smaller = {c: image.clone() for c, image in truth.items()}
    for image in smaller.values():
        image[:, :30] = 0
    scores = single(extended_measures(truth, source, smaller, mask, [(0, len(mask))], 2.0))
    assert (scores["dice"], scores["nsd"]) == (1, 1)
    assert (scores["edges_unsupported_by_3t"], scores["edges_missed"]) == (0, 0)


def test_subjects_are_scored_one_by_one(pair: Pair) -> None:
    source, truth, mask = pair
    subjects = [(0, 5), (5, 6), (6, len(mask))]
    together = extended_measures(source, source, truth, mask, subjects, 2.0)
    for i, (start, stop) in enumerate(subjects):
        own, real = ({c: x[start:stop] for c, x in images.items()} for images in (source, truth))
        alone = extended_measures(own, own, real, mask[start:stop], [(0, stop - start)], 2.0)
        for name in (*ALONE, *AGAINST_3T):
            assert torch.equal(together[name][i].nan_to_num(-1), alone[name][0].nan_to_num(-1)), name
    missing = {name for name, values in together.items() if values[1].isnan()}
    assert missing == {name + end for name in ("through_plane", "slice_shift") for end in ("", "_error")}
    broken = {c: image.clone() for c, image in source.items()}
    broken["T2"][8, 50, 50] = math.nan
    scores = extended_measures(broken, source, truth, mask, [(0, 6), (6, len(mask))], 2.0)
    assert all(bool(values[0].isfinite()) and bool(values[1].isnan()) for values in scores.values())


@pytest.mark.parametrize("contrast", ["T1", "T2"])
def test_a_system_of_one_contrast_is_judged_by_that_one(pair: Pair, contrast: str) -> None:
    source, truth, mask = pair
    rows = [(0, len(mask))]
    some = extended_measures({contrast: source[contrast]}, source, truth, mask, rows, 2.0)
    own, real = ({contrast: images[contrast]} for images in (source, truth))
    only = extended_measures(own, own, real, mask, rows, 2.0)
    assert single(some) == single(only)
    assert all(math.isfinite(value) for value in single(some).values())
