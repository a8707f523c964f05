"""Configuration classes of methods, cohort sources and references, and the types of their fields."""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trainers.config import FieldError, FieldType, check, field_types, suggest

fields_of = functools.cache(field_types)
"""The fields of a configuration class; cached, as every proposal is checked against them."""


def method_config(name: str) -> type:
    """``Config`` of trainers/methods/<name>.py; raises InputError for an unknown method."""
    from trainers.methods.base import find_method  # late: it imports torch

    config: type = find_method(name).Config
    return config


def cohort_config(source: str) -> type:
    """The configuration class of a cohort source; raises FieldError for an unknown one."""
    from trainers.cohorts.base import find_source

    return find_source(source).config


def reference_config() -> type:
    """The configuration class of the cohort's references."""
    from trainers.references.config import ReferenceConfig

    return ReferenceConfig


@dataclass(frozen=True)
class Classes:
    """Where a study finds the configuration classes that it names."""

    method: Callable[[str], type] = method_config
    cohort: Callable[[str], type] = cohort_config
    references: Callable[[], type] = reference_config


DEFAULT_CLASSES = Classes()


def union(configs: Sequence[type]) -> dict[str, FieldType]:
    """The fields of all configuration classes; of a name in several, the last one's type."""
    return {name: kind for config in configs for name, kind in fields_of(config).items()}


def typed(configs: Sequence[type], values: Mapping[str, Any]) -> dict[str, Any]:
    """The values in the types of their fields; raises FieldError for the first wrong one."""
    known = union(configs)
    for key, value in values.items():
        if key not in known:
            raise FieldError(key, value, f"{suggest(key, known)}one of {', '.join(known)}")
    return {key: check_all(configs, key, value) for key, value in values.items()}


def check_all(configs: Sequence[type], key: str, value: Any) -> Any:
    """A value that suits every class with the field ``key``; FieldError otherwise. An integer stays one."""
    kinds = [fields_of(config)[key] for config in configs if key in fields_of(config)]
    return min((check(key, value, kind) for kind in kinds), key=lambda checked: isinstance(checked, float))
