"""A search from a study to its printed front: what is missing is prepared, what remains is trained."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from platform.cohorts.bound import bound_config, prepare_bound
from platform.cohorts.build import prepare_cohort, prepare_references
from platform.cohorts.measurable import require_improvable, require_measurable, require_measured
from platform.cohorts.sensitivity import require_sensitive, require_sensitive_patches, show_sensitivity
from platform.cohorts.teacher import require_teacher
from platform.execution import cluster, tuner
from platform.execution.live_table import LiveTable
from platform.execution.session import session
from platform.execution.trial_source import TrialPaths
from platform.orchestration.listeners import SamplePictures, StudyRecorder
from platform.orchestration.live_view import StudyView
from platform.orchestration.orchestrator import Orchestrator
from platform.orchestration.progress import Progress
from platform.orchestration.report import Findings, report_search
from platform.reporting.console import console
from platform.samplers import warm_start
from platform.storage.layout import Storage
from platform.storage.ledger import Ledger
from platform.storage.saved_study import (
    SavedStudy,
    StartFacts,
    is_saved,
    load_saved,
    save_extended,
    save_new,
    save_tracking,
)
from platform.study.criteria import Bound, Criteria, bounds, reference_point
from platform.study.study import Study
from platform.tracking import store
from platform.tracking.provenance import environment
from platform.tracking.recorder import Recorder

from threadpoolctl import threadpool_limits

from trainers.data.store import Cohort
from trainers.errors import InputError
from trainers.metrics.judge import Judge
from trainers.metrics.names import VERSION, any_extended
from trainers.references.store import References


def run_search(
    study: Study, storage: Storage, tracking_uri: str, address: str | None, hint: str, retry: bool = False
) -> None:
    """Prepare what is missing, run the trials that remain, print and record the front.

    ``hint``: how to resume after an interruption. ``retry``: failed trials are tried again. Raises
    InputError where no front is possible.
    """
    experiment = store.prepare_or_wait(tracking_uri, store.EXPERIMENT, storage.artifacts(tracking_uri))
    folder = storage.study(study.name)
    ledger = Ledger(folder, study.recovery.patience, study.metrics)
    saved = started_before(folder, study, ledger, retry)
    cluster.start_ray(address, study.resources)
    cohort_path = prepare_cohort(study.cohort, storage.root, console, saved.facts.cohort if saved else None)
    cohort = Cohort.open(cohort_path)
    require_measurable(study, cohort, "val", study.metrics)
    if saved is None:
        require_sensitive_patches(study, storage, cohort)
    measures = saved.facts.measures if saved else VERSION
    reference_path = prepare_references(study, cohort_path, storage.root, console, measures)
    references = References.open(reference_path)
    if saved is None:
        require_teacher(study, reference_path, cohort)
    extended = any_extended(study.metrics)
    judge = Judge.of(cohort, references, "val", measures, extended)
    require_measured(study, judge, study.metrics)
    cards = show_sensitivity(storage, judge)
    if saved is None:
        require_sensitive(study, cards)
        require_improvable(study, judge.baselines)
        require_possible(study, bounds(study.constraints, judge.baselines["input"]))
    bound = prepare_bound(bound_config(study, measures), cohort_path, storage.root, console, ("val",))
    if saved is None:
        slots = cluster.concurrency(study.resources)
        facts = StartFacts(storage.saved_tracking(tracking_uri), cohort.hash, slots)
        saved = save_started(study, storage, judge.baselines["input"], facts)
    study = saved.study
    recorder = Recorder(tracking_uri, experiment, study.name, folder, study.recovery.patience)
    tags = {"cohort": cohort.hash, "references": references.hash, **environment(study)}
    settings = {"method": study.method, "sampler": study.sampler, "scheduler": study.scheduler.name}
    recorder.study(settings, tags)
    progress = Progress(study, saved.criteria, ledger)
    listeners = StudyRecorder(recorder, progress), SamplePictures(folder / "samples", recorder)
    scoring = saved.facts.measures, extended
    paths = TrialPaths(folder, cohort_path, reference_path, *scoring, study.recovery)
    orchestrator = Orchestrator(progress, paths, listeners, saved.facts.slots)
    recorder.reconcile({trial.number for trial in ledger.of_status("open")})
    table = LiveTable(StudyView(orchestrator), console)
    # The cores belong to the trials: linear algebra in several threads beside them mostly waits for itself.
    with threadpool_limits(1, "blas"), session(folder, table, recorder, ledger, hint):
        tuner.run(orchestrator, [table])
        table.stop()
        orchestrator.close()
        found = Findings(judge, cards, bound)
        lines = report_search(progress, folder / "report", recorder, found, console)
        following = f"next: python -m platform.promote {study.name} --storage {storage.shown}"
        console.print("\n".join([*lines, following]), markup=False)


def started_before(folder: Path, study: Study, ledger: Ledger, retry: bool = False) -> SavedStudy | None:
    """The study as it was started, None for a new one; an extended budget is saved now.

    With ``retry`` its failed trials are open again. The ledger is locked by now: no other driver reads the
    file meanwhile.
    """
    if not is_saved(folder):
        return None
    saved = load_saved(folder)
    if (uri := store.without_credentials(saved.facts.tracking)) != saved.facts.tracking:
        saved = save_tracking(folder, uri)  # an earlier version has kept a password
    for trial in ledger.of_status("failed") if retry else ():
        ledger.reopened(trial.number)
    if saved.study.budget != study.budget:
        saved = save_extended(folder, study, len(ledger.of_status("completed")))
    return saved


def save_started(
    study: Study, storage: Storage, baseline: Mapping[str, float], facts: StartFacts
) -> SavedStudy:
    """Save a new study, with what an earlier one gives it; raises InputError if no front is possible."""
    limits = bounds(study.constraints, baseline)
    require_possible(study, limits)
    start = warm_start.WarmStart()
    if study.warm:
        start = warm_start.read(storage.existing(study.warm), study, facts.cohort)
        study = warm_start.apply(study, start)
        console.print("\n".join(start.messages), markup=False)
    criteria = Criteria(reference_point(baseline, study.objectives), limits, start.known)
    return save_new(storage.study(study.name), study, criteria, facts)


def require_possible(study: Study, limits: Sequence[Bound]) -> None:
    """Raises InputError for bounds of a metric that exclude each other on this cohort."""
    least = {bound.metric: bound.value for bound in limits if bound.bound == "min"}
    for bound in limits:
        if bound.bound == "max" and bound.value < least.get(bound.metric, bound.value):
            key = f"{study.path}: constraints: {bound.metric}"
            values = f"min {least[bound.metric]:g}, max {bound.value:g} on this cohort"
            raise InputError(f"{key}: {values}; allowed: min at most max, as no trial satisfies both")
