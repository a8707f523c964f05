"""What a method is: networks built from its ``Config``, one optimisation step, a translation.

A method is one file of this folder that defines ``Config`` (extending :class:`TrialConfig`) and ``Method``
(extending this one); the file's name is the method's name.
"""

import copy
import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Annotated, Any, ClassVar, Literal, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

import trainers.methods
from trainers.config import Range, suggest
from trainers.data.batch import Batch, Pairing
from trainers.data.neighbours import parted, surrounded
from trainers.errors import InputError
from trainers.losses.regression import brain_error
from trainers.networks.denoiser import Denoiser
from trainers.networks.discriminator import PatchNet
from trainers.networks.resnet import Norm, ResNetGenerator
from trainers.references.config import ReferenceConfig
from trainers.references.restorer import Restorer

Weight = Annotated[float, Range(0, 1000)]
"""Of a term in a loss."""
Width = Annotated[int, Range(4, 256)]
"""Channels of a network's first level."""
Patch = Annotated[int, Range(1, 2)]
"""Pixels that a generator folds into channels along each side; 1 is published, 2 saves half of its time."""
RESTORER = "restorer"
"""Name of the closed-form restorer among the networks that translate."""


@dataclass(frozen=True, kw_only=True)
class TrialConfig:
    """Settings common to the trials of every method."""

    seed: Annotated[int, Range(0, 2**31 - 1)] = 0
    """Of the initial weights, the data order and every draw."""
    steps: Annotated[int, Range(1, 10**8)] = 400_000
    """Optimiser steps; all schedules are relative to them."""
    batch_size: Annotated[int, Range(2, 1024)] = 4
    """Slices of each domain per step and process."""
    accumulate: Annotated[int, Range(1, 1024)] = 1
    """Micro-batches whose gradients make one optimiser step."""
    crop: Annotated[int, Range(32, 512)] = 128
    """Side of the random square training crops, pixels."""
    rungs: Annotated[int, Range(1, 100)] = 4
    """Validations and checkpoints per trial, the last at its end."""
    precision: Literal["auto", "no", "bf16"] = "auto"
    """Mixed precision; auto is bf16 on a GPU that has it. Processors without instructions for it take twenty
    times as long in bf16."""
    ema_decay: Annotated[float, Range(0, 1)] = 0.999
    """Of the averaged weights that are validated and exported."""
    lr: Annotated[float, Range(1e-7, 1e-1)] = 2e-4
    """Adam's."""
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    """Of every learning rate: constant, then linear to zero (METHOD.md 1.7); half a cosine; or constant."""
    constant_part: Annotated[float, Range(0, 0.99)] = 0.5
    """Share of training before the linear schedule falls."""

    @property
    def uses_teacher(self) -> bool:
        """Whether training or translation depends on the 3 T teacher."""
        return False

    @property
    def restores(self) -> bool:
        """Whether training uses degraded 3 T slices."""
        return False

    @property
    def starts_restored(self) -> bool:
        """Whether what is translated is the closed-form restoration of a 64 mT slice."""
        return False


@dataclass(frozen=True)
class Context:
    """Frozen inputs of a method besides its configuration."""

    config: ReferenceConfig
    """Settings of the references."""
    teacher: Denoiser
    """The frozen 3 T diffusion teacher."""
    encoder: nn.Module
    """The frozen 3 T-domain encoder, a :class:`~trainers.networks.encoder.ResidualEncoder`."""
    example_subject: Tensor
    """All slices [L, 3, H, W] of one 3 T training subject, inferior to superior."""
    restorers: Mapping[bool, Restorer] = field(default_factory=dict)
    """Of methods that start from a restored slice, by whether neighbours are used; without: the identity."""


class Minimise(Protocol):
    """One step of the named networks' optimisers on a loss; the loop scales, reduces and accumulates."""

    def __call__(self, names: Sequence[str], loss: Tensor) -> None:
        """Update the parameters of ``names`` alone."""


Step = Callable[[Batch, int, Minimise], dict[str, Tensor]]
"""As :meth:`Method.step`."""


def generator_shape(config: Any) -> dict[str, Any]:
    """The arguments of a residual generator that a trial's settings give."""
    return {
        "channels": 3,
        "width": config.generator_width,
        "blocks": config.generator_blocks,
        "form": config.generator,
        "patch": config.generator_patch,
        "norm": config.generator_norm,
    }


def restoring(config: Any, references: ReferenceConfig) -> dict[str, nn.Module]:
    """The network that restores in closed form, where translation starts so: to be fitted or loaded."""
    if not config.starts_restored:
        return {}
    return {RESTORER: Restorer(references.channels, config.restore_detail, config.restore_neighbours)}


class Method(ABC):
    """A method: build (``__init__``), :meth:`step`, :meth:`translate`."""

    pairing: ClassVar[Pairing] = "random"
    """How a batch draws its 3 T slices: at random, or at the height and position of the 64 mT ones."""
    caveat: ClassVar[str] = ""
    """A note shown with this method's scores in every comparison."""
    config: Any
    networks: dict[str, nn.Module]
    """All networks that are trained, and other state such as an image pool."""
    optimizers: dict[str, Optimizer]
    """By network name."""
    averaged: dict[str, nn.Module]
    """The networks that translate: moving averages, and networks that are not trained."""

    def finish_build(self, context: Context, **untrained: nn.Module) -> None:
        """Make the averaged copies and store the learning rates; called at the end of ``__init__``.

        ``untrained`` are those of :meth:`translators` that are not among the networks.
        """
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["initial_lr"] = group["lr"]
        if self.config.starts_restored:
            (untrained[RESTORER],) = restoring(self.config, context.config).values()
            if fitted := context.restorers.get(self.config.restore_neighbours):
                untrained[RESTORER].load_state_dict(fitted.state_dict())
        assert self.networks.keys().isdisjoint(untrained)
        everything = self.networks | untrained
        names = self.translators(self.config, context.config)
        self.averaged = {name: copy.deepcopy(everything[name]).requires_grad_(False).eval() for name in names}

    def to(self, device: torch.device) -> None:
        """Move every network."""
        for network in [*self.networks.values(), *self.averaged.values()]:
            network.to(device)

    def prepared(self, batch: Batch) -> Batch:
        """A drawn batch as :meth:`step` takes it: its 64 mT slices restored where translation starts so."""
        restore = self.averaged.get(RESTORER)
        if not isinstance(restore, Restorer):
            degraded = None if batch.degraded is None else parted(batch.degraded)[0]
            return replace(batch, source=parted(batch.source)[0], degraded=degraded)
        given = replace(batch, source=restore(batch.source))
        if batch.degraded is None:
            return given
        return replace(given, degraded=restore(batch.degraded), restored=restore.detailed(batch.target))

    @torch.no_grad()
    def average(self, decay: float) -> None:
        """One update of the exponential moving average."""
        for name, network in self.averaged.items():
            if name not in self.networks:
                continue
            for mean, value in zip(network.parameters(), self.networks[name].parameters(), strict=True):
                mean.lerp_(value, 1 - decay)

    @abstractmethod
    def step(self, batch: Batch, step: int, minimise: Minimise) -> dict[str, Tensor]:
        """One optimisation step of every network; returns detached scalars to log."""

    def step_forms(self) -> "list[Step]":
        """Forms of :meth:`step` without random numbers of operations, whose mean is that of a step."""
        return [self.step]

    @staticmethod
    @abstractmethod
    def translators(config: Any, references: ReferenceConfig) -> dict[str, nn.Module]:
        """The networks that translate, freshly built: all that an exported model holds.

        Their shapes depend on the settings alone, as the weights come from a file.
        """

    @staticmethod
    @abstractmethod
    def translate(
        networks: Mapping[str, nn.Module], config: Any, source: Tensor, seed: int
    ) -> Iterable[Tensor]:
        """64 mT slices [B, 3, H, W] in [-1, 1] to 3 T, one [B, 3, H, W] a refinement step count 1, 2, ...

        A caller that needs fewer steps stops early, and a generator then computes no more of them.
        Deterministic: ``seed`` draws the method's noise, the same for every slice, and no slice depends on
        another. H and W are multiples of 4. ``networks`` are frozen; gradients may be off.
        """


@dataclass(frozen=True, kw_only=True)
class RestoringConfig(TrialConfig):
    """Settings of a method that can also learn to restore degraded 3 T slices, which needs no pairs."""

    lambda_restore: Weight = 100.0
    """Of the mean squared error in the brain of restored slices; 0: without, as published."""

    restore_first: bool = True
    """With restoration, translate the slice's closed-form restoration instead of the slice."""
    restore_neighbours: bool = True
    """Restore a slice with the ones above and below, of whose anatomy its thickness holds a part."""
    restore_detail: Annotated[float, Range(0, 1)] = 0.5
    """Share of the detail that restorations of least error lack which they are to have: realism for error.
    Without ``restore_first`` there is none."""

    EARLIER: ClassVar[dict[str, Any]] = {
        **{"lambda_restore": 0.0, "restore_first": False, "restore_detail": 0.0, "restore_neighbours": False}
    }
    """What the setting meant before it existed: see ``trainers.config.plain_values``."""

    @property
    def restores(self) -> bool:
        """Whether training uses degraded 3 T slices."""
        return self.lambda_restore > 0

    @property
    def starts_restored(self) -> bool:
        """Whether what is translated is the closed-form restoration of a 64 mT slice."""
        return self.restores and self.restore_first

    def restoration(self, restored: Tensor, batch: Batch) -> Tensor:
        """The term of a batch's ``restored`` degraded slices [B, 3, H, W]."""
        goal = batch.target if batch.restored is None else batch.restored
        return self.lambda_restore * brain_error(restored.float(), goal, batch.target_mask, power=2)


@dataclass(frozen=True, kw_only=True)
class OnePassConfig(RestoringConfig):
    """Settings of a method with one kind of generator and one of discriminator."""

    generator: Literal["residual", "image"] = "residual"
    """Predicts a change to its input; or, as published, the image."""
    generator_width: Width = 64
    generator_blocks: Annotated[int, Range(1, 32)] = 9
    generator_patch: Patch = 1
    generator_norm: Norm = "slice"
    discriminator_width: Width = 64
    discriminator_norm: bool = False
    """Instance norms in the discriminators, as published; they hide the intensities."""

    EARLIER: ClassVar[dict[str, Any]] = {"generator_patch": 1, "generator_norm": "slice"}

    def build_discriminator(self) -> PatchNet:
        """A new discriminator of images."""
        return PatchNet(channels=3, width=self.discriminator_width, norm=self.discriminator_norm, timed=False)


class OnePass(Method):
    """A method that translates in one pass of its generator G."""

    @staticmethod
    def translators(config: OnePassConfig, references: ReferenceConfig) -> dict[str, nn.Module]:
        """The generator to 3 T."""
        return {
            "G": ResNetGenerator(**generator_shape(config)),
            **restoring(config, references),
        }

    @staticmethod
    @torch.no_grad()
    def translate(
        networks: Mapping[str, nn.Module], config: OnePassConfig, source: Tensor, seed: int
    ) -> list[Tensor]:
        """One pass; nothing is drawn."""
        return [networks["G"](source)]


def translate_rows(
    method: Method | type[Method],
    networks: Mapping[str, nn.Module],
    config: Any,
    source: Tensor,
    seed: int,
    steps: int | None = None,
    chunk: int | None = None,
    subjects: Sequence[tuple[int, int]] | None = None,
    progress: Callable[[], None] = lambda: None,
) -> list[Tensor]:
    """Translations of slices [N, 3, H, W], ``chunk`` at a time: one [N, 3, H, W] a refinement step count.

    By default as many as keep a GPU busy and fit in a small one, or as a processor's cache holds. At most
    ``steps`` of them, moved to the CPU, which saves GPU memory and waits for the GPU. The slices are
    restored first where the networks have a :class:`Restorer`, with their neighbours of the same of the
    ``subjects``, rows (start, stop) of each, inferior to superior; by default all are of one. ``progress``
    is called before each output of a chunk.
    """
    restore = networks.get(RESTORER, nn.Identity())
    source = surrounded(source, subjects) if RESTORER in networks else source
    chunk = chunk or (32 if source.is_cuda else 8)

    def translated(rows: Tensor) -> Iterator[Tensor]:
        progress()
        for output in islice(method.translate(networks, config, restore(rows), seed), steps):
            yield output.cpu()
            progress()

    parts = [list(translated(rows)) for rows in torch.split(source, chunk)]
    return [torch.cat(outputs) for outputs in zip(*parts, strict=True)]


def method_names() -> list[str]:
    """The names of the methods, which are the modules of this folder."""
    return sorted(
        module.name for module in pkgutil.iter_modules(trainers.methods.__path__) if module.name != "base"
    )


def find_method(name: str) -> Any:
    """The module of a method, with ``Config`` and ``Method``; raises InputError for an unknown name."""
    names = method_names()
    if name not in names:
        raise InputError(
            f"method: {name!r} is not known; {suggest(name, tuple(names))}allowed: {', '.join(names)}"
        )
    return importlib.import_module(f"trainers.methods.{name}")
