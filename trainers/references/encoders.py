"""Training of the frozen 3 T-domain encoder on 3 T training slices only, without labels (DATA.md B1).

It solves contrastive (NT-Xent, Chen et al. 2020), rotation and slice-height tasks.
"""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainers.networks.encoder import FEATURES, ResidualEncoder
from trainers.references.config import ReferenceConfig
from trainers.references.teacher import cosine

Progress = Callable[[int], None]
PRECISION = torch.float64
"""Of the training. It is chaotic: a difference of rounding between two processors or thread counts grows some
thousandfold in ten steps. So every step rounds gradients and weights far more coarsely than the arithmetic
does, to the same values everywhere; in float32 the two would be too close."""
GRADIENT_BITS = 10
"""Of a gradient, below the largest of its tensor."""
WEIGHT_UNIT = 2.0**-20


def train_domain_encoder(
    config: ReferenceConfig,
    batches: Iterator[tuple[Tensor, Tensor]],
    device: torch.device,
    progress: Progress,
) -> ResidualEncoder:
    """``batches`` yields slices [B, 3, H, W] in [-1, 1] with their relative heights [B] in [0, 1].

    Returns float32 weights. All random numbers are the CPU's, so that a GPU trains the same encoder.
    """
    torch.manual_seed(config.seed)
    encoder = ResidualEncoder(config.encoder_width).to(device, PRECISION)
    heads = nn.ModuleDict(
        {
            "project": nn.Linear(FEATURES, 64),
            "rotation": nn.Linear(FEATURES, 4),
            "height": nn.Linear(FEATURES, 1),
        }
    ).to(device, PRECISION)

    def loss() -> Tensor:
        slices, height = (item.to(PRECISION) for item in next(batches))
        turns = torch.randint(4, (len(slices),))
        turned = torch.stack([square_rotation(x, int(n)) for x, n in zip(slices, turns, strict=True)])
        features = encoder(torch.cat((augment(slices), augment(slices), turned)).to(device))
        first, second, third = features.chunk(3)
        predicted = heads["height"](first).squeeze(1)
        return (
            contrastive(heads["project"](first), heads["project"](second))
            + F.cross_entropy(heads["rotation"](third), turns.to(device))
            + 10 * F.mse_loss(predicted, height.to(device))
        )

    for module in (encoder, heads):
        _initialise(module)
    _fit([encoder, heads], loss, config, progress)
    return encoder.float().requires_grad_(False).eval()


@torch.no_grad()
def _initialise(network: nn.Module) -> None:
    """PyTorch's own weights, uniform in [-b, b] with b^2 = 1 / inputs, but equal bits on any processor."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            assert layer.bias is not None
            bound = layer.weight[0].numel() ** -0.5
            for values in (layer.weight, layer.bias):
                values.copy_(bound * (2 * torch.rand(values.shape).to(PRECISION) - 1))
                _round(values, WEIGHT_UNIT)


def _fit(
    modules: list[nn.Module], loss: Callable[[], Tensor], config: ReferenceConfig, progress: Progress
) -> None:
    parameters = [p for module in modules for p in module.parameters()]
    optimizer = torch.optim.AdamW(parameters, config.encoder_lr, weight_decay=1e-4)
    for step in range(config.encoder_steps):
        optimizer.param_groups[0]["lr"] = config.encoder_lr * cosine(step, config.encoder_steps)
        optimizer.zero_grad()
        loss().backward()  # type: ignore[no-untyped-call]
        for p in parameters:
            assert p.grad is not None
            round_to_bits(p.grad, GRADIENT_BITS)
        optimizer.step()
        for p in parameters:
            _round(p.detach(), WEIGHT_UNIT)
        progress(step + 1)


def round_to_bits(values: Tensor, bits: int) -> None:
    """Round in place to multiples of 2^(e - ``bits``), where 2^e is the power of two above the largest."""
    exponent = torch.frexp(values.abs().max()).exponent - bits
    _round(values, torch.ldexp(values.new_ones(()), exponent))


def _round(values: Tensor, unit: Tensor | float) -> None:
    values.div_(unit).round_().mul_(unit)


def contrastive(first: Tensor, second: Tensor, temperature: float = 0.2) -> Tensor:
    """NT-Xent of two views [B, D]: each view's partner against all 2B - 1 others (Chen et al. 2020)."""
    z = F.normalize(torch.cat((first, second)), dim=1)
    logits = (z @ z.T / temperature).fill_diagonal_(-torch.inf)
    partner = torch.arange(len(z), device=z.device).roll(len(first))
    return F.cross_entropy(logits, partner)


def augment(slices: Tensor) -> Tensor:
    """Small shift, zoom and flip; no change of intensity, noise or sharpness, which FID must detect."""
    # Drawn in float32 but computed with in the slices' type: processors differ in the last bit.
    zoom, side, shift = (torch.rand(len(slices), k).to(slices) for k in (1, 1, 2))
    zoom = 1 + 0.1 * (2 * zoom - 1)
    theta = slices.new_zeros(len(slices), 2, 3)
    theta[:, 0, 0], theta[:, 1, 1] = (zoom * torch.where(side < 0.5, -1.0, 1.0))[:, 0], zoom[:, 0]
    theta[:, :, 2] = 0.1 * (2 * shift - 1)
    grid = F.affine_grid(theta, list(slices.shape), align_corners=False)
    return F.grid_sample(slices + 1, grid, align_corners=False) - 1


def square_rotation(x: Tensor, turns: int) -> Tensor:
    """A slice [3, H, W] turned by quarter turns, padded back to its own shape."""
    height, width = x.shape[1:]
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    padded = F.pad(x, (left, side - width - left, top, side - height - top), value=-1.0)
    return torch.rot90(padded, turns, (1, 2))[:, top : top + height, left : left + width]
