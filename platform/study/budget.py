"""When a study is over: trials, hours, GPU-hours, cost, or a hypervolume that no longer grows."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated

from trainers.config import FieldError, Range, build
from trainers.errors import InputError

_TOGETHER = [
    *(("cost", "cost_per_gpu_hour"), ("cost_per_gpu_hour", "cost")),
    *(("plateau_percent", "plateau_trials"), ("plateau_trials", "plateau_percent")),
]


@dataclass(frozen=True, kw_only=True)
class Budget:
    """When a study is over: whichever comes first. 0 is no limit."""

    trials: Annotated[int, Range(1, 1_000_000)]
    hours: Annotated[float, Range(0, 100_000)] = 0.0
    """By the clock."""
    gpu_hours: Annotated[float, Range(0, 10**7)] = 0.0
    """GPUs times the hours that trials occupied them, all trials together."""
    cost: Annotated[float, Range(0, 10**9)] = 0.0
    """Of the GPU-hours, in the currency of ``cost_per_gpu_hour``."""
    cost_per_gpu_hour: Annotated[float, Range(0, 10**6)] = 0.0
    plateau_percent: Annotated[float, Range(0, 100)] = 0.0
    """The study is over when the hypervolume grew by less than this in the last ``plateau_trials``."""
    plateau_trials: Annotated[int, Range(0, 1_000_000)] = 0

    def __post_init__(self) -> None:
        """Raises FieldError where only one of two limits that need each other is set."""
        for one, other in _TOGETHER:
            if (value := getattr(self, one)) and not getattr(self, other):
                raise FieldError(one, value, f"only together with {other}")


@dataclass(frozen=True)
class Spent:
    """What a study has used up."""

    hours: float
    """By the clock, all drivers together."""
    gpu_hours: float

    def ends(self, budget: Budget) -> str:
        """The first limit that is reached, in words; empty if none is."""
        cost = self.gpu_hours * budget.cost_per_gpu_hour
        limits = (
            (self.hours, budget.hours, "hours"),
            (self.gpu_hours, budget.gpu_hours, "GPU-hours"),
            (cost, budget.cost, "cost"),
        )
        for used, allowed, name in limits:
            if allowed and used >= allowed:
                return f"{name}: {used:.3g} of {allowed:g}"
        return ""


def plateau(volumes: Sequence[float], budget: Budget) -> str:
    """That the hypervolume grew too little in the last completed trials, in words; else empty.

    ``volumes``: the hypervolume after each completed trial.
    """
    window, percent = budget.plateau_trials, budget.plateau_percent
    if not window or len(volumes) <= window or not volumes[-1]:
        return ""
    growth = 100 * (volumes[-1] - volumes[-1 - window]) / volumes[-1]
    if growth < percent:
        text = f"the hypervolume grew by {growth:.2g} % in the last {window} completed trials"
        return f"{text}, less than {percent:g} %"
    return ""


EXTENSIBLE = ("trials", "hours", "gpu_hours", "cost")


def extended(budget: Budget, more: Mapping[str, float]) -> Budget:
    """A budget with some limits raised by ``more``; InputError for one that is not set or too large."""
    for name in more:
        if name != "trials" and not getattr(budget, name):
            limited = ", ".join(each for each in EXTENSIBLE if getattr(budget, each))
            raise InputError(f"--extend: {name} has no limit in this study; allowed: {limited}")
    sums = {name: getattr(budget, name) + value for name, value in more.items()}
    if "trials" in sums:
        sums["trials"] = int(sums["trials"])
    return with_limits(budget, "--extend: ", **sums)


def with_limits(budget: Budget, option: str, **limits: float) -> Budget:
    """A budget with other limits; its InputError begins with ``option``, the option that set them."""
    try:
        changed: Budget = build(Budget, asdict(budget) | limits)
    except InputError as error:
        raise InputError(f"{option}{error}") from None
    return changed


def parse_extension(words: Sequence[str]) -> dict[str, float]:
    """The limits in ``["trials=20", "hours=2"]`` of the command line; raises InputError."""
    more: dict[str, float] = {}
    for word in words:
        name, _, text = word.partition("=")
        if name not in EXTENSIBLE:
            raise InputError(f"--extend: {word!r} is not allowed; allowed: {'=N, '.join(EXTENSIBLE)}=N")
        if name in more:
            raise InputError(f"--extend: {word!r}: {name} is there twice; allowed: once")
        try:
            value = float(text)
        except ValueError:
            value = 0.0
        whole = value.is_integer() if name == "trials" else True
        if not 0 < value < 1e9 or not whole:
            kind = "a whole number" if name == "trials" else "a number"
            raise InputError(f"--extend: {word!r} is not allowed; allowed: {name}= {kind} above 0")
        more[name] = value
    return more
