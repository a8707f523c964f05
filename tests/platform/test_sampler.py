"""Proposals: start points, infeasible corners, kills, domains, and what an ask and a tell cost."""

import json
import math
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from platform import sampler
from platform.domains import Choice, Int, IntLog, Log, Uniform
from platform.sampler import Proposal, Sampler, distribution, make_sampler
from platform.study import Budget, Study
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from trainers.errors import InputError

MakeStudy = Callable[..., Study]
Points = tuple[dict[str, Any], ...]


class Killed(BaseException):
    """The process dies here."""


def stored(folder: Path) -> list[FrozenTrial]:
    """What Optuna has on disk, read by Optuna alone."""
    journal = optuna.storages.journal.JournalFileBackend(str(folder / "optuna.log"))
    storage = optuna.storages.JournalStorage(journal)
    return optuna.load_study(study_name="toy", storage=storage).get_trials()


def values(proposal: Proposal) -> list[float]:
    """Two smooth, conflicting objectives."""
    x = math.log10(proposal.params["weight"])
    return [(x - 1) ** 2 + proposal.params["edge"], 1 - (x / 3) ** 2 - proposal.params["steps"] / 100]


def finish(found: Sampler, count: int) -> list[Proposal]:
    proposals = []
    for _ in range(count):
        proposals.append(found.ask())
        found.tell(proposals[-1].number, values(proposals[-1]))
    return proposals


def test_start_points_come_first_and_in_order(toy: MakeStudy, start_points: Points, tmp_path: Path) -> None:
    found = Sampler(toy(start=start_points), tmp_path)
    proposals = [found.ask() for _ in range(5)]
    assert tuple(proposal.params for proposal in proposals[:3]) == start_points
    assert proposals[3].params not in start_points
    assert [proposal.number for proposal in proposals[:3]] == [0, 1, 2]


def test_start_points_are_not_repeated_after_a_restart(
    toy: MakeStudy, start_points: Points, tmp_path: Path
) -> None:
    study = toy(start=start_points)
    first = Sampler(study, tmp_path).ask()
    proposals = [first, *(Sampler(study, tmp_path).ask() for _ in range(4))]
    assert tuple(proposal.params for proposal in proposals[:3]) == start_points
    assert not [p for p in proposals[3:] if p.params in start_points]


@pytest.mark.parametrize("kept", range(4))
def test_a_kill_between_start_points_loses_and_repeats_none(
    toy: MakeStudy, start_points: Points, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    enqueue, study, left = optuna.Study.enqueue_trial, toy(start=start_points), kept

    def dying(*args: Any, **options: Any) -> None:
        nonlocal left
        if not left:
            raise Killed
        left -= 1
        enqueue(*args, **options)

    monkeypatch.setattr(optuna.Study, "enqueue_trial", dying)
    if kept < 3:
        with pytest.raises(Killed):
            Sampler(study, tmp_path)
    monkeypatch.undo()
    found = Sampler(study, tmp_path)
    assert tuple(found.ask().params for _ in range(3)) == start_points
    assert found.ask().params not in start_points


def test_infeasible_proposals_are_failed_with_the_reason_and_never_returned(
    toy: MakeStudy, tmp_path: Path
) -> None:
    proposals = [p for p in finish(Sampler(toy(), tmp_path), 20) if p.params["edge"] < 0.5]
    assert len(proposals) == 20
    trials = stored(tmp_path)
    refused = [trial for trial in trials if trial.params["edge"] >= 0.5]
    assert len(refused) > 5 and len(trials) == 20 + len(refused)
    assert {trial.state for trial in refused} == {TrialState.FAIL}
    for trial in refused:
        assert trial.user_attrs["infeasible"] == f"edge {trial.params['edge']} must be below limit 0.5"
    assert {trial.number for trial in refused}.isdisjoint(p.number for p in proposals)


def test_an_infeasible_space_is_one_clear_error(
    toy: MakeStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampler, "ATTEMPTS", 20)
    with pytest.raises(InputError) as told:
        Sampler(toy(fixed={"limit": -1.0}), tmp_path).ask()
    assert str(told.value).startswith("toy.yaml: search: all of 20 proposals were refused by toy's Config, ")
    assert "must be below limit -1.0" in str(told.value) and "\n" not in str(told.value)
    assert [trial.state for trial in stored(tmp_path)] == [TrialState.FAIL] * 20


def test_after_a_kill_the_untold_are_unfinished(toy: MakeStudy, tmp_path: Path) -> None:
    first = Sampler(toy(), tmp_path)
    proposals = [first.ask() for _ in range(4)]
    first.tell(proposals[1].number, [1.0, 2.0])
    first.tell(proposals[2].number, None)
    again = Sampler(toy(), tmp_path)
    assert again.unfinished() == [proposals[0], proposals[3]]
    again.tell(proposals[0].number, [3.0, 4.0])
    assert Sampler(toy(), tmp_path).unfinished() == [proposals[3]]


def test_telling_twice_changes_nothing(toy: MakeStudy, tmp_path: Path) -> None:
    found = Sampler(toy(), tmp_path)
    good, bad = found.ask(), found.ask()
    for told in ([1.0, 2.0], [9.0, 9.0], None):
        found.tell(good.number, told)
    for told in (None, [9.0, 9.0]):
        found.tell(bad.number, told)
    by_number = {trial.number: trial for trial in stored(tmp_path)}
    assert by_number[good.number].values == [1.0, 2.0]
    assert by_number[bad.number].state == TrialState.FAIL and by_number[bad.number].values is None


def test_numbers_are_unique_over_restarts(toy: MakeStudy, tmp_path: Path) -> None:
    proposals = [proposal for _ in range(4) for proposal in finish(Sampler(toy(), tmp_path), 3)]
    assert len({proposal.number for proposal in proposals}) == 12
    assert len({json.dumps(proposal.params) for proposal in proposals}) == 12


def ask_killed_after(found: Sampler, writes: int, monkeypatch: pytest.MonkeyPatch) -> bool:
    """An ask whose process dies after some writes to Optuna's journal; False where it needed no more."""
    backend = optuna.storages.journal.JournalFileBackend
    append, left = backend.append_logs, writes

    def dying(self: Any, logs: Any) -> None:
        nonlocal left
        if not left:
            raise Killed
        left -= 1
        append(self, logs)

    with monkeypatch.context() as patch:
        patch.setattr(backend, "append_logs", dying)
        try:
            found.ask()
        except Killed:
            return True
    return False


@pytest.mark.parametrize("writes", range(8))
def test_a_proposal_half_drawn_is_failed_and_its_start_point_comes_again(
    toy: MakeStudy, start_points: Points, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    study = toy(start=start_points)
    killed = ask_killed_after(Sampler(study, tmp_path), writes, monkeypatch)
    assert killed == (writes < 6)  # one to start the trial, five parameters
    again = Sampler(study, tmp_path)
    unfinished = again.unfinished()
    assert unfinished == ([] if killed else [Proposal(0, start_points[0])])
    asked = [again.ask().params for _ in range(4 - len(unfinished))]
    tried = [*(proposal.params for proposal in unfinished), *asked]
    assert sorted(map(json.dumps, tried[:3])) == sorted(map(json.dumps, start_points))
    assert tried[3] not in start_points
    assert len(again.unfinished()) == 4


def test_a_refused_proposal_that_was_not_told_is_failed_on_restart(
    toy: MakeStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Sampler(toy(fixed={"limit": 0.05}, seed=3), tmp_path)
    assert ask_killed_after(found, 6, monkeypatch)  # drawn to the end, refused, killed before that is told
    (trial,) = stored(tmp_path)
    assert (trial.state, len(trial.params)) == (TrialState.RUNNING, 5)
    assert Sampler(toy(fixed={"limit": 0.05}), tmp_path).unfinished() == []
    assert stored(tmp_path)[0].state == TrialState.FAIL


def test_a_torn_journal_and_a_dead_lock_do_not_stop_the_next_driver(toy: MakeStudy, tmp_path: Path) -> None:
    finish(Sampler(toy(), tmp_path), 2)
    path = tmp_path / "optuna.log"
    whole = stored(tmp_path)
    path.write_bytes(path.read_bytes() + b'{"op_code":4,"work')
    (tmp_path / "optuna.log.lock").symlink_to(path)
    started = time.monotonic()
    proposal = Sampler(toy(), tmp_path).ask()
    assert time.monotonic() - started < 5  # Optuna itself would wait 30 s for the dead
    trials = stored(tmp_path)
    assert trials[: len(whole)] == whole and trials[-1].number == proposal.number


@pytest.mark.parametrize("kind", ["random", "tpe", "gp"])
def test_proposals_lie_in_their_domains(toy: MakeStudy, tmp_path: Path, kind: str) -> None:
    study = toy(sampler=kind, budget=Budget(trials=6))  # two at random, then the model
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        proposals = finish(Sampler(study, tmp_path), 5)
    for proposal in proposals:
        assert list(proposal.params) == [dimension.name for dimension in study.search]
        for dimension in study.search:
            value = proposal.params[dimension.name]
            assert dimension.holds(value), (dimension, value)
            assert isinstance(value, int if isinstance(dimension, Int) else float | str)


def test_the_gp_goes_to_the_edge_of_what_is_feasible_and_not_beyond(toy: MakeStudy, tmp_path: Path) -> None:
    """Both objectives are best at edge = 1, which is refused: a GP that is not told proposes it for ever."""
    search = (Uniform("edge", 0.0, 1.0), Uniform("limit", 0.5, 0.6))
    found = Sampler(toy(sampler="gp", budget=Budget(trials=12), search=search), tmp_path)
    proposals = []
    for _ in range(9):
        proposals.append(found.ask())
        edge = proposals[-1].params["edge"]
        found.tell(proposals[-1].number, [1 - edge, edge**2])
    of_model = [proposal for proposal in proposals if proposal.number > proposals[3].number]
    assert len(of_model) == 5  # after four at random, none is refused
    assert [p.number for p in of_model] == list(range(proposals[3].number + 1, proposals[3].number + 6))
    assert max(p.params["edge"] for p in of_model) > 0.5
    assert all(p.params["edge"] < p.params["limit"] for p in of_model)


def test_tpe_finds_a_way_out_of_what_is_refused(toy: MakeStudy, tmp_path: Path) -> None:
    """Both objectives are best where Config refuses; TPE ignores failed trials and must not stay there."""
    found = Sampler(toy(sampler="tpe", budget=Budget(trials=12)), tmp_path)
    for _ in range(12):
        proposal = found.ask()
        edge = proposal.params["edge"]
        found.tell(proposal.number, [1 - edge, edge**2])
    assert len(stored(tmp_path)) < 150
    assert found.unfinished() == []


def test_the_random_sampler_follows_the_scale_of_each_domain(toy: MakeStudy, tmp_path: Path) -> None:
    found = Sampler(toy(fixed={"limit": 2.0}), tmp_path)
    params = [found.ask().params for _ in range(80)]
    below = [
        float(np.mean([p[name] < middle for p in params]))
        for name, middle in (("weight", 10**0.5), ("edge", 0.5))
    ]
    assert all(0.3 < share < 0.7 for share in below), below
    assert {p["steps"] for p in params} == set(range(1, 9))
    assert {p["norm"] for p in params} == {"none", "instance", "batch"}
    assert 0.3 < np.mean([p["width"] < 32 for p in params]) < 0.7


def test_samplers_are_chosen_by_the_space() -> None:
    assert distribution(Uniform("x", 0.1, 2.0)) == FloatDistribution(0.1, 2.0)
    assert distribution(Log("x", 0.1, 2.0)) == FloatDistribution(0.1, 2.0, log=True)
    assert distribution(Int("x", 1, 4)) == IntDistribution(1, 4)
    assert distribution(IntLog("x", 1, 4)) == IntDistribution(1, 4, log=True)
    assert distribution(Choice("x", (1, 2.5, "a"))) == CategoricalDistribution((1, 2.5, "a"))


@pytest.mark.parametrize(
    ("kind", "trials", "numeric", "expected"),
    [
        ("auto", 100, 2, "FeasibleGP"),
        ("auto", 101, 2, "TPESampler"),
        ("auto", 100, 1, "TPESampler"),
        ("tpe", 10, 2, "TPESampler"),
        ("gp", 1000, 0, "FeasibleGP"),
        ("random", 10, 2, "RandomSampler"),
    ],
)
def test_auto_is_gp_for_few_mostly_numeric_trials(
    toy: MakeStudy, kind: str, trials: int, numeric: int, expected: str
) -> None:
    numbers = tuple(Uniform(f"x{i}", 0.0, 1.0) for i in range(numeric))
    study = toy(sampler=kind, budget=Budget(trials=trials), search=(*numbers, Choice("c", (1, 2))))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert type(make_sampler(study, 0)).__name__ == expected


def test_one_seed_gives_one_sequence(toy: MakeStudy, tmp_path: Path) -> None:
    runs = {}
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        (tmp_path / name).mkdir()
        runs[name] = [p.params for p in finish(Sampler(toy(sampler="tpe", seed=seed), tmp_path / name), 6)]
    assert runs["a"] == runs["b"] != runs["c"]


def test_tpe_asks_and_tells_within_100_ms_at_60_trials(toy: MakeStudy, tmp_path: Path) -> None:
    found = Sampler(toy(sampler="tpe", budget=Budget(trials=60), fixed={"limit": 2.0}), tmp_path)
    seconds = []
    for _ in range(60):
        started = time.process_time()
        proposal = found.ask()
        found.tell(proposal.number, values(proposal))
        seconds.append(time.process_time() - started)
    assert np.percentile(seconds, 95) <= 0.1, seconds
