"""Jobs on a Ray cluster of two machines, one of which is killed half-way; and clusters that are not there."""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from grid_jobs import job, times_begun

from export.comparing.grid.processes import Crew
from export.comparing.grid.run import Grid, run_grid
from export.core.errors import RequestError

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # Ray leaves files of its processes' logs open
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
HERE = Crew(())
TESTS = Path(__file__).parents[2]


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A cluster of two machines with a core each, and a head with none; it notices soon that one is gone."""
    monkeypatch.setenv("RAY_health_check_period_ms", "500")
    monkeypatch.setenv("RAY_health_check_failure_threshold", "4")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("PYTHONPATH", f"{TESTS}{os.pathsep}{TESTS.parent}")  # where its machines find the package
    import ray
    from ray.cluster_utils import Cluster

    small = {"object_store_memory": 80_000_000}
    cluster = Cluster(initialize_head=True, head_node_args=small | {"num_cpus": 0, "include_dashboard": False})
    for _ in range(2):
        cluster.add_node(num_cpus=1, **small)
    try:
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()


def machines() -> int:
    """Return how many machines the cluster takes for alive."""
    import ray

    return sum(node["Alive"] for node in ray.nodes())


def worker_to_kill(cluster: Any) -> Any:
    """Return one of the two, not that to which this process is connected."""
    import ray

    own = ray._private.worker.global_worker.node.raylet_socket_name
    return next(node for node in cluster.worker_nodes if node.raylet_socket_name != own)


def test_a_machine_that_is_killed_half_way_costs_no_job(cluster: Any, tmp_path: Path) -> None:
    waiting = [job(tmp_path, name, "wait for go") for name in "abcd"]
    jobs = [job(tmp_path, "bad", "fail"), *waiting, job(tmp_path, "timing", alone=True)]
    found: list[Grid] = []
    running = threading.Thread(
        target=lambda: found.append(run_grid(jobs, tmp_path / "jobs", HERE, ray=cluster.address)), daemon=True
    )
    running.start()
    while sum(times_begun(tmp_path, name) for name in "abcd") < 2 and running.is_alive():
        time.sleep(0.05)
    cluster.remove_node(worker_to_kill(cluster), allow_graceful=False)
    while machines() > 2 and running.is_alive():  # before, what the killed machine was doing may still be answered
        time.sleep(0.05)
    (tmp_path / "go").touch()
    running.join()
    (grid,) = found
    assert set(grid.results) == {*"abcd", "timing"} and [one.job.subject for one in grid.failures] == ["bad"]
    assert sum(times_begun(tmp_path, name) for name in "abcd") >= 5, "the job of the killed machine was begun again"
    begun = [times_begun(tmp_path, name) for name in "abcd"]
    again = run_grid(jobs[1:], tmp_path / "jobs", HERE, ray="nobody:1")
    assert again.results == grid.results and begun == [times_begun(tmp_path, name) for name in "abcd"]


def test_a_cluster_that_is_not_there_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="--ray auto: there is no such cluster"):
        run_grid([job(tmp_path, "a")], tmp_path / "jobs", HERE, ray="auto")
