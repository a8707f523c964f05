"""What the distances of a cohort see, shown before a search; one that fails its card is no objective."""

from platform.reporting import sensitivity_table
from platform.reporting.console import console
from platform.reporting.sensitivity_table import Cards
from platform.storage.layout import Storage
from platform.study.study import Study

from trainers.errors import InputError
from trainers.metrics import card
from trainers.metrics.judge import Judge
from trainers.metrics.names import REALISM

_SAME = {"fid_infinity": "fid"}  # an extrapolation sees what the distance does


def show_sensitivity(storage: Storage, judge: Judge) -> Cards:
    """Print what the distances see on this cohort; computed once for a cohort and its references."""
    if judge.version == 1:
        return {}
    with console.status("what the distances see on this cohort"):
        cards = card.read_or_compute(storage.root, judge)
    if cards:
        console.print(sensitivity_table.terminal(cards))
        console.print("\n".join(sensitivity_table.verdicts(cards)), markup=False)
    return cards


def require_sensitive(study: Study, cards: Cards) -> None:
    """Raises InputError for an objective of realism that fails its card, unless the study allows it."""
    if study.allow_blind or not cards:
        return
    for name in (objective.name for objective in study.objectives if objective.name in REALISM):
        measured = cards.get(_SAME.get(name, name))
        if not (measured and measured.holds):
            reason = f"fails its card on this cohort ({measured.failures[0]})" if measured else "has no card"
            others = [n for n, each in cards.items() if each.holds and n not in sensitivity_table.PARTS]
            allowed = ", ".join([*others, "any with allow_blind: true"])
            key = f"{study.path}: objectives: {name}"
            raise InputError(f"{key} {reason}, so that it may not see anatomy; allowed: {allowed}")
