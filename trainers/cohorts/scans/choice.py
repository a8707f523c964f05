"""Which of a session's scans are used, one of each contrast (the rule is in docs/scans.md)."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from trainers.cohorts.scans import names
from trainers.cohorts.scans.filters import Filters

OUTSIDE = ("derivatives", "sourcedata", "code", "stimuli", "phenotype")
"""Folders that hold no raw scans; nor do hidden ones."""
DERIVED = ("desc", "space", "res", "den", "label", "hemi", names.OF)
"""Entities of processed images."""
PARTS = ("phase", "real", "imag")
VIEWS = {"axial": "axi ax axial tra transverse", "coronal": "cor coronal", "sagittal": "sag sagittal"}
"""Words of an acquisition's label by view."""
_LOCALIZER = re.compile(r"locali[sz]|scout|survey|^mrsloc", re.IGNORECASE)
_SHORT_LOCALIZER = {"loc", "plan"}

Key = tuple[tuple[str, str], ...]
"""A name's entities but the run."""


@dataclass(frozen=True)
class Candidate:
    """A scan that may be one of a visit's."""

    path: Path
    name: names.Name

    @property
    def key(self) -> Key:
        """What tells it from scans of other kinds."""
        return tuple(sorted((k, v) for k, v in self.name.entities.items() if k != "run"))

    @property
    def run(self) -> int:
        """A scan is repeated after a failure, so the highest is used."""
        return int("".join(re.findall(r"\d", self.name.entities.get("run", ""))) or 0)


@dataclass(frozen=True)
class Left:
    """A file that is not used."""

    path: Path
    kind: str
    """As ``localizer``; counted."""
    reason: str = ""
    """In more words, where there are any."""


@dataclass(frozen=True)
class Chosen:
    """The scans of a visit by contrast, what is left of its candidates, and why it is refused, if it is."""

    scans: Mapping[str, Candidate]
    left: Sequence[Left]
    problem: str = ""


def unlike_a_scan(path: Path, root: Path, name: names.Name, contrast: str, filters: Filters) -> Left | None:
    """Why a file below ``root`` is no candidate: outside the raw tree, filtered, a localizer, processed."""
    inside = path.relative_to(root).parts[:-1]
    if outside := [part for part in inside if part.startswith(".") or part.lower() in OUTSIDE]:
        return Left(path, "outside the raw scans", f"in {outside[0]}")
    if unmet := filters.unmet(contrast, name.entities):
        return Left(path, "filtered", f"not {unmet}")
    if name.repeated:
        return Left(path, "a wrong name", f"has {name.repeated}- twice")
    folders = [part for part in inside if part.startswith(("sub-", "ses-"))]
    for part in folders:
        key, _, label = part.partition("-")
        if name.entities.get(key, label) != label:
            return Left(path, "a wrong name", f"is in {part}")
    derived = [key for key in DERIVED if key in name.entities and not filters.names(contrast, key)]
    if derived:
        return Left(path, "processed", f"has {derived[0]}-")
    if name.entities.get("part", "") in PARTS and not filters.names(contrast, "part"):
        return Left(path, "not a magnitude image", f"part-{name.entities['part']}")
    if is_localizer(name.entities.get("acq", "")) and not filters.names(contrast, "acq"):
        return Left(path, "a localizer", f"acq-{name.entities['acq']}")
    return None


def is_localizer(label: str) -> bool:
    """Whether an acquisition's label says so, as ``mrsLocAx``, ``scout`` or ``3planeLocalizer``."""
    return bool(_LOCALIZER.search(label)) or bool(_SHORT_LOCALIZER & set(names.words(label)))


def view(label: str) -> str:
    """``axial``, ``coronal`` or ``sagittal`` by an acquisition's label, else empty."""
    words = set(names.words(label))
    return next((each for each, known in VIEWS.items() if words & set(known.split())), "")


def choose(candidates: Mapping[str, Iterable[Candidate]]) -> Chosen:
    """One scan of each contrast, of the same entities where there are such; or why that is ambiguous.

    Only between runs that agree in every other entity does the number decide. Of views that differ in
    nothing else the axial one is used.
    """
    left: list[Left] = []
    options: dict[str, dict[Key, Candidate]] = {}
    for contrast, found in candidates.items():
        options[contrast] = {}
        for candidate in sorted(found, key=lambda each: (each.run, each.path)):
            before = options[contrast].get(candidate.key)
            if before and before.run == candidate.run:
                both = f"{before.path.name} and {candidate.path.name}"
                return Chosen({}, left, f"{contrast} may be {both}; allowed: one")
            if before:
                left.append(Left(before.path, "an earlier run", f"used is {candidate.path.name}"))
            options[contrast][candidate.key] = candidate
    sets = _axial(_sets(options))
    if len(sets) > 1:
        return Chosen({}, left, _ambiguous(options, sets))
    chosen = {contrast: options[contrast][key] for contrast, key in sets[0].items()}
    for contrast, by_key in options.items():
        used = chosen[contrast]
        left += [_passed_over(other, used) for other in by_key.values() if other is not used]
    return Chosen(chosen, left)


def _sets(options: Mapping[str, Mapping[Key, Candidate]]) -> list[dict[str, Key]]:
    """By contrast: those of the same entities; where no two are, all combinations."""
    shared = set.intersection(*(set(by_key) for by_key in options.values()))
    if shared:
        return [dict.fromkeys(options, key) for key in sorted(shared)]
    return [dict(zip(options, keys, strict=True)) for keys in product(*options.values())]


def _axial(sets: list[dict[str, Key]]) -> list[dict[str, Key]]:
    """Without those of other views of which there is an axial set that agrees in all else."""
    plain = [[_without_view(key) for key in each.values()] for each in sets]
    axial = [all(_view(key) == "axial" for key in each.values()) for each in sets]
    chosen = [p for p, is_axial in zip(plain, axial, strict=True) if is_axial]
    return [each for each, p, is_axial in zip(sets, plain, axial, strict=True) if is_axial or p not in chosen]


def _view(key: Key) -> str:
    return view(dict(key).get("acq", ""))


def _without_view(key: Key) -> Key:
    known = {word for words in VIEWS.values() for word in words.split()}
    label = [word for word in names.words(dict(key).get("acq", "")) if word not in known]
    return (*((k, v) for k, v in key if k != "acq"), ("acq", "".join(label)))


def _ambiguous(options: Mapping[str, Mapping[Key, Candidate]], sets: Sequence[Mapping[str, Key]]) -> str:
    contrast = next(c for c in options if len({each[c] for each in sets}) > 1)
    keys = sorted({each[contrast] for each in sets})
    named = " or ".join(options[contrast][key].path.name for key in keys)
    entity = min(key for key, _ in set(keys[0]) ^ set(keys[1]))
    example = f"{entity}={dict(keys[0]).get(entity, '')}"
    return f"{contrast} may be {named}; allowed: one, by a filter such as {example}"


def _passed_over(other: Candidate, used: Candidate) -> Left:
    seen = view(other.name.entities.get("acq", ""))
    if seen and _without_view(other.key) == _without_view(used.key):
        return Left(other.path, "another view", seen)
    return Left(other.path, "another kind of scan", f"used is {used.path.name}")
