"""The visits of a BIDS folder: which files are scans, at which field, whose masks and splits.

Nothing that is unclear in one visit stops the others: that visit is refused with the reason.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from trainers.cohorts.scans import names, participants
from trainers.cohorts.scans.choice import Candidate, Left, choose, unlike_a_scan
from trainers.cohorts.scans.field_strength import HIGH, KEY, LOW, Sidecars
from trainers.cohorts.scans.filters import Filters
from trainers.cohorts.scans.visits import Selection, Visit, files_below
from trainers.errors import InputError

FORMS = "sub-*_T1w.nii(.gz) and sub-*_T2w.nii(.gz)"
SUFFIXES = {"t1w": "T1", "t2w": "T2"}
NATIVE = ("", "T1w", "T2w", "orig", "native", "scanner")
"""Spaces of a mask that is on its scan's grid."""
_PROCESSED = ("desc", "label", "space", names.OF)
Session = tuple[str, str]
"""Subject and session."""


@dataclass
class _Sorted:
    """Files by what they are."""

    scans: dict[Session, dict[str, dict[str, list[Candidate]]]] = field(default_factory=dict)
    """By session, domain and contrast."""
    masks: list[Candidate] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)
    unclear: dict[Session, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    """By session and contrast: why the field strength of a scan is not known."""


def visits(root: Path, default_domain: str, filters: Filters) -> Selection:
    """Every visit of a BIDS folder; ``default_domain``: that of scans of which nothing says it, "" for none.

    Raises InputError where there is no visit at all, or ``participants.tsv`` is wrong.
    """
    files = _sorted(root, default_domain, filters)
    found, left = [], list(files.left)
    for session in sorted({*files.scans, *files.unclear}):
        unclear, domains = files.unclear.get(session, {}), files.scans.get(session, {})
        for domain, candidates in sorted(domains.items()):
            visit, unused = _visit(session, domain, candidates, files.masks)
            left += unused
            missing = next((why for contrast, why in unclear.items() if contrast not in candidates), "")
            found.append(replace(visit, problem=visit.problem or missing))
        if unclear and not domains:
            found.append(Visit(*session, "", None, None, problem=next(iter(unclear.values()))))
    if not found:
        raise InputError(f"{root}: holds no scan{_why(left)}; allowed: {FORMS}")
    splits, notes = participants.splits(root / participants.FILE, {visit.subject for visit in found})
    return Selection([replace(visit, split=splits.get(visit.subject, "")) for visit in found], left, notes)


def _sorted(root: Path, default_domain: str, filters: Filters) -> _Sorted:
    files, sidecars = _Sorted(), Sidecars(root.absolute())
    for path, name, contrast in _named(root):
        if not contrast:
            files.masks += [Candidate(path, name)] if _is_mask(name) else []
            continue
        if unlike := unlike_a_scan(path, root, name, contrast, filters):
            files.left.append(unlike)
            continue
        session = (
            f"sub-{name.entities['sub']}",
            f"ses-{name.entities['ses']}" if "ses" in name.entities else "",
        )
        try:
            domain = _domain(path, sidecars, default_domain)
        except InputError as error:
            files.unclear[session][contrast] = str(error)
            files.left.append(Left(path, "of a field strength that is not clear", str(error)))
            continue
        if domain not in ("64mT", "3T"):
            files.left.append(Left(path, "at another field strength", domain))
            continue
        by_domain = files.scans.setdefault(session, {}).setdefault(domain, {})
        by_domain.setdefault(contrast, []).append(Candidate(path, name))
    return files


def _named(root: Path) -> Iterator[tuple[Path, names.Name, str]]:
    """Images of subjects with the parts of their names, and their contrast: T1, T2 or empty."""
    for path in files_below(root):
        name = names.parse(path.name)
        if name and name.ending != ".json" and name.entities.get("sub"):
            yield path, name, SUFFIXES.get(name.suffix.lower(), "")


def _domain(path: Path, sidecars: Sidecars, default: str) -> str:
    """``64mT``, ``3T``, or another strength as ``1.5 T``; raises InputError where it is not clear."""
    said = sidecars.strength(path)
    if said:
        return said.domain or f"{said.tesla:g} T by {said.by}"
    if default:
        return default
    strengths = f"{KEY} in [{LOW[0]}, {LOW[1]}] or [{HIGH[0]}, {HIGH[1]}]"
    problem = "has no acq-64mT or acq-3T in its name and no strength in a sidecar"
    raise InputError(f"{path}: {problem}; allowed: one of these names, or {strengths}")


def _visit(
    session: Session, domain: str, candidates: Mapping[str, list[Candidate]], masks: Iterable[Candidate]
) -> tuple[Visit, list[Left]]:
    chosen = choose(candidates)
    paths = {contrast: candidate.path for contrast, candidate in chosen.scans.items()}
    visit = Visit(*session, domain, paths.get("T1"), paths.get("T2"), problem=chosen.problem)
    of = chosen.scans.get("T1") or chosen.scans.get("T2")
    own = [mask.path for mask in masks if of and _belongs(mask.name, of.name)]
    if len(own) > 1:
        both = f"the mask of {of.path.name if of else ''} may be {own[0]} or {own[1]}; allowed: one"
        return replace(visit, problem=both), list(chosen.left)
    return replace(visit, mask=own[0] if own else None), list(chosen.left)


def _is_mask(name: names.Name) -> bool:
    """Of a brain, on the grid of a scan."""
    is_brain = "brain" in (name.entities.get("desc"), name.entities.get("label"))
    return name.suffix.lower() == "mask" and is_brain and name.entities.get("space", "") in NATIVE


def _belongs(mask: names.Name, scan: names.Name) -> bool:
    """Whether a mask was made of a scan: it shares all its entities."""
    shared = {key: value for key, value in mask.entities.items() if key not in _PROCESSED}
    return shared == dict(scan.entities) and mask.entities.get(names.OF, scan.suffix) == scan.suffix


def _why(left: Iterable[Left]) -> str:
    first = next(iter(left), None)
    return f" that is used ({first.path.name}: {first.reason or first.kind})" if first else ""
