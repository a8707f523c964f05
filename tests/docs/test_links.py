"""README and the pages of docs/ point at files that exist, and name every command."""

import re
from pathlib import Path
from platform.cli import COMMANDS

import pytest

from trainers.metrics.names import BASELINES, CONSTRAINABLE

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "deploy" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
PATH = re.compile(r"`((?:platform|trainers|tests|search_spaces|docs|deploy)/[\w./-]*)`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_paths_exist(page: Path) -> None:
    text = FENCED.sub("", page.read_text())
    links = [page.parent / link for link in re.findall(r"(?:\]\(|src=\")(?!http)([^)#\"]+)[)\"]", text)]
    paths = [ROOT / path for path in PATH.findall(text) if "NAME" not in path]
    assert [path for path in links + paths if not path.exists()] == []


def test_the_readme_lists_the_commands_in_their_order_and_is_short() -> None:
    text = (ROOT / "README.md").read_text()
    assert re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE) == list(COMMANDS)
    assert text.count("\n") <= 150


def test_every_measure_and_baseline_is_explained() -> None:
    text = (ROOT / "docs" / "measures.md").read_text()
    known = set(re.findall(r"`(\w+)`", text))
    short = {re.sub(r"_(t1|t2|csf|gm|wm)$", "", name) for name in CONSTRAINABLE}
    assert short - known == set()
    assert [label for label in BASELINES.values() if label.partition(" (")[0] not in text] == []
