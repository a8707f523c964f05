"""The visits of a BIDS folder: which files are scans, at which field, and whose masks.

Nothing that is unclear in one visit stops the others: that visit is refused with the reason.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from trainers.cohorts.scans import masks, names
from trainers.cohorts.scans.choice import Candidate, Chosen, choose, refused
from trainers.cohorts.scans.eligibility import (
    OTHER,
    SUFFIXES,
    Left,
    misplaced,
    unlike_a_mask,
    unlike_a_scan,
)
from trainers.cohorts.scans.field_strength import DESCRIPTION, HIGH, KEY, LOW, Sidecars
from trainers.cohorts.scans.filters import Filters
from trainers.cohorts.scans.visits import Selection, Visit, files_below, identity
from trainers.cohorts.scans.wording import shown, some
from trainers.errors import InputError

FORMS = "sub-*_T1w.nii(.gz) and sub-*_T2w.nii(.gz)"
Session = tuple[str, str]
"""Subject and session."""


@dataclass
class _Sorted:
    """Files by what they are."""

    scans: dict[Session, dict[str, dict[str, list[Candidate]]]] = field(default_factory=dict)
    """By session, domain and contrast."""
    masks: dict[Session, list[Candidate]] = field(default_factory=lambda: defaultdict(list))
    left: list[Left] = field(default_factory=list)
    unclear: dict[Session, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    """By session and contrast: why the field strength of a scan is not known."""


def visits(root: Path, default_domain: str, filters: Filters) -> Selection:
    """Every visit of a BIDS folder; ``default_domain``: that of scans of which nothing says it, "" for none.

    Raises InputError where there is no visit at all.
    """
    files = _sorted(root, default_domain, filters)
    found = list[Visit]()
    for session in sorted({*files.scans, *files.unclear, *files.masks}):
        own = _of_session(files, session)
        used = {visit.mask for visit in own}
        files.left += [masks.unused(m, own) for m in files.masks.get(session, []) if m.path not in used]
        found += own
    if not found:
        raise InputError(f"{root}: holds no scan{_why(files.left)}; allowed: {FORMS}")
    return Selection(_each_file_once(found), files.left, _notes(root, files))


def _of_session(files: _Sorted, session: Session) -> list[Visit]:
    """Its visits, one at each field; adds what they leave of their candidates to ``files.left``."""
    unclear, domains = files.unclear.get(session, {}), files.scans.get(session, {})
    if unclear and not domains:
        return [Visit(*session, "", None, None, problem=next(iter(unclear.values())))]
    found = []
    for domain, candidates in sorted(domains.items()):
        visit, left = _visit(session, domain, candidates, files.masks.get(session, []))
        files.left += left
        missing = next((why for contrast, why in unclear.items() if contrast not in candidates), "")
        found.append(replace(visit, problem=visit.problem or missing))
    return found


def _sorted(root: Path, default_domain: str, filters: Filters) -> _Sorted:
    files, sidecars = _Sorted(), Sidecars(root.absolute())

    def unread(error: OSError) -> None:
        files.left.append(Left(Path(error.filename), "a folder that cannot be read", error.strerror or ""))

    paths = files_below(root, unread)
    others = {path.parent for path in paths if path.name == DESCRIPTION} - {root}
    for path in filter(names.is_image, paths):
        name = names.parse(path.name)
        if left := misplaced(path, root, others, name):
            files.left.append(left)
        elif name and (contrast := SUFFIXES.get(name.suffix.lower())):
            _sort_scan(files, _candidate(path, root, name), contrast, sidecars, default_domain, filters)
        elif name and (left := unlike_a_mask(path, name)):
            files.left.append(left)
        elif name:
            files.masks[_session(name)].append(_candidate(path, root, name))
    return files


def _candidate(path: Path, root: Path, name: names.Name) -> Candidate:
    return Candidate(path, path.relative_to(root).as_posix(), name)


def _session(name: names.Name) -> Session:
    session = name.entities.get("ses")
    return f"sub-{name.entities['sub']}", f"ses-{session}" if session else ""


def _sort_scan(
    files: _Sorted, scan: Candidate, contrast: str, sidecars: Sidecars, default_domain: str, filters: Filters
) -> None:
    if unlike := unlike_a_scan(scan.path, scan.name, contrast, filters):
        files.left.append(unlike)
        return
    session = _session(scan.name)
    try:
        domain = _domain(scan.path, sidecars, default_domain)
    except InputError as error:
        files.unclear[session][contrast] = str(error)
        files.left.append(Left(scan.path, "of a field strength that is not clear", str(error)))
        return
    if domain not in ("64mT", "3T"):
        files.left.append(Left(scan.path, "at another field strength", domain))
        return
    by_domain = files.scans.setdefault(session, {}).setdefault(domain, {})
    by_domain.setdefault(contrast, []).append(scan)


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
    session: Session, domain: str, candidates: Mapping[str, list[Candidate]], known: Iterable[Candidate]
) -> tuple[Visit, Sequence[Left]]:
    homes = {_home(each) for found in candidates.values() for each in found}
    chosen = choose(candidates) if len(homes) == 1 else _in_several_folders(session, candidates, homes)
    paths = {contrast: candidate.path for contrast, candidate in chosen.scans.items()}
    of = chosen.scans.get("T1") or chosen.scans.get("T2")
    mask = masks.nearest(known, of) if of else None
    scans = paths.get("T1"), paths.get("T2"), mask.path if mask else None
    views = tuple((contrast, candidate.path) for contrast, candidate in chosen.views)
    return Visit(*session, domain, *scans, problem=chosen.problem, views=views), chosen.left


def _home(candidate: Candidate) -> str:
    """The place of the subject's folder; empty for a scan that is in none."""
    places = reversed(PurePosixPath(candidate.place).parents)
    return next((str(each) for each in places if each.name.lower().startswith("sub-")), "")


def _in_several_folders(
    session: Session, candidates: Mapping[str, list[Candidate]], homes: Collection[str]
) -> Chosen:
    both = some(sorted(home or "no folder of a subject" for home in homes), " and ")
    return refused(candidates, f"{session[0]} has scans of one visit in {both}; allowed: one folder")


def _each_file_once(visits: Sequence[Visit]) -> list[Visit]:
    """Visits that share a scan are refused, as is one with the same scan for both contrasts."""
    users = defaultdict(list)
    for visit in visits:
        for path in visit.scans.values():
            users[identity(path)].append((visit.id, path))
    shared = {
        id_: f"{shown(used[0][1])} and {shown(used[1][1])} are one file; allowed: a scan for each"
        for used in users.values()
        if len(used) > 1
        for id_, _ in used
    }
    return [replace(v, problem=v.problem or shared.get(v.id, "")) for v in visits]


def _notes(root: Path, files: _Sorted) -> list[str]:
    """That a subject is in several folders."""
    homes: defaultdict[str, set[str]] = defaultdict(set)
    for (subject, _), domains in files.scans.items():
        for candidates in domains.values():
            homes[subject] |= {_home(each) for found in candidates.values() for each in found}
    several = [f"{s} ({some(sorted(each), ', ')})" for s, each in sorted(homes.items()) if len(each) > 1]
    return [f"{root}: taken as one person each: {some(several)}"] if several else []


def _why(left: Iterable[Left]) -> str:
    first = min(left, key=lambda each: each.kind == OTHER, default=None)
    return f" that is used ({shown(first.path.name)}: {first.reason or first.kind})" if first else ""
