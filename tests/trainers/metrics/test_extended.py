"""The extended measures of a paired phantom: perfect where they must be, worse where they should be."""

import math
from collections.abc import Callable, Mapping, Sequence

import pytest
import torch
from torch import Tensor

from trainers.cohorts.phantom import PhantomConfig, prepare_subject
from trainers.metrics.edges import smooth_inside
from trainers.metrics.extended import Images, extended_measures, prepare_subjects
from trainers.metrics.lesions import Part
from trainers.metrics.measures import EXTENDED, LESIONS, MEASURES
from trainers.metrics.names import METRICS

Pair = tuple[dict[str, Tensor], dict[str, Tensor], Tensor, Tensor]
Run = Callable[[Images], dict[str, float]]
ALONE = ("edges_unsupported_by_input", "input_consistency", "through_plane", "slice_shift")
AGAINST_3T = tuple(name for name in EXTENDED if name not in (*ALONE, *LESIONS))


@pytest.fixture(scope="module")
def pair() -> Pair:
    """64 mT and 3 T slices in [0, 1] of one phantom, black outside the 64 mT brain; that one; both brains."""
    arrays = prepare_subject(
        PhantomConfig(train=1, val=1, test=1, seed=5, anatomy="first"), "val-0000"
    ).arrays
    mask = torch.from_numpy(arrays["64mT", "mask"]) > 0
    source, truth = (
        {c: (torch.from_numpy(arrays[field, c]).float() + 1) / 2 * mask for c in ("T1", "T2")}
        for field in ("64mT", "3T")
    )
    return source, truth, mask, mask & (torch.from_numpy(arrays["3T", "mask"]) > 0)


def measured(
    output: Images,
    source: Images,
    truth: Images | None,
    brains: Sequence[Tensor],
    subjects: Sequence[tuple[int, int]] = (),
    lesions: Sequence[Sequence[Part]] | None = None,
) -> dict[str, Tensor]:
    """All slices are one subject's unless there are ``subjects``."""
    rows = subjects or [(0, len(brains[0]))]
    return extended_measures(
        output, source, truth, prepare_subjects(source, truth, *brains, rows, 2.0, lesions)
    )


def single(scores: Mapping[str, Tensor]) -> dict[str, float]:
    return {name: float(value) for name, value in scores.items()}


@pytest.fixture(scope="module")
def run(pair: Pair) -> Run:
    source, truth, *brains = pair
    known = prepare_subjects(source, truth, *brains, [(0, len(brains[0]))], 2.0)
    return lambda output: single(extended_measures(output, source, truth, known))


def test_the_list_of_measures_is_complete_and_separate_from_the_published_metrics(
    pair: Pair, run: Run
) -> None:
    source, truth, *brains = pair
    scores = measured(truth, source, truth, brains, lesions=[[]])
    assert list(scores) == list(EXTENDED)
    assert all(scores[name].isnan() for name in LESIONS), "as no subject has any"
    assert {(value.shape, value.dtype) for value in scores.values()} == {((1,), torch.float64)}
    assert list(measured(truth, source, None, brains)) == list(ALONE)
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
    _, truth, mask, _ = pair
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
    source, truth, mask, region = pair
    given = {c: torch.where(mask, x, 0.7) for c, x in source.items()}
    real = {c: torch.where(region, x, 0.7) for c, x in truth.items()}
    assert single(measured(given, given, real, (mask, region))) == run(source)
    smaller = {c: torch.where(region, image, 0.7) for c, image in truth.items()}
    for image in smaller.values():
        image[:, :30] = 0.2
    below = region & (torch.arange(region.shape[1]) >= 30)[:, None]
    scores = single(measured(truth, source, smaller, (mask, below)))
    assert (scores["dice"], scores["nsd"]) == (1, 1)
    assert (scores["edges_unsupported_by_3t"], scores["edges_missed"]) == (0, 0)


def test_subjects_are_scored_one_by_one(pair: Pair) -> None:
    source, truth, mask, region = pair
    subjects = [(0, 5), (5, 6), (6, len(mask))]
    together = measured(source, source, truth, (mask, region), subjects)
    for i, (start, stop) in enumerate(subjects):
        own, real = ({c: x[start:stop] for c, x in images.items()} for images in (source, truth))
        alone = measured(own, own, real, (mask[start:stop], region[start:stop]))
        for name in (*ALONE, *AGAINST_3T):
            assert torch.equal(together[name][i].nan_to_num(-1), alone[name][0].nan_to_num(-1)), name
    missing = {name for name, values in together.items() if values[1].isnan()}
    assert missing == {name + end for name in ("through_plane", "slice_shift") for end in ("", "_error")}
    broken = {c: image.clone() for c, image in source.items()}
    broken["T2"][8, 50, 50] = math.nan
    scores = measured(broken, source, truth, (mask, region), [(0, 6), (6, len(mask))])
    assert all(bool(values[0].isfinite()) and bool(values[1].isnan()) for values in scores.values())


def test_measures_of_intensities_are_means_over_the_contrasts_and_one_is_enough(pair: Pair, run: Run) -> None:
    source, truth, *brains = pair
    alone = [single(measured({c: source[c]}, {c: source[c]}, {c: truth[c]}, brains)) for c in ("T1", "T2")]
    assert all(math.isfinite(value) for scores in alone for value in scores.values())
    both = run(source)
    for name in ("ulf_enc", "ssim", "nrmse", "gradient_energy", "through_plane_error", "slice_shift_error"):
        assert both[name] == pytest.approx((alone[0][name] + alone[1][name]) / 2, rel=1e-12), name
    assert alone[0]["dice"] != alone[1]["dice"] and alone[0]["dice"] != both["dice"]
