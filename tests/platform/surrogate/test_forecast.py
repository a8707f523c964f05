"""Forecasts of the end of training against curves whose ends are known."""

from itertools import pairwise
from platform.study.dimensions import Choice, Uniform
from platform.study.observation import Observation, Params, Rung, SearchSpace, State
from platform.surrogate import forecast, gaussian_process
from platform.surrogate.encoding import BEYOND
from platform.surrogate.forecast import FEWEST, Forecaster

import numpy as np
import pytest
from scipy.stats import spearmanr

SPACE = SearchSpace(
    (
        Uniform("quality", 0.0, 1.0),
        Uniform("speed", 0.0, 1.0),
        Uniform("idle", 0.0, 1.0),
        Choice("norm", ("a", "b")),
    ),
    (4.0, 4.0),
    60,
    0,
)
SHARES = (1 / 27, 1 / 9, 1 / 3, 1.0)


def end(params: Params) -> tuple[float, float]:
    return 1 - params["quality"], 0.5 * params["quality"] ** 2 + 0.3 * (params["norm"] == "b")


def at(params: Params, share: float, noise: float = 0.0) -> tuple[float, ...]:
    """Slow trials are far from their end at first: by more than ends differ."""
    transient = 1.5 * (1 - params["speed"]) * (-np.log(share) / np.log(27)) ** 2
    return tuple(float(value + transient + noise) for value in end(params))


def trials(count: int, seed: int, completed: float = 0.2) -> dict[int, Observation]:
    """Most have reported once or twice, some to their end; 2 % noise."""
    rng = np.random.default_rng(seed)
    found = {}
    for number in range(count):
        values = [float(x) for x in rng.random(3)]
        params = dict(zip(("quality", "speed", "idle"), values, strict=True)) | {
            "norm": "ab"[rng.integers(2)]
        }
        done = rng.random() < completed
        shares = SHARES if done else SHARES[: rng.integers(1, 3)]
        rungs = tuple(Rung(share, at(params, share, 0.02 * rng.standard_normal())) for share in shares)
        state: State = "completed" if done else "paused"
        found[number] = Observation(params, state, rungs)
    return found


@pytest.mark.parametrize("seed", range(4))
def test_forecasts_rank_the_ends_better_than_early_rungs_do(seed: int) -> None:
    seen = trials(45, seed)
    ends = Forecaster(SPACE).ends(seen)
    waiting = [number for number, o in seen.items() if o.state == "paused"]
    for objective in range(2):
        truth = [end(seen[number].params)[objective] for number in waiting]
        told = [ends[number][0, objective] for number in waiting]
        early = [seen[number].rungs[0].values[objective] for number in waiting]
        ours, raw = spearmanr(told, truth).statistic, spearmanr(early, truth).statistic
        assert ours > 0.9 > 0.75 > raw, (objective, ours, raw)


def test_a_completed_trial_is_expected_where_it_ended() -> None:
    seen = trials(40, 1)
    ends = Forecaster(SPACE).ends(seen)
    done = [number for number, o in seen.items() if o.state == "completed"]
    errors = [ends[number][0] - np.array(end(seen[number].params)) for number in done]
    assert len(done) > 4 and np.abs(errors).max() < 0.1


def test_every_trial_that_has_reported_and_not_failed_has_a_forecast() -> None:
    seen = trials(12, 2, completed=0.6)
    seen[20] = Observation(seen[0].params, "running")
    seen[21] = Observation(seen[1].params, "failed", seen[1].rungs)
    ends = Forecaster(SPACE).ends(seen)
    assert set(ends) == set(range(12))
    assert all(points.shape == (1, 2) and np.isfinite(points).all() for points in ends.values())


def test_before_enough_trials_are_completed_nothing_is_forecast() -> None:
    seen = trials(40, 1)
    done = [n for n, o in seen.items() if o.state == "completed"][:FEWEST]
    early = {n: o for n, o in seen.items() if o.state == "paused"}
    enough = early | {n: seen[n] for n in done}
    assert set(Forecaster(SPACE).ends(enough)) == set(enough)
    assert Forecaster(SPACE).ends({n: o for n, o in enough.items() if n != done[0]}) == {}
    assert Forecaster(SPACE).ends({}) == {}


def test_an_earlier_studys_ends_teach_but_are_not_forecast() -> None:
    """Whose trials have shown what early rungs come to: the first of the next study are foretold by that."""
    known = list(trials(40, 1, completed=1.0).values())
    early = {n: o for n, o in trials(30, 7).items() if o.state == "paused"}
    assert Forecaster(SPACE).ends(early) == {}
    ends = Forecaster(SPACE, known).ends(early)
    assert set(ends) == set(early)
    errors = [np.abs(ends[n][0] - np.array(end(o.params))).max() for n, o in early.items()]
    assert np.median(errors) < 0.05
    assert Forecaster(SPACE, known).ends({}) == {}


def test_a_failure_makes_its_neighbours_less_promising() -> None:
    seen = trials(30, 3, completed=0.4)
    spots = [n for n, o in seen.items() if o.params["quality"] > 0.7]
    before = Forecaster(SPACE).ends(seen)
    failed = {100 + n: Observation(seen[n].params, "failed") for n in spots}
    after = Forecaster(SPACE).ends(seen | failed)
    assert np.mean([after[n] - before[n] for n in spots]) > 0.2


def test_one_hopeless_trial_does_not_blur_the_others() -> None:
    """A thousand times the reference; what lies beyond counts as a little beyond."""
    seen = trials(40, 1)
    plain = Forecaster(SPACE).ends(seen)
    wild = Observation(
        seen[0].params | {"idle": 0.99, "speed": 0.0}, "paused", (Rung(1 / 27, (4000.0, 4000.0)),)
    )
    ends = Forecaster(SPACE).ends(seen | {99: wild})
    assert np.median([np.abs(ends[n] - plain[n]).max() for n in plain]) < 0.25
    assert ends[99].max() <= 4 + BEYOND * 4


def test_length_scales_are_fitted_anew_only_when_the_rungs_have_grown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fits = []
    plain = gaussian_process.fit
    monkeypatch.setattr(gaussian_process, "fit", lambda *data: (fits.append(len(data[0])), plain(*data))[1])
    seen, forecaster = trials(60, 5, completed=0.5), Forecaster(SPACE)
    for count in range(20, 61):
        assert len(forecaster.ends({n: seen[n] for n in range(count)})) == count
    sizes = fits[::2]
    assert sizes == fits[1::2]  # two objectives
    assert 4 < len(sizes) < 12
    assert all(b > forecast.GROWTH * a for a, b in pairwise(sizes))


def test_forecasts_follow_what_is_told_since_the_last_fit() -> None:
    """Length scales are the first call's; a new trial that ends worse than expected is taken at its word."""
    seen, forecaster = trials(46, 6), Forecaster(SPACE)
    forecaster.ends(seen)
    params = {"quality": 0.5, "speed": 0.5, "idle": 0.5, "norm": "a"}
    expected = forecaster.ends(
        seen | {99: Observation(params, "paused", (Rung(1 / 27, at(params, 1 / 27)),))}
    )
    worse = tuple(value + 0.8 for value in end(params))
    found = forecaster.ends(seen | {99: Observation(params, "completed", (Rung(1.0, worse),))})
    assert np.abs(expected[99] - end(params)).max() < 0.15
    assert (found[99] - expected[99]).min() > 0.2
