"""The page on which a person judges prepared scans: masks, registrations, histograms, outliers."""

import base64
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader
from PIL import Image
from torch import Tensor

from trainers import weights
from trainers.cohorts.scans.pipeline import Workspace
from trainers.files import write_text

PAGE = Path(__file__).with_name("quality.html")
MEASURES = {
    "brain_ml": "brain volume (ml)",
    "similarity_t2_t1": "T2 to T1 (NMI)",
    "similarity_to_target": "3 T to 64 mT (NMI)",
}
"""What is compared between visits; similarities are normalised mutual information after registration."""
OUTLIER = 3.5
"""Modified z-score from which a value is called an outlier (Iglewicz & Hoaglin 1993)."""
FEWEST = 5
"""Values below which nothing can be called an outlier."""


@dataclass(frozen=True)
class Card:
    """One visit on the page."""

    id: str
    split: str
    domain: str
    status: str
    """``prepared``, ``look`` (prepared, but an outlier or flagged), or ``aside``."""
    notes: tuple[str, ...]
    numbers: Mapping[str, float]
    """Of :data:`MEASURES`, by key."""
    details: Mapping[str, str]
    pictures: Mapping[str, str]
    """Data URIs by title."""
    histograms: Mapping[str, str]
    """SVG paths by contrast."""


def write_page(workspace: Workspace) -> list[str]:
    """Write ``quality.html`` into the workspace; returns what to print of it."""
    outcome = json.loads(workspace.outcome.read_text())
    cards = marked([card(visit) for visit in outcome["visits"]])
    aside = [c for c in cards if c.status == "aside"]
    looks = [c for c in cards if c.status == "look"]
    page = workspace.folder / "quality.html"
    environment = Environment(loader=FileSystemLoader(PAGE.parent), autoescape=True)
    text = environment.get_template(PAGE.name).render(
        source=outcome["source"],
        cards=sorted(cards, key=lambda c: ("aside", "look", "prepared").index(c.status)),
        counts={"visits": len(cards), "to look at": len(looks), "set aside": len(aside)},
        strips=strips(cards),
        measures=MEASURES,
        exclusions=workspace.exclusions,
    )
    write_text(page, text)
    lines = [f"{c.id}: set aside: {'; '.join(c.notes)}" for c in aside if c.notes != ("excluded by hand",)]
    lines += [f"{c.id}: {'; '.join(c.notes)}" for c in looks]
    counted = f"{len(cards) - len(aside)} of {len(cards)} visits prepared"
    return [*lines, f"{counted}; look at {page}, edit {workspace.exclusions} and run again"]


def card(visit: Mapping[str, Any]) -> Card:
    """A visit of the outcome as it is shown; pictures where it was prepared."""
    aside = [visit["reason"]] if visit["reason"] else []
    if visit["folder"] is None:
        return Card(visit["id"], visit["split"], visit["domain"], "aside", tuple(aside), {}, {}, {}, {})
    folder = Path(visit["folder"])
    facts, look = weights.read_manifest(folder), weights.read_tensors(folder, "look")
    return Card(
        id=visit["id"],
        split=visit["split"],
        domain=visit["domain"],
        status="aside" if aside else "look" if facts["warnings"] else "prepared",
        notes=tuple(aside or facts["warnings"]),
        numbers={key: float(facts[key]) for key in MEASURES if facts.get(key) is not None},
        details=_details(facts),
        pictures={name: _data_uri(rgb) for name, rgb in _named(look, "picture")},
        histograms={name: _path(counts) for name, counts in _named(look, "histogram")},
    )


def marked(cards: Sequence[Card]) -> list[Card]:
    """The cards with a note for every value that is far from those of the other visits at its field."""
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
    """A row of dots per measure and field: where each visit lies between the least and the greatest."""
    found = []
    everyone = list(cards)
    for key, label in MEASURES.items():
        for domain in ("64mT", "3T"):
            group = [c for c in everyone if c.domain == domain and key in c.numbers]
            if group:
                values = [c.numbers[key] for c in group]
                low, high = min(values), max(values)
                wide = high - low or 1.0
                dots = [
                    {"x": round(100 * (c.numbers[key] - low) / wide, 2), "id": c.id, "status": c.status}
                    for c in group
                ]
                found.append({"label": f"{domain} {label}", "low": low, "high": high, "dots": dots})
    return found


def _noted(card: Card, notes: Sequence[str]) -> Card:
    if not notes:
        return card
    status = "look" if card.status == "prepared" else card.status
    return Card(**{**vars(card), "status": status, "notes": (*card.notes, *notes)})


def _details(facts: Mapping[str, Any]) -> dict[str, str]:
    files = [Path(name).name for kind in ("t1", "t2", "mask") if (name := facts["visit"][kind])]
    return {
        "brain": f"{facts['brain_mask']}, {facts['brain_ml']:.0f} ml",
        "goes to": facts.get("target", "its own space").rsplit("-", 1)[0],
        "took": f"{facts['seconds']:.0f} s, {facts['peak_gib']:.1f} GiB",
        "files": ", ".join(files),
    }


def _named(look: Mapping[str, Tensor], kind: str) -> list[tuple[str, Any]]:
    return [(name.removeprefix(f"{kind} "), x.numpy()) for name, x in look.items() if name.startswith(kind)]


def _data_uri(rgb: np.ndarray[Any, Any]) -> str:
    stream = io.BytesIO()
    Image.fromarray(rgb).save(stream, "JPEG", quality=88)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"


def _path(counts: np.ndarray[Any, Any]) -> str:
    """A histogram as the path of a filled curve in a box of 100 x 30."""
    top = max(float(counts[1:-1].max()), 1e-9)  # the clipped ends would flatten the rest
    points = [
        f"{100 * i / (len(counts) - 1):.1f},{30 - 29 * min(1.0, float(count) / top):.1f}"
        for i, count in enumerate(counts)
    ]
    return f"M0,30 L{' L'.join(points)} L100,30 Z"
