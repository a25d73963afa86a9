"""Python workers for the machines of a cluster: what Beam's environment type EXTERNAL asks for, from a fork server.

Beam's own pool (apache_beam.runners.worker.worker_pool_main) starts an interpreter for each worker of each stage, and
each imports Beam and the pipeline anew: 5 s of a core. Here a fork server has imported them once, and a worker is there
in hundredths of a second. The protocol is BeamFnExternalWorkerPool of beam_fn_api.proto.
"""

import logging
import multiprocessing.process
import threading
from typing import Any, Final

import grpc
from apache_beam.portability.api import beam_fn_api_pb2, beam_fn_api_pb2_grpc
from apache_beam.utils import thread_pool_executor

from webtext.pipeline.engine.pool import child_context, end_with_parent

_LOG: Final = logging.getLogger(__name__)
_HARNESS: Final = "apache_beam.runners.worker.sdk_worker"
_END: Final = 10  # seconds from SIGTERM to SIGKILL
_OPTIONS: Final = (
    # A runner's client may ping as often as it likes (worker_pool_main has the same).
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.so_reuseport", 0),  # else a second pool would take every other request for the first
)


class WorkerPool(beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolServicer):
    """Starts and stops workers as runners ask for them."""

    def __init__(self) -> None:
        """No worker runs yet."""
        self._context = child_context([_HARNESS, "webtext.pipeline.engine.beam_stage"])
        self._lock = threading.Lock()
        self._workers: dict[str, list[multiprocessing.process.BaseProcess]] = {}

    def StartWorker(self, request: Any, context: Any) -> Any:  # noqa: N802 - the names of the protocol
        """Start one worker, which reports to the runner that asked for it and ends with its job."""
        process = self._context.Process(target=_work, args=(request.control_endpoint.url, request.worker_id))
        try:
            with self._lock:
                process.start()
                alive = [worker for worker in self._workers.get(request.worker_id, ()) if worker.is_alive()]
                self._workers[request.worker_id] = [*alive, process]
        except OSError as error:
            return beam_fn_api_pb2.StartWorkerResponse(error=f"no worker was started: {error}")
        _LOG.info("worker %s for %s is process %s", request.worker_id, request.control_endpoint.url, process.pid)
        return beam_fn_api_pb2.StartWorkerResponse()

    def StopWorker(self, request: Any, context: Any) -> Any:  # noqa: N802 - the names of the protocol
        """End the worker of this name.

        Two executors on one machine number their workers alike, so a name may stand for several; then none is ended
        from here. Each ends by itself when its runner closes the connection.
        """
        with self._lock:
            found = [worker for worker in self._workers.pop(request.worker_id, ()) if worker.is_alive()]
            if len(found) > 1:
                self._workers[request.worker_id] = found
        if len(found) == 1:
            _end(found)
        return beam_fn_api_pb2.StopWorkerResponse()

    def end(self) -> None:
        """End all workers."""
        with self._lock:
            workers = [worker for same in self._workers.values() for worker in same]
            self._workers.clear()
        _end(workers)


def serve(address: str) -> tuple[WorkerPool, grpc.Server, int]:
    """Take requests at `address` ("host:port"; port 0 for a free one). Returns the pool, its server and the port.

    Raises:
        OSError: the address can't be had.
    """
    pool = WorkerPool()
    server = grpc.server(thread_pool_executor.shared_unbounded_instance(), options=_OPTIONS)
    beam_fn_api_pb2_grpc.add_BeamFnExternalWorkerPoolServicer_to_server(pool, server)
    try:
        port = server.add_insecure_port(address)
    except RuntimeError as error:
        raise OSError(f"can't listen at {address}: {error}") from error
    server.start()
    return pool, server, port


def _work(control: str, worker_id: str) -> None:
    from apache_beam.runners.worker.sdk_worker import SdkHarness  # loaded by the fork server

    end_with_parent()
    # No timer flushes the output of a worker: it would drop what is written meanwhile (beam_options.py).
    harness = SdkHarness(control, worker_id=worker_id, state_cache_size=0, data_buffer_time_limit_ms=-1)
    try:
        harness.run()
    except grpc.RpcError as error:  # how most jobs end: the runner hangs up
        _LOG.info("worker %s: %s", worker_id, error.details() if isinstance(error, grpc.Call) else error)


def _end(workers: list[multiprocessing.process.BaseProcess]) -> None:
    for worker in workers:
        worker.terminate()
    for worker in workers:
        worker.join(_END)
        if worker.is_alive():
            worker.kill()
            worker.join()
