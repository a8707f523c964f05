"""What every system promises: each space of search_spaces, by its own method in its smoke profile."""

from collections.abc import Callable, Sequence
from pathlib import Path
from platform.spaces.loader import FOLDER, load_study
from typing import Any

import pytest
import torch
from torch import Tensor

from trainers import checkpoint
from trainers.config import canonical, field_types
from trainers.cost import step_flops
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

    def open_loop(name: str, folder: str = "trial", **changes: Any) -> Loop:
        config = small(name, **changes)
        task = Task(method_of(name), config, tiny.cohort.path, tiny.folder, tmp_path / folder)
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


def test_two_rungs_give_finite_losses_and_scores(name: str, start: Callable[..., Loop]) -> None:
    reports = list(start(name).reports())
    assert [r.step for r in reports] == [2, 4]
    for report in reports:
        values = [*report.losses.values(), *(v for scores in report.scores.values() for v in scores.values())]
        assert torch.tensor(values).isfinite().all(), report


def test_every_parameter_of_every_trained_network_receives_a_gradient(name: str, tiny: Any) -> None:
    config = small(name)
    torch.manual_seed(0)
    references, layout = tiny.references, tiny.references.config.channels
    context = Context(
        references.config, references.teacher, references.domain, example_subject(tiny.cohort, layout)
    )
    method = find_method(method_of(name)).Method(config, context)
    grown: dict[int, float] = {}

    def minimise(names: Sequence[str], loss: Tensor) -> None:
        parameters = [p for n in names for p in method.networks[n].parameters()]
        for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
            grown[id(parameter)] = grown.get(id(parameter), 0.0) + float(gradient.abs().sum())
            parameter.data.sub_(1e-3 * gradient.sign())

    slices = Slices.of(tiny.cohort, layout, config.crop)
    for step in range(8):
        batch = slices.batch(config.batch_size, 0, step, pairing=method.pairing)
        method.step(batch, config.steps - 1, minimise)
    still = [
        f"{n}.{key}"
        for n, network in method.networks.items()
        for key, parameter in network.named_parameters()
        if not grown.get(id(parameter))
    ]
    assert still == []


def test_checkpoint_round_trip_is_exact(name: str, start: Callable[..., Loop]) -> None:
    loop = start(name)
    next(loop.reports())
    again = start(name)
    assert again.step == loop.step == 2
    assert_equal(state(again), state(loop))


def test_resumed_equals_uninterrupted_bit_for_bit(name: str, start: Callable[..., Loop]) -> None:
    whole, broken = start(name, "whole"), start(name, "broken")
    reports = list(whole.reports())
    next(broken.reports())
    resumed = start(name, "broken")
    repeated = list(resumed.reports())
    assert_equal(state(resumed), state(whole))
    assert [r.step for r in repeated] == [2, 4]
    assert outcome(repeated[-1]) == outcome(reports[-1])


def outcome(report: Report) -> Any:
    """A report without its clock."""
    timeless = {
        n: {k: v for k, v in s.items() if k != "seconds_per_volume"} for n, s in report.scores.items()
    }
    return report.step, timeless, dict(report.losses)


def test_damaged_checkpoint_falls_back_to_the_one_before(name: str, start: Callable[..., Loop]) -> None:
    loop = start(name)
    list(loop.reports())
    newest = checkpoint.folder_of(loop.task.folder, 4) / "networks.safetensors"
    content = bytearray(newest.read_bytes())
    content[-3] ^= 1
    newest.write_bytes(content)
    assert start(name).step == 2


def test_checkpoint_of_another_trial_is_not_taken(name: str, start: Callable[..., Loop]) -> None:
    next(start(name).reports())
    assert start(name, seed=1).step == 0


def test_translation_keeps_shape_and_is_deterministic(
    name: str, start: Callable[..., Loop], tiny: Any
) -> None:
    method = start(name).method
    rows = tiny.judge.source[:3]
    first, second = (translate_rows(method, method.averaged, method.config, rows, seed=5) for _ in range(2))
    assert len(first) >= 1
    for a, b in zip(first, second, strict=True):
        assert a.shape == tiny.judge.source[:3].shape
        assert torch.equal(a, b)


def test_fewer_refinement_steps_are_the_first_of_all(
    name: str, start: Callable[..., Loop], tiny: Any
) -> None:
    method, rows = start(name).method, tiny.judge.source[:2]
    everything = translate_rows(method, method.averaged, method.config, rows, seed=5)
    (first,) = translate_rows(method, method.averaged, method.config, rows, seed=5, steps=1)
    assert torch.equal(first, everything[0])


def test_translation_of_a_slice_does_not_depend_on_its_neighbours(
    name: str, start: Callable[..., Loop], tiny: Any
) -> None:
    method = start(name).method
    together, alone = (
        translate_rows(method, method.averaged, method.config, tiny.judge.source[:n], seed=5)[-1][0]
        for n in (4, 1)
    )
    assert torch.allclose(together, alone, atol=1e-5)


def test_accumulated_micro_batches_step_once(name: str, start: Callable[..., Loop]) -> None:
    loop = start(name, accumulate=2, steps=1, rungs=1)
    list(loop.reports())
    counts = {
        float(s["step"]) for o in loop.method.optimizers.values() for s in o.state_dict()["state"].values()
    }
    assert counts == {1.0}


def test_exported_networks_are_those_that_were_averaged(name: str, start: Callable[..., Loop]) -> None:
    """An export is rebuilt from settings alone: the same names, keys and shapes."""
    loop = start(name)
    rebuilt = find_method(method_of(name)).Method.translators(loop.config, loop.judge.references.config)
    shapes = [
        {n: {k: v.shape for k, v in network.state_dict().items()} for n, network in networks.items()}
        for networks in (rebuilt, loop.method.averaged)
    ]
    assert shapes[0] == shapes[1]


def test_the_cost_of_a_step_is_counted_on_shapes_alone(name: str, tiny: Any) -> None:
    method, references = method_of(name), tiny.references.config
    once, twice = (step_flops(method, small(name, batch_size=n), references) for n in (2, 4))
    assert 0 < once < twice


def test_the_space_names_its_methods_fields_in_every_profile(name: str) -> None:
    path = FOLDER / f"{name}.yaml"
    for profile in (None, "laptop", "cluster", "smoke"):
        study = load_study(path, profile=profile)
        assert {d.name for d in study.search} <= field_types(study.config).keys()
        assert canonical(study.point(study.start[0]))


def test_every_method_has_a_space_of_its_own_name() -> None:
    assert [method_of(name) for name in method_names()] == method_names()
