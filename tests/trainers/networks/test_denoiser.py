"""The denoiser against diffusers' own forward pass and the schedule's figures (METHOD.md section 3)."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from trainers.networks.denoiser import Denoiser, classifier_head, schedule


def _denoiser(patch: int = 1, attention: bool = False) -> Denoiser:
    torch.manual_seed(0)
    return Denoiser(channels=3, widths=(8, 16, 16), layers=1, attention=attention, patch=patch)


def _inputs(size: int = 32) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.randn(3, 3, size, size), torch.tensor([0, 400, 999])


def test_the_schedule_is_the_linear_variance_preserving_one_of_method_md() -> None:
    alpha, sigma = schedule()
    cumulative = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))
    np.testing.assert_allclose(alpha, np.sqrt(cumulative), rtol=1e-4)
    np.testing.assert_allclose(sigma, np.sqrt(1 - cumulative), rtol=1e-4)
    np.testing.assert_allclose(alpha.double() ** 2 + sigma.double() ** 2, 1, atol=1e-6)
    # The values of METHOD.md.
    table = {20: 0.079, 100: 0.324, 200: 0.586, 300: 0.779, 400: 0.898, 500: 0.960, 700: 0.997}
    for t, expected in table.items():
        assert float(sigma[t]) == pytest.approx(expected, abs=2.5e-3), t
    assert float(alpha[980]) == pytest.approx(0.0077, abs=5e-5)


def test_the_forward_pass_is_diffusers_own_and_a_patch_of_two_folds_pixels_into_channels() -> None:
    network, (x, t) = _denoiser(patch=2), _inputs()
    assert network.unet.config.in_channels == 12
    folded = torch.stack([x[:, c, i::2, j::2] for c in range(3) for i in range(2) for j in range(2)], 1)
    unfolded = torch.empty_like(x)
    with torch.no_grad():
        out = network.unet(folded, t).sample.view(3, 3, 2, 2, 16, 16)
        for i in range(2):
            for j in range(2):
                unfolded[:, :, i::2, j::2] = out[:, :, i, j]
        assert torch.equal(network(x, t), unfolded)
    for attention in (False, True):
        network, (x, t) = _denoiser(attention=attention), _inputs()
        with torch.no_grad():
            assert torch.equal(network(x, t), network.unet(x, t).sample)


def _filtering(patch: int) -> tuple[Denoiser, Tensor]:
    """A denoiser whose filter is fitted, with the smooth images that it was fitted to [8, 3, 32, 32]."""
    torch.manual_seed(0)
    images = F.interpolate(torch.randn(8, 3, 8, 8), scale_factor=4, mode="bilinear")
    denoiser = Denoiser(
        channels=3, widths=(8, 16, 16), layers=1, attention=False, patch=patch, linear_scale=4
    )
    assert denoiser.linear is not None
    denoiser.linear.fit(images)
    return denoiser, images


@pytest.mark.parametrize("patch", [1, 2])
def test_with_a_linear_filter_it_starts_as_the_filter_and_so_does_its_critic(patch: int) -> None:
    """The posterior mean alpha x_t - sigma v is the filter's estimate, until the U-Net has learnt."""
    (teacher, images), t = _filtering(patch), torch.tensor([0, 20, 200, 400, 600, 700, 900, 999])
    alpha, sigma = (values[t].view(-1, 1, 1, 1) for values in schedule())
    noisy = alpha * images + sigma * torch.randn_like(images)
    assert teacher.linear is not None and teacher.fold == 8
    with torch.no_grad():
        expected, v = teacher.linear(noisy, alpha, sigma), teacher(noisy, t)
        torch.testing.assert_close(alpha * noisy - sigma * v, expected, rtol=0, atol=1e-5)
        torch.nn.init.normal_(teacher.unet.conv_out.weight)
        learnt = teacher(noisy, t)
        critic = teacher.critic(2, 32)
        assert torch.equal(critic(noisy, t, torch.ones(8, dtype=torch.long)), learnt)
        # the U-Net sees the filter's estimate, and counts by the signal that there is
        change = (learnt - v).square().mean((1, 2, 3)).sqrt()
        assert float(change[-1]) < 0.15 * float(change[2])
        teacher.linear.fine.mean += 1
        assert not torch.equal(teacher.encode(noisy, t).bottleneck, critic.encode(noisy, t, t * 0).bottleneck)
    torch.autograd.backward(critic(noisy, t, t * 0).square().mean())
    assert all(p.grad is not None for p in critic.unet.parameters())
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        rounded = teacher.linear(noisy, alpha, sigma)
    assert rounded.dtype == torch.float32 and torch.equal(rounded, teacher.linear(noisy, alpha, sigma))


@pytest.mark.parametrize("patch", [1, 2])
def test_a_critic_starts_as_its_teacher_whatever_the_step(patch: int) -> None:
    teacher, (x, t) = _denoiser(patch).requires_grad_(False), _inputs()
    critic = teacher.critic(5, 32)
    assert all(p.requires_grad for p in critic.parameters())
    assert not any(p.requires_grad for p in teacher.parameters())
    assert teacher.classifier is None and teacher.step_embedding is None
    with torch.no_grad():
        for k in range(5):
            assert torch.equal(critic(x, t, torch.full((3,), k)), teacher(x, t))
        assert torch.equal(teacher.critic(0, 32)(x, t), teacher(x, t))


def test_a_trained_step_embedding_separates_steps_and_leaves_the_teacher() -> None:
    teacher, (x, t) = _denoiser(), _inputs()
    before = teacher(x, t).detach()
    critic = teacher.critic(5, 32)
    assert critic.step_embedding is not None
    torch.nn.init.normal_(critic.step_embedding.weight)
    with torch.no_grad():
        for parameter in critic.unet.parameters():
            parameter.add_(0.01)
        first, second = (critic(x, t, torch.full((3,), k)) for k in (0, 1))
        assert float((first - second).abs().max()) > 1e-3
        assert torch.equal(teacher(x, t), before)


def test_every_parameter_of_the_critic_learns_and_the_steps_used() -> None:
    critic = _denoiser(attention=True).double().critic(5, 32).double()
    x, t = _inputs()
    encoded = critic.encode(x.double(), t, torch.tensor([0, 2, 2]))
    v = critic.decode(encoded)
    assert v.shape == x.shape
    torch.autograd.backward(v.square().mean() + F.softplus(critic.classify(encoded.bottleneck)).mean())
    for name, parameter in critic.named_parameters():
        assert parameter.grad is not None, name
        if not name.endswith("to_k.bias"):  # a softmax over keys is blind to what all keys share
            assert float(parameter.grad.abs().max()) > 1e-12, name
    assert critic.step_embedding is not None and critic.step_embedding.weight.grad is not None
    assert critic.step_embedding.weight.grad.abs().amax(1).gt(0).tolist() == [True, False, True, False, False]


@pytest.mark.parametrize("widths", [(8, 8), (16, 16), (16, 24), (32, 48, 64), (48, 96), (40, 80), (64, 128)])
def test_time_and_step_have_an_effect_at_all_widths(widths: tuple[int, ...]) -> None:
    """Group norms of one channel a group would cancel both embeddings; 33 to 63 groups may not divide."""
    torch.manual_seed(0)
    critic = Denoiser(channels=3, widths=widths, layers=1, attention=False, patch=1).critic(2, 16)
    assert critic.step_embedding is not None
    torch.nn.init.normal_(critic.step_embedding.weight)
    x, k = torch.randn(1, 3, 16, 16), torch.tensor([0])
    with torch.no_grad():
        v = critic(x, torch.tensor([10]), k)
        by_time, by_step = critic(x, torch.tensor([900]), k) - v, critic(x, torch.tensor([10]), k + 1) - v
    assert min(float(by_time.std()), float(by_step.std())) > 0.03 * float(v.std())


def test_the_classifier_halves_to_four_pixels_and_gives_one_logit_an_image() -> None:
    head = classifier_head(8, 16)
    sizes = []
    h = torch.randn(2, 8, 16, 16)
    for layer in head.children():
        h = layer(h)
        if isinstance(layer, torch.nn.Conv2d):
            sizes.append(h.shape[-1])
    assert sizes == [8, 4, 1, 1] and h.shape == (2, 1, 1, 1)
    for patch, crop in ((1, 32), (1, 64), (2, 32), (2, 96), (1, 80), (1, 16)):
        critic, (x, t) = _denoiser(patch).critic(2, crop), _inputs(crop)
        with torch.no_grad():
            encoded = critic.encode(x, t, torch.zeros(3, dtype=torch.long))
            assert critic.classify(encoded.bottleneck).shape == (3,)
