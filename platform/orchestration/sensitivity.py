"""What the distances of a cohort see, shown before a search; one that fails its card is no objective."""

from platform.reporting import sensitivity_table
from platform.reporting.console import console
from platform.reporting.sensitivity_table import Cards
from platform.storage.layout import Storage
from platform.study.study import Study

from trainers.data.store import Cohort
from trainers.errors import InputError
from trainers.metrics import card
from trainers.metrics.judge import Judge


def show_sensitivity(storage: Storage, cohort: Cohort, judge: Judge) -> Cards:
    """Print what the distances see on this cohort; computed once for a cohort and its references."""
    if judge.version == 1:
        return {}
    with console.status("what the distances see on this cohort"):
        cards = card.read_or_compute(storage.root, cohort.hash, judge)
    if cards:
        console.print(sensitivity_table.terminal(cards))
        console.print("\n".join(sensitivity_table.verdicts(cards)), markup=False)
    return cards


def require_sensitive(study: Study, cards: Cards) -> None:
    """Raises InputError for an objective that fails its card, unless the study allows it."""
    if study.allow_blind:
        return
    for objective in study.objectives:
        measured = cards.get(objective.name)
        if measured and not measured.holds:
            key = f"{study.path}: objectives: {objective.name}"
            fails = f"fails its sensitivity card on this cohort ({measured.failures[0]})"
            others = [n for n, each in cards.items() if each.holds and n not in sensitivity_table.PARTS]
            raise InputError(f"{key} {fails}; allowed: {', '.join([*others, 'any with allow_blind: true'])}")
