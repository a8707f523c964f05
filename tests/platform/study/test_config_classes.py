"""Configuration classes are found by the names of the files of their folders."""

from dataclasses import fields
from pathlib import Path
from platform.study.config_classes import check_all, cohort_config, method_config, typed

import pytest

import trainers.cohorts
import trainers.methods
from tests.platform.toys import BridgeConfig, PatchConfig
from trainers.errors import InputError


def test_methods_are_the_files_of_their_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = "import dataclasses\n@dataclasses.dataclass\nclass Config:\n    rate: float = 1.0\n"
    (tmp_path / "gauss.py").write_text(lines)
    monkeypatch.setattr(trainers.methods, "__path__", [*trainers.methods.__path__, str(tmp_path)])
    assert [field.name for field in fields(method_config("gauss"))] == ["rate"]
    for name, message in (("guass", r"did you mean gauss\? allowed: .*gauss"), ("../base", "allowed")):
        with pytest.raises(InputError, match=message):
            method_config(name)


def test_cohort_sources_are_the_files_of_their_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "moon.py").write_text(
        "import dataclasses\nfrom trainers.cohorts.base import CohortSource\n"
        "@dataclasses.dataclass\nclass MoonConfig:\n    size: int = 1\n"
        "SOURCE = CohortSource('moon', MoonConfig, lambda config, root, mapper: root)\n"
    )
    monkeypatch.setattr(trainers.cohorts, "__path__", [*trainers.cohorts.__path__, str(tmp_path)])
    assert cohort_config("moon").__name__ == "MoonConfig"
    with pytest.raises(InputError, match=r"did you mean moon\? one of .*moon"):
        cohort_config("mon")


def test_a_value_must_suit_every_class_that_has_the_field() -> None:
    both = (BridgeConfig, PatchConfig)
    values = {"weight": 5, "blocks": 16, "latent": 8, "widths": [4, 8]}
    assert typed(both, values) == {"weight": 5.0, "blocks": 16, "latent": 8, "widths": (4, 8)}
    with pytest.raises(InputError, match=r"blocks: 17 .*\[1, 16\]"):
        check_all(both, "blocks", 17)
    with pytest.raises(InputError, match=r"block: 3 .*did you mean blocks\?"):
        typed(both, {"block": 3})
