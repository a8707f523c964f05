"""The frozen references: training, storage, and the subjects they are trained on."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from trainers import weights
from trainers.config import digest
from trainers.data.degrader import Degradation
from trainers.data.sampling import Slices
from trainers.errors import InputError
from trainers.metrics.judge import Judge
from trainers.networks.denoiser import schedule
from trainers.networks.encoder import PlainEncoder
from trainers.references import encoders, store
from trainers.references.config import ReferenceConfig
from trainers.references.degradation import estimate
from trainers.references.teacher import cosine, denoising_loss, train_teacher


def test_contrastive_loss_against_a_double_loop_and_the_cosine_schedule() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(5, 8, generator=generator), torch.randn(5, 8, generator=generator)
    views = F.normalize(torch.cat((a, b)), dim=1).double()
    total = 0.0
    for i in range(10):
        partner = (i + 5) % 10
        others = [np.exp(float(views[i] @ views[j]) / 0.2) for j in range(10) if j != i]
        total -= np.log(np.exp(float(views[i] @ views[partner]) / 0.2) / sum(others))
    assert float(encoders.contrastive(a, b)) == pytest.approx(total / 10, rel=1e-5)
    values = [cosine(step, 1000) for step in range(1000)]
    assert values[0] == pytest.approx(1 / 100)
    assert max(values) == pytest.approx(1.0)
    assert values[-1] < 1e-4


def test_augmentation_keeps_background_and_intensities_and_four_quarter_turns_are_the_identity() -> None:
    slices = torch.full((4, 3, 40, 40), -1.0)
    slices[:, :, 12:28, 12:28] = 0.5
    torch.manual_seed(0)
    changed = encoders.augment(slices)
    assert float(changed.min()) >= -1 and float(changed.max()) <= 0.5 + 1e-6
    assert torch.equal(changed[:, :, 0, 0], torch.full((4, 3), -1.0))
    x = torch.full((3, 20, 16), -1.0)
    x[:, 6:14, 4:12] = torch.rand(3, 8, 8)
    turned = x
    for _ in range(4):
        turned = encoders.square_rotation(turned, 1)
    assert torch.equal(turned, x)
    assert torch.equal(encoders.square_rotation(x, 2), x.flip((1, 2)))


def test_teacher_learns_a_constant_image() -> None:
    """With one image as data the posterior mean is that image; the loss falls well below the start's 1."""
    network: dict[str, Any] = {"teacher_widths": (16, 16), "teacher_layers": 1, "teacher_attention": False}
    config = ReferenceConfig(crop=32, teacher_steps=60, teacher_batch=8, teacher_lr=3e-3, **network)
    image = torch.linspace(-1, 1, 32).expand(8, 3, 32, 32)
    torch.manual_seed(0)
    alpha, sigma = schedule()
    counts: list[int] = []

    def batches() -> Any:
        while True:
            yield image

    teacher = train_teacher(config, batches(), torch.device("cpu"), counts.append)
    with torch.no_grad():
        loss = np.mean([float(denoising_loss(teacher, image, alpha, sigma)) for _ in range(8)])
    assert counts == list(range(1, 61))
    assert loss < 0.3
    assert not any(p.requires_grad for p in teacher.parameters())


def test_references_are_found_by_content_and_a_missing_file_of_weights_is_an_error(tiny: Any) -> None:
    config = tiny.references.config
    assert store.missing_parts(tiny.folder, config) == []
    changed = ReferenceConfig(**{**vars(config), "teacher_steps": 5})
    folder = store.reference_folder(tiny.root, tiny.cohort, changed)
    assert store.missing_parts(folder, changed) == ["teacher", "domain"]
    assert store.reference_hash(tiny.cohort, changed) != tiny.references.hash
    later = ("bound", "teacher_linear", "teacher_check")
    then = {key: value for key, value in vars(config).items() if key not in later}
    text = json.dumps(then, sort_keys=True, separators=(",", ":"))
    for version, more in ((1, []), (2, ["training 2"])):
        earlier = digest(tiny.cohort.hash, text, "", *more)
        assert store.reference_hash(tiny.cohort, config, version) != earlier
        unchanged = replace(config, teacher_linear=False, teacher_check=not config.teacher_check)
        assert store.reference_hash(tiny.cohort, unchanged, version) == earlier
    config = ReferenceConfig(radimagenet="/nowhere/resnet.safetensors")
    with pytest.raises(InputError, match=r"radimagenet: '/nowhere/resnet.safetensors' is not allowed"):
        store.reference_folder(tiny.root, tiny.cohort, config)


def test_references_train_on_training_subjects_and_are_verified(tiny: Any, tmp_path: Path) -> None:
    judged = {s.id for split in ("val", "test") for s in tiny.cohort.split(split).subjects("3T")}
    for part in ("teacher", "domain"):
        trained = set(weights.read_manifest(tiny.folder / part)["trained_on"])
        assert trained and not trained & judged
    copy = tmp_path / "references"
    shutil.copytree(tiny.folder, copy)
    file = copy / "domain" / "domain.safetensors"
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(InputError, match=r"domain\.safetensors"):
        store.References.open(copy)


def test_the_degradation_is_made_only_where_trials_restore(tiny: Any, tmp_path: Path) -> None:
    config = tiny.references.config
    copy = shutil.copytree(tiny.folder, tmp_path / "references")
    opened = store.References.open(copy).required_degradation()
    assert all(np.array_equal(value, getattr(opened, name)) for name, value in vars(estimated(tiny)).items())
    shutil.rmtree(copy / store.RESTORATION)
    assert store.missing_parts(copy, config) == []
    assert store.missing_parts(copy, config, restores=True) == [store.RESTORATION]
    with pytest.raises(InputError, match=r"lambda_restore: needs the degradation .*; allowed: 0, or prepare"):
        store.References.open(copy).required_degradation()


def test_restorers_are_fitted_with_and_without_neighbours(tiny: Any) -> None:
    """Least squares of more features have the smaller error of those to which both were fitted."""
    config = tiny.references.config
    slices = Slices.of(tiny.cohort, config.channels, min(tiny.cohort.shape), tiny.references.degradation)
    errors = dict.fromkeys(store.RESTORERS, 0.0)
    for source, target, counted in slices.degraded_slices(config.seed):
        for key, restorer in tiny.references.restorers.items():
            found = restorer.features(source)[counted] @ restorer.weight.float()
            errors[key] += float((found - (target[:, :2].movedim(1, -1)[counted] + 1) / 2).square().sum())
    assert 0 < errors[True] < errors[False]


def estimated(tiny: Any) -> Degradation:
    """The degradation of the session's cohort, estimated again."""
    return estimate(tiny.cohort, lambda count: None)


def test_rad_fid_is_measured_in_the_encoder_that_is_there(tiny: Any, tmp_path: Path) -> None:
    """The earlier fallback where a study has it, RadImageNet's where the weights are given, else none."""
    assert tiny.references.radiology is None and tiny.references.radiology_label == ""
    assert not store.has_radiology(tiny.folder, tiny.references.config)
    copy = shutil.copytree(tiny.folder, tmp_path / "references")
    weights.publish(copy / "radiology", {"radiology": PlainEncoder(8).state_dict()}, {}, "reference")
    opened = store.References.open(copy)
    assert opened.radiology_label == "rad-fallback" and isinstance(opened.radiology, PlainEncoder)
    judge = Judge.of(tiny.cohort, opened, "val", version=1)
    assert judge.score(judge.source)["rad_fid"] > 0 and "rad-fallback" in judge.protocol()["rad_fid"]
    given = replace(tiny.references.config, radimagenet="weights.safetensors")
    assert store.parts(given) == ("teacher", "domain", "radiology")
    assert replace(opened, config=given).radiology_label == "radimagenet"


def test_rounding_as_of_another_machine_trains_the_same_encoder(tiny: Any) -> None:
    """Differences of 1e-12 in what it sees leave every bit as it was; of 1e-3 they do not."""

    def trained(noise: float) -> Tensor:
        rng = torch.Generator().manual_seed(1)
        config, device = replace(tiny.references.config, encoder_steps=10), torch.device("cpu")

        def batches() -> Iterator[tuple[Tensor, Tensor]]:
            for slices, height in store.slice_batches(tiny.cohort, config):
                small = F.avg_pool2d(slices, 4).double()
                yield small + noise * torch.randn(small.shape, generator=rng), height

        encoder = encoders.train_domain_encoder(config, batches(), device, lambda step: None)
        return torch.cat([p.flatten() for p in encoder.parameters()])

    assert torch.equal(trained(0), trained(1e-12)) and not torch.equal(trained(0), trained(1e-3))
    values = torch.tensor([0.9, 0.13, 1e-9])
    encoders.round_to_bits(values, 3)
    assert values.tolist() == [0.875, 0.125, 0]


def test_the_teacher_is_built_once_when_first_used_and_draws_no_random_numbers(tiny: Any) -> None:
    opened, state = store.References.open(tiny.folder), torch.get_rng_state()
    assert opened.teacher is opened.teacher and not opened.teacher.training
    assert torch.equal(torch.get_rng_state(), state)
