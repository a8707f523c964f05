"""Which of a session's scans are used, one of each contrast (the rule is in docs/scans.md)."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from trainers.cohorts.scans import ambiguity, names
from trainers.cohorts.scans.eligibility import Left
from trainers.cohorts.scans.filters import Filters
from trainers.cohorts.scans.wording import some

VIEWS = {"axial": "axi ax axial tra transverse", "coronal": "cor coronal", "sagittal": "sag sagittal"}
"""Words of an acquisition's label by view."""
AMBIGUOUS = "ambiguous"

Key = tuple[tuple[str, str], ...]
"""A name's entities but the run."""


@dataclass(frozen=True)
class Candidate:
    """A scan or a mask that may be one of a visit's."""

    path: Path
    place: str
    """Its path below the data set."""
    name: names.Name

    @property
    def key(self) -> Key:
        """What tells it from scans of other kinds."""
        return tuple(sorted((k, v) for k, v in self.name.entities.items() if k != "run"))

    @property
    def run(self) -> int:
        """A scan is repeated after a failure, so the highest is used."""
        return int("".join(re.findall(r"\d", self.name.entities.get("run", ""))) or 0)


Options = Mapping[str, Mapping[Key, Candidate]]
"""By contrast, its scans of each kind."""


@dataclass(frozen=True)
class Chosen:
    """The scans of a visit by contrast, what is left of its candidates, and why it is refused, if it is."""

    scans: Mapping[str, Candidate]
    left: Sequence[Left]
    problem: str = ""
    views: Sequence[tuple[str, Candidate]] = ()
    """Of what is left, by contrast, the scans that differ from the chosen one in their view alone."""


def view(label: str) -> str:
    """``axial``, ``coronal`` or ``sagittal`` by an acquisition's label, else empty."""
    words = set(names.words(label))
    return next((each for each, known in VIEWS.items() if words & set(known.split())), "")


def choose(candidates: Mapping[str, Sequence[Candidate]]) -> Chosen:
    """One scan of each contrast, of the same entities where there are such; or why that is ambiguous.

    Only between runs that agree in every other entity does the number decide. Of views that differ in
    nothing else the axial one is used.
    """
    options, left, views = {}, list[Left](), list[tuple[str, Candidate]]()
    for contrast, found in candidates.items():
        options[contrast], earlier, twins = _last_runs(found)
        left += earlier
        if twins:
            return refused(candidates, f"{contrast} may be {twins}; allowed: one")
    sets = _best(options)
    if len(sets) > 1:
        return refused(candidates, _ambiguous(options, sets))
    chosen = {contrast: options[contrast][key] for contrast, key in sets[0].items()}
    for contrast, by_key in options.items():
        used = chosen[contrast]
        others = [other for other in by_key.values() if other is not used]
        left += [_passed_over(other, used) for other in others]
        views += [(contrast, other) for other in others if _another_view(other, used)]
    return Chosen(chosen, left, views=views)


def refused(candidates: Mapping[str, Iterable[Candidate]], problem: str) -> Chosen:
    """None of the candidates."""
    left = [Left(each.path, AMBIGUOUS, problem) for found in candidates.values() for each in found]
    return Chosen({}, left, problem)


def _last_runs(found: Iterable[Candidate]) -> tuple[dict[Key, Candidate], list[Left], str]:
    """By kind the scan of the highest run, earlier ones, and two of one run, if there are."""
    last: dict[Key, Candidate] = {}
    earlier = list[Left]()
    for candidate in sorted(found, key=lambda each: (each.run, each.path)):
        before = last.get(candidate.key)
        if before and before.run == candidate.run:
            return last, earlier, f"{before.place} and {candidate.place}"
        if before:
            earlier.append(Left(before.path, "an earlier run", f"used is {candidate.path.name}"))
        last[candidate.key] = candidate
    return last, earlier, ""


def _best(options: Options) -> list[dict[str, Key]]:
    """By contrast: the keys that may be used together; several are ambiguous."""
    return _axial(_sets(options))


def _sets(options: Options) -> list[dict[str, Key]]:
    """By contrast: those of the same entities; where no two are, all combinations."""
    shared = set.intersection(*(set(by_key) for by_key in options.values()))
    if shared:
        return [dict.fromkeys(options, key) for key in sorted(shared)]
    return [dict(zip(options, keys, strict=True)) for keys in product(*options.values())]


def _axial(sets: list[dict[str, Key]]) -> list[dict[str, Key]]:
    """Of those that differ in their views alone, the ones with the most axial scans."""
    kinds = [tuple(_without_view(key) for key in each.values()) for each in sets]
    axial = [sum(_view(key) == "axial" for key in each.values()) for each in sets]
    most: dict[tuple[Key, ...], int] = {}
    for kind, count in zip(kinds, axial, strict=True):
        most[kind] = max(count, most.get(kind, 0))
    return [each for each, kind, count in zip(sets, kinds, axial, strict=True) if count == most[kind]]


def _view(key: Key) -> str:
    return view(dict(key).get("acq", ""))


def _without_view(key: Key) -> Key:
    known = {word for words in VIEWS.values() for word in words.split()}
    label = [word for word in names.words(dict(key).get("acq", "")) if word not in known]
    return (*((k, v) for k, v in key if k != "acq"), ("acq", "".join(label)))


def _ambiguous(options: Options, sets: Sequence[Mapping[str, Key]]) -> str:
    several = [c for c in options if len({each[c] for each in sets}) > 1]
    places = sorted({options[several[0]][each[several[0]]].place for each in sets})

    def decides(filters: Filters) -> bool:
        """Whether it leaves every contrast, and one choice."""
        kept = {
            c: {k: each for k, each in by_key.items() if not filters.unmet(c, each.name.entities)}
            for c, by_key in options.items()
        }
        return all(kept.values()) and len(_best(kept)) == 1

    wanted = {c: dict(key) for c, key in sets[0].items()}
    known = {entity for each in sets for key in each.values() for entity, _ in key if entity != "sub"}
    example = ambiguity.example(wanted, several, known, decides)
    return f"{several[0]} may be {some(places, ' or ')}; allowed: one, by {example}"


def _passed_over(other: Candidate, used: Candidate) -> Left:
    if _another_view(other, used):
        return Left(other.path, "another view", _view(other.key))
    return Left(other.path, "another kind of scan", f"used is {used.path.name}")


def _another_view(other: Candidate, used: Candidate) -> bool:
    """Whether two scans differ in their view alone."""
    return bool(_view(other.key)) and _without_view(other.key) == _without_view(used.key)
