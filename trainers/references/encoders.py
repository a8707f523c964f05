"""Training of the frozen encoders on 3 T training slices only, without labels (DATA.md B1).

The 3 T-domain encoder solves contrastive (NT-Xent, Chen et al. 2020), rotation and slice-height tasks; the
radiology fallback, of another architecture, restores noisy and blanked slices.
"""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainers.networks.encoder import FEATURES, PlainDecoder, PlainEncoder, ResidualEncoder
from trainers.references.config import ReferenceConfig
from trainers.references.teacher import cosine

Progress = Callable[[int], None]


def train_domain_encoder(
    config: ReferenceConfig,
    batches: Iterator[tuple[Tensor, Tensor]],
    device: torch.device,
    progress: Progress,
) -> ResidualEncoder:
    """``batches`` yields slices [B, 3, H, W] in [-1, 1] with their relative heights [B] in [0, 1]."""
    torch.manual_seed(config.seed)
    encoder = ResidualEncoder(config.encoder_width).to(device)
    heads = nn.ModuleDict(
        {
            "project": nn.Linear(FEATURES, 64),
            "rotation": nn.Linear(FEATURES, 4),
            "height": nn.Linear(FEATURES, 1),
        }
    ).to(device)

    def loss() -> Tensor:
        slices, height = (item.to(device) for item in next(batches))
        turns = torch.randint(4, (len(slices),), device=device)
        turned = torch.stack([square_rotation(x, int(n)) for x, n in zip(slices, turns, strict=True)])
        features = encoder(torch.cat((augment(slices), augment(slices), turned)))
        first, second, third = features.chunk(3)
        predicted = heads["height"](first).squeeze(1)
        return (
            contrastive(heads["project"](first), heads["project"](second))
            + F.cross_entropy(heads["rotation"](third), turns)
            + 10 * F.mse_loss(predicted, height)
        )

    _fit([encoder, heads], loss, config, progress)
    return encoder.requires_grad_(False).eval()


def train_fallback_encoder(
    config: ReferenceConfig,
    batches: Iterator[tuple[Tensor, Tensor]],
    device: torch.device,
    progress: Progress,
) -> PlainEncoder:
    """A denoising, inpainting autoencoder's encoder; never called RadImageNet."""
    torch.manual_seed(config.seed + 1)
    encoder, decoder = (
        PlainEncoder(config.encoder_width).to(device),
        PlainDecoder(config.encoder_width).to(device),
    )

    def loss() -> Tensor:
        slices = next(batches)[0].to(device)
        return F.mse_loss(decoder(encoder.maps(corrupt(slices))), slices)

    _fit([encoder, decoder], loss, config, progress)
    return encoder.requires_grad_(False).eval()


def _fit(
    modules: list[nn.Module], loss: Callable[[], Tensor], config: ReferenceConfig, progress: Progress
) -> None:
    parameters = [p for module in modules for p in module.parameters()]
    optimizer = torch.optim.AdamW(parameters, config.encoder_lr, weight_decay=1e-4)
    for step in range(config.encoder_steps):
        optimizer.param_groups[0]["lr"] = config.encoder_lr * cosine(step, config.encoder_steps)
        optimizer.zero_grad()
        loss().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        progress(step + 1)


def contrastive(first: Tensor, second: Tensor, temperature: float = 0.2) -> Tensor:
    """NT-Xent of two views [B, D]: each view's partner against all 2B - 1 others (Chen et al. 2020)."""
    z = F.normalize(torch.cat((first, second)), dim=1)
    logits = (z @ z.T / temperature).fill_diagonal_(-torch.inf)
    partner = torch.arange(len(z), device=z.device).roll(len(first))
    return F.cross_entropy(logits, partner)


def augment(slices: Tensor) -> Tensor:
    """Small shift, zoom and flip; no change of intensity, noise or sharpness, which FID must detect."""
    n, device = len(slices), slices.device
    zoom = 1 + 0.1 * (2 * torch.rand(n, device=device) - 1)
    flip = torch.where(torch.rand(n, device=device) < 0.5, -1.0, 1.0)
    theta = torch.zeros(n, 2, 3, device=device)
    theta[:, 0, 0], theta[:, 1, 1] = zoom * flip, zoom
    theta[:, :, 2] = 0.1 * (2 * torch.rand(n, 2, device=device) - 1)
    grid = F.affine_grid(theta, list(slices.shape), align_corners=False)
    return F.grid_sample(slices + 1, grid, align_corners=False) - 1


def square_rotation(x: Tensor, turns: int) -> Tensor:
    """A slice [3, H, W] turned by quarter turns, padded back to its own shape."""
    height, width = x.shape[1:]
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    padded = F.pad(x, (left, side - width - left, top, side - height - top), value=-1.0)
    return torch.rot90(padded, turns, (1, 2))[:, top : top + height, left : left + width]


def corrupt(slices: Tensor) -> Tensor:
    """Gaussian noise of 0.2 and four blanked quarter-size squares per batch."""
    noisy = slices + 0.2 * torch.randn_like(slices)
    height, width = slices.shape[2:]
    for _ in range(4):
        y, x = int(torch.randint(height * 3 // 4, ())), int(torch.randint(width * 3 // 4, ()))
        noisy[:, :, y : y + height // 4, x : x + width // 4] = -1
    return noisy
