"""The bridge method's step: rollout, terms, weights by ratio, updates; against hand-made computations."""

import math
import shutil
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.trainers.methods.helpers import SMALL, Updates, ignore, images
from tests.trainers.small import loop_of, task_of
from trainers.data.batch import Batch
from trainers.errors import InputError
from trainers.losses import bridge, term_gradients
from trainers.methods import base
from trainers.methods.unsb import Config, Method
from trainers.networks.denoiser import Denoiser
from trainers.references.config import ReferenceConfig

TINY: dict[str, Any] = SMALL | {"latent": 8, "nce_patches": 16, "steps": 40}


def method(**changes: Any) -> Method:
    """A small method of a fixed seed with an untrained teacher."""
    torch.manual_seed(0)
    teacher = Denoiser(channels=3, widths=(16, 16), layers=1, attention=False, patch=2).requires_grad_(False)
    unused: Any = nn.Identity()
    context = base.Context(ReferenceConfig(), teacher, unused, torch.zeros(1, 3, 32, 32))
    return Method(Config(**TINY | changes), context)


def brains() -> Batch:
    """Noise in the middle of black slices."""
    mask = torch.zeros(2, 32, 32, dtype=torch.bool)
    mask[:, 6:26, 6:26] = True
    source, target = (torch.where(mask[:, None], images(seed=seed), -1.0) for seed in (0, 1))
    return Batch(source, mask, target, mask)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dmd_ratio": 0.5}, "dmd_ratio: 0.5 is not allowed; allowed: 0, or lambda_DMD: 0, as either"),
        ({"asp_ratio": 2.0}, "asp_ratio: 2.0 is not allowed; allowed: 0, or lambda_ASP: 0, as either"),
        ({"ent_ratio": 1.0}, "ent_ratio: 1.0 is not allowed; allowed: 0, or w_ent: 0, as either"),
        (
            {"dmd_ratio": 1.0, "lambda_DMD": 0.0, "lambda_GAN": 0.0},
            "dmd_ratio: 1.0 is not allowed; allowed: 0, or lambda_GAN above 0",
        ),
    ],
)
def test_a_ratio_without_its_reference_or_beside_a_weight_is_refused(
    changes: dict[str, float], message: str
) -> None:
    with pytest.raises(InputError, match=message) as refused:
        Config(**changes)
    assert "\n" not in str(refused.value)


def test_a_ratio_weights_its_term_by_the_norms_of_gradients() -> None:
    """On the same batch and draws at every step the running means are the norms of that step."""
    ratios = {"dmd_ratio": 0.5, "asp_ratio": 0.25, "ent_ratio": 0.125}
    off = {"lambda_DMD": 0.0, "lambda_ASP": 0.0, "w_ent": 0.0, "lambda_cls": 0.0}
    trial = method(refinement_steps=1, lambda_GAN=2.0, dmd_warm_up=0.0, sb_form="paper", **ratios, **off)
    for parameter in trial.critic.parameters():  # it starts as the teacher: no direction yet
        parameter.data.add_(0.05 * torch.randn_like(parameter))
    found: dict[str, Tensor] = {}
    for step in (9, 10, 19):
        torch.manual_seed(1)
        found = trial.step(brains(), step, ignore)
        assert ("share_G_DMD" in found) == term_gradients.due(step)
        assert (float(found["G_DMD"]) == 0) == (step == 9)
    for term, ratio in (("G_DMD", 0.5), ("G_ASP", 0.25), ("G_ent", 0.125)):
        assert float(found[f"norm_{term}"] / found["norm_G_GAN"]) == pytest.approx(ratio, rel=1e-4)


def test_a_trial_with_ratios_resumes_with_its_running_norms(tiny: Any, tmp_path: Any) -> None:
    settings = {"steps": 22, "lambda_DMD": 0.0, "dmd_ratio": 0.5, "dmd_warm_up": 0.0}
    whole = loop_of(tiny, task_of(tiny, tmp_path / "whole", **settings))
    training = whole.reports()
    next(training)
    shutil.copytree(tmp_path / "whole", tmp_path / "resumed")
    list(training)
    resumed = loop_of(tiny, task_of(tiny, tmp_path / "resumed", **settings))
    assert resumed.step == 11 and float(resumed.method.networks["norms"].weight_G_DMD) > 0
    list(resumed.reports())
    for name, network in whole.method.networks.items():
        found = resumed.method.networks[name].state_dict()
        assert all(torch.equal(value, found[key]) for key, value in network.state_dict().items()), name


class Calls:
    """Inputs and outputs of every pass of a network."""

    def __init__(self, network: nn.Module) -> None:
        self.inputs: list[tuple[Tensor, ...]] = []
        self.outputs: list[Tensor] = []
        network.register_forward_hook(self._record)

    def _record(self, _: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        self.inputs.append(inputs)
        self.outputs.append(output.detach())


def moving(steps: int, **changes: Any) -> Method:
    """A method whose untrained generator moves its input, so that states and predictions differ."""
    trial = method(refinement_steps=steps, lambda_DMD=0.0, lambda_cls=0.0, **changes)
    nn.init.normal_(trial.generator.head.weight, std=0.1)
    return trial


@pytest.mark.parametrize("steps", [1, 4])
def test_every_refinement_step_is_graded_equally_often_at_its_own_state(steps: int) -> None:
    """The rollout against equation 4 by hand; D and the graded pass get the state's own index."""
    trial, drawn = moving(steps, w_ent=0.0, tau=0.05), []
    x0, target = brains().source, brains().target
    for seed in range(30 * steps):
        generator, discriminator = Calls(trial.generator), Calls(trial.discriminator)
        torch.manual_seed(seed)
        trial.step(brains(), seed, ignore)
        *rolled, (graded, index, _) = generator.inputs[: len(generator.inputs)]
        k = len(rolled)
        drawn.append(k)
        assert index.tolist() == [k, k, 0, 0] and torch.equal(graded[2:], target)
        assert all(torch.equal(k_of, index[:1].expand_as(k_of)) for _, k_of in discriminator.inputs)
        assert torch.equal(discriminator.inputs[0][0][2:], generator.outputs[-1][:2])
        states = [x for x, _, _ in rolled] + [graded[:2]]
        assert torch.equal(states[0], x0)
        for i, (_, at, _) in enumerate(rolled):
            assert at.tolist() == [i, i]
            expected = bridge.bridge_step(states[i], generator.outputs[i], trial.grid, i, None, 0.05)
            noise = (states[i + 1] - expected) / bridge.bridge_std(trial.grid, i, 0.05)
            assert float(noise.mean()) == pytest.approx(0, abs=0.08)
            assert float(noise.std()) == pytest.approx(1, abs=0.08)
            assert abs(float((noise * states[i]).mean() / states[i].std())) < 0.08
        trial.generator._forward_hooks.clear()
        trial.discriminator._forward_hooks.clear()
    counts = [drawn.count(k) for k in range(steps)]
    assert sum(counts) == len(drawn) and all(15 <= count <= 45 for count in counts)


@pytest.mark.parametrize("form", ["code", "paper"])
def test_the_energys_own_pairs_are_its_own_and_its_cross_pairs_the_next_samples(form: str) -> None:
    trial = moving(3, sb_form=form)
    noisy = form == "paper"
    calls = Calls(trial.energy.net if noisy else trial.energy)
    state, fake = torch.randn(2, 3, 3, 32, 32, generator=torch.Generator().manual_seed(0)).unbind(0)
    own, cross = trial._energies(state, fake, torch.tensor([2, 2, 2]))
    ((both, k),) = calls.inputs
    first, second = both.split(6, 1)
    pair = torch.cat((state, fake), 1)
    assert torch.equal(first, torch.cat((pair, pair))) and k.tolist() == [2] * 6
    assert torch.equal(second[3:], second[:3].roll(1, 0)) and torch.equal(second[:3], pair) != noisy
    likeness = torch.corrcoef(torch.cat((second[:3], pair)).flatten(1))[:3, 3:]
    assert bool((likeness.argmax(1) == torch.arange(3)).all())
    limit = (lambda x: x) if noisy else bridge.bounded
    assert torch.equal(torch.cat((own, cross)), limit(calls.outputs[0]))


def test_the_bridges_weights_follow_the_step_and_its_time() -> None:
    """(1 - t_k) of METHOD.md 1.6 on the entropy alone; tau on the cost in the code's form alone."""
    for form, of_cost in (("code", 0.04), ("paper", 1.0)):
        trial = method(refinement_steps=4, sb_form=form, tau=0.04, lambda_SB=3.0, w_cost=2.0, w_ent=0.5)
        for k, time in enumerate((0, 0.5, 17 / 22, 10 / 11)):
            weights = trial._weights(0, k)
            assert weights["G_SB"] == pytest.approx(3 * 2 * of_cost)
            assert weights["G_ent"] == pytest.approx(-3 * 0.5 * 0.04 * (1 - time))


def test_the_generator_descends_the_sum_of_its_weighted_terms() -> None:
    """DMD and the classifier wait for a tenth of the training, then rise over another."""
    settings = {"lambda_GAN": 2.0, "lambda_NCE": 0.5, "lambda_ASP": 3.0, "lambda_DMD": 4.0, "lambda_cls": 5.0}
    trial = method(refinement_steps=1, dmd_warm_up=0.1, **settings)
    for step, ramp in ((0, 0.0), (4, 0.0), (6, 0.5), (8, 1.0), (39, 1.0)):
        weights = trial._weights(step, 0)
        expected = {"G_GAN": 2, "G_NCE": 0.5, "G_ASP": 3, "G_DMD": 4 * ramp, "G_cls": 5 * ramp}
        assert {name: weights[name] for name in expected} == pytest.approx(expected)
        updates = Updates()
        logs = trial.step(brains(), step, updates)
        assert updates.order == [("D",), ("E",), ("C",), ("G", "F")]
        total = sum(float(value) for name, value in logs.items() if name.startswith("G_"))
        assert float(updates.losses["G", "F"].detach()) == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize("decay", [0.5, 0.999])
def test_averaged_weights_are_their_closed_form_with_its_warm_up(
    decay: float, tiny: Any, tmp_path: Any
) -> None:
    """Sum of w_i (1 - d_i) times the product of later d_j, where d_i = min(decay, (1 + i) / (10 + i))."""
    loop = loop_of(tiny, task_of(tiny, tmp_path, steps=12, ema_decay=decay))
    weight, mean = (networks["G"].head.bias for networks in (loop.method.networks, loop.method.averaged))
    values = [3.0, -1.0, 4.0, 1.0, -5.0, 9.0, 2.0, -6.0]

    def step(*_: Any) -> dict[str, Tensor]:
        weight.data.fill_(values[loop.step])
        return {}

    loop.method.step = step  # type: ignore[method-assign]
    decays = [min(decay, (1 + i) / (10 + i)) for i in range(1, 9)]
    start = mean.clone()
    for count in range(1, 9):
        loop.optimise()
        expected = start * math.prod(decays[:count])
        for i in range(count):
            expected += values[i] * (1 - decays[i]) * math.prod(decays[i + 1 : count])
        assert torch.allclose(mean, expected, atol=1e-5), count
        assert torch.equal(weight, torch.full_like(weight, values[count - 1]))
