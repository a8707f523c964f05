"""The frozen 3 T diffusion teacher, trained on crops of the 3 T training slices (METHOD.md section 3)."""

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from trainers.losses import dmd
from trainers.networks.denoiser import TRAIN_STEPS, Denoiser, schedule
from trainers.networks.patch_filter import coarse_scale
from trainers.references.config import ReferenceConfig

FITTED = 1024
"""Crops that the linear filter is fitted to, at most as many as the network trains on."""


def build_teacher(config: ReferenceConfig) -> Denoiser:
    """The untrained teacher."""
    return Denoiser(
        channels=3,
        widths=config.teacher_widths,
        layers=config.teacher_layers,
        attention=config.teacher_attention,
        patch=config.teacher_patch,
        linear_scale=coarse_scale(config.crop) if config.teacher_linear else 0,
    )


def train_teacher(
    config: ReferenceConfig, batches: Iterator[Tensor], device: torch.device, progress: Callable[[int], None]
) -> Denoiser:
    """The linear filter in closed form, velocity regression on noisy crops; the averaged weights, frozen.

    ``batches`` yields crops [B, 3, h, w] in [-1, 1].
    """
    torch.manual_seed(config.seed)
    model, mean = build_teacher(config).to(device), build_teacher(config).to(device)
    if model.linear is not None:
        count = min(math.ceil(FITTED / config.teacher_batch), config.teacher_steps)
        model.linear.fit(torch.cat([next(batches) for _ in range(count)]))
    mean.load_state_dict(model.state_dict())
    optimizer = torch.optim.AdamW(model.parameters(), config.teacher_lr, (0.95, 0.999), weight_decay=1e-6)
    alpha, sigma = schedule(device)
    for step in range(config.teacher_steps):
        loss = denoising_loss(model, next(batches).to(device), alpha, sigma)
        optimizer.param_groups[0]["lr"] = config.teacher_lr * cosine(step, config.teacher_steps)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        _average(mean, model, step)
        progress(step + 1)
    return mean.requires_grad_(False).eval()


def denoising_loss(model: Denoiser, images: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    """Mean squared error of the velocity at one timestep per image, :func:`timesteps`."""
    t = timesteps(len(images), images.device, stratified=model.linear is not None)
    a, s = alpha[t][:, None, None, None], sigma[t][:, None, None, None]
    noise = torch.randn_like(images)
    v: Tensor = model(dmd.diffuse(images, noise, a, s), t)
    return (v - dmd.velocity(images, noise, a, s)).square().mean()


def timesteps(count: int, device: torch.device, stratified: bool) -> Tensor:
    """``count`` uniform timesteps, independent or one of each equal part of the schedule."""
    if not stratified:
        return torch.randint(0, TRAIN_STEPS, (count,), device=device)
    place = torch.arange(count, device=device) + torch.rand(count, device=device)
    return (place / count * TRAIN_STEPS).long().clamp_max(TRAIN_STEPS - 1)


def cosine(step: int, steps: int, warm_up: int = 500) -> float:
    """Learning-rate factor: linear warm-up (at most a tenth of training), then half a cosine to zero."""
    start = min(warm_up, max(1, steps // 10))
    if step < start:
        return (step + 1) / start
    return 0.5 * (1 + math.cos(math.pi * (step - start) / max(1, steps - start)))


@torch.no_grad()
def _average(mean: Denoiser, model: Denoiser, step: int) -> None:
    decay = min(0.9999, 1 - (step + 2) ** -0.75)  # diffusers' inv_gamma 1, power 3/4
    for m, p in zip(mean.parameters(), model.parameters(), strict=True):
        m.lerp_(p, 1 - decay)
