"""`webtext workers`: on each machine of a cluster, start Python workers as the jobs of its engine ask for them."""

import logging
import signal
import threading
from dataclasses import dataclass

from webtext.schemas.visible import VisibleFormatter


@dataclass(frozen=True)
class WorkersConfig:
    """Start the workers of builds on this machine; the builds are given `--environment_type=EXTERNAL`.

    It serves until Ctrl-C or SIGTERM, and its workers end with it. Whoever can reach the port can run code here, so it
    listens on this machine alone unless told otherwise: an engine's executors ask on the machine that they are on.
    """

    port: int = 50000
    """Port to listen at, the number in the build's `--environment_config=localhost:50000`."""
    host: str = "127.0.0.1"
    """Name or address to listen at; 0.0.0.0 for all of this machine's."""

    def __post_init__(self) -> None:
        """Refuse what is no port."""
        if not 1 <= self.port <= 65535:
            raise ValueError(f"--port is {self.port}, expected 1 to 65535")


def run(config: WorkersConfig) -> int:
    """Serve until told to end."""
    from webtext.pipeline.engine import pool as processes
    from webtext.pipeline.engine import workers as worker_pool  # imports Beam

    processes.preload = "webtext.pipeline.preload"  # once for all workers, which will extract pages

    handler = logging.StreamHandler()
    handler.setFormatter(VisibleFormatter("%(asctime)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    told = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: told.set())
    pool, server, port = worker_pool.serve(f"{config.host}:{config.port}")
    logging.info("workers of builds with --environment_type=EXTERNAL --environment_config=localhost:%d", port)
    told.wait()
    server.stop(grace=None)
    pool.end()
    return 0
