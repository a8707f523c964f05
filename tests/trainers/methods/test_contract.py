"""The contract of every system: each space of search_spaces, by its method in its smoke profile."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from platform.spaces.loader import FOLDER, load_study
from typing import Any

import pytest
import torch
from torch import Tensor

from trainers import checkpoint, cost
from trainers.config import canonical, field_types
from trainers.data.sampling import Slices, example_subject
from trainers.loop import Loop, Task
from trainers.methods.base import Context, TrialConfig, find_method, method_names, translate_rows
from trainers.report import Report


def small(name: str, **changes: Any) -> TrialConfig:
    """The first point of the system's space in its smoke profile."""
    study = load_study(FOLDER / f"{name}.yaml", profile="smoke")
    config: TrialConfig = study.point(study.start[0] | changes)
    return config


def method_of(name: str) -> str:
    """The method that a system trains."""
    return load_study(FOLDER / f"{name}.yaml").method


@pytest.fixture(params=sorted(path.stem for path in FOLDER.glob("*.yaml")))
def name(request: pytest.FixtureRequest) -> str:
    """Each system."""
    return str(request.param)


@pytest.fixture
def start(tiny: Any, tmp_path: Path) -> Callable[..., Loop]:
    """Opens a loop on the tiny cohort, in a folder that persists within the test."""

    def open_loop(name: str, folder: str = "trial", save_seconds: float = 600.0, **changes: Any) -> Loop:
        config = small(name, **changes)
        paths = tiny.cohort.path, tiny.folder, tmp_path / folder
        task = Task(method_of(name), config, *paths, save_seconds=save_seconds)
        return Loop(task, tiny.cohort, tiny.references, tiny.judge)

    return open_loop


def state(loop: Loop) -> dict[str, Tensor]:
    """Every tensor of a trial: networks, averages, optimisers."""
    method = loop.method
    tensors = {f"net.{n}.{k}": v for n, net in method.networks.items() for k, v in net.state_dict().items()}
    tensors |= {f"avg.{n}.{k}": v for n, net in method.averaged.items() for k, v in net.state_dict().items()}
    for n, optimizer in method.optimizers.items():
        for index, values in optimizer.state_dict()["state"].items():
            tensors |= {f"opt.{n}.{index}.{k}": v for k, v in values.items()}
    return {key: value.clone() for key, value in tensors.items()}


def assert_equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    assert [key for key in first if not torch.equal(first[key], second[key])] == []


def test_every_parameter_of_every_trained_network_receives_a_gradient(name: str, tiny: Any) -> None:
    config = small(name)
    torch.manual_seed(0)
    references, layout = tiny.references, tiny.references.config.channels
    context = Context(
        references.config, references.teacher, references.domain, example_subject(tiny.cohort, layout)
    )
    method = find_method(method_of(name)).Method(config, context)
    totals: dict[int, float] = {}

    def minimise(names: Sequence[str], loss: Tensor) -> None:
        parameters = [p for n in names for p in method.networks[n].parameters()]
        for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
            totals[id(parameter)] = totals.get(id(parameter), 0.0) + float(gradient.abs().sum())
            parameter.data.sub_(1e-3 * gradient.sign())

    slices = Slices.of(tiny.cohort, layout, config.crop)
    for step in range(8):
        batch = slices.batch(config.batch_size, 0, step, pairing=method.pairing)
        method.step(batch, config.steps - 1, minimise)
    without = [
        f"{n}.{key}"
        for n, network in method.networks.items()
        for key, parameter in network.named_parameters()
        if not totals.get(id(parameter))
    ]
    assert without == []


def test_checkpoints_are_exact_resumed_bit_for_bit_verified_and_of_their_own_trial(
    name: str, start: Callable[..., Loop], tmp_path: Path
) -> None:
    whole = start(name, "whole", save_seconds=0.0)
    training = whole.reports()
    reports = [next(training)]
    half = state(whole)
    shutil.copytree(whole.task.folder, tmp_path / "trial")
    reports += training
    assert [report.step for report in reports] == [2, 4]
    for report in reports:
        values = [*report.losses.values(), *(v for scores in report.scores.values() for v in scores.values())]
        assert torch.tensor(values).isfinite().all(), report
    resumed = start(name)
    assert resumed.step == 2 and start(name, seed=1).step == 0
    assert_equal(state(resumed), half)
    repeated = list(resumed.reports())
    assert [report.step for report in repeated] == [2, 4]
    assert_equal(state(resumed), state(whole))
    assert outcome(repeated[-1]) == outcome(reports[-1])
    shutil.rmtree(checkpoint.folder_of(whole.task.folder, 4))
    between = start(name, "whole")
    assert between.step == 3
    assert outcome(list(between.reports())[-1]) == outcome(reports[-1])
    assert_equal(state(between), state(whole))
    newest = checkpoint.folder_of(resumed.task.folder, 4) / "networks.safetensors"
    content = bytearray(newest.read_bytes())
    content[-3] ^= 1
    newest.write_bytes(content)
    assert start(name).step == 2


def outcome(report: Report) -> Any:
    """A report without its clock."""
    clock = "seconds_per_volume"
    scores = {n: {k: v for k, v in s.items() if k != clock} for n, s in report.scores.items()}
    return report.step, scores, dict(report.losses)


def test_translation_is_deterministic_slice_by_slice_and_by_refinement_step(
    name: str, start: Callable[..., Loop], tiny: Any
) -> None:
    method = start(name).method

    def translated(count: int, steps: int | None = None) -> list[Tensor]:
        rows = tiny.judge.source[:count]
        return translate_rows(method, method.averaged, method.config, rows, seed=5, steps=steps)

    first, again, (one_step,), alone = translated(4), translated(4), translated(4, 1), translated(1)
    assert len(first) >= 1 and torch.equal(one_step, first[0])
    for a, b in zip(first, again, strict=True):
        assert a.shape == tiny.judge.source[:4].shape and torch.equal(a, b)
    assert torch.allclose(first[-1][0], alone[-1][0], atol=1e-5)


def test_exported_networks_are_those_averaged_and_micro_batches_step_once(
    name: str, start: Callable[..., Loop]
) -> None:
    """An export is rebuilt from settings alone: the same names, keys and shapes."""
    loop = start(name)
    rebuilt = find_method(method_of(name)).Method.translators(loop.config, loop.judge.references.config)
    shapes = [
        {n: {k: v.shape for k, v in network.state_dict().items()} for n, network in networks.items()}
        for networks in (rebuilt, loop.method.averaged)
    ]
    assert shapes[0] == shapes[1]
    accumulated = start(name, "accumulated", accumulate=2, steps=1, rungs=1)
    list(accumulated.reports())
    states = [s for o in accumulated.method.optimizers.values() for s in o.state_dict()["state"].values()]
    assert {float(s["step"]) for s in states} == {1.0}


def test_the_cost_of_a_step_is_counted_on_shapes_alone(name: str, tiny: Any) -> None:
    two, again, four = (
        cost.step_flops(method_of(name), small(name, batch_size=size), tiny.references.config)
        for size in (2, 2, 4)
    )
    assert 0 < two == again < four


def test_the_space_names_its_methods_fields_in_every_profile(name: str) -> None:
    path = FOLDER / f"{name}.yaml"
    for profile in (None, "laptop", "workstation", "cluster", "smoke"):
        study = load_study(path, profile=profile)
        assert {d.name for d in study.search} <= field_types(study.config).keys()
        assert canonical(study.point(study.start[0]))


def test_every_method_has_a_space_of_its_own_name() -> None:
    assert [method_of(name) for name in method_names()] == method_names()


class Lazy:
    """Yields source * 1, * 2, * 3, and records each step."""

    def __init__(self) -> None:
        self.steps: list[tuple[int, int]] = []

    def translate(self, networks: Any, config: Any, source: Tensor, seed: int) -> Iterator[Tensor]:
        for step in (1, 2, 3):
            self.steps.append((len(source), step))
            yield source * step + seed


@pytest.mark.parametrize(("steps", "expected"), [(None, 3), (1, 1), (2, 2), (9, 3)])
def test_rows_are_translated_in_chunks_and_no_further_than_requested(
    steps: int | None, expected: int
) -> None:
    source = torch.rand(5, 3, 8, 8)
    method: Any = Lazy()
    outputs = translate_rows(method, {}, None, source, seed=7, steps=steps, chunk=2)
    assert len(outputs) == expected
    for step, output in enumerate(outputs, 1):
        assert torch.equal(output, source * step + 7)
    assert method.steps == [(n, step) for n in (2, 2, 1) for step in range(1, expected + 1)]
