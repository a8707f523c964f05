"""The interface of a cohort source: a module of this folder that declares its name, settings and needs.

The file name is the source's name, ``+`` written ``_``; there is no list to edit.
"""

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trainers.cohorts
from trainers.config import FieldError, suggest
from trainers.data.arrays import Array

Mapper = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]
"""``map``, or a parallel equivalent; the order of the items is kept."""


@dataclass(frozen=True)
class CohortSource:
    """Where a cohort comes from; a source's module holds one as ``SOURCE``."""

    name: str
    config: type
    """The class of its settings, a frozen dataclass."""
    prepare: Callable[[Any, Path, Mapper], Path]
    """``prepare(config, root, mapper)``: the cohort's folder below the storage ``root``, built if missing."""
    archives: tuple[str, ...] = ()
    """Public archives that must first be unpacked below ``config.root``."""
    native_volumes: Callable[[Any, str], Mapping[tuple[str, str], tuple[Array, Array]]] | None = None
    """Volumes [X, Y, Z] with RAS affines by (field or view, contrast) of a subject; None: scans are files."""


def source_names() -> tuple[str, ...]:
    """Every source's name; no source is imported."""
    modules = (m for m in pkgutil.iter_modules(trainers.cohorts.__path__) if not m.ispkg)
    return tuple(sorted(m.name.replace("_", "+") for m in modules if m.name != "base"))


def find_source(name: str) -> CohortSource:
    """The source of a name; raises FieldError for an unknown one."""
    known = source_names()
    if name not in known:
        raise FieldError("source", name, f"{suggest(name, known)}one of {', '.join(known)}")
    source: CohortSource = importlib.import_module(f"trainers.cohorts.{name.replace('+', '_')}").SOURCE
    return source
