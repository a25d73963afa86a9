"""Workers for an engine that asks for them by the protocol of EXTERNAL: Beam's embedded job service does."""

import os
import signal
import socket
import time
from pathlib import Path

import engine_services as services
import pytest
import toy_stages
from apache_beam.portability.api import beam_fn_api_pb2

from webtext.pipeline.engine.beam_stage import run_stage
from webtext.pipeline.engine.workers import WorkerPool, serve


def children(pid):
    """All processes below this one."""
    direct = [
        int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
    ]
    return [*direct, *(grandchild for child in direct for grandchild in children(child))]


def test_a_stage_on_its_workers_makes_the_bytes_of_the_local_engine(tmp_path):
    run_stage(toy_stages.even_stage(tmp_path / "local"), (), 2)
    with services.worker_pool(tmp_path, {"PYTHONPATH": os.path.dirname(toy_stages.__file__)}) as engine:
        [pool] = engine.services
        flags = ("--runner=PortableRunner", "--job_endpoint=embed", *engine.flags)
        run_stage(toy_stages.even_stage(tmp_path / "external"), flags, 2)
        assert toy_stages.contents(tmp_path / "external") == toy_stages.contents(tmp_path / "local")
        assert "is process" in pool.log.read_text()
        left = children(pool.process.pid)
        assert left  # the fork server at least
        pool.process.send_signal(signal.SIGTERM)
        assert pool.process.wait(30) == 0
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
