"""How much faster fitting many slices at once is than one by one; run it as a script.

One by one is the published script's loop: a network of ``nn.Linear`` layers on the whole grid, an Adam and,
every iteration, the features of output, content and style. Both sides start from the same weights, use the
same frozen encoder, and paint the same background black. On the CPU, seconds are one thread's processor time,
so that a busy machine counts less.
"""

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trainers.losses import style
from trainers.losses.nce import shrink_mask
from trainers.methods.inr import Config, brain_mask, fit_slices, render
from trainers.networks.encoder import ResidualEncoder
from trainers.networks.siren import Siren

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
SIZES = [(64, 32, 16, 20), (32, 64, 32, 10), (16, 112, 32, 10), (8, 224, 64, 3), (2, 224, 256, 2)]
"""Slices, side, width and iterations of the rows that are printed; more of each where there is a GPU."""
GPU_SIZES = [(64, 64, 64, 200), (64, 128, 128, 200), (64, 224, 256, 50)]


@dataclass(frozen=True)
class Measured:
    """Seconds and final losses, mean over slices, of both ways."""

    one_by_one: float
    at_once: float
    loss_one_by_one: float
    loss_at_once: float
    worst: float
    """Largest relative difference of one slice's losses."""

    @property
    def ratio(self) -> float:
        """How many times faster."""
        return self.one_by_one / self.at_once


class PlainSiren(nn.Module):
    """The published network as its script writes it."""

    def __init__(self, shared: Siren) -> None:
        super().__init__()
        self.layers, self.w0 = copy.deepcopy(shared.layers), shared.w0

    def forward(self, points: Tensor) -> Tensor:
        first, *hidden, last = self.layers
        h = torch.sin(self.w0 * first(points))
        for a, b in zip(hidden[0::2], hidden[1::2], strict=True):
            h = h + torch.sin(self.w0 * b(torch.sin(self.w0 * a(h))))
        values: Tensor = last(h)
        return values


def plain_loss(encoder: ResidualEncoder, output: Tensor, source: Tensor, look: Tensor, c: Config) -> Tensor:
    """The loss of one slice [1, 3, H, W], all features computed anew."""
    total = c.lambda_l1 * (output - source).abs().mean()
    maps, inside, style_inside = [output, source, look], brain_mask(source), brain_mask(look)
    for stage in encoder.stages:
        maps = [stage(m) for m in maps]
        (_, channels, *size), matrices = maps[0].shape, []
        ours, theirs = (shrink_mask(m, (size[0], size[1])) for m in (inside, style_inside))
        for features, where in ((maps[0], ours), (maps[2], theirs)):
            flat = features[0].flatten(1) * where.flatten(1)
            matrices.append(flat @ flat.T / where.sum())
        total = total + c.lambda_content * (maps[0] - maps[1]).square().mean()
        look_loss = (matrices[0] - matrices[1]).square().mean() * ours.sum() / channels
        total = total + c.lambda_style * look_loss
    return total


def fit_one_by_one(
    shared: Siren, encoder: ResidualEncoder, source: Tensor, look: Tensor, c: Config
) -> Tensor:
    """Final losses [S] of slices [S, 3, H, W], each with its own network and optimiser."""
    ends, (height, width) = [], source.shape[-2:]
    axes = [torch.linspace(-(n - 1), n - 1, n, device=source.device) / 2 / c.unit for n in (height, width)]
    points = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2)
    for slice_, style_ in zip(torch.split(source, 1), torch.split(look, 1), strict=True):
        network = PlainSiren(shared)
        optimizer = torch.optim.Adam(network.parameters(), c.fit_lr)

        def image(network: nn.Module = network, slice_: Tensor = slice_) -> Tensor:
            values = network(points).T.view(1, 3, height, width)
            return torch.where(brain_mask(slice_)[:, None], values, -1.0)

        for _ in range(c.iterations):
            loss = plain_loss(encoder, image(), slice_, style_, c)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
        with torch.no_grad():
            ends.append(plain_loss(encoder, image(), slice_, style_, c))
    return torch.stack(ends)


def fit_at_once(shared: Siren, encoder: ResidualEncoder, source: Tensor, look: Tensor, c: Config) -> Tensor:
    """Final losses [S], the method's way, ``slices_at_once`` at a time."""
    ends = []
    for part, styled in zip(*(torch.split(x, c.slices_at_once) for x in (source, look)), strict=True):
        goal = style.fit_target(
            encoder, part, brain_mask(part), style.grams(encoder, styled, brain_mask(styled))
        )
        fit = fit_slices(shared, encoder, goal, part.new_zeros(len(part), 2), c, c.iterations)[0]
        with torch.no_grad():
            output = render(fit, part.shape[-2], part.shape[-1])
            content, matrices, l1 = style.losses(encoder, output, goal)
        ends.append(c.lambda_content * content + c.lambda_style * matrices + c.lambda_l1 * l1)
    return torch.cat(ends)


def slices_like(count: int, size: int, contrast: float) -> Tensor:
    """Smooth textures [count, 3, size, size] in ellipses of a third of the image, as brains are; else -1."""
    axis = torch.linspace(-1, 1, size)
    inside = (axis[:, None] / 0.74).square() + (axis[None] / 0.58).square() < 1
    texture = nn.functional.interpolate(torch.randn(count, 3, 12, 12), (size, size), mode="bicubic")
    return torch.where(inside, (contrast * texture).clamp(-0.99, 1), -1.0)


def timed(work: Callable[[], Tensor]) -> tuple[float, Tensor]:
    """Seconds and result."""
    clock = time.process_time if DEVICE.type == "cpu" else time.perf_counter
    started = clock()
    result = work().cpu()  # waits for a GPU
    return clock() - started, result


def measure(slices: int, size: int, width: int, iterations: int, slices_at_once: int = 16) -> Measured:
    """Fit ``slices`` random slices of ``size`` pixels both ways in one run, published form and depth."""
    torch.manual_seed(0)
    c = Config(
        form="image",
        width=width,
        unit=size // 2,
        iterations=iterations,
        fit_lr=1e-4,
        slices_at_once=slices_at_once,
    )
    shared = Siren(width=width, blocks=c.blocks, w0=c.w0).to(DEVICE)
    encoder = ResidualEncoder(16).requires_grad_(False).eval().to(DEVICE)
    source, look = (slices_like(slices, size, contrast).to(DEVICE) for contrast in (0.3, 0.6))
    one = source[:1], look[:1]  # warm up both
    fit_at_once(shared, encoder, *one, c), fit_one_by_one(shared, encoder, *one, c)
    at_once, ours = timed(lambda: fit_at_once(shared, encoder, source, look, c))
    one_by_one, plain = timed(lambda: fit_one_by_one(shared, encoder, source, look, c))
    worst = float(((ours - plain) / plain).abs().max())
    return Measured(one_by_one, at_once, float(plain.mean()), float(ours.mean()), worst)


def main() -> None:
    """Print a row a size."""
    torch.set_num_threads(1)
    gpu = DEVICE.type == "cuda"
    print(DEVICE.type)
    print("slices  size  width  iterations | one by one  at once  ratio | losses, worst difference")
    for slices, size, width, iterations in SIZES + GPU_SIZES * gpu:
        m = measure(slices, size, width, iterations, 64 if gpu else 16)
        times = f"{m.one_by_one:9.2f}s {m.at_once:7.2f}s {m.ratio:6.1f}"
        losses = f"{m.loss_one_by_one:.5g} {m.loss_at_once:.5g} {m.worst:.1e}"
        print(f"{slices:6} {size:5} {width:6} {iterations:11} | {times} | {losses}", flush=True)


if __name__ == "__main__":
    main()
