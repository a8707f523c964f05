"""The diffusive generator: where it starts, what it responds to, what it folds."""

import pytest
import torch
from torch import Tensor, nn

from trainers.networks.diffusion_generator import DiffusionGenerator

FORMS = ["residual", "image"]


def _generator(form: str = "residual", patch: int = 1, attention: bool = False) -> DiffusionGenerator:
    torch.manual_seed(0)
    return DiffusionGenerator(
        channels=3, widths=(8, 16, 16), layers=1, attention=attention, patch=patch, latent=12, form=form
    )


def _inputs(size: int = 32) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    torch.manual_seed(1)
    estimate = torch.rand(3, 3, size, size) * 2 - 1
    return torch.randn(3, 3, size, size), estimate, torch.tensor([0, 2, 3]), torch.randn(3, 12)


def _responsive(network: DiffusionGenerator) -> DiffusionGenerator:
    """With a last layer of normal size, which is small at the start."""
    nn.init.kaiming_normal_(network.unet.conv_out.weight)
    return network


def test_it_starts_at_the_estimate_or_grey_levels_differ_and_a_latents_length_does_not_matter() -> None:
    x, estimate, t, z = _inputs()
    with torch.no_grad():
        assert float((_generator("residual")(x, estimate, t, z) - estimate).abs().max()) < 0.05
        assert float(_generator("image")(x, estimate, t, z).abs().max()) < 0.05
    network, (x, estimate, t, z) = _responsive(_generator()), _inputs()
    with torch.no_grad():
        outputs = [network(x, estimate, torch.full((3,), level), z) for level in range(4)]
    for i in range(4):
        for j in range(i):
            assert float((outputs[i] - outputs[j]).std() / outputs[0].std()) > 0.01, (i, j)
    with torch.no_grad():
        assert torch.allclose(network(x, estimate, t, z), network(x, estimate, t, 7 * z), atol=1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_it_responds_to_the_noisy_image_the_estimate_the_level_and_the_latent(form: str) -> None:
    network, (x, estimate, t, z) = _responsive(_generator(form)), _inputs()
    with torch.no_grad():
        out = network(x, estimate, t, z)
        changes = {
            "noisy": network(-x, estimate, t, z) - out,
            "level": network(x, estimate, (t + 1) % 4, z) - out,
            "latent": network(x, estimate, t, -z) - out,
            "estimate": network(x, estimate.flip(0), t, z) - out,
        }
    sizes = {name: float(change.std() / out.std()) for name, change in changes.items()}
    assert min(sizes.values()) > 0.01, sizes


@pytest.mark.parametrize("form", FORMS)
def test_each_sample_depends_on_its_own_input_alone(form: str) -> None:
    network, inputs = _responsive(_generator(form, attention=True)), _inputs()
    with torch.no_grad():
        together = network(*inputs)
        alone = torch.cat([network(*(i[j : j + 1] for i in inputs)) for j in range(3)])
    assert torch.allclose(together, alone, atol=1e-5)


def test_a_patch_of_two_folds_four_pixels_into_channels() -> None:
    network, (x, estimate, t, z) = _responsive(_generator("image", patch=2)), _inputs()
    assert network.unet.config.in_channels == 24 and network.fold == 8
    both = torch.cat((x, estimate), 1)
    folded = torch.stack([both[:, c, i::2, j::2] for c in range(6) for i in range(2) for j in range(2)], 1)
    with torch.no_grad():
        inside = torch.tanh(network.unet(folded, t, network.mapping(z)).sample).view(3, 3, 2, 2, 16, 16)
        out = network(x, estimate, t, z)
    for i in range(2):
        for j in range(2):
            assert torch.equal(out[:, :, i::2, j::2], inside[:, :, i, j])


@pytest.mark.parametrize("form", FORMS)
def test_every_parameter_learns(form: str) -> None:
    network, (x, estimate, t, z) = _generator(form, attention=True).double(), _inputs()
    out = network(x.double(), estimate.double(), t, z.double())
    torch.autograd.backward((out * torch.randn_like(out)).sum())
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        if not name.endswith("to_k.bias"):  # a softmax over keys is blind to what all keys share
            assert float(parameter.grad.abs().max()) > 1e-12, name


def test_the_published_network_attends_at_sixteen_pixels_of_256() -> None:
    """METHOD.md section 4: multipliers 1 1 2 2 4 4 and attention at 16."""
    with torch.device("meta"):
        settings = {"channels": 3, "layers": 2, "attention": True, "patch": 1, "latent": 100}
        network = DiffusionGenerator(widths=(64, 64, 128, 128, 256, 256), form="image", **settings)  # type: ignore[arg-type]
    attends = [hasattr(block, "attentions") for block in network.unet.down_blocks]
    assert [256 // 2**level for level, here in enumerate(attends) if here] == [16]
    up = [hasattr(block, "attentions") for block in network.unet.up_blocks]
    assert up == attends[::-1]
