"""For tests: what a page, a picture, a Markdown table or the screen shows."""

import io
import json
import re
from pathlib import Path
from typing import Any

from PIL import Image
from rich.console import Console, RenderableType


def traces(page: Path) -> list[dict[str, Any]]:
    """The traces that a page gives to plotly; fails where the page loads a script."""
    text = page.read_text()
    assert not re.search(r"<script[^>]*\ssrc=", text)
    start = re.search(r'Plotly\.newPlot\(\s*"figure",\s*', text)
    assert start
    found, _ = json.JSONDecoder().raw_decode(text[start.end() :])
    return list(found)


def size(path: Path) -> tuple[int, int]:
    """Width and height of a PNG that can be read to its end."""
    with Image.open(path) as image:
        image.load()
        assert image.format == "PNG"
        return image.size


def markdown_cells(text: str) -> list[list[str]]:
    """The cells of the Markdown tables in a text, heads first, without the rules below them."""
    lines = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line] for line in lines if "---" not in line[0]]


def screen(shown: RenderableType, width: int = 120) -> str:
    """The text of what rich prints."""
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(shown)
    return console.export_text()
