"""Restoration in closed form: linear estimates of 3 T from features of a 64 mT slice, where networks start.

Least squares over degraded 3 T slices needs no pairs. Instance norms hide how bright a slice is, so that a
network learns the map of intensities last; this has it before the first step.

Shapes: B slices, C contrasts, H rows, W columns.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainers.data import channels
from trainers.data.neighbours import parted
from trainers.networks.blocks import full_precision

NEAR = (1.0, 2.0)
"""Standard deviations (pixels) of the blurred images among the features: with them edges can be sharpened."""
WIDE = (4.0, 8.0)
"""Of those over the brain alone: with their products the receive field and the tissue are distinguished."""
DETAIL = 1.0
"""Standard deviation (pixels) of the Gaussian whose difference from an image is its detail."""
RIDGE = 1e-7
"""Added to the diagonal of the mean of squares, for features that are multiples of each other."""

Fitted = tuple[Tensor, Tensor, Tensor]
"""Slices in [-1, 1] at 64 mT, surrounded, and at 3 T [B, 3, H, W], and where they count [B, H, W] bool."""


class Restorer(nn.Module):
    """Slices in [-1, 1] to estimates of their 3 T [B, 3, H, W], black where they are. At first the identity.

    Slices are surrounded [B, 6, H, W] (:mod:`trainers.data.neighbours`), or [B, 3, H, W] without neighbours.
    Features of T1 and T2 in [0, 1]: both, their products, each blurred, a constant, and the products of
    blurred images with each other and with both. With ``neighbours`` also their mean, it blurred, and its
    products with itself and with the slice. ``detail``: the share, 0 to 1, of the detail that estimates of
    least error lack which is put back, see :meth:`detailed`.
    """

    weight: Tensor
    """[features, contrasts], float64."""
    gain: Tensor
    """[contrasts], float64: the detail's rms at 3 T over that in estimates of least error."""

    def __init__(self, layout: channels.Layout, detail: float = 0.0, neighbours: bool = True) -> None:
        super().__init__()
        self.layout: channels.Layout = layout
        self.detail, self.neighbours = detail, neighbours
        count = len(channels.contrasts(layout))
        pairs, blurs = count * (count + 1) // 2, len(NEAR) + len(WIDE)
        features = count + pairs + 1 + blurs * (count + pairs + count**2)
        features += (2 * count + pairs + count**2) * neighbours
        self.register_buffer("weight", torch.eye(features, count, dtype=torch.float64))
        self.register_buffer("gain", torch.ones(count, dtype=torch.float64))

    @torch.no_grad()
    def fit(self, slices: Iterable[Fitted]) -> "Restorer":
        """Least squares over all pixels that count; itself."""
        return self.fit_with([], slices)

    @torch.no_grad()
    def fit_with(self, others: Sequence["Restorer"], slices: Iterable[Fitted]) -> "Restorer":
        """As :meth:`fit`, and ``others`` on the same slices, whose features are the first of its own."""
        size = len(self.weight)
        gram, right = torch.zeros(size, size).double(), torch.zeros_like(self.weight)
        total = 0
        for source, target, counted in slices:
            x = self.features(source)[counted].double()
            y = self._unit(target).movedim(1, -1)[counted].double()
            gram, right = gram + x.T @ x, right + x.T @ y
            total += len(x)
        ridge = RIDGE * max(1, total) * torch.eye(size).double()
        # Towards the identity, which is what nothing to fit to gives.
        start = torch.eye(*self.weight.shape).double()
        matrix, wanted = gram + ridge, right + ridge @ start
        for restorer in (self, *others):
            n = len(restorer.weight)
            restorer.weight.copy_(torch.linalg.solve(matrix[:n, :n], wanted[:n]))
        return self

    @torch.no_grad()
    def fit_gain(self, slices: Iterable[Fitted]) -> "Restorer":
        """The detail's gain over all pixels that count, 1 without any; itself."""
        own, real = (torch.full_like(self.gain, 1e-12) for _ in range(2))
        for source, target, counted in slices:
            brain = counted[:, None].float()
            for total, image in ((own, self.estimate(source)), (real, self._unit(target))):
                total += (detail(image, brain) * brain).double().square().sum((0, 2, 3))
        self.gain.copy_((real / own).sqrt())
        return self

    def features(self, images: Tensor) -> Tensor:
        """Of slices [B, 3 or 6, H, W] in [-1, 1]: [B, H, W, features]."""
        own, mean = parted(images)
        unit, brain, around = self._unit(own), (~_black(own)).float(), self._unit(mean)
        near = [blurred(unit, deviation) for deviation in NEAR]
        wide = [blurred_inside(unit, brain, deviation) for deviation in WIDE]
        # Those of earlier versions come first: see _load_from_state_dict.
        found = [unit, _products(unit), *near, torch.ones_like(unit[:, :1]), *wide]
        found += [part for smooth in (*near, *wide) for part in (_products(smooth), _crossed(unit, smooth))]
        if self.neighbours:
            found += [around, blurred(around, NEAR[0]), _products(around), _crossed(unit, around)]
        return torch.cat(found, 1).movedim(1, -1)

    def estimate(self, images: Tensor) -> Tensor:
        """The 3 T of least error of slices [B, 3 or 6, H, W]: each contrast [B, C, H, W] in [0, 1]."""
        return (self.features(images) @ self.weight.float()).clamp(0, 1).movedim(-1, 1)

    def forward(self, images: Tensor) -> Tensor:
        """The estimate with its share of detail, clipped to [-1, 1], rebuilt in every channel."""
        with full_precision(images.device):
            return self._finished(self.estimate(images), parted(images)[0])

    def detailed(self, images: Tensor) -> Tensor:
        """Slices [B, 3, H, W] in [-1, 1] with their share of detail added, clipped.

        The mean of the images that a slice may be at 3 T has less detail than each of them. On the line from
        it to an image with as much, squared error rises with the square of the way while the distance to the
        distribution falls linearly (Freirich et al. 2021, "A theory of the distortion-perception tradeoff in
        Wasserstein space"; here for one band instead of images). At a share of 1 detail is amplified by its
        gain; as what is finer than that Gaussian is no sharp band, this closes about half of the gap in rms.
        As the operation is linear, a network that regresses onto detailed 3 T learns it.
        """
        with full_precision(images.device):
            return self._finished(self._unit(images), images)

    def _finished(self, unit: Tensor, images: Tensor) -> Tensor:
        """Contrasts with detail in the shape of ``images``, black where they are."""
        black = _black(images)
        if self.detail:
            share = (self.detail * (self.gain - 1)).float()[:, None, None]
            unit = (unit + share * detail(unit, (~black).float())).clamp(0, 1)
        names = channels.contrasts(self.layout)
        by_contrast = dict(zip(names, (2 * unit - 1).unbind(1), strict=True))
        return torch.where(black, -1.0, channels.restack(by_contrast, self.layout)).to(images.dtype)

    def _unit(self, images: Tensor) -> Tensor:
        """Contrasts [B, C, H, W] in [0, 1]."""
        return torch.stack([(x.float() + 1) / 2 for x in channels.split(images, self.layout).values()], 1)

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *others: Any) -> None:
        """As any module; a restorer from before some of the features has zeros for them.

        One from before the gain adds no detail.
        """
        given = state.get(f"{prefix}weight")
        if given is not None and len(given) < len(self.weight):
            state[f"{prefix}weight"] = F.pad(given, (0, 0, 0, len(self.weight) - len(given)))
        state.setdefault(f"{prefix}gain", torch.ones_like(self.gain))
        super()._load_from_state_dict(state, prefix, *others)


def detail(images: Tensor, brain: Tensor) -> Tensor:
    """What of images [B, C, H, W] is finer than :data:`DETAIL`, inside ``brain`` [B, 1, H, W] alone."""
    return images * brain - blurred_inside(images, brain, DETAIL)


def blurred_inside(images: Tensor, brain: Tensor, deviation: float) -> Tensor:
    """Gaussian means of images [B, C, H, W] over ``brain`` [B, 1, H, W] alone; 0 outside of it."""
    share = blurred(brain, deviation).clamp(min=1e-6)
    return blurred(images * brain, deviation) / share * brain


def blurred(images: Tensor, deviation: float) -> Tensor:
    """Images [B, C, H, W] blurred by a Gaussian cut at three deviations; edges are repeated."""
    reach = round(3 * deviation)
    offsets = torch.arange(-reach, reach + 1, dtype=images.dtype, device=images.device)
    taps = torch.exp(-0.5 * (offsets / deviation) ** 2)
    kernel = (taps / taps.sum()).expand(images.shape[1], 1, 1, -1)
    padded = F.pad(images, (reach, reach, reach, reach), mode="replicate")
    rows = F.conv2d(padded, kernel, groups=images.shape[1])
    return F.conv2d(rows, kernel.mT, groups=images.shape[1])


def _products(images: Tensor) -> Tensor:
    """Of every two of [B, C, H, W], squares too: [B, C (C + 1) / 2, H, W]."""
    count = images.shape[1]
    return torch.stack([images[:, i] * images[:, j] for i in range(count) for j in range(i, count)], 1)


def _crossed(first: Tensor, second: Tensor) -> Tensor:
    """Of each of ``first`` with each of ``second``: [B, C C, H, W]."""
    return (first[:, :, None] * second[:, None]).flatten(1, 2)


def _black(images: Tensor) -> Tensor:
    return (images <= -1).all(1, keepdim=True)
