"""Workers for an engine that asks for them by the protocol of EXTERNAL: Beam's embedded job service does."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import stages
from apache_beam.portability.api import beam_fn_api_pb2

from pipeline.parts import run_stage
from pipeline.worker_pool import WorkerPool, serve


def children(pid):
    """All processes below this one."""
    direct = [
        int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
    ]
    return [*direct, *(grandchild for child in direct for grandchild in children(child))]


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.rglob("*.parquet")}


@contextmanager
def workers(log):
    """`webtext workers` on a free port. Gives its process and the port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    command = [sys.executable, "-m", "jobs.cli", "workers", f"--port={port}"]
    with log.open("wb") as sink, subprocess.Popen(command, stderr=sink, env=environment) as process:
        try:
            while "--environment_config=localhost" not in log.read_text():
                assert process.poll() is None, log.read_text()
                time.sleep(0.05)
            yield process, port
        finally:
            process.kill()


def test_a_stage_on_its_workers_makes_the_bytes_of_the_local_engine(tmp_path):
    run_stage(stages.even_stage(tmp_path / "local"), (), 2)
    with workers(tmp_path / "log") as (pool, port):
        external = ("--environment_type=EXTERNAL", f"--environment_config=localhost:{port}")
        run_stage(
            stages.even_stage(tmp_path / "external"), ("--runner=PortableRunner", "--job_endpoint=embed", *external), 2
        )
        assert contents(tmp_path / "external") == contents(tmp_path / "local")
        assert "is process" in (tmp_path / "log").read_text()
        left = children(pool.pid)
        assert left  # the fork server at least
        pool.send_signal(signal.SIGTERM)
        assert pool.wait(30) == 0
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{pid}").exists() for pid in left):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_workers_of_one_name_are_not_taken_for_one_another():
    with socket.create_server(("127.0.0.1", 0)) as silent:  # a runner that takes connections and says nothing
        request = beam_fn_api_pb2.StartWorkerRequest(worker_id="1-1")
        request.control_endpoint.url = f"127.0.0.1:{silent.getsockname()[1]}"
        stop = beam_fn_api_pb2.StopWorkerRequest(worker_id="1-1")
        pool = WorkerPool()
        try:
            for _ in range(2):
                assert not pool.StartWorker(request, None).error
            first, second = pool._workers["1-1"]
            pool.StopWorker(stop, None)
            assert first.is_alive()
            assert second.is_alive()
            os.kill(first.pid, signal.SIGKILL)
            first.join()
            pool.StopWorker(stop, None)  # now it can only be the other one
            assert not second.is_alive()
        finally:
            pool.end()


def test_a_port_that_is_taken_is_an_error():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"can't listen at 127.0.0.1:{port}"):
            serve(f"127.0.0.1:{port}")
    _, server, port = serve("127.0.0.1:0")
    try:
        with pytest.raises(OSError, match=f"can't listen at 127.0.0.1:{port}"):
            serve(f"127.0.0.1:{port}")  # of another pool
    finally:
        server.stop(grace=None).wait()
