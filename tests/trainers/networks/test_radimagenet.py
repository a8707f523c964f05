"""ResNet-50 against MONAI's, and loading of user-supplied weights."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from trainers.errors import InputError
from trainers.networks.radimagenet import RadImageNet


@pytest.fixture(scope="module")
def network() -> RadImageNet:
    """With batch norms as after training."""
    torch.manual_seed(0)
    network = RadImageNet()
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            assert layer.running_mean is not None and layer.running_var is not None
            nn.init.uniform_(layer.running_mean, -0.1, 0.1)
            nn.init.uniform_(layer.running_var, 0.5, 2)
            nn.init.uniform_(layer.weight, 0.5, 1)
            nn.init.uniform_(layer.bias, -0.1, 0.1)
    return network.eval()


def _state(network: RadImageNet) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in network.state_dict().items()}


def test_features_are_those_of_monais_resnet_at_224_pixels(network: RadImageNet) -> None:
    """Preprocessing by hand: [0, 1], ImageNet's mean and deviation; 224 pixels need no resizing."""
    from monai.networks.nets.resnet import ResNet

    settings = {"spatial_dims": 2, "n_input_channels": 3, "conv1_t_stride": 2}
    settings |= {"feed_forward": False, "bias_downsample": False}
    oracle = ResNet("bottleneck", [3, 4, 6, 3], [64, 128, 256, 512], **settings)
    oracle.load_state_dict(network.state_dict())
    x = torch.rand(1, 3, 224, 224) * 2 - 1
    scales = ((0, 0.485, 0.229), (1, 0.456, 0.224), (2, 0.406, 0.225))
    shades = [((x[:, c] + 1) / 2 - m) / s for c, m, s in scales]
    with torch.no_grad():
        features, expected = network(x), oracle.eval()(torch.stack(shades, 1))
    assert features.shape == (1, 2048)
    np.testing.assert_allclose(features, expected.flatten(1), rtol=1e-3, atol=1e-4)
    assert float(features.std()) > 0.01
    small, large = (torch.full((1, 3, *size), 0.3) for size in ((100, 140), (224, 224)))
    with torch.no_grad():
        np.testing.assert_allclose(network(small), network(large), rtol=1e-4, atol=1e-5)


def test_loading_gives_the_frozen_network_of_torchvisions_names_without_its_last_layer(
    network: RadImageNet, tmp_path: Path
) -> None:
    surplus = {"fc.weight": torch.zeros(165, 2048), "fc.bias": torch.zeros(165)}
    save_file(_state(network) | surplus, tmp_path / "w")
    loaded = RadImageNet.load(tmp_path / "w")
    assert not loaded.training and not any(p.requires_grad for p in loaded.parameters())
    for key, value in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value), key
    assert sum(p.numel() for p in network.parameters()) == 23_508_032
    names = set(network.state_dict())
    assert len(names) == 318  # torchvision's 320 less fc.weight and fc.bias
    assert {"conv1.weight", "bn1.running_var", "layer1.0.downsample.0.weight", "layer4.2.bn3.bias"} <= names
    assert "layer3.5.conv2.weight" in names and "layer3.6.conv2.weight" not in names


@pytest.mark.parametrize("fault", ["missing", "folder", "text", "truncated", "lacking", "surplus", "shape"])
def test_any_other_file_is_refused_in_one_line(network: RadImageNet, tmp_path: Path, fault: str) -> None:
    path, state = tmp_path / "weights.safetensors", _state(network)
    if fault == "lacking":
        del state["layer2.3.bn1.weight"]
    if fault == "surplus":
        state["layer5.0.conv1.weight"] = torch.zeros(1)
    if fault == "shape":
        state["conv1.weight"] = torch.zeros(64, 1, 7, 7)
    if fault == "folder":
        path.mkdir()
    elif fault == "text":
        path.write_text("not weights")
    elif fault != "missing":
        save_file(state, path)
    if fault == "truncated":
        path.write_bytes(path.read_bytes()[:1_000_000])
    with pytest.raises(InputError, match=r"^[^\n]*weights\.safetensors: not a ResNet-50[^\n]*$"):
        RadImageNet.load(path)
