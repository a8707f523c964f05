"""The sensitivity cards of a cohort's distances, for the screen and for reports."""

from collections.abc import Callable, Mapping
from platform.reporting.panels import metric_label, number
from platform.reporting.tables import markdown_table, screen_table
from typing import TYPE_CHECKING

from trainers.metrics.sensitivity import Line, SensitivityCard

if TYPE_CHECKING:
    from rich.table import Table

Cards = Mapping[str, SensitivityCard]
"""By the distance's name."""

PARTS = ("patch_texture", "patch_place", "patch_symmetry")
TITLE = "Sensitivity: each distance of corrupted 3 T slices, in multiples of that of real ones"
NOTE = (
    "In brackets 95 % intervals over subjects. A distance sees anatomy where scrambled, blurred and pasted "
    "brains are farther than noisy ones, and the untrained input is farther still."
)


def terminal(cards: Cards) -> "Table":
    """A line a corruption, a column a distance; without the parts of the patch distance."""
    cards = {name: card for name, card in cards.items() if name not in PARTS}
    table = screen_table(TITLE, _heads(cards))
    for row in _rows(cards, _estimate):
        table.add_row(*row)
    return table


def markdown(cards: Cards) -> str:
    """The same as a Markdown table, with the parts of the order that do not hold."""
    lines = "\n".join(f"- {line}" for line in verdicts(cards))
    return f"### {TITLE}\n\n{markdown_table(_heads(cards), _rows(cards, _interval))}\n\n{NOTE}\n\n{lines}\n"


def verdicts(cards: Cards) -> list[str]:
    """For each distance but the parts of one: that its order holds, or the first line that does not."""
    return [f"{metric_label(name)}: {_verdict(card)}" for name, card in cards.items() if name not in PARTS]


def _verdict(card: SensitivityCard) -> str:
    if card.holds:
        return f"sees anatomy: the wanted order holds on {card.subjects} subjects"
    more = f" (and {len(card.failures) - 1} more)" if len(card.failures) > 1 else ""
    return f"fails its sensitivity card: {card.failures[0]}{more}"


def _heads(cards: Cards) -> list[str]:
    return ["corruption", *map(metric_label, cards)]


def _rows(cards: Cards, cell: Callable[[Line], str]) -> list[list[str]]:
    columns = [{line.corruption: line for line in card.lines} for card in cards.values()]
    return [[name, *(cell(column[name]) for column in columns)] for name in columns[0]]


def _estimate(line: Line) -> str:
    return f"{number(line.multiple)} ± {line.error:.1g}"


def _interval(line: Line) -> str:
    return f"{number(line.multiple)} [{number(line.low)}, {number(line.high)}]"
