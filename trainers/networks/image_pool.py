"""The image pool: a discriminator is also trained on earlier generated images (Shrivastava et al. 2017)."""

import torch
from torch import Tensor, nn


class ImagePool(nn.Module):
    """Once it has ``size`` images, each new image is exchanged for a stored one with probability one half.

    It consists of buffers, so that a checkpoint keeps it; its draws come from torch's global state. It has no
    branches on values, which would wait for the GPU. A pool of size 0 returns its input.
    """

    images: Tensor
    count: Tensor

    def __init__(self, size: int, channels: int, side: int) -> None:
        super().__init__()
        self.register_buffer("images", torch.zeros(size, channels, side, side))
        self.register_buffer("count", torch.zeros(1, dtype=torch.long))

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Images [B, C, side, side] to as many, new or stored, without gradient."""
        if not len(self.images):
            return images.detach()
        singles = torch.split(images.detach().float(), 1)
        return torch.cat([self._exchange(image) for image in singles])

    def _exchange(self, image: Tensor) -> Tensor:
        size = len(self.images)
        filling = self.count < size
        slot = torch.where(filling, self.count, torch.randint(size, (1,), device=image.device))
        swap = ~filling & (torch.rand(1, device=image.device) < 0.5)
        stored = self.images.index_select(0, slot)
        self.images.index_copy_(0, slot, torch.where(filling | swap, image, stored))
        self.count += filling
        return torch.where(swap, stored, image)
