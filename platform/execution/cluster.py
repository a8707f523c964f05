"""Ray itself: started or joined, and functions of ``trainers`` run on it as tasks."""

import logging
import os
import secrets
import signal
import socket
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from platform.execution import machine
from platform.execution.machine import Machine
from platform.study.settings import Resources
from typing import Any

import ray
from ray.autoscaler.sdk import request_resources
from ray.exceptions import OutOfMemoryError, RayTaskError, WorkerCrashedError
from ray.tune.execution import class_cache
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from trainers import trial
from trainers.errors import EnvironmentFault, InputError
from trainers.faults import of_environment
from trainers.files import write_text
from trainers.places import mounts

_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # it would end an interrupted search as if it were finished
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # a diverged trial has no metrics and must not end the search
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_GLOBAL_CHECKPOINT_S": "1e9",  # the ledger is the memory: Tune's own may meet a full disk
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


_SECRETS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SECURITY_TOKEN", "AWS_SESSION_TOKEN")
"""Tune would pass them on by a log that everyone can read; workers have them from their own environment."""
_ADDRESSES = "allowed: host:port, ray://host:port, or auto for RAY_ADDRESS or a Ray of this machine"
TOO_SLOW = "timed out during startup"
"""Of Ray's exception, which has no class of its own."""
LONGEST_FOLDER = 44
"""Characters, so that Ray's sockets in it have at most the 107 that a system allows."""

log = logging.getLogger(__name__)


def start_ray(address: str | None, resources: Resources) -> None:
    """Join the cluster at ``address``, or start Ray here; workers are shipped ``trainers`` alone.

    A Ray that runs here already is only joined where it is asked for, with ``auto``. Raises InputError where
    nothing answers at the address, or the folder for temporary files has too long a name.
    """
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # table and closing lines show failed trials
    os.environ.update({key: value for key, value in _ENVIRONMENT.items() if key not in os.environ})
    class_cache.ENV_VARS_TO_PROPAGATE.difference_update(_SECRETS)
    terminate = signal.getsignal(signal.SIGTERM)
    try:
        if address:
            _join(address)
            _tell_if_nothing_fits(resources)
        else:
            _start_here(resources)
    finally:
        signal.signal(signal.SIGTERM, terminate)  # Ray has replaced it by one that exits with 15


def _join(address: str) -> None:
    import trainers

    require_listening(address)
    shipped = {"py_modules": [str(Path(trainers.__file__).parent)]}
    try:
        ray.init(address, runtime_env=shipped, log_to_driver=False)
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(f"--address: {address}: {str(error).splitlines()[0]}; {_ADDRESSES}") from error


def _tell_if_nothing_fits(resources: Resources) -> None:
    """A trial may wait for an autoscaler to bring its node, or for ever."""
    nodes = machines()
    if not machine.places(resources, *nodes):
        largest = ", ".join(f"{each.cpus} cpus and {each.gpus} gpus" for each in nodes)
        needed = f"{resources.cpus} cpus and {resources.gpus:g} gpus"
        log.warning(
            "no node has room for a trial (%s): the nodes have %s; waiting for others", needed, largest
        )


def _start_here(resources: Resources) -> None:
    if os.environ.get("RAY_ADDRESS"):
        log.warning("RAY_ADDRESS is set and not used: --address auto joins that cluster")
    folder = private_folder()
    protect_token(folder)
    try:
        # Ray Train's clean-up after a stopped trial needs the dashboard; a single process does not.
        ray.init(
            "local",
            include_dashboard=resources.workers > 1,
            log_to_driver=False,
            logging_level=logging.ERROR,
            _temp_dir=str(folder),
        )
    except Exception as error:
        if TOO_SLOW not in str(error):
            raise
        raise EnvironmentFault(f"Ray has not started in time on this machine: {error}") from error


def require_listening(address: str) -> None:
    """Raises InputError where nothing listens at the address of a Ray: itself, it waits two minutes."""
    if address == "auto":
        named = os.environ.get("RAY_ADDRESS", "auto")
        if named == "auto":
            return
        address = named
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        raise InputError(f"--address: {address!r} is no address; {_ADDRESSES}")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
    except OSError as error:
        raise InputError(f"--address: {address}: nothing answers ({error}); {_ADDRESSES}") from error


def private_folder() -> Path:
    """Where a Ray that is started here keeps logs and sockets: a folder that others cannot enter."""
    folder = Path(tempfile.gettempdir(), f"ray-{os.getuid()}")
    if len(str(folder)) > LONGEST_FOLDER:
        reason = f"is too long for the sockets of Ray in it ({len(str(folder))} characters)"
        raise InputError(f"TMPDIR: {folder} {reason}; allowed: at most {LONGEST_FOLDER}")
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        return Path(tempfile.mkdtemp(prefix=f"ray-{os.getuid()}-"))
    folder.chmod(0o700)
    return folder


def protect_token(folder: Path) -> None:
    """Make Ray's token readable for its user alone; in ``folder`` where there is no home for it.

    Ray would make it with the permissions of any file.
    """
    if {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys():
        return
    path = Path.home() / ".ray" / "auth_token"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError:
        path = folder / "auth_token"
        os.environ["RAY_AUTH_TOKEN_PATH"] = str(path)
    if not path.exists():
        write_text(path, secrets.token_hex(32), 0o600)
    path.chmod(0o600)


def ensure_ray(address: str | None, resources: Resources) -> None:
    """As :func:`start_ray`, unless Ray runs already."""
    if not ray.is_initialized():
        start_ray(address, resources)


def concurrency(resources: Resources) -> int:
    """Trials at a time on the cluster as it is now.

    Workers of Ray Train are placed without Tune's knowledge, so the count must be right.
    """
    return machine.concurrency(resources, *machines())


def machines() -> list[Machine]:
    """The cluster's nodes as they are now."""
    nodes = (node["Resources"] for node in ray.nodes() if node["Alive"])
    return [Machine(int(each.get("CPU", 0)), int(each.get("GPU", 0))) for each in nodes]


def request_places(resources: Resources, trials: int) -> None:
    """Tell an autoscaler for how many trials at a time there is work; nothing where there is none."""
    share = {"CPU": resources.cpus / resources.workers, "GPU": resources.gpus / resources.workers}
    bundle = {name: amount for name, amount in share.items() if amount}
    try:
        request_resources(bundles=[bundle] * (trials * resources.workers))
    except Exception as error:  # a cluster without autoscaler, or of another version
        log.debug("no places can be requested: %s", error)


def gpu_share(parts: int) -> float:
    """The share of a GPU for each of so many tasks at a time; 0 without a GPU."""
    return float(min(1.0, ray.cluster_resources().get("GPU", 0)) / parts)


def result_of(reference: Any) -> Any:
    """A task's result; an error that is no bug is raised without its worker's traceback."""
    try:
        return ray.get(reference)
    except RayTaskError as error:
        if isinstance(error.cause, InputError):
            raise error.cause from None
        if (fault := of_environment(error.cause)) is not None:
            raise fault from None
        raise


def ray_map(
    function: Callable[[Any], Any],
    items: Iterable[Any],
    gpus: float = 0,
    on_crash: Callable[[Any, Exception], Any] | None = None,
    here: bool = False,
) -> Iterator[Any]:
    """``map`` over Ray tasks of one core, and a share of a GPU, each; results in order.

    ``on_crash(item, error)`` replaces the result of a task whose worker crashed in every attempt; ``here``:
    on the driver's own machine, whose files they read.
    """
    task = ray.remote(num_cpus=1, num_gpus=gpus)(trial.call)
    if here:
        task = task.options(scheduling_strategy=_this_node())
    started = [(item, task.remote(function, item, mounts.described())) for item in items]
    for item, reference in started:
        try:
            yield result_of(reference)
        except (WorkerCrashedError, OutOfMemoryError) as error:
            if on_crash is None:
                raise EnvironmentFault(f"a worker died: {str(error).splitlines()[0]}") from error
            yield on_crash(item, error)


def _this_node() -> NodeAffinitySchedulingStrategy:
    return NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)


def run_watched(
    function: Callable[[Any], Any], items: Iterable[Any], gpus: float, watch: Callable[[], None]
) -> None:
    """Run Ray tasks at the same time, calling ``watch`` every half second until all have ended."""
    task = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=2)(trial.call)
    running = [task.remote(function, item, mounts.described()) for item in items]
    while running:
        ended, running = ray.wait(running, timeout=0.5)
        for reference in ended:
            result_of(reference)
        watch()
