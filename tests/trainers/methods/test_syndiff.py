"""SynDiff's losses in closed form, which network learns from which, and its reverse diffusion."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.trainers.methods.helpers import Updates, batch, built, ignore
from trainers.data.batch import Batch
from trainers.errors import InputError
from trainers.losses import diffusion
from trainers.methods import syndiff
from trainers.methods.syndiff import DISCRIMINATORS, GENERATORS, Config, Method
from trainers.networks.diffusion_generator import DiffusionGenerator

SMALL: dict[str, Any] = {
    **{"widths": (8, 8), "layers": 1, "attention": False, "latent": 8},
    **{"translator_width": 4, "translator_blocks": 1, "discriminator_width": 4},
}


def _method(**changes: Any) -> Method:
    result: Method = built(syndiff, **SMALL | changes)
    return result


def _step(method: Method, step: int = 1) -> tuple[dict[tuple[str, ...], Tensor], dict[str, Tensor]]:
    """The minimised losses, by names, and the logs, of one step with its own draws."""
    updates = Updates()
    torch.manual_seed(2)
    logs = method.step(batch(), step, updates)
    return updates.losses, logs


def _undecided(method: Method) -> None:
    """Zero the last layers: residual generators are the identity, discriminators undecided."""
    for name, network in method.networks.items():
        last = network.unet.conv_out if isinstance(network, DiffusionGenerator) else network.head
        assert isinstance(last, nn.Conv2d) and last.bias is not None, name
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)


def test_losses_of_identities_and_of_grey_generators_before_undecided_discriminators() -> None:
    """Estimate, cycle and clean image are then the slice itself, and every logit is zero."""
    method = _method()
    _undecided(method)
    losses, logs = _step(method, step=0)
    ln2 = math.log(2)
    expected = {"D": 4 * ln2, "P": 4 * ln2, "G_D": 2 * ln2, "G_P": 2 * ln2, "G_cycle": 0, "G_L1": 0}
    assert {name: float(value) for name, value in logs.items()} == pytest.approx(expected, abs=1e-5)
    assert float(losses[GENERATORS].detach()) == pytest.approx(4 * ln2, abs=1e-5)
    method, data = _method(generator="image", lambda_cycle=0.5, lambda_diffusive=2.0), batch()
    _undecided(method)
    logs = _step(method)[1]
    missed = float(data.source.abs().mean() + data.target.abs().mean())
    assert float(logs["G_cycle"]) == pytest.approx(0.5 * missed, rel=1e-5)
    assert float(logs["G_L1"]) == pytest.approx(2.0 * missed, rel=1e-5)


@pytest.mark.parametrize("weight", ["r1_gamma", "r1_images"])
@pytest.mark.parametrize(("step", "due"), [(0, True), (9, False), (10, True), (25, False)])
def test_the_gradient_penalties_are_due_every_tenth_step(weight: str, step: int, due: bool) -> None:
    none = {"r1_gamma": 0.0, "r1_images": 0.0}
    method = _method()
    losses = []
    for weights in (none, none | {weight: 1.0}, none | {weight: 2.0}):
        method.config = replace(method.config, **weights)
        losses.append(float(_step(method, step)[0][DISCRIMINATORS].detach()))
    first, second = losses[1] - losses[0], losses[2] - losses[0]
    assert (first > 1e-4) is due
    assert second == pytest.approx(2 * first, rel=0.01, abs=1e-6)


def test_losses_reach_the_networks_that_made_their_images() -> None:
    """The diffusive L1 of 3 T slices trains the translator to 64 mT."""
    method = _method(lambda_cycle=0.0)
    data = batch()
    as_source = method.source.translator(data.target)
    one_pass = method._forward(method.target, data.target, data.source, as_source)
    error = (one_pass.clean - data.target).abs().mean()
    for name, reached in {"N": False, "N_source": True, "G": True, "G_source": False}.items():
        parameters = list(method.networks[name].parameters())
        gradients = torch.autograd.grad(error, parameters, allow_unused=True, retain_graph=True)
        assert any(g is not None for g in gradients) is reached, name
    method = _method()
    loss = _step(method, step=0)[0][DISCRIMINATORS]
    parameters = [p for name in GENERATORS for p in method.networks[name].parameters()]
    assert all(g is None for g in torch.autograd.grad(loss, parameters, allow_unused=True))


def test_real_pairs_and_pairs_restored_by_a_perfect_generator_are_one_transition_apart() -> None:
    """x_{t+1} = sqrt(1 - beta_{t+1}) x_t + noise of variance beta_{t+1}, independent of x_t, for all D.

    Grey slices and identities: the generator's clean image is the slice, its posterior the true one.
    """
    method, pairs = _method(), list[tuple[Tensor, Tensor]]()
    _undecided(method)
    method.networks["D"].register_forward_pre_hook(lambda _, inputs: pairs.append(inputs))
    grey, mask = torch.full((8, 3, 96, 96), 0.5), torch.ones(8, 96, 96)
    torch.manual_seed(3)
    method.step(Batch(grey, mask, grey, mask), 1, ignore)
    assert [len(images) for images, _ in pairs] == [8, 8, 8]  # real, restored, restored for the generator
    assert set(pairs[0][1].tolist()) == {0, 1, 2, 3}
    for images, levels in pairs:
        for pair, t in zip(images.detach(), levels.tolist(), strict=True):
            noisy, following = pair.chunk(2)
            remaining, beta = float(torch.prod(1 - method.betas[: t + 1])), float(method.betas[t + 1])
            error = 6 / math.sqrt(noisy.numel())
            assert float(noisy.mean()) == pytest.approx(0.5 * math.sqrt(remaining), abs=error)
            assert float(noisy.var()) == pytest.approx(1 - remaining, abs=2 * error)
            step = following - math.sqrt(1 - beta) * noisy
            assert float(step.var()) == pytest.approx(beta, abs=2 * error)
            assert float((step * noisy).mean()) == pytest.approx(0, abs=error)


class Recorder(DiffusionGenerator):
    """Returns a constant image and records its inputs."""

    def __init__(self, fold: int) -> None:
        nn.Module.__init__(self)
        self.fold, self.calls = fold, list[tuple[Tensor, Tensor, Tensor, Tensor]]()

    def forward(self, noisy: Tensor, estimate: Tensor, t: Tensor, z: Tensor) -> Tensor:
        self.calls.append((noisy, estimate, t, z))
        return torch.full_like(noisy, 0.6)


def test_translation_is_the_reverse_diffusion_of_the_true_source_and_the_seed_draws_its_noise() -> None:
    """With x_0 = 0.6 fixed, the states follow q(x_t | x_0), starting from pure noise."""
    recorder, source = Recorder(4), batch(side=128).source
    outputs = Method.translate({"G": recorder}, Config(**SMALL), source, seed=7)
    assert len(outputs) == 1 and torch.equal(outputs[0], torch.full_like(source, 0.6))
    assert [t.tolist() for _, _, t, _ in recorder.calls] == [[3, 3], [2, 2], [1, 1], [0, 0]]
    betas = diffusion.variance_preserving(4)
    for noisy, estimate, t, z in recorder.calls:
        assert torch.equal(estimate, source)
        assert torch.equal(noisy[0], noisy[1]) and torch.equal(z[0], z[1])
        remaining = float(torch.prod(1 - betas[: int(t[0]) + 2]))
        assert float(noisy.mean()) == pytest.approx(0.6 * math.sqrt(remaining), abs=0.03)
        assert float(noisy.var()) == pytest.approx(1 - remaining, abs=0.03)
    states = []
    for seed in (1, 1, 2):
        recorder = Recorder(4)
        Method.translate({"G": recorder}, Config(**SMALL), source, seed)
        states.append(torch.cat([noisy for noisy, *_ in recorder.calls]))
    assert torch.equal(states[0], states[1]) and not torch.equal(states[0], states[2])


def test_sizes_that_the_levels_do_not_divide_are_padded_with_background_and_cropped() -> None:
    source = batch(side=36).source[..., :28]
    recorder = Recorder(16)
    (output,) = Method.translate({"G": recorder}, Config(**SMALL), source, seed=0)
    assert output.shape == source.shape
    estimate = recorder.calls[0][1]
    assert estimate.shape[-2:] == (48, 32)
    assert torch.equal(estimate[..., :36, :28], source)
    assert bool((estimate[..., 36:, :] == -1).all()) and bool((estimate[..., 28:] == -1).all())


@pytest.mark.parametrize("widths", [(64,), (4, 4), (9, 12), ()])
def test_widths_that_group_norms_cannot_divide_are_refused(widths: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"^widths: \S[^\n]*$"):
        Config(widths=widths)
