"""Steps of methods against closed forms: translation, masks of patches, each term's gradient."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.trainers.methods.helpers import SMALL, Updates, batch, built, images
from trainers.data.batch import Batch
from trainers.losses import asp, nce
from trainers.methods import cut, unsb
from trainers.methods.base import Context
from trainers.networks.denoiser import schedule
from trainers.references.config import ReferenceConfig

TIMES = [0, 1 / 2, 17 / 22, 10 / 11, 1]
"""Of four steps: 1/2 + H_i / 2 H_3 with harmonic numbers H."""
TAU = 0.1
OFF = {f"lambda_{name}": 0.0 for name in ("GAN", "SB", "NCE", "ASP", "DMD", "cls", "restore")}
BRIDGE: dict[str, Any] = {**SMALL, "latent": 8, "nce_patches": 16, "refinement_steps": 4, "tau": TAU, **OFF}


def masked() -> Batch:
    """A batch whose 64 mT brains are the upper half, the rest black; its 3 T brains are the left third."""
    plain = batch(1)
    upper, left = torch.zeros(2, 2, 32, 32, dtype=torch.bool).unbind(0)
    upper[:, :16], left[:, :, :11] = True, True
    source = torch.where(upper[:, None], plain.source, -1.0)
    return Batch(source, upper, plain.target, left)


def recorded(network: nn.Module) -> list[tuple[tuple[Tensor, ...], Tensor]]:
    """Inputs and output of each later pass of a network."""
    passes: list[tuple[tuple[Tensor, ...], Tensor]] = []
    network.register_forward_hook(lambda _, given, out: passes.append((given, out)))
    return passes


def unit_normal(noise: Tensor) -> bool:
    return abs(float(noise.std()) - 1) < 0.05 and abs(float(noise.mean())) < 0.05


class Affine(nn.Module):
    """Half the input and an offset of its step."""

    def __init__(self, offsets: list[float]) -> None:
        super().__init__()
        self.offsets = torch.tensor(offsets)

    def forward(self, x: Tensor, k: Tensor, z: Tensor) -> Tensor:
        return 0.5 * x + self.offsets[k][:, None, None, None]


def test_a_translation_is_each_prediction_of_the_bridge_without_noise() -> None:
    state, offsets = images(2), [0.3, -0.6, 0.9, 0.0]
    outputs = unsb.Method.translate({"G": Affine(offsets)}, unsb.Config(**BRIDGE), state, seed=1)
    for i, (found, offset) in enumerate(zip(outputs, offsets, strict=True)):
        prediction, s = 0.5 * state + offset, (TIMES[i + 1] - TIMES[i]) / (1 - TIMES[i])
        torch.testing.assert_close(found, prediction)
        state = (1 - s) * state + s * prediction


@pytest.mark.parametrize(("module", "settings"), [(unsb, BRIDGE), (cut, SMALL)])
def test_patches_are_drawn_in_the_brain_of_each_domain(
    module: Any, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    given, seen = masked(), []

    def contrast(queries: list[Tensor], keys: list[Tensor], masks: Tensor, *rest: Any) -> Tensor:
        seen.append(masks)
        return queries[0].sum()

    monkeypatch.setattr(nce, "multi_layer", contrast)
    built(module, **settings).step(given, 0, Updates())
    assert torch.equal(torch.cat(seen), torch.cat((given.source_mask, given.target_mask)))


def formula(name: str, method: Any, state: Tensor, fake: Tensor, k: int, step: int) -> Tensor:
    """A term of the generator's loss with a weight of 2, by its equation."""
    c, at, pair = method.config, torch.full((2,), k), torch.cat((state, fake), 1)
    if name == "lambda_GAN":
        return 2 * (method.discriminator(fake, at) - 1).square().mean()
    if name == "lambda_SB":
        own, cross = (
            5 * torch.tanh(method.energy(torch.cat((pair, x), 1), at) / 5) for x in (pair, pair.flip(0))
        )
        entropy = own.mean() - cross.exp().mean().log()
        return 2 * TAU * (c.w_cost * (state - fake).square().mean() - c.w_ent * (1 - TIMES[k]) * entropy)
    thresholds, image = c.thresholds(), (fake.amax(1) + 1) / 2
    kept = asp.structure((state.amax(1) + 1) / 2, thresholds)
    trimap, edges = asp.trimap_loss(image, kept, thresholds), asp.boundary_loss(image, kept, thresholds)
    ramp = (step / c.steps - c.asp_warm_up) / c.asp_warm_up
    return 2 * (c.w_tri * trimap + c.w_bnd * ramp * edges).mean()


@pytest.mark.parametrize("name", ["lambda_GAN", "lambda_SB", "lambda_ASP"])
def test_each_terms_gradient_is_that_of_its_formula(name: str) -> None:
    k = 0 if name == "lambda_ASP" else 2  # its source, and at k = 0 the state
    weights = {"w_cost": 1.5, "w_ent": 0.7, "w_tri": 0.3, "w_bnd": 5.0, "asp_warm_up": 0.1}
    method = built(unsb, **BRIDGE | weights | {name: 2.0, "steps": 100})
    passes, updates = recorded(method.generator), Updates()
    method._step_at(k, masked(), 15, updates)
    (graded, _, _), out = passes[-1]
    losses = updates.losses["G", "F"], formula(name, method, graded[:2], out[:2], k, 15)
    found, expected = (torch.autograd.grad(loss, out, retain_graph=True)[0] for loss in losses)
    largest = float(expected.abs().max())
    assert largest > 0
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4 * largest)


def test_the_contrasts_gradient_is_that_of_a_cross_entropy_over_all_positions() -> None:
    """Of translations with their sources and of identities with theirs, features being those of step 0."""
    method, given = built(unsb, **BRIDGE | {"lambda_NCE": 2.0, "nce_patches": 1024}), masked()
    passes, updates = recorded(method.generator), Updates()
    method._step_at(2, given, 0, updates)
    ((_, _, z), out), layers = passes[-1], method.nce_layers
    pairs = []
    for x in (out, torch.cat((given.source, given.target))):
        maps = method.generator.encode(x, torch.zeros(4, dtype=torch.long), z, layers[-1] - 2)
        pairs.append(method.heads([maps[i].flatten(2).transpose(1, 2) for i in layers]))
    terms = []
    for query, key in zip(*pairs, strict=True):
        logits = (query @ key.detach().transpose(1, 2) / 0.07).flatten(0, 1)
        terms.append(nn.functional.cross_entropy(logits, torch.arange(query.shape[1]).repeat(4)))
    losses = updates.losses["G", "F"], 2 * torch.stack(terms).mean()
    found, expected = (torch.autograd.grad(loss, out, retain_graph=True)[0] for loss in losses)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


class Critic(nn.Module):
    """Velocity 0.3 x_t; records each x_t with its time."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.3))
        self.seen: list[tuple[Tensor, Tensor]] = []

    def encode(self, noisy: Tensor, t: Tensor, k: Tensor) -> SimpleNamespace:
        self.seen.append((noisy, t))
        return SimpleNamespace(bottleneck=self.scale * noisy, noisy=noisy)

    def decode(self, encoded: SimpleNamespace) -> Tensor:
        return self.scale * encoded.noisy

    def classify(self, bottleneck: Tensor) -> Tensor:
        return bottleneck.mean((1, 2, 3))


class Teacher(nn.Module):
    """Velocity -0.2 x_t."""

    def forward(self, noisy: Tensor, t: Tensor) -> Tensor:
        return -0.2 * noisy

    def critic(self, steps: int, crop: int) -> Critic:
        return Critic()


def test_distribution_matching_has_its_closed_form_for_linear_velocities_and_ramps_up() -> None:
    """mu_fake - mu_real = -(0.3 + 0.2) sigma x_t, over the brain's mean |x - mu_real|, by brain values.

    The classifier's logit is the mean of 0.3 x_t.
    """
    settings = {"lambda_DMD": 4.0, "lambda_cls": 500.0, "critic_cls": 0.7, "dmd_t_max": 0.05, "steps": 100}
    torch.manual_seed(0)
    teacher: Any = Teacher()
    context = Context(ReferenceConfig(), teacher, teacher, torch.zeros(1, 3, 32, 32))
    method, given, updates = unsb.Method(unsb.Config(**BRIDGE | settings), context), masked(), Updates()
    passes = recorded(method.generator)
    method._step_at(1, given, 15, updates)  # in the middle of the ramp, from 10 to 20
    alphas, sigmas = (table[:, None, None, None] for table in schedule())
    fake, seen = passes[-1][1][:2].detach(), method.critic.seen  # type: ignore[union-attr]
    noisy, times = zip(*((noisy.detach(), t) for noisy, t in seen), strict=True)
    for x, x_t, t in zip((fake, given.target, fake), noisy, times, strict=True):
        assert unit_normal((x_t - alphas[t] * x) / sigmas[t])
    on_fake, on_real, logit = (0.3 * x_t.mean((1, 2, 3)) for x_t in noisy)
    alpha, sigma = alphas[times[0]], sigmas[times[0]]
    velocity = (alpha * noisy[0] - fake) / sigma
    loss = (0.3 * noisy[0] - velocity).square().mean()
    loss = loss - 0.7 * (on_real.sigmoid().log() + on_fake.neg().sigmoid().log()).mean()
    assert float(updates.losses["C",].detach()) == pytest.approx(float(loss), rel=1e-4)
    alpha, sigma = alphas[times[2]], sigmas[times[2]]
    inside = given.source_mask[:, None].expand_as(fake)
    errors = [(fake - (alpha + 0.2 * sigma) * noisy[2])[b][inside[b]].abs().mean() for b in (0, 1)]
    direction = -0.5 * sigma * noisy[2] * inside / torch.stack(errors)[:, None, None, None]
    of_logit = -(-logit).sigmoid()[:, None, None, None] * 0.3 * alpha / fake.numel()
    (found,) = torch.autograd.grad(updates.losses["G", "F"], passes[-1][1])
    expected = 0.5 * (4 * direction / inside.sum() + 500 * of_logit)
    torch.testing.assert_close(found[:2], expected, rtol=1e-3, atol=1e-6)
    assert not found[2:].any()
