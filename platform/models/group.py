"""The group level of ``translate`` as a BIDS app: a page of all subjects, and text for a methods section."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from platform.models import derivatives
from typing import Any

from jinja2 import Environment, FileSystemLoader

from trainers import VERSION
from trainers.cohorts.scans import tables
from trainers.errors import InputError
from trainers.files import write_text

PAGE, METHODS = "index.html", "methods.md"
TEMPLATE = Path(__file__).with_name("group.html")


@dataclass
class Visit:
    """One translated visit, as its sidecars tell."""

    id: str
    picture: str = ""
    """Below the data set."""
    check_picture: str = ""
    """Of what vanished or appeared, likewise."""
    scans: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """The facts of each output, by its name."""

    @property
    def check(self) -> list[str]:
        """What the lesion check says of the visit, where it was asked for."""
        return next((facts["check"]["lines"] for facts in self.scans.values() if "check" in facts), [])

    @property
    def warnings(self) -> list[str]:
        """Without those that several scans repeat."""
        return list(dict.fromkeys(line for facts in self.scans.values() for line in facts["warnings"]))


def write(root: Path) -> tuple[Path, Path]:
    """Write page and text of a folder that ``translate`` filled; raises InputError where it holds nothing."""
    derivatives.require_own(root)
    visits = translated(root)
    if not visits:
        raise InputError(f"--output: {root} holds no translated scan; allowed: after the participant level")
    refused = not_translated(root)
    environment = Environment(loader=FileSystemLoader(TEMPLATE.parent), autoescape=True)
    page = environment.get_template(TEMPLATE.name).render(visits=visits, refused=refused)
    write_text(root / PAGE, page)
    write_text(root / METHODS, methods(visits, len(refused)))
    return root / PAGE, root / METHODS


def translated(root: Path) -> list[Visit]:
    """Every translated visit of a data set, by subject and session."""
    found: dict[Path, Visit] = {}
    for path in sorted(root.glob("sub-*/**/anat/*_desc-enhanced_*.json")):
        place = path.parent.parent
        visit = found.setdefault(place, Visit("_".join(place.relative_to(root).parts)))
        visit.scans[path.stem] = json.loads(path.read_text("utf-8"))
        for picture in sorted((place / "figures").glob("*_desc-beforeAfter.png")):
            visit.picture = picture.relative_to(root).as_posix()
        for picture in sorted((place / "figures").glob("*_desc-check.png")):
            visit.check_picture = picture.relative_to(root).as_posix()
    return list(found.values())


def not_translated(root: Path) -> dict[str, str]:
    """By visit, why it was refused or failed."""
    path = root / derivatives.LISTING
    if not path.is_file():
        return {}
    rows = (row for _, row in tables.read(path).rows)
    return {row["visit"]: row["reason"] for row in rows if row["visit"] and row["reason"]}


def methods(visits: Sequence[Visit], refused: int) -> str:
    """What a methods section says of the translation, from the sidecars."""
    scans = [facts for visit in visits for facts in visit.scans.values()]
    models = _counted(f"{s['model']} ({s['version']}; {s['method']}, {s['steps']} steps)" for s in scans)
    masks = _counted(s["preprocessing"]["brain_mask"] for s in scans)
    software = ", ".join(sorted({each for s in scans for each in s["software"]}))
    subjects = len({visit.id.split("_")[0] for visit in visits})
    draws = max(s["draws"] for s in scans)
    spread = f" Uncertainty is the standard deviation over {draws} draws of the latent." if draws > 1 else ""
    normalisation = _counted(s["normalisation"] for s in scans)
    return f"""# Methods

{len(scans)} scans of {len(visits)} visits of {subjects} subjects, acquired at about 64 mT, were translated to
resemble 3 T by mri-translator-search {VERSION} with {models}. {refused} visits were not translated
({derivatives.LISTING} has the reasons). Brains were found by: {masks}. T2 was registered to T1 rigidly (ANTs,
Mattes mutual information). Intensities: {normalisation}. Axial slices were translated with one latent for all
of them, and each result was resampled to the grid of its own scan.{spread} The images are synthetic: for
research only, not for diagnosis. Software: {software}.
"""


def _counted(names: Any) -> str:
    """``template (12), given (2)``; a single one without its count."""
    counts = Counter(names)
    if len(counts) == 1:
        return str(next(iter(counts)))
    return ", ".join(f"{name} ({n})" for name, n in counts.most_common())
