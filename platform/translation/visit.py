"""Translating the scans of one visit, and writing everything that belongs to the result.

Brains are found and T2 is registered to T1 unless that was done before. Every output lies on the grid of its
own input, that of several views on an isotropic one.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from platform.reporting import before_after, matplotlib_plots
from platform.reporting.before_after import DISAGREEMENT, REFERENCE
from platform.reporting.console import console
from platform.translation import derivatives, fidelity
from platform.translation.pathology_check import Checked
from platform.translation.scan_inputs import Job
from platform.translation.visit_picture import planes
from typing import Any

import numpy as np

from trainers.cohorts.preprocessing import nifti, views
from trainers.cohorts.preprocessing.examination import Examination, examine, read, with_path
from trainers.cohorts.preprocessing.nifti import Scan
from trainers.cohorts.preprocessing.skullstrip import BrainMask
from trainers.cohorts.preprocessing.views import examine_views
from trainers.cohorts.scans.field_strength import LOW, Sidecars
from trainers.cohorts.scans.visit_preparation import versions
from trainers.data import channels
from trainers.data.arrays import Array
from trainers.errors import InputError
from trainers.export import Translator
from trainers.files import write_text
from trainers.inference import Enhanced, enhance
from trainers.view_inference import EnhancedViews, enhance_views

FACTS = ("method", "steps", "trial_key", "cohort", "normalisation")
"""What a translated scan's sidecar holds of the model."""
SLICES = "translated in their own plane"
USE = "research only: synthetic, not for diagnosis"


@dataclass(frozen=True)
class TranslationSettings:
    """How every visit is translated."""

    model: str
    """As given on the command line."""
    version: str
    brain_mask: BrainMask = "auto"
    draws: int = 1
    """How many latents; with several, the spread over them is written too."""
    references: Mapping[str, Path] = field(default_factory=dict)
    """Paired 3 T scans by contrast, for the PSNR."""
    from_bids: bool = False
    """Whether visits were chosen in a BIDS folder, which are of 64 mT."""
    force: bool = False
    """Whether visits of a BIDS folder are translated even if their scans may be of two people."""
    tesla: float | None = None
    """Field strength of scans of which nothing says it."""
    check: bool = False
    """Whether lesions of scan and output are compared."""

    @property
    def model_name(self) -> str:
        """As given; of a folder its name alone, as outputs hold no paths."""
        return self.model if self.model.startswith("models:/") else Path(self.model).resolve().name


def translate_visit(settings: TranslationSettings, job: Job, translator: Translator) -> None:
    """Translate one visit and write everything of it; raises InputError for scans that cannot be."""
    started = time.perf_counter()
    if job.problem:
        raise InputError(job.problem)
    contrasts = channels.contrasts(translator.channels)
    visit = next(iter(job.sources.values()))
    require_contrasts(settings, job, visit, contrasts)
    if not settings.from_bids:
        for contrast in contrasts:
            for source, path in sources_of(job, contrast):
                require_low_field(source, path, settings.tesla)
    mask = None if job.mask is None else nifti.read(job.mask)
    several = any(len(job.views.get(contrast, ())) > 1 for contrast in contrasts)
    found = (_of_views if several else _of_one_view)(settings, job, translator, mask)
    confirmed = fidelity.confirmed(translator)
    facts: dict[str, Any] = {
        "model": settings.model_name,
        "version": settings.version,
        "use": USE,
        "intensity": "0 to 1, as the 3 T training scans' own percentiles",
        **{key: translator.facts[key] for key in FACTS},
        "plane": translator.plane,
        "draws": settings.draws,
        "preprocessing": found.preprocessing,
        "software": versions(),
        "confirmed": confirmed,
    }
    checked = Checked.of(found.enhanced) if settings.check else None
    changed = checked.warnings() if checked else []
    if checked:
        facts["check"] = checked.facts()
    of_model = fidelity.worse_than_input(confirmed)
    scans, enhanced = found.examination.scans, found.enhanced
    lines, rows = [], []
    with derivatives.whole(job.output) as work:
        for contrast in contrasts:
            truth = None
            if contrast in settings.references:
                reference = settings.references[contrast]
                truth = fidelity.reference(enhanced, contrast, found.examination, reference)
            scores = {} if truth is None else fidelity.compare(enhanced, contrast, truth)
            facts["seconds"] = round(time.perf_counter() - started, 2)
            below = fidelity.less_alike(contrast, scores)
            own = {**facts, **found.fusion.get(contrast, {}), "psnr_db": scores}
            own["warnings"] = [*found.warnings, *of_model, *below, *changed]
            lines += [f"warning: {job.sources[contrast]}: {line}" for line in below]
            lines.append(write(work, job, contrast, scans[contrast], enhanced, own))
            if contrast in found.disagreement:
                lines[-1] += write_disagreement(work, job, contrast, scans[contrast], found)
            maps = {REFERENCE: truth, DISAGREEMENT: found.disagreement.get(contrast)}
            rows += planes(contrast, scans[contrast], enhanced, maps)
        first = job.prefixes[contrasts[0]]
        picture = derivatives.place(first, "figures") / f"{first}_{derivatives.BEFORE_AFTER}.png"
        subject = derivatives.place(first, "").as_posix().replace("/", " ")
        title = f"{subject}, {settings.model_name} ({settings.version})\n{USE}"
        matplotlib_plots.save(before_after.picture(rows, title), work / picture)
        drawn = [picture, checked.draw(work, first) if checked else None]
    lines += [*(checked.lines() if checked else ()), *(f"{job.output}/{path}" for path in drawn if path)]
    for line in lines:
        console.print(line)


@dataclass(frozen=True)
class Translated:
    """A translated visit, and what sidecars say of its scans."""

    examination: Examination
    """Whose scans have the grids of the outputs."""
    enhanced: Enhanced
    preprocessing: Mapping[str, Any]
    warnings: Sequence[str]
    disagreement: Mapping[str, Array] = field(default_factory=dict)
    """Of several views, by contrast."""
    fusion: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By contrast, facts of the fused views."""


def _of_one_view(
    settings: TranslationSettings, job: Job, translator: Translator, mask: Scan | None
) -> Translated:
    scans = read({c: job.paths[c] for c in channels.contrasts(translator.channels)})
    examination = examine(scans, settings.brain_mask, mask)
    warnings = _warned(settings, job, examination.doubts, examination.warnings)
    visit = next(iter(job.sources.values()))
    enhanced: Enhanced = with_path(visit, enhance, translator, examination, settings.draws)
    return Translated(examination, enhanced, examination.facts(), warnings)


def _of_views(
    settings: TranslationSettings, job: Job, translator: Translator, mask: Scan | None
) -> Translated:
    given = {c: job.views[c] for c in channels.contrasts(translator.channels)}
    visit = examine_views(
        views.read({c: [v.path for v in each] for c, each in given.items()}), settings.brain_mask, mask
    )
    warnings = _warned(settings, job, {**visit.first.doubts, **visit.doubts}, visit.warnings)
    source = next(iter(job.sources.values()))
    found: EnhancedViews = with_path(source, enhance_views, translator, visit)
    fusion = {
        c: {
            "views": {
                view: {"weight": weight, "noise": visit.noises[c][view], "slices": SLICES}
                for view, weight in zip(visit.views, each.weights, strict=True)
            },
            "residuals": list(each.residuals),
        }
        for c, each in found.fused.items()
    }
    return Translated(visit.on_grid, found.enhanced, visit.facts(), warnings, found.disagreement, fusion)


def _warned(
    settings: TranslationSettings, job: Job, doubts: Mapping[str, str], lines: Sequence[str]
) -> list[str]:
    """All warnings of a visit, printed; raises InputError where its scans may be of two people."""
    visit = next(iter(job.sources.values()))
    for contrast, line in doubts.items():
        if settings.from_bids and not settings.force:
            other = f"{job.sources[contrast]}: beside {visit}: {line}"
            raise InputError(f"{other}; allowed: scans of one person, or --force")
    warnings = [*job.warnings, *lines]
    for line in warnings:
        console.print(f"warning: {job.sources[line.partition(':')[0]]}: {line}")
    return warnings


def sources_of(job: Job, contrast: str) -> list[tuple[Path, Path]]:
    """What the user gave of a contrast, each with its NIfTI file."""
    single = [(job.sources[contrast], job.paths[contrast])]
    return [(view.source, view.path) for view in job.views.get(contrast, ())] or single


def origins_of(job: Job, contrast: str) -> list[str]:
    """What sidecars say of a contrast's sources."""
    return [view.origin for view in job.views.get(contrast, ())] or [job.origins[contrast]]


def write_disagreement(work: Path, job: Job, contrast: str, scan: Scan, found: Translated) -> str:
    """Write the map of the views' disagreement and its sidecar; what to print of it."""
    prefix = job.prefixes[contrast]
    name = derivatives.place(prefix) / f"{prefix}_{derivatives.DISAGREEMENT}_{contrast}w"
    nifti.write(work / f"{name}.nii.gz", found.disagreement[contrast], scan)
    what = "weighted standard deviation of the translated views about their fusion"
    facts = {"use": USE, **found.fusion[contrast]}
    write_text(work / f"{name}.json", derivatives.sidecar(what, origins_of(job, contrast), facts))
    inside = found.disagreement[contrast][found.enhanced.brain[contrast]]
    return f", {len(job.views[contrast])} views, which disagree by {float(inside.mean()):.4f}"


def require_contrasts(
    settings: TranslationSettings, job: Job, visit: Path, contrasts: tuple[str, ...]
) -> None:
    """Raises InputError where a visit lacks a contrast that the model translates."""
    if missing := [c for c in contrasts if c not in job.paths]:
        option = f"--{missing[0].lower()}: is missing"
        lacks = f"{visit}: has no {missing[0]}" if settings.from_bids else option
        takes = f"and this model translates {' and '.join(contrasts)}; allowed: a scan of each"
        raise InputError(f"{lacks}, {takes}")


def require_low_field(source: Path, path: Path, tesla: float | None) -> None:
    """Raises InputError for a scan that is known to be of another field than the model's, or not known.

    ``source`` was given and is the NIfTI file ``path``, or became it; ``tesla``: what the user says of it.
    """
    said = Sidecars.around(path).strength(path)
    if said and said.domain != "64mT":
        by = said.by if path == source else "its DICOM files"
        strength = f"was scanned at {said.tesla:g} T, as {by} says, and models translate about 0.064 T"
        raise InputError(f"{source}: {strength}; allowed: {LOW[0]:g} to {LOW[1]:g} T")
    if not said and tesla is None:
        missing = f"is missing, as nothing says at what field {source} was scanned"
        raise InputError(f"--field-strength: {missing}; allowed: tesla, as 0.064")


def write(
    work: Path, job: Job, contrast: str, scan: Scan, enhanced: Enhanced, facts: Mapping[str, Any]
) -> str:
    """Write a contrast's volume, its map of uncertainty and sidecars into ``work``; the line to print."""
    place = derivatives.place(job.prefixes[contrast])
    name = place / f"{job.prefixes[contrast]}_desc-enhanced_{contrast}w"
    (work / place).mkdir(parents=True, exist_ok=True)
    nifti.write(work / f"{name}.nii.gz", enhanced.volumes[contrast], scan)
    # Two slices have no shift to compare: JSON has no NaN, so it is null.
    figures = {k: v if np.isfinite(v) else None for k, v in enhanced.consistency[contrast].items()}
    change = figures["through_plane_change"]
    line = "" if change is None else f", through-plane change {change:.2f} of the input's"
    if spread := spread_of(enhanced, contrast):
        spreads = str(name).replace("desc-enhanced", "desc-uncertainty")
        nifti.write(work / f"{spreads}.nii.gz", enhanced.spread[contrast], scan)
        what, known = "standard deviation over draws of the latent", {"use": USE, "draws": facts["draws"]}
        write_text(work / f"{spreads}.json", derivatives.sidecar(what, origins_of(job, contrast), known))
        line += f", spread over latents {spread:.4f}"
    elif contrast in enhanced.spread:
        line += ", no uncertainty: the model draws nothing"
    what = f"{contrast}w scan of about 64 mT translated to look like 3 T"
    sidecar = derivatives.sidecar(what, origins_of(job, contrast), {**facts, "consistency": figures})
    write_text(work / f"{name}.json", sidecar)
    line += "".join(f", PSNR {name} {value:.2f} dB" for name, value in facts["psnr_db"].items())
    return f"{job.output}/{name}.nii.gz{line}"


def spread_of(enhanced: Enhanced, contrast: str) -> float:
    """Mean spread over the latents inside the brain; 0 without latents, or if no spread was requested."""
    if contrast not in enhanced.spread:
        return 0.0
    return float(enhanced.spread[contrast][enhanced.brain[contrast]].mean())
