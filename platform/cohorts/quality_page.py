"""A page for checking prepared scans by eye: masks, registrations, histograms, outliers."""

import base64
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader
from PIL import Image
from torch import Tensor

from trainers import weights
from trainers.cohorts.scans import names
from trainers.cohorts.scans.listing import left_in_words
from trainers.cohorts.scans.pipeline import Workspace
from trainers.files import write_text

PAGE = Path(__file__).with_name("quality.html")
MEASURES = {
    "brain_ml": "brain volume (ml)",
    "similarity_t2_t1": "T2 to T1 (NMI)",
    "similarity_to_target": "3 T to 64 mT (NMI)",
}
"""Compared between visits; similarities are normalised mutual information after registration."""
OUTLIER = 3.5
"""Modified z-score above which a value is an outlier (Iglewicz & Hoaglin 1993)."""
FEWEST = 5
"""With fewer values nothing is an outlier."""


@dataclass(frozen=True)
class Card:
    """One visit on the page."""

    id: str
    split: str
    domain: str
    status: str
    """``prepared``, ``check`` (prepared, but an outlier or flagged), or ``excluded``."""
    notes: tuple[str, ...]
    numbers: Mapping[str, float]
    """Of :data:`MEASURES`, by key."""
    details: Mapping[str, str]
    pictures: Mapping[str, str]
    """Data URIs by title."""
    histograms: Mapping[str, str]
    """SVG paths by contrast."""


def write_page(workspace: Workspace, scans: Path) -> list[str]:
    """Write ``quality.html`` of the ``scans`` of a folder or table into the workspace; what to print of it.

    The page may be passed on, and holds no path: names in the folder are shown from there, files of a table
    as ``T1``, ``T2`` and ``mask``. What is printed names the files.
    """
    outcome = json.loads(workspace.outcome.read_text())
    cards = marked([card(visit) for visit in outcome["visits"]])
    hidden = Hidden.of(outcome["visits"], scans.resolve(), workspace.folder)
    excluded = [c for c in cards if c.status == "excluded"]
    checks = [c for c in cards if c.status == "check"]
    page = workspace.folder / "quality.html"
    environment = Environment(loader=FileSystemLoader(PAGE.parent), autoescape=True)
    text = environment.get_template(PAGE.name).render(
        source=outcome["source"],
        cards=[
            replace(
                c, notes=tuple(map(hidden, c.notes)), details={k: hidden(v) for k, v in c.details.items()}
            )
            for c in sorted(cards, key=lambda c: ("excluded", "check", "prepared").index(c.status))
        ],
        counts={"visits": len(cards), "to check": len(checks), "excluded": len(excluded)},
        strips=strips(cards),
        measures=MEASURES,
        exclusions=workspace.exclusions.name,
        left=[{key: hidden(text) for key, text in each.items()} for each in outcome["left"]],
        table_notes=list(map(hidden, outcome["notes"])),
    )
    write_text(page, text)
    unused = left_in_words(each["kind"] for each in outcome["left"])
    lines = [*outcome["notes"], *([f"{unused}; see {workspace.files}"] if unused else [])]
    lines += [f"{c.id}: excluded: {'; '.join(c.notes)}" for c in excluded if c.notes != ("excluded by hand",)]
    lines += [f"{c.id}: {'; '.join(c.notes)}" for c in checks]
    counts = f"{len(cards) - len(excluded)} of {len(cards)} visits prepared"
    return [*lines, f"{counts}; look at {page}, edit {workspace.exclusions} and run again"]


@dataclass(frozen=True)
class Hidden:
    """Text without paths, which may hold a person's name."""

    shown: Sequence[tuple[str, str]]
    """What stands for a path, the longest paths first."""

    @classmethod
    def of(cls, visits: Iterable[Mapping[str, Any]], scans: Path, workspace: Path) -> "Hidden":
        """For the ``visits`` of an outcome, whose paths are below the folder ``scans``, or in that table."""
        known = {f"{workspace}/": ""} | ({f"{scans}/": ""} if scans.is_dir() else {str(scans): "the table"})
        for path, kind in _files(visits) if not scans.is_dir() else ():
            known |= {f"{parent}/": "" for parent in path.parents[:-1]}
            known[str(path.with_name(names.stem(path)))] = kind.upper()
        return cls(sorted(known.items(), key=lambda pair: -len(pair[0])))

    def __call__(self, text: str) -> str:
        """The text with every known path replaced."""
        for path, name in self.shown:
            text = text.replace(path, name)
        return text


def _files(visits: Iterable[Mapping[str, Any]]) -> Iterator[tuple[Path, str]]:
    """Every file of visits, with its kind."""
    for visit in visits:
        yield from ((Path(name), kind) for kind in ("t1", "t2", "mask") if (name := visit.get(kind)))


def card(visit: Mapping[str, Any]) -> Card:
    """The card of a visit of ``outcome.json``; with pictures if it was prepared."""
    reasons = [visit["reason"]] if visit["reason"] else []
    if visit["folder"] is None:
        return Card(visit["id"], visit["split"], visit["domain"], "excluded", tuple(reasons), {}, {}, {}, {})
    folder = Path(visit["folder"])
    facts, previews = weights.read_manifest(folder), weights.read_tensors(folder, "look")
    return Card(
        id=visit["id"],
        split=visit["split"],
        domain=visit["domain"],
        status="excluded" if reasons else "check" if facts["warnings"] else "prepared",
        notes=tuple(reasons or facts["warnings"]),
        numbers={key: float(facts[key]) for key in MEASURES if facts.get(key) is not None},
        details=_details(facts) | _named_files(visit),
        pictures={name: _data_uri(rgb) for name, rgb in _named(previews, "picture")},
        histograms={name: _path(counts) for name, counts in _named(previews, "histogram")},
    )


def marked(cards: Sequence[Card]) -> list[Card]:
    """The cards, with a note for every outlier among the visits at the same field strength."""
    notes: dict[str, list[str]] = {c.id: [] for c in cards}
    for key, label in MEASURES.items():
        for domain in sorted({c.domain for c in cards}):
            group = [c for c in cards if c.domain == domain and key in c.numbers]
            values = np.array([c.numbers[key] for c in group])
            for i in np.flatnonzero(outliers(values)):
                notes[group[i].id].append(f"{label} {values[i]:.4g}, others {np.median(values):.4g}")
    return [_noted(c, notes[c.id]) for c in cards]


def outliers(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Which values [n] have a modified z-score 0.6745 |x - median| / MAD above :data:`OUTLIER`."""
    if len(values) < FEWEST:
        return np.zeros(len(values), bool)
    distance = np.abs(values - np.median(values))
    return np.asarray(0.6745 * distance > OUTLIER * np.median(distance))


def strips(cards: Iterable[Card]) -> list[dict[str, Any]]:
    """A row of dots for each measure and field: each visit between the least and the greatest value."""
    rows = []
    everyone = list(cards)
    for key, label in MEASURES.items():
        for domain in ("64mT", "3T"):
            group = [c for c in everyone if c.domain == domain and key in c.numbers]
            if group:
                values = [c.numbers[key] for c in group]
                low, high = min(values), max(values)
                width = high - low or 1.0
                dots = [
                    {"x": round(100 * (c.numbers[key] - low) / width, 2), "id": c.id, "status": c.status}
                    for c in group
                ]
                rows.append({"label": f"{domain} {label}", "low": low, "high": high, "dots": dots})
    return rows


def _noted(card: Card, notes: Sequence[str]) -> Card:
    if not notes:
        return card
    status = "check" if card.status == "prepared" else card.status
    return Card(**{**vars(card), "status": status, "notes": (*card.notes, *notes)})


def _details(facts: Mapping[str, Any]) -> dict[str, str]:
    return {
        "brain": f"{facts['brain_mask']}, {facts['brain_ml']:.0f} ml",
        "space": facts.get("target", "its own").rsplit("-", 1)[0],
        "took": f"{facts['seconds']:.0f} s, {facts['peak_gib']:.1f} GiB",
    }


def _named_files(visit: Mapping[str, Any]) -> dict[str, str]:
    return {"files": ", ".join(str(path) for path, _ in _files([visit]))}


def _named(previews: Mapping[str, Tensor], kind: str) -> list[tuple[str, Any]]:
    names = [name for name in previews if name.startswith(kind)]
    return [(name.removeprefix(f"{kind} "), previews[name].numpy()) for name in names]


def _data_uri(rgb: np.ndarray[Any, Any]) -> str:
    stream = io.BytesIO()
    Image.fromarray(rgb).save(stream, "JPEG", quality=88)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"


def _path(counts: np.ndarray[Any, Any]) -> str:
    """A histogram as the path of a filled curve in a box of 100 x 30."""
    top = max(float(counts[1:-1].max()), 1e-9)  # without the ends, which hold all clipped values
    points = [
        f"{100 * i / (len(counts) - 1):.1f},{30 - 29 * min(1.0, float(count) / top):.1f}"
        for i, count in enumerate(counts)
    ]
    return f"M0,30 L{' L'.join(points)} L100,30 Z"
