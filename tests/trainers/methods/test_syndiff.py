"""SynDiff's losses where they are known, who learns from what, and its reverse diffusion."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from trainers.data.batch import Batch
from trainers.errors import InputError
from trainers.losses import diffusion
from trainers.methods.base import Context
from trainers.methods.syndiff import DISCRIMINATORS, GENERATORS, Config, Method
from trainers.networks.denoiser import Denoiser
from trainers.networks.diffusion_generator import DiffusionGenerator
from trainers.references.config import ReferenceConfig

SMALL: dict[str, Any] = {
    "widths": (8, 8),
    "layers": 1,
    "attention": False,
    "latent": 8,
    "translator_width": 4,
    "translator_blocks": 1,
    "discriminator_width": 4,
}


def _method(**changes: Any) -> Method:
    torch.manual_seed(0)
    teacher = Denoiser(channels=3, widths=(8, 8), layers=1, attention=False, patch=1)
    context = Context(ReferenceConfig(), teacher, nn.Identity(), torch.zeros(1, 3, 32, 32))
    return Method(Config(**SMALL | changes), context)


def _batch(size: int = 32) -> Batch:
    torch.manual_seed(1)
    mask = torch.ones(2, size, size)
    return Batch(torch.rand(2, 3, size, size) * 2 - 1, mask, torch.rand(2, 3, size, size) * 2 - 1, mask)


def _step(
    method: Method, step: int = 1, size: int = 32
) -> tuple[dict[Sequence[str], Tensor], dict[str, Tensor]]:
    """What would be minimised, by names, and the logs, of one step with its own draws."""
    batch, losses = _batch(size), dict[Sequence[str], Tensor]()

    def keep(names: Sequence[str], loss: Tensor) -> None:
        losses[names] = loss

    torch.manual_seed(2)
    logs = method.step(batch, step, keep)
    return losses, logs


def _silence(method: Method) -> None:
    """Zero the last layers: residual generators are the identity, discriminators undecided."""
    for name, network in method.networks.items():
        last = network.unet.conv_out if isinstance(network, DiffusionGenerator) else network.head
        assert isinstance(last, nn.Conv2d) and last.bias is not None, name
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)


def test_losses_of_identities_before_undecided_discriminators() -> None:
    """Estimate, cycle and clean image are then the slice itself, and every logit is zero."""
    method = _method()
    _silence(method)
    losses, logs = _step(method, step=0)
    ln2 = math.log(2)
    expected = {"D": 4 * ln2, "P": 4 * ln2, "G_D": 2 * ln2, "G_P": 2 * ln2, "G_cycle": 0, "G_L1": 0}
    assert {name: float(value) for name, value in logs.items()} == pytest.approx(expected, abs=1e-5)
    assert float(losses[GENERATORS].detach()) == pytest.approx(4 * ln2, abs=1e-5)


def test_grey_generators_miss_the_slices_by_their_mean_absolute_intensity() -> None:
    method, batch = _method(generator="image", lambda_cycle=0.5, lambda_diffusive=2.0), _batch()
    _silence(method)
    logs = _step(method)[1]
    missed = float(batch.source.abs().mean() + batch.target.abs().mean())
    assert float(logs["G_cycle"]) == pytest.approx(0.5 * missed, rel=1e-5)
    assert float(logs["G_L1"]) == pytest.approx(2.0 * missed, rel=1e-5)


def test_the_discriminators_loss_does_not_reach_the_generators() -> None:
    method = _method()
    loss = _step(method, step=0)[0][DISCRIMINATORS]
    parameters = [p for name in GENERATORS for p in method.networks[name].parameters()]
    assert all(g is None for g in torch.autograd.grad(loss, parameters, allow_unused=True))


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


def test_either_domain_is_restored_from_its_translation_to_the_other() -> None:
    """The diffusive L1 of 3 T slices trains the translator to 64 mT, and the other way round."""
    method = _method(lambda_cycle=0.0)
    batch = _batch()
    as_source = method.source.translator(batch.target)
    way = method._forward(method.target, batch.target, batch.source, as_source)
    error = (way.clean - batch.target).abs().mean()
    for name, reached in {"N": False, "N_source": True, "G": True, "G_source": False}.items():
        parameters = list(method.networks[name].parameters())
        gradients = torch.autograd.grad(error, parameters, allow_unused=True, retain_graph=True)
        assert any(g is not None for g in gradients) is reached, name


def test_real_pairs_and_pairs_restored_by_a_perfect_generator_are_one_transition_apart() -> None:
    """x_{t+1} = sqrt(1 - beta_{t+1}) x_t + noise of variance beta_{t+1}, independent of x_t, in all D sees.

    Grey slices and identities: the generator's clean image is the slice, its posterior the true one.
    """
    method, pairs = _method(), list[tuple[Tensor, Tensor]]()
    _silence(method)
    method.networks["D"].register_forward_pre_hook(lambda _, inputs: pairs.append(inputs))
    grey, mask = torch.full((8, 3, 96, 96), 0.5), torch.ones(8, 96, 96)
    torch.manual_seed(3)
    method.step(Batch(grey, mask, grey, mask), 1, lambda names, loss: None)
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
    """Answers a constant image and keeps what it was asked."""

    def __init__(self, fold: int) -> None:
        nn.Module.__init__(self)
        self.fold, self.calls = fold, list[tuple[Tensor, Tensor, Tensor, Tensor]]()

    def forward(self, noisy: Tensor, estimate: Tensor, t: Tensor, z: Tensor) -> Tensor:
        self.calls.append((noisy, estimate, t, z))
        return torch.full_like(noisy, 0.6)


def test_translation_is_the_reverse_diffusion_given_the_true_source() -> None:
    """With the answer x_0 = 0.6 fixed, the states follow q(x_t | x_0), from pure noise on."""
    recorder, source = Recorder(4), _batch(128).source
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


def test_another_seed_draws_other_noise() -> None:
    source, states = _batch(32).source, []
    for seed in (1, 1, 2):
        recorder = Recorder(4)
        Method.translate({"G": recorder}, Config(**SMALL), source, seed)
        states.append(torch.cat([noisy for noisy, *_ in recorder.calls]))
    assert torch.equal(states[0], states[1]) and not torch.equal(states[0], states[2])


def test_sizes_that_the_levels_do_not_divide_are_padded_with_background_and_cropped() -> None:
    source = _batch(36).source[..., :28]
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
