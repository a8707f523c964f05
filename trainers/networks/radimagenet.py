"""ResNet-50 for user-supplied RadImageNet weights (Mei et al. 2022), in torchvision's parameter names.

Preprocessing is pinned: [-1, 1] to [0, 1], bilinear to 224 x 224, ImageNet mean and deviation, as the
weights' PyTorch port documents (DATA.md B1).
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from trainers.errors import InputError

_STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))


class Bottleneck(nn.Module):
    """1x1, 3x3 (strided), 1x1 convolutions with batch norm and a skip (He et al. 2016)."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.downsample: nn.Module | None = None
        if stride > 1 or inputs != 4 * width:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, 4 * width, 1, stride, bias=False), nn.BatchNorm2d(4 * width)
            )

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] to [B, 4 width, H / stride, W / stride]."""
        h = F.relu(self.bn1(self.conv1(x)))
        h = F.relu(self.bn2(self.conv2(h)))
        return F.relu(self.bn3(self.conv3(h)) + (x if self.downsample is None else self.downsample(x)))


class RadImageNet(nn.Module):
    """Slices [B, 3, H, W] in [-1, 1] to average-pooled features [B, 2048]."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        inputs = 64
        for number, (width, count) in enumerate(_STAGES, 1):
            stride = 1 if number == 1 else 2
            blocks = [
                Bottleneck(inputs if i == 0 else 4 * width, width, stride if i == 0 else 1)
                for i in range(count)
            ]
            self.add_module(f"layer{number}", nn.Sequential(*blocks))
            inputs = 4 * width
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406])[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225])[:, None, None], persistent=False)

    @classmethod
    def load(cls, path: Path) -> "RadImageNet":
        """From a safetensors file (``fc.*`` is ignored); raises InputError where it is not such a network."""
        network = cls()
        try:
            state = {key: value for key, value in load_file(path).items() if not key.startswith("fc.")}
            network.load_state_dict(state)
        except (OSError, SafetensorError, RuntimeError) as error:
            cause = error.__class__.__name__
            raise InputError(
                f"{path}: not a ResNet-50 in torchvision's names, as safetensors ({cause})"
            ) from error
        return network.requires_grad_(False).eval()

    def forward(self, x: Tensor) -> Tensor:
        """Features before the classification layer."""
        x = F.interpolate((x + 1) / 2, size=(224, 224), mode="bilinear", align_corners=False)
        h = F.relu(self.bn1(self.conv1((x - self.mean) / self.std)))
        h = F.max_pool2d(h, 3, 2, 1)
        for number in range(1, len(_STAGES) + 1):
            h = self.get_submodule(f"layer{number}")(h)
        return h.mean((2, 3))
