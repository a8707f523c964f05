"""Forecasts of the end of training against curves whose ends are known."""

from dataclasses import replace
from itertools import pairwise
from platform.study.dimensions import Choice, Uniform
from platform.study.observation import Observation, Params, Rung, SearchSpace, State
from platform.surrogate import forecast, gaussian_process
from platform.surrogate.encoding import MAX_EXCESS
from platform.surrogate.forecast import MIN_COMPLETED, Forecaster

import numpy as np
import pytest
from scipy.stats import spearmanr

NAMES = ("quality", "speed", "idle")
SPACE = SearchSpace(
    (*(Uniform(name, 0.0, 1.0) for name in NAMES), Choice("norm", ("a", "b"))), (4.0, 4.0), 60, 0
)
SHARES = (1 / 27, 1 / 9, 1 / 3, 1.0)
Trials = dict[int, Observation]


def end(params: Params) -> tuple[float, float]:
    return 1 - params["quality"], 0.5 * params["quality"] ** 2 + 0.3 * (params["norm"] == "b")


def at(params: Params, share: float, noise: float = 0.0) -> tuple[float, ...]:
    """Slow trials are far from their end at first: by more than ends differ."""
    transient = 1.5 * (1 - params["speed"]) * (-np.log(share) / np.log(27)) ** 2
    return tuple(float(value + transient + noise) for value in end(params))


def trials(count: int, seed: int, completed: float = 0.2) -> Trials:
    """Most have reported once or twice, some to their end; 2 % noise."""
    rng = np.random.default_rng(seed)
    made = {}
    for number in range(count):
        params = dict(zip(NAMES, rng.random(3).tolist(), strict=True)) | {"norm": "ab"[rng.integers(2)]}
        ends = rng.random() < completed
        shares = SHARES if ends else SHARES[: rng.integers(1, 3)]
        rungs = tuple(Rung(share, at(params, share, 0.02 * rng.standard_normal())) for share in shares)
        state: State = "completed" if ends else "paused"
        made[number] = Observation(params, state, rungs)
    return made


def of_state(observed: Trials, state: State) -> Trials:
    return {number: o for number, o in observed.items() if o.state == state}


def errors(ends: dict[int, np.ndarray[tuple[int, ...], np.dtype[np.float64]]], of: Trials) -> list[float]:
    """Largest error of each trial's forecast."""
    return [float(np.abs(ends[n][0] - np.array(end(o.params))).max()) for n, o in of.items()]


@pytest.mark.parametrize("seed", range(4))
def test_forecasts_rank_the_ends_better_than_early_rungs_do(seed: int) -> None:
    observed = trials(45, seed)
    silent = {50: Observation(observed[0].params, "running"), 51: replace(observed[1], state="failed")}
    ends, paused = Forecaster(SPACE).ends(observed), of_state(observed, "paused")
    assert set(ends) == set(observed) == set(Forecaster(SPACE).ends(observed | silent))
    assert all(points.shape == (1, 2) for points in ends.values())
    for objective in range(2):
        truth = [end(o.params)[objective] for o in paused.values()]
        expected = [ends[number][0, objective] for number in paused]
        early = [o.rungs[0].values[objective] for o in paused.values()]
        ours, raw = spearmanr(expected, truth).statistic, spearmanr(early, truth).statistic
        assert ours > 0.9 > 0.75 > raw, (objective, ours, raw)
    completed = of_state(observed, "completed")
    assert len(completed) > 4 and max(errors(ends, completed)) < 0.1, "these are expected where they ended"


def test_there_is_no_forecast_before_enough_trials_have_completed() -> None:
    observed = trials(40, 1)
    completed = list(of_state(observed, "completed"))[:MIN_COMPLETED]
    enough = of_state(observed, "paused") | {n: observed[n] for n in completed}
    assert set(Forecaster(SPACE).ends(enough)) == set(enough)
    assert Forecaster(SPACE).ends({n: o for n, o in enough.items() if n != completed[0]}) == {}
    assert Forecaster(SPACE).ends({}) == {}


def test_trials_of_an_earlier_study_inform_forecasts_but_have_none() -> None:
    known = list(trials(40, 1, completed=1.0).values())
    early = of_state(trials(30, 7), "paused")
    assert Forecaster(SPACE).ends(early) == {}
    ends = Forecaster(SPACE, known).ends(early)
    assert set(ends) == set(early) and np.median(errors(ends, early)) < 0.05
    assert Forecaster(SPACE, known).ends({}) == {}


def test_a_failure_makes_its_neighbours_less_promising() -> None:
    observed = trials(30, 3, completed=0.4)
    spots = [n for n, o in observed.items() if o.params["quality"] > 0.7]
    failed = {100 + n: Observation(observed[n].params, "failed") for n in spots}
    before, after = Forecaster(SPACE).ends(observed), Forecaster(SPACE).ends(observed | failed)
    assert np.mean([after[n] - before[n] for n in spots]) > 0.2


def test_one_very_bad_trial_does_not_blur_the_others() -> None:
    """A thousand times the reference; values beyond it are compressed."""
    observed = trials(40, 1)
    params = observed[0].params | {"idle": 0.99, "speed": 0.0}
    bad = Observation(params, "paused", (Rung(1 / 27, (4000.0, 4000.0)),))
    plain, ends = Forecaster(SPACE).ends(observed), Forecaster(SPACE).ends(observed | {99: bad})
    assert np.median([np.abs(ends[n] - plain[n]).max() for n in plain]) < 0.25
    assert ends[99].max() <= 4 + MAX_EXCESS * 4


def test_hyperparameters_are_fitted_again_only_when_the_rungs_have_grown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fits = []
    fit = gaussian_process.fit
    monkeypatch.setattr(gaussian_process, "fit", lambda *data: (fits.append(len(data[0])), fit(*data))[1])
    observed, forecaster = trials(60, 5, completed=0.5), Forecaster(SPACE)
    for count in range(20, 61):
        assert len(forecaster.ends({n: observed[n] for n in range(count)})) == count
    sizes = fits[::2]
    assert sizes == fits[1::2] and 4 < len(sizes) < 12, "for each of two objectives"
    assert all(b > forecast.REFIT_GROWTH * a for a, b in pairwise(sizes))


def test_forecasts_include_results_since_the_last_fit() -> None:
    """A new trial that ends worse than expected is expected where it ended."""
    observed, forecaster = trials(46, 6), Forecaster(SPACE)
    forecaster.ends(observed)
    params = {"quality": 0.5, "speed": 0.5, "idle": 0.5, "norm": "a"}
    early = Observation(params, "paused", (Rung(1 / 27, at(params, 1 / 27)),))
    worse = Observation(params, "completed", (Rung(1.0, tuple(value + 0.8 for value in end(params))),))
    before, after = (forecaster.ends(observed | {99: o})[99] for o in (early, worse))
    assert np.abs(before - end(params)).max() < 0.15 and (after - before).min() > 0.2
