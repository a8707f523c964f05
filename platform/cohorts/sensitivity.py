"""What the distances of a cohort see, shown before a search; one that fails its card is no objective."""

from collections.abc import Collection
from platform.cohorts.build import print_waiting
from platform.reporting import sensitivity_table
from platform.reporting.console import console
from platform.reporting.sensitivity_table import Cards
from platform.storage.layout import Storage
from platform.study.study import Study

from trainers.config import build
from trainers.data.channels import Layout
from trainers.data.store import Cohort
from trainers.errors import InputError
from trainers.metrics import card
from trainers.metrics.judge import Judge
from trainers.metrics.names import REALISM
from trainers.metrics.realism import PATCHES
from trainers.references.config import ReferenceConfig

_SAME = {"fid_infinity": "fid"}  # an extrapolation sees what the distance does
_STATUS = "what the distances see on this cohort"
_WAITING = print_waiting(console, "this cohort's sensitivity card")


def show_sensitivity(storage: Storage, judge: Judge) -> Cards:
    """Print what the distances see on this cohort; computed once for a cohort and its references."""
    if judge.version == 1:
        return {}
    with console.status(_STATUS):
        cards = card.read_or_compute(storage.root, judge, _WAITING)
    _show(cards)
    return cards


def show_patch_sensitivity(storage: Storage, cohort: Cohort, layout: Layout) -> Cards:
    """Print what ``patch_fd`` sees on this cohort, which needs no references, or why that is unknown."""
    cards = patch_sensitivity(storage, cohort, layout)
    _show(cards)
    if not cards:
        console.print(f"no sensitivity card: {card.refusal(cohort, layout)}", markup=False)
    return cards


def patch_sensitivity(storage: Storage, cohort: Cohort, layout: Layout) -> Cards:
    """The cards of ``patch_fd`` and its parts; computed once for a cohort."""
    with console.status(_STATUS):
        return card.read_or_compute_patches(storage.root, cohort, layout, waiting=_WAITING)


def require_sensitive_patches(study: Study, storage: Storage, cohort: Cohort) -> None:
    """As :func:`require_sensitive`, of what needs no references: before hours are spent on these."""
    if not study.allow_blind and any(objective.name in PATCHES for objective in study.objectives):
        layout = build(ReferenceConfig, study.references).channels
        require_sensitive(study, patch_sensitivity(storage, cohort, layout), PATCHES)


def _show(cards: Cards) -> None:
    if cards:
        console.print(sensitivity_table.terminal(cards))
        console.print("\n".join(sensitivity_table.verdicts(cards)), markup=False)


def require_sensitive(study: Study, cards: Cards, names: Collection[str] = REALISM) -> None:
    """Raises InputError for an objective of realism that fails its card, unless the study allows it.

    ``names``: those of which there may be a card yet.
    """
    if study.allow_blind or not cards:
        return
    for name in (objective.name for objective in study.objectives if objective.name in names):
        measured = cards.get(_SAME.get(name, name))
        if not (measured and measured.holds):
            reason = f"fails its card on this cohort ({measured.failures[0]})" if measured else "has no card"
            others = [n for n, each in cards.items() if each.holds and n not in sensitivity_table.PARTS]
            allowed = ", ".join([*others, "any with allow_blind: true"])
            key = f"{study.path}: objectives: {name}"
            raise InputError(f"{key} {reason}, so that it may not see anatomy; allowed: {allowed}")
