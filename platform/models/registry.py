"""The model registry: self-contained translators with aliases, registered and fetched without pickles."""

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from platform.models import model_card
from platform.pareto.front import Candidate
from platform.storage.layout import Storage
from platform.study.study import Study
from platform.tracking import store
from platform.tracking.replay import Replayer

import trainers
from trainers import weights
from trainers.config import build, digest
from trainers.data.store import Cohort
from trainers.data.writer import folder as cohort_folder
from trainers.errors import InputError
from trainers.export import export
from trainers.references.config import ReferenceConfig

ARTIFACT = "translator"
CODE = Path(__file__).with_name("served_model.py")
REQUIREMENTS = ("torch", "diffusers", "safetensors", "numpy")


def package(model: Path, folder: Path) -> None:
    """Write an exported translator as an MLflow model whose code is a file (models-from-code)."""
    import importlib.metadata

    import mlflow.pyfunc

    pins = [f"{name}=={importlib.metadata.version(name).partition('+')[0]}" for name in REQUIREMENTS]
    code = folder.parent / "code"
    source = Path(trainers.__file__).parent
    shutil.copytree(source, code / source.name, ignore=shutil.ignore_patterns("__pycache__"))
    with redirect_stderr(StringIO()):  # advice on type hints that no warning filter stops
        mlflow.pyfunc.save_model(
            path=str(folder),
            python_model=str(CODE),
            artifacts={ARTIFACT: str(model)},
            code_paths=[str(code / source.name)],
            pip_requirements=pins,
        )


def register_candidate(
    study: Study,
    storage: Storage,
    chosen: Candidate,
    uri: str,
    name: str,
    tags: Mapping[str, str],
    confirmed: Mapping[str, Mapping[str, float | None]],
) -> tuple[str, str]:
    """Export, package and register a candidate of a study; returns its version, and its lesions in words.

    ``tags`` are added to those of its origin; the model holds what was ``confirmed`` of it. Raises InputError
    where MLflow does not know its trial.
    """
    experiment = store.prepare(uri, store.EXPERIMENT, storage.artifacts(uri))
    run_id = Replayer(uri, experiment, study.name).find(chosen.trial)
    if run_id is None:
        missing = f"MLflow at {store.redact(uri)} has no run of trial {chosen.trial}"
        raise InputError(f"--tracking: {missing}; allowed: the study's own")
    checkpoint = Path(chosen.checkpoint)
    facts = weights.verify(checkpoint)
    cohort = Cohort.open(cohort_folder(storage.root, facts["cohort"]))
    references = build(ReferenceConfig, study.references)
    origin = {
        "study": study.name,
        "trial": str(chosen.trial),
        "steps": str(chosen.steps),
        "trial_key": facts["key"],
        "cohort": facts["cohort"],
        "config": json.dumps(facts["config"], sort_keys=True),
        **{f"validation.{key}": f"{value:.6g}" for key, value in chosen.values.items()},
    }
    place = storage.root / "references" / str(facts["references"])[:16]
    lesions = model_card.lesions(checkpoint, chosen.steps, cohort, place)
    with tempfile.TemporaryDirectory() as work:
        model, packaged = Path(work) / "translator", Path(work) / "model"
        scores = chosen.values
        export(model, checkpoint, chosen.steps, cohort, references, scores, confirmed, lesions)
        package(model, packaged)
        version = register(uri, name, run_id, packaged, {**origin, **tags})
        add_card(uri, name, version, model_card.tags(lesions), model_card.text(name, origin, lesions))
        return version, model_card.sentence(lesions)


def register(uri: str, name: str, run_id: str, folder: Path, tags: Mapping[str, str]) -> str:
    """Store a packaged model under its trial's run and register it; the same ``tags``, the same version.

    Tags of a card are no part of what is the same.
    """
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise InputError(f"--model: {name!r} is refused by MLflow: {error.message}") from error
    for version in client.search_model_versions(f"name = '{name}'"):
        if {key: value for key, value in version.tags.items() if not model_card.is_tag(key)} == dict(tags):
            return str(version.version)
    # One folder a version: a trial can be promoted at several step counts.
    place = f"model-{digest(json.dumps(tags, sort_keys=True))[:12]}"
    client.log_artifacts(run_id, str(folder), place)
    source = f"{client.get_run(run_id).info.artifact_uri}/{place}"
    return str(client.create_model_version(name, source, run_id, tags=dict(tags)).version)


def add_card(uri: str, name: str, version: str, tags: Mapping[str, str], text: str) -> None:
    """Give a version the tags and the description of its card, in place of earlier ones."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    for key, value in tags.items():
        client.set_model_version_tag(name, version, key, value)
    client.update_model_version(name, version, description=text)


def set_alias(uri: str, name: str, alias: str, version: str) -> None:
    """Point an alias of a registered model at a version."""
    from mlflow.tracking import MlflowClient

    MlflowClient(tracking_uri=uri, registry_uri=uri).set_registered_model_alias(name, alias, version)


@dataclass(frozen=True)
class FetchedModel:
    """An exported translator on this machine."""

    folder: Path
    version: str
    """Of the registered model, also where an alias named it; of a local folder, the sum of its weights."""


@contextmanager
def fetch(model: str, uri: str | None, storage: str) -> Iterator[FetchedModel]:
    """An exported translator: a local folder, or a temporary copy from the registry (``models:/...``).

    Raises InputError for a model that is not there.
    """
    if not model.startswith("models:/"):
        folder = Path(model)
        sums = weights.read_manifest(folder)["sha256"]
        yield FetchedModel(folder, "sha256 " + digest(json.dumps(sums, sort_keys=True))[:12])
        return
    root = Storage.at(storage)
    if uri is None and not root.database.exists():
        allowed = "allowed: the storage of a promoted study, or its --tracking"
        raise InputError(f"--storage: {root.shown} has no model registry; {allowed}")
    registry = store.without_credentials(uri or root.tracking)
    store.prepare(registry, store.EXPERIMENT, root.artifacts(registry))
    with tempfile.TemporaryDirectory() as work:
        translator = _download(model, registry, work) / "artifacts" / ARTIFACT
        yield FetchedModel(translator, version_of(model, registry))


def version_of(model: str, uri: str) -> str:
    """The version that ``models:/NAME@ALIAS``, ``models:/NAME/VERSION`` or ``/latest`` names."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    name, at, alias = model.removeprefix("models:/").partition("@")
    if at:
        return str(client.get_model_version_by_alias(name, alias).version)
    name, _, version = name.rpartition("/")
    if version.lower() == "latest":
        return str(max(int(each.version) for each in client.search_model_versions(f"name = '{name}'")))
    return version


def _download(model: str, uri: str, work: str) -> Path:
    import mlflow
    from mlflow.exceptions import MlflowException

    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    try:
        return Path(mlflow.artifacts.download_artifacts(model, dst_path=work))
    except MlflowException as error:
        reason = str(error).splitlines()[0]
        place = store.redact(uri)
        raise InputError(f"model: {model!r} is not in the registry at {place}: {reason}") from error
