"""A filter that would decide between scans, as an example in the message that refuses them."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import combinations

from trainers.cohorts.scans.filters import CONTRASTS, Filters

_PLAIN = re.compile(r"[\w.+-]*")
"""Labels that a filter's text can hold."""


def example(
    wanted: Mapping[str, Mapping[str, str]],
    open_: Sequence[str],
    known: Iterable[str],
    decides: Callable[[Filters], bool],
) -> str:
    """The shortest filter by which the scans of the entities ``wanted``, by contrast, are chosen.

    ``open_``: contrasts of which there are several; ``known``: entities of any of them. As text, which holds
    for both contrasts, where that leaves a scan of each; else as the content of a file.
    """
    for entities in _by_length(sorted(known)):
        values = {tuple(each.get(key, "") for key in entities) for each in wanted.values()}
        if len(values) == 1 and all(map(_PLAIN.fullmatch, pairs := next(iter(values)))):
            both = dict(zip(entities, pairs, strict=True))
            if decides(Filters({c: {k: (v or None,) for k, v in both.items()} for c in wanted})):
                return f"a filter such as {','.join(f'{k}={v}' for k, v in both.items())}"
        by_contrast = {c: {key: wanted[c].get(key) for key in entities} for c in open_}
        if decides(Filters({c: {k: (v,) for k, v in each.items()} for c, each in by_contrast.items()})):
            names = {contrast: name for name, contrast in CONTRASTS.items()}
            content = json.dumps({names[c]: each for c, each in by_contrast.items()}, ensure_ascii=False)
            return f"a file of filters such as {content}"
    return "names that differ in more than case or leading zeros"


def _by_length(entities: Sequence[str]) -> Iterator[tuple[str, ...]]:
    for count in range(1, len(entities) + 1):
        yield from combinations(entities, count)
