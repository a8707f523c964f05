"""Configuration classes that cost nothing: three methods, two cohort sources and references."""

from dataclasses import dataclass
from platform.study.config_classes import Classes
from typing import Annotated, Literal

from trainers.config import FieldError, Range, suggest
from trainers.errors import InputError


@dataclass(frozen=True, kw_only=True)
class ToyConfig:
    """Refused where ``edge`` reaches ``weight``."""

    weight: Annotated[float, Range(0.01, 1000)] = 1.0
    edge: Annotated[float, Range(0, 1)] = 0.1
    steps: Annotated[int, Range(1, 64)] = 5
    updates: Annotated[int, Range(1, 20)] = 1
    batch: Annotated[int, Range(1, 64)] = 2
    rate: float = 1e-3
    flag: bool = True
    form: Literal["image", "residual"] = "image"
    order: Literal[1, 2] = 1
    widths: tuple[int, ...] = (8, 16)
    note: str = ""

    def __post_init__(self) -> None:
        if self.edge >= self.weight:
            raise InputError(f"edge {self.edge} must be below weight {self.weight}")


@dataclass(frozen=True, kw_only=True)
class BridgeConfig:
    weight: Annotated[float, Range(0, 1000)] = 1.0
    steps: Annotated[int, Range(1, 10**8)] = 400
    blocks: Annotated[int, Range(1, 32)] = 9
    generator: Literal["residual", "image", "legacy"] = "residual"
    idt: bool = True
    edge: Annotated[float, Range(0, 1)] = 0.1
    latent: Annotated[int, Range(1, 1024)] = 256
    widths: tuple[int, ...] = (8,)


@dataclass(frozen=True, kw_only=True)
class PatchConfig:
    """Narrower bounds of blocks and weight than the bridge's; refused where ``weight`` reaches ``limit``."""

    weight: Annotated[float, Range(0, 10)] = 2.0
    steps: Annotated[int, Range(1, 10**8)] = 300
    blocks: Annotated[int, Range(1, 16)] = 6
    idt: bool = False
    flip: bool = False
    limit: Annotated[float, Range(0, 100)] = 50.0

    def __post_init__(self) -> None:
        if self.weight >= self.limit:
            raise InputError(f"weight {self.weight} must be below limit {self.limit}")


@dataclass(frozen=True, kw_only=True)
class BrainsConfig:
    size: Literal["1mm", "2mm"] = "2mm"
    train: Annotated[int, Range(1, 100)] = 24


@dataclass(frozen=True, kw_only=True)
class ScansConfig:
    folder: str = ""


@dataclass(frozen=True, kw_only=True)
class TeachersConfig:
    teacher_steps: Annotated[int, Range(1, 10**7)] = 100_000
    teacher_widths: tuple[int, ...] = (64, 128)


METHODS: dict[str, type] = {"toy": ToyConfig, "bridge": BridgeConfig, "patch": PatchConfig}
SOURCES: dict[str, type] = {"brains": BrainsConfig, "scans": ScansConfig}


def toy_method(name: str) -> type:
    if name not in METHODS:
        hint = suggest(name, METHODS)
        raise InputError(f"method: {name!r} is not known; {hint}allowed: {', '.join(METHODS)}")
    return METHODS[name]


def toy_cohort(source: str) -> type:
    if source not in SOURCES:
        raise FieldError("source", source, f"one of {', '.join(SOURCES)}")
    return SOURCES[source]


TOYS = Classes(toy_method, toy_cohort, lambda: TeachersConfig)
