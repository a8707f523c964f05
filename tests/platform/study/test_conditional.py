"""Spaces with conditions and with several methods: what they become, and that mistakes are one line."""

import random
from dataclasses import dataclass
from pathlib import Path
from platform.spaces import loader
from platform.spaces.loader import FOLDER, load_study, profile_choices
from platform.study.config_classes import Classes
from platform.study.dimensions import Choice, Int, IntLog, Log, Uniform, active, point_at
from platform.study.study import Study
from typing import Annotated, Literal

import numpy as np
import pytest

from trainers.config import Range
from trainers.errors import InputError


@dataclass(frozen=True, kw_only=True)
class BridgeConfig:
    weight: Annotated[float, Range(0, 1000)] = 1.0
    steps: Annotated[int, Range(1, 10**8)] = 400
    blocks: Annotated[int, Range(1, 32)] = 9
    generator: Literal["residual", "image", "legacy"] = "residual"
    idt: bool = True
    edge: Annotated[float, Range(0, 1)] = 0.1
    latent: Annotated[int, Range(1, 1024)] = 256
    widths: tuple[int, ...] = (8,)


@dataclass(frozen=True, kw_only=True)
class PatchConfig:
    """Its blocks are fewer, its weight is bounded more narrowly; steps are the bridge's."""

    weight: Annotated[float, Range(0, 10)] = 2.0
    steps: Annotated[int, Range(1, 10**8)] = 300
    blocks: Annotated[int, Range(1, 16)] = 6
    idt: bool = False
    flip: bool = False
    limit: Annotated[float, Range(0, 100)] = 50.0

    def __post_init__(self) -> None:
        if self.weight >= self.limit:
            raise InputError(f"weight {self.weight} must be below limit {self.limit}")


@dataclass(frozen=True, kw_only=True)
class BrainsConfig:
    train: int = 24


METHODS: dict[str, type] = {"bridge": BridgeConfig, "patch": PatchConfig}


def method(name: str) -> type:
    if name not in METHODS:
        raise InputError(f"method: {name!r} is not known; allowed: bridge, patch")
    return METHODS[name]


TOY = Classes(method, lambda _: BrainsConfig, lambda: BrainsConfig)

GOOD = """\
method: [bridge, patch]
objectives: {fid: minimize}
cohort: {source: brains}
budget: {trials: 8}
fixed: {steps: 200, widths: [4, 8], limit: 20}
search:
  weight: {log: [0.1, 10]}
  idt: {choice: [true, false]}
  generator: {choice: [image, residual, legacy]}
  blocks: {int: [1, 9], step: 2, when: {generator: image}}
  latent: {int_log: [8, 256], when: {generator: [image, legacy], idt: true}}
  edge: {uniform: [0, 1], when: {blocks: [1, 3], method: bridge}}
  flip: {choice: [false, true], when: {method: patch}}
start_from: [{}, {method: patch, flip: true}, {generator: image, blocks: 3, edge: 0.5}]
"""


def load(folder: Path, text: str = GOOD) -> Study:
    path = folder / "space.yaml"
    path.write_text(text)
    return load_study(path, classes=TOY)


def test_fields_of_some_methods_are_searched_for_these_alone(tmp_path: Path) -> None:
    bridge, patch = {"method": ("bridge",)}, {"method": ("patch",)}
    study = load(tmp_path)
    assert (study.methods, study.configs) == (("bridge", "patch"), (BridgeConfig, PatchConfig))
    assert study.search == (
        Choice("method", ("bridge", "patch")),
        Log("weight", 0.1, 10.0),
        Choice("idt", (True, False)),
        Choice("generator", ("image", "residual", "legacy"), when=bridge),
        Int("blocks", 1, 9, step=2, when={"generator": ("image",)}),
        IntLog("latent", 8, 256, when={**bridge, "generator": ("image", "legacy"), "idt": (True,)}),
        Uniform("edge", 0.0, 1.0, when={**bridge, "blocks": (1, 3)}),
        Choice("flip", (False, True), when=patch),
    )
    assert study.fixed == {"steps": 200, "widths": (4, 8), "limit": 20.0}


def test_start_points_name_their_method_or_get_the_first(tmp_path: Path) -> None:
    assert load(tmp_path).start == (
        {"method": "bridge", "weight": 1.0, "idt": True, "generator": "residual"},
        {"method": "patch", "weight": 2.0, "idt": False, "flip": True},
        {
            **{"method": "bridge", "weight": 1.0, "idt": True, "generator": "image"},
            **{"blocks": 3, "latent": 256, "edge": 0.5},
        },
    )
    unsaid = GOOD[: GOOD.index("start_from")]
    assert load(tmp_path, unsaid).start == load(tmp_path).start[:1]


def test_every_point_of_the_space_is_a_config_of_its_method(tmp_path: Path) -> None:
    study = load(tmp_path)
    assert Study.from_json(study.to_json(), TOY) == study
    seen = set()
    for row in np.random.default_rng(0).random((300, len(study.search))):
        point = point_at(study.search, row)
        assert tuple(point) == tuple(dimension.name for dimension in active(study.search, point))
        config = study.point(point)
        assert type(config) is METHODS[study.method_of(point)] and config.steps == 200
        for name, value in point.items():
            assert name == "method" or getattr(config, name) == value
        seen.add(tuple(point))
    assert len(seen) == 7  # patch; bridge with latent or not, with blocks, and these with edge or not


def test_a_list_of_one_method_is_that_method(tmp_path: Path) -> None:
    text = "method: {}\nobjectives: {{fid: minimize}}\ncohort: {{source: brains}}\nbudget: {{trials: 1}}\n"
    text += "search: {{flip: {{choice: [false, true], when: {{method: patch}}}}}}\n"
    one, plain = (load(tmp_path, text.format(name)) for name in ("[patch]", "patch"))
    assert one == plain and one.search == (Choice("flip", (False, True)),)
    assert one.start == ({"flip": False},)
    everywhere = load(
        tmp_path,
        text.format("[patch, bridge]")
        .replace("flip: {choice: [false, true], ", "idt: {choice: [false, true], ")
        .replace("{method: patch}", "{method: [bridge, patch]}"),
    )
    assert everywhere.search[1] == Choice("idt", (False, True))


def test_a_condition_takes_what_its_parent_takes_whatever_other_methods_would(tmp_path: Path) -> None:
    """Blocks of 17 are the bridge's alone; a choice of numbers may be written without a point."""
    text = GOOD.replace("{int: [1, 9], step: 2, when: {generator: image}}", "{choice: [9, 17], when: WHEN}")
    text = text.replace("WHEN", "{method: bridge}").replace("blocks: [1, 3]", "weight: 5, blocks: 17")
    text = text.replace("{log: [0.1, 10]}", "{choice: [1, 2, 5]}").replace(", blocks: 3, edge: 0.5", "")
    assert load(tmp_path, text).search[6].when == {"method": ("bridge",), "weight": (5.0,), "blocks": (17,)}


def test_a_domain_is_checked_against_the_methods_that_its_condition_lets_in(tmp_path: Path) -> None:
    wide = GOOD.replace("{log: [0.1, 10]}", "{log: [0.1, 100]}")
    with pytest.raises(
        InputError, match=r":7: search.weight.log\[1\]: 100 .* \[0, 10\], .* \(method patch\)$"
    ):
        load(tmp_path, wide)
    alone = wide.replace("[0.1, 100]}", "[0.1, 100], when: {method: bridge}}")
    assert load(tmp_path, alone).search[1] == Log("weight", 0.1, 100.0, when={"method": ("bridge",)})


# An edit of GOOD, the line that is blamed, and words that the message holds.
BAD: list[tuple[str, str, int, tuple[str, ...]]] = [
    # methods
    ("[bridge, patch]", "[bridge, pitch]", 1, ("method", "'pitch'", "allowed: bridge, patch")),
    ("[bridge, patch]", "[bridge, bridge]", 1, ("method[1]", '"bridge"', "twice")),
    ("[bridge, patch]", "[]", 1, ("method", "a name, or a list of names")),
    ("[bridge, patch]", "bridge", 5, ("fixed.limit", "unknown key", "weight, steps")),
    ("limit: 20", "limit: 101", 5, ("fixed.limit", "101", "[0, 100]")),
    ("limit: 20", "blocks: 5", 10, ("search.blocks", "both searched and fixed (line 5)")),
    ("widths: [4, 8]", "width: [4, 8]", 5, ("fixed.width", "did you mean widths?")),
    ("widths: [4, 8]", "method: patch", 5, ("fixed.method", "unknown key")),
    ("limit: 20", "limit: 0.01", 5, ("fixed", "weight 2.0 must be below limit 0.01")),
    ("  flip:", "  flop:", 13, ("search.flop", "did you mean flip?")),
    ("  flip:", "  method:", 13, ("search.method", "unknown key")),
    # conditions
    (
        "{generator: image}",
        "{generater: image}",
        10,
        ("search.blocks.when.generater", "did you mean generator?"),
    ),
    ("{generator: image}", "{latent: 8}", 10, ("search.blocks.when.latent", "does not stand above blocks")),
    ("{generator: image}", "{blocks: 1}", 10, ("search.blocks.when.blocks", "does not stand above")),
    (
        "{generator: image}",
        "{weight: 1}",
        10,
        ("search.blocks.when.weight", "no distinct values", "choice or int"),
    ),
    ("{generator: image}", "{steps: 200}", 10, ("search.blocks.when.steps", "unknown searched field")),
    (
        "{generator: image}",
        "{generator: imag}",
        10,
        ("when.generator", '"imag"', "did you mean image?", "legacy"),
    ),
    (
        "{generator: image}",
        "{generator: [image, 3]}",
        10,
        ("when.generator", "3 is", "image, residual, legacy"),
    ),
    ("{generator: image}", "{generator: []}", 10, ("when.generator", "[]", "image, residual, legacy")),
    ("{generator: image}", "{generator: [image, image]}", 10, ("when.generator[1]", "twice")),
    ("{generator: image}", "{generator: {a: 1}}", 10, ("when.generator", "image, residual, legacy")),
    ("{generator: image}", "{idt: 1}", 10, ("search.blocks.when.idt", "1 is", "True, False")),
    ("{generator: image}", "{idt: 'true'}", 10, ("search.blocks.when.idt", '"true"', "True, False")),
    (
        "{generator: image}",
        "generator",
        10,
        ("search.blocks.when", '"generator"', "{searched field: a value"),
    ),
    ("{generator: image}", "{}", 10, ("search.blocks.when", "{searched field: a value")),
    ("{generator: image}", "null", 10, ("search.blocks.when", "null", "{searched field: a value")),
    ("{generator: image}", "{generator: image}, whn: 1", 10, ("search.blocks.whn", "did you mean when?")),
    ("blocks: [1, 3]", "blocks: [1, 2]", 12, ("search.edge.when.blocks", "2 is", "[1, 9] in steps of 2")),
    ("blocks: [1, 3]", "blocks: 10", 12, ("search.edge.when.blocks", "10 is", "[1, 9] in steps of 2")),
    ("{generator: image}", "{idt: }", 10, ("search.blocks.when.idt", "null", "True, False")),
    ("blocks: [1, 3]", "blocks: 1.0", 12, ("search.edge.when.blocks", "1.0 is", "[1, 9]")),
    ("method: patch}}", "method: bridge}}", 13, ("search.flip.when.method", '"bridge"', "of method: patch")),
    ("method: patch}}", "method: pach}}", 13, ("search.flip.when.method", "did you mean patch?")),
    (
        "method: patch}}",
        "generator: image}}",
        13,
        ("search.flip", "never holds", "generator is searched only where method is bridge"),
    ),
    (
        "method: patch}}",
        "blocks: 3}}",
        13,
        ("search.flip", "never holds", "generator is searched only where method is bridge"),
    ),
    (
        "blocks: [1, 3]",
        "blocks: 3, generator: legacy",
        12,
        ("search.edge", "never holds", "generator is image"),
    ),
    # start points
    ("flip: true}", "flip: 1}", 14, ("start_from[1].flip", "1 is", "true or false")),
    ("flip: true}", "generator: image}", 14, ("start_from[1].generator", "where method is bridge")),
    ("flip: true}", "edge: 0.5}", 14, ("start_from[1].edge", "not searched here", "blocks is 1 or 3")),
    ("[{}, {method: patch", "[{}, {method: pitch", 14, ("start_from[1].method", "pitch", "bridge, patch")),
    ("[{}, {method: patch", "[{}, {method: 3", 14, ("start_from[1].method", "3", "text")),
    ("image, blocks: 3", "image, blocks: 2", 14, ("start_from[2].blocks", "2 is", "in steps of 2")),
    ("image, blocks: 3", "legacy, blocks: 3", 14, ("start_from[2].blocks", "where generator is image")),
    ("image, blocks: 3", "image", 14, ("start_from[2].edge", "blocks is 1 or 3")),
]


@pytest.mark.parametrize(("old", "new", "line", "words"), BAD)
def test_a_mistake_is_one_line(tmp_path: Path, old: str, new: str, line: int, words: tuple[str, ...]) -> None:
    assert GOOD.count(old) == 1
    with pytest.raises(InputError) as caught:
        load(tmp_path, GOOD.replace(old, new))
    message = str(caught.value)
    assert message.startswith(f"{tmp_path}/space.yaml:{line}: ")
    assert [word for word in words if word not in message] == []
    assert message.isprintable()


def test_a_method_that_takes_no_point_is_named(tmp_path: Path) -> None:
    text = GOOD.replace("limit: 20", "limit: 2.5").replace("log: [0.1, 10]", "log: [3, 10]")
    text = text[: text.index("start_from")] + "start_from: none\n"
    told = r":6: search: patch's Config refuses every point: 'weight 5\.47\d* must .* \(1000 of 1000\)"
    with pytest.raises(InputError, match=told):
        load(tmp_path, text)
    assert load(tmp_path, text.replace("limit: 2.5", "limit: 3.1")).search  # a fortieth of its points


def test_the_grace_is_below_the_steps_of_every_method(tmp_path: Path) -> None:
    unfixed = GOOD.replace("steps: 200, ", "") + "scheduler: {name: asha, grace: 300}\n"
    with pytest.raises(InputError, match=r"yaml:15: scheduler.grace: 300 .* below 300, the steps of the sho"):
        load(tmp_path, unfixed)
    assert load(tmp_path, unfixed.replace("300", "299")).scheduler.grace == 299
    with pytest.raises(InputError, match=r"yaml:15: scheduler.grace: 200 .* below 200"):
        load(tmp_path, GOOD + "scheduler: {name: asha, grace: 200}\n")
    searched = unfixed.replace("  weight:", "  steps: {choice: [900, 100]}\n  weight:")
    searched = searched.replace("[{}, ", "[").replace("{method: p", "{steps: 100, method: p")
    searched = searched.replace("{generator: image, ", "{steps: 900, generator: image, ")
    with pytest.raises(InputError, match="below 100"):
        load(tmp_path, searched)
    assert load(tmp_path, searched.replace("grace: 300", "grace: 99")).scheduler.grace == 99


def test_a_grid_may_be_conditional(tmp_path: Path) -> None:
    text = GOOD.replace("{log: [0.1, 10]}", "{choice: [1, 2]}").replace(
        "[0, 1], when", "[0, 1], step: 0.1, when"
    )
    sizes = [dimension.size for dimension in load(tmp_path, text + "sampler: grid\n").search]
    assert sizes == [2, 2, 2, 3, 5, 249, 11, 2]


def test_mutations_give_a_study_or_one_line(tmp_path: Path) -> None:
    rng = random.Random(5)
    path = tmp_path / "space.yaml"
    words = GOOD.replace("\n", " \n ").split(" ")
    refused = 0
    for _ in range(300):
        mutant = list(words)
        for _ in range(rng.randint(1, 2)):
            mutant[rng.randrange(len(mutant))] = rng.choice(words)
        path.write_text(" ".join(mutant).replace(" \n ", "\n"))
        try:
            study = load_study(path, classes=TOY)
            assert Study.from_json(study.to_json(), TOY) == study
        except InputError as error:
            refused += 1
            assert str(error).startswith(f"{path}:") and str(error).isprintable()
    assert 200 < refused < 300


def test_shipped_spaces_load_in_every_profile_and_survive_json() -> None:
    paths = sorted(FOLDER.glob("*.yaml"))
    assert paths
    for path in paths:
        for profile in (None, *profile_choices(path)):
            study = load_study(path, profile=profile)
            assert Study.from_json(study.to_json()) == study
            for row in np.random.default_rng(0).random((20, len(study.search))):
                point = point_at(study.search, row)
                assert [d.at(d.unit(point[d.name])) for d in study.search] == pytest.approx(
                    list(point.values())
                )


def test_the_two_real_methods_can_be_searched_together(tmp_path: Path) -> None:
    path = tmp_path / "both.yaml"
    path.write_text(
        f"extends: {FOLDER}/base/phantom.yaml\nmethod: [unsb, cut]\nsearch:\n"
        "  lambda_NCE: {log: [0.5, 4]}\n  tau_m: {uniform: [0.03, 0.2], step: 0.01}\n"
        "  flip_equivariance: {choice: [false, true]}\n"
    )
    for profile in (None, "laptop", "cluster", "smoke"):
        study = load_study(path, profile=profile)
        assert [dict(d.when) for d in study.search[2:]] == [{"method": ("unsb",)}, {"method": ("cut",)}]
        for params in ({"method": "unsb", "tau_m": 0.1}, {"method": "cut", "flip_equivariance": True}):
            assert type(study.point(params)).__module__ == f"trainers.methods.{params['method']}"


def test_the_documented_space_loads_and_has_every_key(tmp_path: Path) -> None:
    block = [line[4:] for line in str(loader.__doc__).splitlines() if line.startswith("    ")]
    path = tmp_path / "asp_dmd.yaml"
    path.write_text("\n".join(block).replace("extends: base/phantom.yaml", ""))
    documented = {line.split(":")[0] for line in block if line[0].isalpha()}
    assert documented == set(loader._KEYS)
    study = load_study(path)
    assert study.search[-1] == IntLog("latent", 8, 256, when={"generator": ("residual",)})
    assert load_study(path, profile="laptop").fixed == {"batch_size": 4, "lambda_SB": 1.0}
