"""D, E, PatchNCE's heads and the frozen encoders: shapes, conditioning, gradients."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainers.networks.blocks import FiLM
from trainers.networks.discriminator import PatchNet
from trainers.networks.encoder import FEATURES, PlainEncoder, ResidualEncoder
from trainers.networks.patch_projection import Projection


def _patch_net(norm: bool, channels: int = 3, width: int = 4) -> PatchNet:
    torch.manual_seed(0)
    return PatchNet(channels=channels, width=width, norm=norm)


def _assert_every_parameter_learns(network: nn.Module, loss: Tensor, cancelled: tuple[str, ...] = ()) -> None:
    torch.autograd.backward(loss)
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert name in cancelled or float(parameter.grad.abs().max()) > 1e-9, name


@pytest.mark.parametrize("norm", [True, False])
def test_the_step_has_an_effect_at_every_level(norm: bool) -> None:
    network, x = _patch_net(norm), torch.randn(2, 3, 32, 32)
    outputs = []
    for film in network.films:
        film.register_forward_hook(lambda _, __, out: outputs.append(out))
    with torch.no_grad():
        network(x, torch.tensor([0, 0]))
        network(x, torch.tensor([0, 4]))
    for before, after in zip(outputs[:4], outputs[4:], strict=True):
        assert torch.equal(before[0], after[0])
        assert float((before[1] - after[1]).abs().mean()) > 1e-3 * float(before.std())


def test_logits_have_the_official_size_and_depend_on_contrast_only_without_norms() -> None:
    """Behind instance norms, scaled intensities change no logit, up to their epsilon and the first FiLM."""
    x, k = torch.randn(1, 3, 32, 32), torch.tensor([0])
    for norm, low, high in ((True, 0, 0.1), (False, 0.3, 3)):
        network = _patch_net(norm)
        for layer in network.films:
            assert isinstance(layer, FiLM)
            nn.init.zeros_(layer.affine.weight)
        with torch.no_grad():
            a, b = network(x, k), network(1.5 * x, k)
        assert low <= float((a - b).std() / a.std()) <= high
        for channels in (3, 12):  # logits of 256 pixels are the official 30 by 30
            logits = _patch_net(norm, channels)(torch.zeros(1, channels, 256, 256), k)
            assert logits.shape == (1, 1, 30, 30)


@pytest.mark.parametrize("norm", [True, False])
def test_every_parameter_of_the_patch_network_learns(norm: bool) -> None:
    network = _patch_net(norm).double()
    network.time.register_forward_pre_hook(lambda _, inputs: inputs[0].double())
    logits = network(torch.randn(2, 3, 32, 32).double(), torch.tensor([1, 3]))
    cancelled = tuple(f"convs.{level}.bias" for level in (1, 2, 3)) if norm else ()
    _assert_every_parameter_learns(network, (logits * torch.randn_like(logits)).sum(), cancelled)


def test_the_heads_project_to_unit_vectors_learn_and_have_the_official_size() -> None:
    torch.manual_seed(0)
    heads = Projection([3, 8], 16).double()
    samples = [torch.randn(2, 5, c, dtype=torch.float64) for c in (3, 8)]
    out = heads(samples)
    for head, sample, vector in zip(heads.heads, samples, out, strict=True):
        w = head.state_dict()
        hidden = F.relu(sample @ w["0.weight"].T + w["0.bias"]) @ w["2.weight"].T + w["2.bias"]
        torch.testing.assert_close(vector, hidden / hidden.norm(dim=-1, keepdim=True))
    _assert_every_parameter_learns(heads, torch.stack([(v * torch.randn_like(v)).sum() for v in out]).sum())
    # METHOD.md 1.4: 0.560 million.
    count = sum(p.numel() for p in Projection([3, 128, 256, 256, 256], 256).parameters())
    assert count / 1e6 == pytest.approx(0.560, abs=5e-4)


@pytest.mark.parametrize("kind", [ResidualEncoder, PlainEncoder])
def test_encoders_pool_any_slice_to_128_features(kind: type[ResidualEncoder | PlainEncoder]) -> None:
    torch.manual_seed(0)
    encoder = kind(16).double()
    for size in ((32, 32), (48, 64)):
        features = encoder(torch.rand(2, 3, *size, dtype=torch.float64))
        assert features.shape == (2, FEATURES) == (2, 128)
    _assert_every_parameter_learns(encoder, (features * torch.randn_like(features)).sum())
