"""The registry on a real sqlite store: one version for one set of facts, and versions that share no file."""

from pathlib import Path
from platform import promote
from platform.models import registry
from platform.storage.layout import Storage
from platform.tracking import store

import pytest
from mlflow.tracking import MlflowClient

from trainers.errors import InputError


def packaged(root: Path, content: str) -> Path:
    """What ``package`` leaves, as far as the registry looks at it."""
    folder = root / content
    (folder / "artifacts" / registry.ARTIFACT).mkdir(parents=True)
    (folder / "artifacts" / registry.ARTIFACT / "manifest.json").write_text(content)
    return folder


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Storage:
    return Storage.open(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def run_id(storage: Storage) -> str:
    experiment = store.prepare(storage.tracking, store.EXPERIMENT, storage.artifacts)
    return str(MlflowClient(storage.tracking).create_run(experiment).info.run_id)


def held(model: str, storage: Storage) -> str:
    with registry.fetch(model, None, str(storage.root)) as fetched:
        return fetched.version + (fetched.folder / "manifest.json").read_text()


def test_step_counts_of_one_trial_are_versions_that_do_not_overwrite_each_other(
    storage: Storage, run_id: str, tmp_path: Path
) -> None:
    uri, versions = storage.tracking, []
    for steps in ("1", "4", "1"):
        folder = packaged(tmp_path / str(len(versions)), f"{steps} steps")
        versions.append(registry.register(uri, "asp", run_id, folder, {"trial": "3", "steps": steps}))
    assert versions == ["1", "2", "1"]
    assert [held(f"models:/asp/{version}", storage) for version in "12"] == ["11 steps", "24 steps"]
    assert held("models:/asp/latest", storage) == held("models:/asp/Latest", storage) == "24 steps"
    for version in ("2", "1"):
        registry.set_alias(uri, "asp", "champion", version)
        assert held("models:/asp@champion", storage) == held(f"models:/asp/{version}", storage)


def test_what_is_not_there_is_one_line(storage: Storage, run_id: str, tmp_path: Path) -> None:
    for model, told in (
        ("models:/nobody@champion", "is not in the registry at sqlite:///"),
        (str(tmp_path), "is no exported model; allowed: models:/NAME@ALIAS"),
    ):
        with pytest.raises(InputError) as error, registry.fetch(model, None, str(storage.root)):
            pass
        assert str(error.value).startswith(f"model: {model!r} ") and told in str(error.value)
        assert "\n" not in str(error.value)
    with pytest.raises(InputError, match=r"--model: 'a/b' is refused by MLflow: "):
        registry.register(storage.tracking, "a/b", run_id, tmp_path, {})
    with pytest.raises(InputError, match="--model: \"o'brien\" is not allowed; allowed: a name without '"):
        registry.require_model("o'brien")


@pytest.mark.parametrize("alias", ["latest", "V3", "", "a b", "x/y"])
def test_what_mlflow_takes_for_no_alias_is_refused_before_anything_is_registered(alias: str) -> None:
    with pytest.raises(InputError, match=r"--alias: .* is not allowed; allowed: letters"):
        promote.require_alias(alias)
    for fine in ("champion", "v", "v3a", "best-of_2"):
        promote.require_alias(fine)


def test_facts_are_text() -> None:
    assert registry.facts({"a": "x", "b": 2, "c": {"z": 1, "y": [1.5]}}) == {
        "a": "x",
        "b": "2",
        "c": '{"y": [1.5], "z": 1}',
    }
