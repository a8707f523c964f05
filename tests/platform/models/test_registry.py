"""The registry in a sqlite store: one version for one set of tags, and versions that share no file."""

from pathlib import Path
from platform.models import registry
from platform.storage.layout import Storage
from platform.tracking import store

import pytest
from mlflow.tracking import MlflowClient

from trainers.errors import InputError


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Storage:
    return Storage.open(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def run_id(storage: Storage) -> str:
    experiment = store.prepare(storage.tracking, store.EXPERIMENT, storage.artifacts(storage.tracking))
    return str(MlflowClient(storage.tracking).create_run(experiment).info.run_id)


def packaged(folder: Path, content: str) -> Path:
    """What ``package`` writes, as far as the registry reads it."""
    (folder / "artifacts" / registry.ARTIFACT).mkdir(parents=True)
    (folder / "artifacts" / registry.ARTIFACT / "manifest.json").write_text(content)
    return folder


def fetched(model: str, storage: Storage) -> str:
    """Version and manifest of a model."""
    with registry.fetch(model, None, str(storage.root)) as model_:
        return f"{model_.version}: {(model_.folder / 'manifest.json').read_text()}"


def test_each_step_count_of_a_trial_is_a_version_of_its_own(
    storage: Storage, run_id: str, tmp_path: Path
) -> None:
    uri, versions = storage.tracking, []
    for steps in ("1", "4", "1"):
        folder = packaged(tmp_path / str(len(versions)), f"{steps} steps")
        versions.append(registry.register(uri, "asp", run_id, folder, {"trial": "3", "steps": steps}))
        registry.add_card(uri, "asp", versions[-1], {"lesions.false": f"0.{steps}"}, f"card {steps}")
    assert versions == ["1", "2", "1"]
    found = MlflowClient(uri).get_model_version("asp", "2")
    assert found.description == "card 4" and found.tags["lesions.false"] == "0.4"
    contents = {"1": "1: 1 steps", "2": "2: 4 steps"}
    for name, version in (("/1", "1"), ("/2", "2"), ("/latest", "2"), ("/Latest", "2")):
        assert fetched(f"models:/asp{name}", storage) == contents[version]
    for version in ("2", "1"):
        registry.set_alias(uri, "asp", "champion", version)
        assert fetched("models:/asp@champion", storage) == contents[version]


def test_a_model_or_name_that_mlflow_does_not_have_or_allow_is_one_line(
    storage: Storage, run_id: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError) as error:
        fetched("models:/nobody@champion", storage)
    line = "model: 'models:/nobody@champion' is not in the registry at sqlite:///"
    assert str(error.value).startswith(line) and "\n" not in str(error.value)
    with pytest.raises(InputError, match=r"--model: 'a/b' is refused by MLflow: "):
        registry.register(storage.tracking, "a/b", run_id, tmp_path, {})
