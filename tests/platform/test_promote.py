"""The promote command: options that MLflow, or any study, would refuse only after slow work."""

from pathlib import Path
from platform import promote

import pytest

from trainers.errors import InputError


@pytest.mark.parametrize(
    ("words", "line"),
    [
        *[
            (["--alias", alias], "--alias: .* is not allowed; allowed: letters")
            for alias in ("latest", "V3", "", "a b", "x/y")
        ],
        (["--model", "o'brien"], "--model: \"o'brien\" is not allowed; allowed: a name without '"),
        (["--pick", "best"], "--pick: 'best' is not allowed; allowed: knee, .*, TRIAL or TRIAL/STEPS"),
        (["--pick", "3/"], "--pick: '3/' is not allowed"),
        (["--tracking", "ftp://x"], "tracking uri 'ftp://x': unknown scheme"),
        *[
            (["--alias", alias, "--pick", pick], "study: 'asp' is not in .*; allowed: none yet")
            for alias, pick in (("champion", "knee"), ("v", "3"), ("v3a", "3/4"), ("best-of_2", "best-fid"))
        ],
    ],
)
def test_a_wrong_option_is_refused_before_the_study_is_read(
    words: list[str], line: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=line):
        promote.main(["asp", "--storage", str(tmp_path), *words])
