"""The group level of ``translate`` as a BIDS app: a page of all subjects, and text for a methods section."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from platform.storage import data_set, outcomes
from platform.translation import derivatives
from platform.translation.translated import Scan, methods, read

from jinja2 import Environment, FileSystemLoader

from trainers.errors import InputError
from trainers.files import write_text

TEMPLATE = Path(__file__).with_name("group.html")


@dataclass
class Visit:
    """One translated visit, as its sidecars tell."""

    id: str
    pictures: list[str]
    """Below the data set."""
    scans: list[Scan] = field(default_factory=list)
    later: str = ""
    """Why a later call did not translate it again."""

    @property
    def warnings(self) -> list[str]:
        """Without those that several scans repeat."""
        lines = [line for scan in self.scans for line in scan.warnings]
        lines += [] if self.pictures else ["its picture is missing"]
        lines += [f"a later call failed, and this is of an earlier one: {self.later}"] if self.later else []
        return list(dict.fromkeys(lines))


@dataclass(frozen=True)
class Found:
    """What is in a folder that ``translate`` filled."""

    visits: list[Visit]
    refused: Mapping[str, str]
    """By visit without an output: why it was not translated."""
    not_requested: list[str]
    unread: Mapping[str, str]
    """By sidecar that is not of this program, or is damaged: what is wrong."""


def write(root: Path) -> tuple[Path, Path]:
    """Write page and text of a folder that ``translate`` filled; raises InputError where it holds nothing."""
    derivatives.require_own(root)
    found = look(root)
    if not found.visits and not found.refused:
        raise InputError(f"--output: {root} holds no translated scan; allowed: after the participant level")
    environment = Environment(loader=FileSystemLoader(TEMPLATE.parent), autoescape=True)
    page, text = root / derivatives.PAGE, root / derivatives.METHODS
    scans = [(visit.id, scan) for visit in found.visits for scan in visit.scans]
    measures = list(dict.fromkeys(name for _, scan in scans for name in scan.figures))
    with data_set.writing("--output", root):
        write_text(
            page,
            environment.get_template(TEMPLATE.name).render(vars(found), measures=measures, written=written),
        )
        write_text(text, methods(scans, len(found.refused), outcomes.LISTING))
    return page, text


def written(value: float) -> str:
    """With two decimals, or as the count that it is."""
    return f"{value:.0f}" if value == int(value) else f"{value:.2f}"


def look(root: Path) -> Found:
    """Every visit of a data set, by subject and session, and what came of those without an output."""
    visits: dict[Path, Visit] = {}
    unread: dict[str, str] = {}
    for path in sorted(root.glob("sub-*/**/anat/*_desc-enhanced_*.json")):
        place = path.parent.parent
        try:
            scan = read(path)
        except InputError as error:
            unread[path.relative_to(root).as_posix()] = outcomes.without(str(error), path.parent)
            continue
        named = (f"*_{derivatives.BEFORE_AFTER}.png", f"*_{derivatives.CHECK}.png")
        pictures = [each for name in named for each in sorted((place / "figures").glob(name))]
        shown = [picture.relative_to(root).as_posix() for picture in pictures]
        visits.setdefault(place, Visit("_".join(place.relative_to(root).parts), shown)).scans.append(scan)
    reasons = outcomes.earlier(root / outcomes.LISTING)
    failed = {
        visit.removesuffix("_64mT"): reason
        for visit, reason in reasons.items()
        if reason not in ("", outcomes.NOT_REQUESTED)
    }
    for visit in visits.values():
        visit.later = failed.pop(visit.id, "")
    known = {visit.id for visit in visits.values()}
    not_requested = [
        name
        for visit, reason in reasons.items()
        if reason == outcomes.NOT_REQUESTED and (name := visit.removesuffix("_64mT")) not in known
    ]
    return Found(list(visits.values()), failed, not_requested, unread)
