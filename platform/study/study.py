"""A study: what is searched, for which objectives, on which cohort, with what resources; saved as JSON."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from platform.study.budget import Budget
from platform.study.config_classes import DEFAULT_CLASSES, Classes, fields_of, typed, union
from platform.study.dimensions import Dimension, dimension_from_json, extremes
from platform.study.settings import CohortChoice, Constraint, Objective, Recovery, Resources, Scheduler
from typing import Any

from trainers.config import build, digest, earlier_meanings, plain_values, rebuild
from trainers.errors import InputError

METHOD = "method"
"""Name of the dimension that chooses among a study's methods."""

_PLAIN = ("name", "path", "profile", "sampler", "warm", "seed", "deterministic")
_TUPLES = ("methods", "fixed", "start", "references")
_LISTED: dict[str, type] = {"objectives": Objective, "constraints": Constraint}
_NESTED: dict[str, type] = {
    **{"scheduler": Scheduler, "resources": Resources, "budget": Budget},
    "recovery": Recovery,
}


@dataclass(frozen=True, kw_only=True)
class Study:
    """A validated space; made by ``platform.spaces.loader.load_study`` or :meth:`from_json`."""

    name: str
    path: str
    """The YAML it came from, as given."""
    profile: str | None
    methods: tuple[str, ...]
    """With more than one, the first dimension of ``search`` chooses among them as ``method``."""
    configs: tuple[type, ...]
    """The methods' configuration classes."""
    objectives: tuple[Objective, ...]
    constraints: tuple[Constraint, ...] = ()
    sampler: str
    scheduler: Scheduler = field(default_factory=Scheduler)
    search: tuple[Dimension, ...]
    fixed: dict[str, Any]
    start: tuple[dict[str, Any], ...]
    """Parameters to try first, each with a value for every dimension that is active there."""
    warm: str = ""
    """Name of an earlier study whose completed trials this one starts from; empty: none."""
    cohort: CohortChoice
    references: dict[str, Any]
    """Values of ReferenceConfig's fields; the others keep their defaults."""
    resources: Resources
    recovery: Recovery = field(default_factory=Recovery)
    budget: Budget
    seed: int
    deterministic: bool = False
    """Whether the study, repeated with as many trials at a time, makes the same proposals."""
    allow_blind: bool = False
    """Whether an objective may fail its sensitivity card."""

    @property
    def method(self) -> str:
        """The methods' names."""
        return ", ".join(self.methods)

    @property
    def metrics(self) -> dict[str, str]:
        """Every metric that the study needs, with the section of the space that names it."""
        constrained = {constraint.metric: "constraints" for constraint in self.constraints}
        return constrained | {objective.name: "objectives" for objective in self.objectives}

    @property
    def config(self) -> type:
        """The first method's configuration class."""
        return self.configs[0]

    @property
    def levels(self) -> tuple[int, ...]:
        """Steps at which the scheduler decides on a trial that trains longer; none without a scheduler."""
        return self.scheduler.rungs(max(self.steps))[:-1]

    @property
    def steps(self) -> tuple[int, ...]:
        """The least and most steps searched; each method's own steps too, unless they are always searched."""
        searched = [dimension for dimension in self.search if dimension.name == "steps"]
        steps = [int(value) for dimension in searched for value in extremes(dimension)]
        if not searched or searched[0].when:
            steps += [self.point({METHOD: method}).steps for method in self.methods]
        return tuple(steps)

    def method_of(self, params: Mapping[str, Any]) -> str:
        """The method that parameters choose."""
        return str(params.get(METHOD, self.methods[0]))

    def point(self, params: Mapping[str, Any]) -> Any:
        """The method's ``Config``: defaults, replaced by ``fixed``, then by ``params``; raises InputError.

        Fields that only other methods have are left out.
        """
        config = self.configs[self.methods.index(self.method_of(params))]
        own, others = fields_of(config), {METHOD, *union(self.configs)}
        values = {**self.fixed, **params}
        return build(config, {k: value for k, value in values.items() if k in own or k not in others})

    @property
    def restores(self) -> bool:
        """Whether any trial may restore degraded 3 T slices."""
        searched = any(dimension.name == "lambda_restore" for dimension in self.search)
        return searched or any(self.point({METHOD: method}).restores for method in self.methods)

    def with_earlier_meanings(self) -> "Study":
        """The study with what fields that were added later meant before they existed."""
        earlier = _earlier(self.configs)
        start = tuple({k: v for k, v in point.items() if k not in earlier} for point in self.start)
        search = tuple(dimension for dimension in self.search if dimension.name not in earlier)
        return replace(self, fixed={**self.fixed, **earlier}, start=start, search=search)

    def refusal(self, params: Mapping[str, Any]) -> str:
        """Why the method's ``Config`` does not accept the parameters; empty where it does."""
        try:
            self.point(params)
        except InputError as error:
            return str(error)
        return ""

    def to_json(self) -> str:
        """Canonical JSON: equal studies give equal text."""
        return json.dumps(self._plain(), sort_keys=True, separators=(",", ":"))

    @property
    def digest(self) -> str:
        """Content hash of everything except the path."""
        return digest(json.dumps({**self._plain(), "path": ""}, sort_keys=True))

    def _plain(self) -> dict[str, Any]:
        plain = {key: getattr(self, key) for key in (*_PLAIN, *_TUPLES)}
        plain |= {key: [asdict(each) for each in getattr(self, key)] for key in _LISTED}
        plain |= {key: asdict(getattr(self, key)) for key in _NESTED}
        plain |= {"search": [{"kind": type(d).__name__, **asdict(d)} for d in self.search]}
        plain |= {"allow_blind": True} if self.allow_blind else {}  # studies before it do not name it
        plain |= {"later": sorted(later)} if (later := _earlier(self.configs)) else {}
        return plain | {"cohort": {"source": self.cohort.source, "config": plain_values(self.cohort.config)}}

    @classmethod
    def from_json(cls, text: str, classes: Classes = DEFAULT_CLASSES) -> "Study":
        """The study that :meth:`to_json` wrote; raises InputError if a class or field no longer exists."""
        plain = json.loads(text)
        configs = tuple(classes.method(name) for name in plain["methods"])
        source, references = plain["cohort"]["source"], classes.references()
        earlier = {k: v for k, v in _earlier(configs).items() if k not in plain.get("later", ())}
        read: dict[str, Any] = {key: plain[key] for key in _PLAIN}
        read |= {key: tuple(kind(**each) for each in plain[key]) for key, kind in _LISTED.items()}
        read |= {key: build(kind, plain.get(key, {})) for key, kind in _NESTED.items()}
        return cls(
            **read,
            methods=tuple(plain["methods"]),
            configs=configs,
            search=tuple(dimension_from_json(values) for values in plain["search"]),
            fixed=typed(configs, {**earlier, **plain["fixed"]}),
            start=tuple(plain["start"]),
            cohort=CohortChoice(source, rebuild(classes.cohort(source), plain["cohort"]["config"])),
            references=typed((references,), {**earlier_meanings(references), **plain["references"]}),
            allow_blind=plain.get("allow_blind", False),
        )


def _earlier(configs: Sequence[type]) -> dict[str, Any]:
    """What fields that were added later to methods meant before: saved studies name those that they know."""
    return {name: value for config in configs for name, value in earlier_meanings(config).items()}
