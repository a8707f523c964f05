"""Evaluation on one split: what is published, done once, and what a cohort without pairs gives."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from trainers import evaluate, weights
from trainers.cohorts.phantom import PhantomConfig, prepare
from trainers.cost import seconds_per_step
from trainers.data import channels
from trainers.data.store import Cohort
from trainers.evaluate import Evaluation
from trainers.loop import Loop, Task
from trainers.methods.unsb import Config
from trainers.metrics.judge import DRAWS, Judge
from trainers.metrics.names import METRICS, score_names

SMALL: dict[str, Any] = {
    **{"steps": 2, "rungs": 1, "batch_size": 2, "crop": 32, "refinement_steps": 2, "latent": 8},
    **{"generator_width": 4, "generator_blocks": 1, "discriminator_width": 4, "nce_patches": 16},
}


@pytest.fixture(scope="module")
def unpaired(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """One subject a split, none of the evaluated ones at 3 T."""
    root = tmp_path_factory.mktemp("unpaired")
    return Cohort.open(prepare(PhantomConfig(train=1, val=1, test=1, paired=False), root))


@pytest.fixture(scope="module")
def trained(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Task:
    """A trial with its checkpoint."""
    task = Task("unsb", Config(**SMALL), tiny.cohort.path, tiny.folder, tmp_path_factory.mktemp("trial"))
    list(Loop(task, tiny.cohort, tiny.references, tiny.judge).reports())
    return task


def published(tiny: Any, folder: Path, translator: str, steps: int = 1) -> Any:
    task = Evaluation(translator, steps, tiny.cohort.path, tiny.folder, folder)
    return weights.verify(Path(evaluate.evaluate(task)))


def test_the_untouched_input_scores_as_the_judge_of_the_test_split_says(tiny: Any, tmp_path: Path) -> None:
    judge = Judge.of(tiny.cohort, tiny.references, "test")
    facts = published(tiny, tmp_path / "input", "input")
    expected = judge.score(judge.source)
    assert facts["scores"].keys() == expected.keys()
    for name, (estimate, draws) in facts["scores"].items():
        assert estimate == pytest.approx(expected[name], rel=1e-6)
        assert len(draws) == DRAWS and np.std(draws) > 0
    assert facts["subjects"] == 2 and facts["costs"] == {}


def test_the_draws_of_a_mean_are_means_of_drawn_subjects(tiny: Any, tmp_path: Path) -> None:
    judge = Judge.of(tiny.cohort, tiny.references, "test")
    facts = published(tiny, tmp_path / "input", "input")
    values = judge.per_subject(judge.source)["psnr_t1"].numpy()
    either = {(values[a] + values[b]) / 2 for a in (0, 1) for b in (0, 1)}
    draws = facts["scores"]["psnr_t1"][1]
    assert all(min(abs(draw - e) for e in either) < 1e-9 for draw in draws)
    assert {round(draw, 9) for draw in draws} == {round(e, 9) for e in either}


@pytest.mark.parametrize(("split", "other"), [("val", "test"), ("test", "val")])
def test_only_the_split_that_is_asked_for_is_opened(
    tiny: Any, trained: Task, tmp_path: Path, split: str, other: str
) -> None:
    """The other split's files are not there at all."""
    judge = Judge.of(tiny.cohort, tiny.references, split)
    copy = shutil.copytree(tiny.cohort.path, tmp_path / "cohort")
    shutil.rmtree(copy / other)
    task = Evaluation(str(trained.folder / "step-000000002"), 2, copy, tiny.folder, tmp_path / "r", split)
    found = weights.verify(Path(evaluate.evaluate(task)))["scores"]
    output, _ = evaluate.translated(Path(task.translator), 2, judge, tiny.references, torch.device("cpu"))
    for name, (estimate, draws) in judge.resampled(output).items():
        assert found[name][0] == pytest.approx(estimate, rel=1e-6)
        assert found[name][1] == pytest.approx(draws, rel=1e-6)


def test_validation_scores_are_those_that_the_trial_has_reported(
    tiny: Any, trained: Task, tmp_path: Path
) -> None:
    folder = trained.folder / "step-000000002"
    reported = weights.read_manifest(folder)["report"]["scores"]["2"]
    task = Evaluation(str(folder), 2, tiny.cohort.path, tiny.folder, tmp_path / "r", "val")
    found = weights.verify(Path(evaluate.evaluate(task)))["scores"]
    assert {name: pair[0] for name, pair in found.items()} == pytest.approx(
        {name: value for name, value in reported.items() if name != "seconds_per_volume"}, rel=1e-4
    )


def test_a_trained_translator_gives_costs_and_pictures(tiny: Any, trained: Task, tmp_path: Path) -> None:
    checkpoint = str(trained.folder / "step-000000002")
    facts = published(tiny, tmp_path / "result", checkpoint, steps=2)
    generator = trained_generator(tiny, trained)
    assert facts["costs"]["parameters"] == sum(p.numel() for p in generator.parameters())
    assert facts["costs"]["seconds_per_volume"] > 0
    samples = weights.read_tensors(tmp_path / "result", evaluate.SAMPLES)
    assert {"T1 output", "T2 output", "T1 3 T"} <= samples.keys()


def trained_generator(tiny: Any, task: Task) -> torch.nn.Module:
    return Loop(task, tiny.cohort, tiny.references, tiny.judge).method.networks["G"]


def test_what_was_evaluated_is_not_evaluated_again(
    tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = published(tiny, tmp_path / "input", "input")
    monkeypatch.setattr(evaluate.Judge, "of", None)
    assert published(tiny, tmp_path / "input", "input") == first


def test_without_pairs_realism_alone_is_measured(tiny: Any, unpaired: Cohort, tmp_path: Path) -> None:
    judge = Judge.of(unpaired, tiny.references, "val")
    assert not judge.paired and judge.baselines.keys() == {"input"}
    assert judge.baselines["input"].keys() == {"fid", "kid", "rad_fid", "piqe"}
    for contrasts in (("T1", "T2"), ("T2",)):
        assert judge.baselines["input"].keys() == set(score_names(contrasts, paired=False))
    known = score_names(channels.contrasts(tiny.references.config.channels), paired=True)
    assert tiny.judge.baselines["input"].keys() == set(known) <= set(METRICS)
    assert set(score_names(("T2",), paired=True)) == set(known) - {"psnr_t1", "ms_ssim_t1"}
    assert not any("3 T" in title for title in judge.samples(judge.source))
    task = Evaluation("input", 1, unpaired.path, tiny.folder, tmp_path / "input")
    facts = weights.verify(Path(evaluate.evaluate(task)))
    assert "psnr" not in facts["scores"] and "dice" not in facts["extended"]


def test_the_pace_of_a_step_is_measured_and_leaves_nothing(tiny: Any, trained: Task, tmp_path: Path) -> None:
    from dataclasses import replace

    folder = tmp_path / "none"
    assert 0 < seconds_per_step(replace(trained, folder=folder)) < 10
    assert not folder.exists()
