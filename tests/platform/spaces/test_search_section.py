"""Domains, steps and conditions of the searched fields, for one method and for two, and their errors."""

from pathlib import Path
from platform.study.dimensions import Choice, Int, IntLog, Log, Uniform, active, point_at
from platform.study.study import Study

import numpy as np
import pytest

from tests.platform.spaces.toy_spaces import TWO, Case, both, load, require_refused
from tests.platform.toys import METHODS, TOYS, BridgeConfig, PatchConfig
from trainers.errors import InputError


def test_fields_of_some_methods_are_searched_for_these_only(tmp_path: Path) -> None:
    bridge, patch = {"method": ("bridge",)}, {"method": ("patch",)}
    study = load(tmp_path, TWO)
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


def test_every_point_of_the_space_is_a_config_of_its_method(tmp_path: Path) -> None:
    study = load(tmp_path, TWO)
    assert Study.from_json(study.to_json(), TOYS) == study
    kinds = set()
    for row in np.random.default_rng(0).random((300, len(study.search))):
        point = point_at(study.search, row)
        assert tuple(point) == tuple(dimension.name for dimension in active(study.search, point))
        config = study.point(point)
        assert type(config) is METHODS[study.method_of(point)] and config.steps == 200
        for name, value in point.items():
            assert name == "method" or getattr(config, name) == value
        kinds.add(tuple(point))
    assert len(kinds) == 7  # patch; bridge with latent or not, with blocks, and these with edge or not


def test_a_list_of_one_method_is_that_method(tmp_path: Path) -> None:
    text = "method: {}\nobjectives: {{fid: minimize}}\ncohort: {{source: brains}}\nbudget: {{trials: 1}}\n"
    text += "search: {{{}: {{choice: [false, true], when: {{method: {}}}}}}}\n"
    one, plain = (load(tmp_path, text.format(name, "flip", "patch")) for name in ("[patch]", "patch"))
    assert one == plain and one.search == (Choice("flip", (False, True)),)
    assert one.start == ({"flip": False},)
    everywhere = load(tmp_path, text.format("[patch, bridge]", "idt", "[bridge, patch]"))
    assert everywhere.search[1] == Choice("idt", (False, True))


def test_a_condition_accepts_what_its_parent_accepts_whatever_other_methods_would(tmp_path: Path) -> None:
    """Only the bridge has blocks of 17; a choice of numbers may be written without a point."""
    text = TWO.replace("{int: [1, 9], step: 2, when: {generator: image}}", "{choice: [9, 17], when: WHEN}")
    text = text.replace("WHEN", "{method: bridge}").replace("blocks: [1, 3]", "weight: 5, blocks: 17")
    text = text.replace("{log: [0.1, 10]}", "{choice: [1, 2, 5]}").replace(", blocks: 3, edge: 0.5", "")
    assert load(tmp_path, text).search[6].when == {"method": ("bridge",), "weight": (5.0,), "blocks": (17,)}


def test_a_domain_is_checked_against_the_methods_of_its_condition(tmp_path: Path) -> None:
    wide = TWO.replace("{log: [0.1, 10]}", "{log: [0.1, 100]}")
    message = r":7: search.weight.log\[1\]: 100 .* \[0, 10\], .* \(method patch\)$"
    with pytest.raises(InputError, match=message):
        load(tmp_path, wide)
    alone = wide.replace("[0.1, 100]}", "[0.1, 100], when: {method: bridge}}")
    assert load(tmp_path, alone).search[1] == Log("weight", 0.1, 100.0, when={"method": ("bridge",)})


WEIGHT = "{log: [0.1, 100]}", 8
EDGE = "{uniform: [0.03, 0.2]}", 9
STEPS = "{int: [1, 8]}", 10
FORM = "{choice: [image, residual]}", 12
WHEN = "{generator: image}", 10
BLOCKS = "blocks: [1, 3]", 12
FLIP = "method: patch}}", 13
CASES: list[Case] = [
    (("  weight: {log", 8), "  wieght: {log", "search.wieght ... did you mean weight?"),
    (("{log: [0.1", 8), "{lgo: [0.1", "search.weight.lgo ... did you mean log?"),
    (
        ("{uniform: [0.03, 0.2]}", 12),
        "\n    log:\n    - 0.03\n    - 2",
        "edge.log[1]: 2 ... [0, 1]",
    ),
    (("[image, residual]", 12), "[image, raw]", "search.form.choice[1] ... raw ... image, residual"),
    (("      - 1\n", 15), "      - x\n", 'search.order.choice[0] ... "x" ... 1, 2'),
    (("  order:\n", 13), "  widths:\n", "search.widths ... a list cannot be searched"),
    (("- 2\n", 17), "- 2\n    step: 1\n", "search.order.step ... choice ... uniform and int"),
    (("batch: 4", 9), "batch: 4, edge: 0.1", "search.edge ... both searched and fixed (line 17)"),
    (WEIGHT, "[0.1, 100]", "search.weight ... {uniform: [low, high]} ... {choice: [...]}"),
    (WEIGHT, "{log: [1, 2], uniform: [1, 2]}", "search.weight ... {log: [low, high]}"),
    (WEIGHT, "{log: 3}", "search.weight.log ... 3 ... [low, high]"),
    (WEIGHT, "{log: [1, 2, 3]}", "search.weight.log ... [1, 2, 3] ... [low, high]"),
    (WEIGHT, "{log: [a, 2]}", 'search.weight.log[0] ... "a" ... a number in [0.01, 1000]'),
    (WEIGHT, "{log: [0.001, 100]}", "search.weight.log[0] ... 0.001 ... [0.01, 1000]"),
    (WEIGHT, "{log: [1, 1]}", "search.weight.log ... [1, 1] ... low below high"),
    (WEIGHT, "{int: [1, 100]}", "search.weight.int ... uniform, log, choice"),
    (WEIGHT, "null", "search.weight ... null ... {log: [low, high]}"),
    (EDGE, "{log: [0, 0.2]}", "search.edge.log ... [0, 0.2] ... low above 0"),
    (EDGE, "{uniform: [0, 1], stp: 0.1}", "search.edge.stp ... did you mean step?"),
    (EDGE, "{step: 0.1}", "search.edge ... {uniform: [low, high]}"),
    (EDGE, "{uniform: [0, 1], int: 2}", "search.edge.int ... allowed: step, when"),
    (EDGE, "{uniform: [0.1, 0.4], step: 0}", "search.edge.step ... 0 ... above 0"),
    (EDGE, "{uniform: [0.1, 0.4], step: 0.31}", "search.edge.step ... the length of"),
    (EDGE, "{uniform: [0, 1], step: 1.0e-7}", "search.edge.step ... at least 1e-06, or no step"),
    (EDGE, "{uniform: [0.1, 0.4], step: x}", 'search.edge.step ... "x" ... a number'),
    (STEPS, "{uniform: [1, 8]}", "search.steps.uniform ... int, int_log, choice"),
    (STEPS, "{int: [1, 8.5]}", "search.steps.int[1] ... 8.5 ... an integer in [1, 64]"),
    (STEPS, "{int: [1, 8], step: 1.5}", "search.steps.step ... 1.5 ... an integer above 0"),
    (STEPS, "{int_log: [1, 8], step: 2}", "search.steps.step ... int_log ... uniform and int"),
    (FORM, "{choice: image}", "search.form.choice ... image ... at least two"),
    (FORM, "{choice: [image]}", "search.form.choice ... image ... at least two"),
    (FORM, "{choice: [image, image]}", "search.form.choice[1] ... twice"),
    (FORM, "{int: [1, 2]}", "search.form.int ... image, residual ... choice"),
]
OF_TWO: list[Case] = [
    (("limit: 20", 10), "blocks: 5", "search.blocks ... both searched and fixed (line 5)"),
    (("  flip:", 13), "  flop:", "search.flop ... did you mean flip?"),
    (("  flip:", 13), "  method:", "search.method ... unknown key"),
    (WHEN, "{generater: image}", "search.blocks.when.generater ... did you mean generator?"),
    (WHEN, "{latent: 8}", "search.blocks.when.latent: does not come before blocks"),
    (WHEN, "{weight: 1}", "search.blocks.when.weight ... no distinct values ... choice or int"),
    (WHEN, "{steps: 200}", "search.blocks.when.steps ... unknown searched field"),
    (WHEN, "{generator: imag}", 'when.generator ... "imag" ... did you mean image? ... legacy'),
    (WHEN, "{generator: [image, 3]}", "when.generator ... 3 is ... image, residual, legacy"),
    (WHEN, "{generator: []}", "when.generator ... [] ... image, residual, legacy"),
    (WHEN, "{generator: [image, image]}", "when.generator[1] ... twice"),
    (WHEN, "{idt: 1}", "search.blocks.when.idt ... 1 is ... True, False"),
    (WHEN, "generator", 'search.blocks.when ... "generator" ... {searched field: a value'),
    (WHEN, "{}", "search.blocks.when ... {searched field: a value"),
    (WHEN, "null", "search.blocks.when ... null ... {searched field: a value"),
    (WHEN, "{generator: image}, whn: 1", "search.blocks.whn ... did you mean when?"),
    (BLOCKS, "blocks: [1, 2]", "search.edge.when.blocks ... 2 is ... [1, 9] in steps of 2"),
    (BLOCKS, "blocks: 1.0", "search.edge.when.blocks ... 1.0 is ... [1, 9]"),
    (BLOCKS, "blocks: 3, generator: legacy", "search.edge ... never holds ... generator is image"),
    (FLIP, "method: bridge}}", 'search.flip.when.method ... "bridge" ... of method: patch'),
    (FLIP, "method: pach}}", "search.flip.when.method ... did you mean patch?"),
    (FLIP, "generator: image}}", "never holds, as generator is searched only where method is bridge"),
    (FLIP, "blocks: 3}}", "never holds, as generator is searched only where method is bridge"),
]


@pytest.mark.parametrize(("text", "case"), both(CASES, OF_TWO))
def test_an_error_is_one_line(tmp_path: Path, text: str, case: Case) -> None:
    require_refused(tmp_path, text, case)
