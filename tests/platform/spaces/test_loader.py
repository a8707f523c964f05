"""Search spaces: what a good file becomes, its profiles, and that every error is one line."""

import random
from pathlib import Path
from platform.spaces import loader, strict_yaml
from platform.spaces.loader import FOLDER, find_space, load_chosen, load_study
from platform.spaces.profiles import profile_names, read
from platform.study.budget import Budget
from platform.study.dimensions import Choice, Int, IntLog, Log, Uniform, point_at
from platform.study.settings import CohortChoice, Objective, Resources, Scheduler
from platform.study.study import Study
from typing import Any

import numpy as np
import pytest

from tests.platform.spaces.toy_spaces import ONE, TWO, load, require_refused, write
from tests.platform.toys import TOYS, BrainsConfig, ScansConfig, ToyConfig
from trainers.errors import InputError

PROFILES = (None, "laptop", "workstation", "cluster", "smoke")


def test_a_good_space_becomes_a_typed_study(tmp_path: Path) -> None:
    study = load(tmp_path)
    assert (study.name, study.method, study.config, study.profile) == ("space", "toy", ToyConfig, None)
    assert (study.methods, study.configs) == (("toy",), (ToyConfig,))
    assert study.objectives == (Objective("fid", "minimize"), Objective("ms_ssim", "maximize"))
    assert study.search == (
        *(Log("weight", 0.1, 100.0), Uniform("edge", 0.03, 0.2), Int("steps", 1, 8)),
        *(IntLog("updates", 1, 16), Choice("form", ("image", "residual")), Choice("order", (1, 2))),
    )
    assert study.fixed == {"batch": 4, "rate": 1e-4}
    assert study.cohort == CohortChoice("brains", BrainsConfig(size="1mm"))
    assert study.references == {"teacher_steps": 300}
    assert study.resources == Resources(cpus=2, gpus=0.5, concurrent=2, workers=1)
    assert (study.budget, study.sampler, study.seed) == (Budget(trials=8, hours=1.5), "tpe", 7)


def test_only_five_keys_are_required(tmp_path: Path) -> None:
    keys = ["method: toy", "objectives: {fid: minimize}", "search: {edge: {uniform: [0, 0.5]}}"]
    keys += ["cohort: {source: brains}", "budget: {trials: 1}"]
    study = load(tmp_path, "\n".join(keys))
    assert (study.sampler, study.seed, study.fixed, study.references) == ("auto", 0, {}, {})
    assert (study.resources, study.budget) == (Resources(), Budget(trials=1))
    assert (study.scheduler, study.constraints) == (Scheduler(), ())
    assert (study.warm, study.deterministic, study.allow_blind) == ("", False, False)
    for key in keys:
        with pytest.raises(InputError, match=rf"yaml:\d: {key.split(':')[0]} is missing"):
            load(tmp_path, "\n".join(each for each in keys if each != key))
    require_refused(tmp_path, ONE, (("method: toy", 2), "methd: toy", "methd ... did you mean method?"))


def test_a_profile_merges_key_by_key_and_null_removes(tmp_path: Path) -> None:
    laptop = load(tmp_path, ONE, "laptop")
    assert [dimension.name for dimension in laptop.search] == ["edge", "steps", "updates", "form", "order"]
    assert laptop.search[1] == Choice("steps", (1, 2)) and laptop.start == ()
    assert laptop.fixed == {"batch": 4, "rate": 1e-4, "weight": 2.0}
    assert laptop.cohort.config == BrainsConfig(size="1mm", train=2)
    assert laptop.profile == "laptop"
    other = load(tmp_path, ONE, "other")
    assert other.cohort == CohortChoice("scans", ScansConfig(folder="data"))
    assert [objective.name for objective in other.objectives] == ["ms_ssim", "psnr"]


def test_an_unknown_profile_is_refused_with_the_existing_ones(tmp_path: Path) -> None:
    message = r"space.yaml:26: .*\"laptp\"; did you mean laptop\? allowed: laptop, other"
    with pytest.raises(InputError, match=message):
        load(tmp_path, ONE, "laptp")
    with pytest.raises(InputError, match="allowed: none"):
        load(tmp_path, ONE[: ONE.index("profiles")], "laptop")


REAL = """\
method: unsb
objectives: {fid: minimize}
search: {tau_m: {uniform: [0.05, 0.2]}}
cohort: {source: phantom}
budget: {trials: 1}
"""


LAPTOP, CLUSTER = "  laptop: {seed: 1}\n", "  cluster: {seed: 2}\n"


@pytest.mark.parametrize(
    ("variants", "profile", "on_cluster", "expected"),
    [
        *[(LAPTOP + CLUSTER, None, False, ("laptop", 1)), (LAPTOP + CLUSTER, None, True, ("cluster", 2))],
        *[(LAPTOP + CLUSTER, "laptop", True, ("laptop", 1)), (LAPTOP, None, True, (None, 0))],
        ("", None, False, (None, 0)),
    ],
)
def test_the_default_profile_follows_the_machine_and_the_file_is_read_once(
    tmp_path: Path, monkeypatch: Any, variants: str, profile: Any, on_cluster: bool, expected: Any
) -> None:
    reads, load_yaml = [], strict_yaml.load
    monkeypatch.setattr(strict_yaml, "load", lambda path: reads.append(path) or load_yaml(path))
    path = write(tmp_path, REAL + (f"profiles:\n{variants}" if variants else ""))
    study = load_chosen(path, profile, on_cluster)
    assert ((study.profile, study.seed), reads) == (expected, [path])


def test_a_chosen_study_has_the_crop_of_its_references(tmp_path: Path) -> None:
    path = write(tmp_path, REAL + "fixed: {crop: 64}\n")
    assert load_study(path).fixed == {"crop": 64}
    with pytest.raises(InputError, match="crop: 64 is not allowed; allowed: 128, the references' crop"):
        load_chosen(path, None, on_cluster=False)


def test_the_first_of_several_errors_is_raised(tmp_path: Path) -> None:
    text = ONE
    edits = {
        "seed: 7": "seed: x",
        "trials: 8": "trials: 0",
        "batch: 4": "bach: 4",
        "{int: [1, 8]}": "{int: 8}",
    }
    edits |= {"sampler: tpe": "sampler: x", "fid: min": "fud: min", "method: toy": "method: x"}
    for (old, new), line in zip(edits.items(), (25, 24, 17, 10, 6, 4, 2), strict=True):
        text = text.replace(old, new, 1)
        with pytest.raises(InputError, match=rf"space\.yaml:{line}: "):
            load(tmp_path, text)


TOKENS = (b"[", b"{", b"&a ", b"*a", b"\n", b"\t", b": ", b"- ", b"!!int ", b"1e999", b"\xff")


def change_bytes(text: str, rng: random.Random) -> bytes:
    """One to four times up to eight bytes are replaced by nothing, a byte, a token or a repeated part."""
    raw = text.encode()
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(raw))
        rest = raw[at + rng.choice([0, 1, rng.randint(1, 8)]) :]
        raw = raw[:at] + rng.choice([b"", rng.randbytes(1), raw[at : at + 40], rng.choice(TOKENS)]) + rest
    return raw


def change_words(text: str, rng: random.Random) -> bytes:
    """One or two words replaced by others of the text."""
    words = text.replace("\n", " \n ").split(" ")
    changed = list(words)
    for _ in range(rng.randint(1, 2)):
        changed[rng.randrange(len(changed))] = rng.choice(words)
    return " ".join(changed).replace(" \n ", "\n").encode()


@pytest.mark.parametrize(("text", "change"), [(ONE, change_bytes), (TWO, change_words)])
def test_a_random_change_gives_a_study_or_one_line(tmp_path: Path, text: str, change: Any) -> None:
    rng, path, refused = random.Random(64), tmp_path / "space.yaml", 0
    for _ in range(200):
        path.write_bytes(change(text, rng))
        try:
            study = load_study(path, classes=TOYS)
            assert Study.from_json(study.to_json(), TOYS) == study
        except InputError as error:
            refused += 1
            assert str(error).startswith(f"{path}:") and str(error).isprintable()
    assert 100 < refused < 200


def test_a_file_without_its_end_is_a_study_or_one_line(tmp_path: Path) -> None:
    for end in range(0, len(ONE), 7):
        try:
            load(tmp_path, ONE[:end])
        except InputError as error:
            assert str(error).startswith(f"{tmp_path}/space.yaml:")


def test_spaces_are_found_by_path_or_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "search_spaces"
    folder.mkdir()
    shipped, own = write(folder, ONE, "asp_dmd.yaml"), write(tmp_path, ONE, "own.yaml")
    monkeypatch.setattr(loader, "FOLDER", folder)
    assert find_space(str(own)) == own
    assert find_space("asp_dmd.yaml") == find_space("asp_dmd") == shipped
    message = r"no file asp_dnd, nor .*asp_dnd.yaml; did you mean asp_dmd\? .*asp_dmd"
    with pytest.raises(InputError, match=message):
        find_space("asp_dnd")


def test_shipped_spaces_load_survive_json_and_share_their_means_in_every_profile() -> None:
    paths = sorted(FOLDER.glob("*.yaml"))
    assert len(paths) == 10
    for profile in PROFILES:
        studies = [load_study(path, profile=profile) for path in paths]
        for study in studies:
            assert Study.from_json(study.to_json()) == study
            for row in np.random.default_rng(0).random((20, len(study.search))):
                point = point_at(study.search, row)
                inverted = [d.at(d.unit(point[d.name])) for d in study.search]
                assert inverted == pytest.approx(list(point.values()))
        for shared in ("cohort", "references", "resources", "objectives"):
            assert len({str(getattr(study, shared)) for study in studies}) == 1, (profile, shared)
        configs = [study.point(study.start[0]) for study in studies]
        assert len({(c.steps, c.batch_size, c.crop) for c in configs}) == 1, profile
    names = {name for path in paths for name in profile_names(read(path), loader._KEYS)}
    assert names == set(PROFILES) - {None}


def test_two_real_methods_can_be_searched_together(tmp_path: Path) -> None:
    text = f"extends: {FOLDER}/base/phantom.yaml\nmethod: [unsb, cut]\nsearch:\n"
    text += "  lambda_NCE: {log: [0.5, 4]}\n  tau_m: {uniform: [0.03, 0.2], step: 0.01}\n"
    path = write(tmp_path, text + "  flip_equivariance: {choice: [false, true]}\n")
    for profile in PROFILES:
        study = load_study(path, profile=profile)
        assert [dict(d.when) for d in study.search[2:]] == [{"method": ("unsb",)}, {"method": ("cut",)}]
        for params in ({"method": "unsb", "tau_m": 0.1}, {"method": "cut", "flip_equivariance": True}):
            assert type(study.point(params)).__module__ == f"trainers.methods.{params['method']}"


def test_the_documented_space_loads_and_has_every_key(tmp_path: Path) -> None:
    lines = [line[4:] for line in str(loader.__doc__).splitlines() if line.startswith("    ")]
    path = write(tmp_path, "\n".join(lines).replace("extends: base/phantom.yaml", ""), "asp_dmd.yaml")
    assert {line.split(":")[0] for line in lines if line[0].isalpha()} == set(loader._KEYS)
    study = load_study(path)
    assert study.search[-1] == IntLog("latent", 8, 256, when={"generator": ("residual",)})
    assert load_study(path, profile="laptop").fixed == {"batch_size": 4, "lambda_SB": 1.0}
