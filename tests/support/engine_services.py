"""Starts the real engines and object stores on free loopback ports, and ends them with all their processes."""

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import engine_parts
import pytest
from engine_parts import FLINK_JOB_SERVER, GCS, JAVA, PRISM, S3, SPARK_ITSELF, SPARK_JOB_SERVER
from processes import started

START: Final = 120  # seconds that a service has to open its port: a JVM on a busy machine
_SHORT_LIVED: Final = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx1g")  # a JVM for minutes, on few cores
_LONGEST: Final = 3600  # seconds that a service may be needed
_END: Final = 10  # seconds from SIGTERM to SIGKILL


_PR_SET_PDEATHSIG: Final = 1
_LIBC: Final = ctypes.CDLL(None)  # loaded before any fork


def end_with_this_process() -> None:
    """For `preexec_fn`: the kernel kills the child when the process that starts it dies, however that happens."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


@dataclass
class Engine:
    """How a build is sent to an engine: its flags, and what its launcher needs in the environment."""

    flags: tuple[str, ...]
    services: list["Service"] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)


class Service:
    """A process in a group of its own, whose output goes to `log`."""

    def __init__(self, log: Path, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            starting = started(
                command,
                _LONGEST,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | dict(environment or {}),
                cwd=log.parent,  # what it writes beside itself does not land in the source tree
                preexec_fn=end_with_this_process,
            )
            self._running = ExitStack()
            self.process = self._running.enter_context(starting)

    def wait_for(self, port: int) -> None:
        """Return when it takes connections there. Raises RuntimeError with the end of its log if it does not."""
        deadline = time.monotonic() + START
        while self.process.poll() is None and time.monotonic() < deadline:
            with socket.socket() as probe:
                probe.settimeout(1)
                if not probe.connect_ex(("127.0.0.1", port)):
                    return
            time.sleep(0.2)
        raise RuntimeError(f"no answer on port {port}: {self.tail()}")

    def tail(self) -> str:
        """The end of its log, for messages."""
        return self.log.read_text(errors="replace")[-3000:]

    def end(self) -> None:
        """End the whole group, whatever state it is in."""
        with self._running:  # which kills also what outlived its parent
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(_END)


def free_port() -> int:
    """A port that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def service(
    log: Path, command: Sequence[str], port: int, environment: Mapping[str, str] | None = None
) -> Iterator[Service]:
    """A service that takes connections on `port` while the block runs."""
    running = Service(log, command, environment)
    try:
        running.wait_for(port)
        yield running
    finally:
        running.end()


def _jar() -> Path:
    [jar] = SPARK_JOB_SERVER.folder.glob("*.jar")
    return jar


def _spark_home() -> Path:
    return SPARK_ITSELF.folder / "pyspark"


def _launchable(jar: Path, main: str, jars: Sequence[Path]) -> Path:
    """A jar for `java -jar`, as Beam's official job servers are, that only names the jars which hold the classes."""
    lines = [
        "Manifest-Version: 1.0",
        f"Main-Class: {main}",
        "Add-Opens: " + " ".join(f"java.base/{package}" for package in engine_parts.OPENED.split()),
        "Class-Path: " + " ".join(path.as_uri() for path in jars),
    ]
    # A line of a manifest has 72 bytes at most, and goes on behind a blank (JAR file specification, "Line length").
    folded = [line[:72] + "".join(f"\r\n {line[at : at + 71]}" for at in range(72, len(line), 71)) for line in lines]
    jar.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(jar, "w") as archive:
        archive.writestr("META-INF/MANIFEST.MF", "\r\n".join([*folded, "", ""]))
    return jar


@contextmanager
def spark(logs: Path) -> Iterator[Engine]:
    """Spark inside the job server, which the launcher itself starts and ends."""
    jars = [_jar(), *sorted((_spark_home() / "jars").glob("*.jar"))]
    jar = _launchable(logs / "spark.jar", "org.apache.beam.runners.spark.SparkJobServerDriver", jars)
    properties = (*_SHORT_LIVED, "-Dspark.ui.enabled=false", "-Dspark.driver.host=127.0.0.1")
    flags = ("--runner=SparkRunner", f"--spark_job_server_jar={jar}", "--spark_master_url=local[2]")
    yield Engine((*flags, *(f"--job_server_jvm_properties={value}" for value in properties)))


@contextmanager
def flink(logs: Path) -> Iterator[Engine]:
    """Flink inside the job server, which the launcher itself starts and ends."""
    jars = sorted(FLINK_JOB_SERVER.folder.glob("*.jar"))
    jar = _launchable(logs / "flink.jar", "org.apache.beam.runners.flink.FlinkJobServerDriver", jars)
    flags = ("--runner=FlinkRunner", f"--flink_job_server_jar={jar}", "--flink_master=[local]", "--parallelism=2")
    yield Engine((*flags, *(f"--job_server_jvm_properties={value}" for value in _SHORT_LIVED)))


@contextmanager
def spark_job_server(logs: Path, master: str, *properties: str) -> Iterator[Engine]:
    """Beam's job server for this Spark master. `properties` are Spark's, as -Dname=value."""
    job, artifact = free_port(), free_port()
    # The jar is on every class path already. Without this flag the server would send its whole class path with each
    # job, and the jar itself takes seconds.
    small = logs / "nothing-to-stage.txt"
    small.parent.mkdir(parents=True, exist_ok=True)
    small.touch()
    command = [
        *JAVA,
        *_SHORT_LIVED,
        "-Dspark.ui.enabled=false",
        "-Dspark.driver.host=127.0.0.1",
        "-Dspark.driver.bindAddress=127.0.0.1",
        f"-Dspark.executor.extraClassPath={_jar()}",
        *properties,
        "-cp",
        f"{_jar()}:{_spark_home()}/jars/*",
        "org.apache.beam.runners.spark.SparkJobServerDriver",
        f"--spark-master-url={master}",
        f"--job-port={job}",
        f"--artifact-port={artifact}",
        "--expansion-port=-1",
        f"--artifacts-dir={logs / 'artifacts'}",
    ]
    environment = {"SPARK_HOME": str(_spark_home()), "SPARK_LOCAL_IP": "127.0.0.1"}
    with service(logs / "job-server.log", command, job, environment) as server:
        yield Engine(("--runner=SparkRunner", f"--job_endpoint=localhost:{job}", f"--files_to_stage={small}"), [server])


def spark_submit() -> tuple[list[str], dict[str, str]]:
    """The command that runs the jar of a stage, which comes behind it, and its environment."""
    command = [str(_spark_home() / "bin" / "spark-submit"), "--master", "local[2]"]
    command += ["--class", "org.apache.beam.runners.spark.SparkPipelineRunner"]
    return command, os.environ | {"SPARK_HOME": str(_spark_home()), "SPARK_LOCAL_IP": "127.0.0.1"}


@contextmanager
def spark_cluster(logs: Path, workers: int = 2) -> Iterator[Engine]:
    """A standalone Spark cluster of a master and workers with one core each, and a job server for it."""
    port = free_port()
    environment = {"SPARK_NO_DAEMONIZE": "1", "SPARK_LOCAL_IP": "127.0.0.1", "SPARK_HOME": str(_spark_home())}
    java_options = " ".join((*JAVA[1:], *_SHORT_LIVED[:2]))
    run = [str(_spark_home() / "bin" / "spark-class"), "org.apache.spark.deploy"]
    with ExitStack() as stack:
        master_command = [run[0], f"{run[1]}.master.Master", "--host", "127.0.0.1", "--port", str(port)]
        services = [
            stack.enter_context(
                service(logs / "master.log", [*master_command, "--webui-port", str(free_port())], port, environment)
            )
        ]
        for number in range(workers):
            own, web = free_port(), free_port()
            command = [
                *(run[0], f"{run[1]}.worker.Worker", "--host", "127.0.0.1", "-c", "1", "-m", "1500M"),
                *("--port", str(own), "--webui-port", str(web), "-d", str(logs / f"worker-{number}")),
                f"spark://127.0.0.1:{port}",
            ]
            services.append(stack.enter_context(service(logs / f"worker-{number}.log", command, own, environment)))
        engine = stack.enter_context(
            spark_job_server(
                logs,
                f"spark://127.0.0.1:{port}",
                "-Dspark.executor.memory=1g",
                f"-Dspark.executor.extraJavaOptions={java_options}",
                # One set of executors for all stages: a start of two takes longer than most stages of a mini web.
                "-Dbeam.spark.test.reuseSparkContext=true",
                # A killed executor must not cost a test the minutes of the defaults.
                "-Dspark.network.timeout=60s",
            )
        )
        yield Engine(engine.flags, [*services, *engine.services])


@contextmanager
def prism(logs: Path) -> Iterator[Engine]:
    """Prism, which the launcher itself starts and ends."""
    logs.mkdir(parents=True, exist_ok=True)
    yield Engine(("--runner=PrismRunner", f"--prism_location={PRISM.folder / 'prism'}"))


@contextmanager
def worker_pool(logs: Path, environment: Mapping[str, str] | None = None, ours: bool = True) -> Iterator[Engine]:
    """A pool of Python workers, ours or Beam's, as it runs on each machine of a cluster: environment type EXTERNAL."""
    port = free_port()
    command = [sys.executable, "-m", "webtext.jobs.cli", "workers", f"--port={port}"]
    if not ours:
        command = [sys.executable, "-m", "apache_beam.runners.worker.worker_pool_main", f"--service_port={port}"]
    # Beam's pool starts `python` from the PATH.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with service(logs / "worker-pool.log", command, port, {"PATH": path, **(environment or {})}) as pool:
        yield Engine(("--environment_type=EXTERNAL", f"--environment_config=localhost:{port}"), [pool])


LOOPBACK: Final = ("--environment_type=LOOPBACK",)

_KEYS: Final = ("webtext-test", "webtext-test-secret")


@dataclass(frozen=True)
class Store:
    """An object store: where builds go, and what they need to reach it."""

    bucket: str  # with scheme
    flags: tuple[str, ...]
    environment: dict[str, str]


@contextmanager
def s3(logs: Path, port: int = 0, shown: int = 0) -> Iterator[Store]:
    """An S3 server over a folder, with one bucket; at `port`, and reached by `shown` where a proxy is in front."""
    port = port or free_port()
    folder = logs / "s3"
    (folder / "webtext").mkdir(parents=True)
    command = [str(S3.folder / "versitygw"), "--port", f"127.0.0.1:{port}", "posix", str(folder)]
    keys = dict(zip(("ROOT_ACCESS_KEY", "ROOT_SECRET_KEY"), _KEYS, strict=True))
    flags = (
        f"--s3_endpoint_url=http://127.0.0.1:{shown or port}",
        f"--s3_access_key_id={_KEYS[0]}",
        f"--s3_secret_access_key={_KEYS[1]}",
        "--s3_region_name=us-east-1",
    )
    with service(logs / "versitygw.log", command, port, keys):
        yield Store("s3://webtext", flags, {})


@contextmanager
def gcs(logs: Path, port: int = 0, shown: int = 0) -> Iterator[Store]:
    """A GCS server over a folder, with one bucket; at `port`, and reached by `shown` where a proxy is in front."""
    port = port or free_port()
    shown = shown or port
    folder = logs / "gcs"
    (folder / "webtext").mkdir(parents=True)
    command = [
        *(str(GCS.folder / "fake-gcs-server"), "-scheme", "http", "-host", "127.0.0.1", "-port", str(port)),
        *("-backend", "memory", "-data", str(folder), "-public-host", f"127.0.0.1:{shown}", "-log-level", "warn"),
    ]
    environment = {"STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{shown}"}
    with service(logs / "fake-gcs-server.log", command, port):
        yield Store("gs://webtext", ("--no_auth", "--project=webtext"), environment)


def need(*parts: engine_parts.EnginePart) -> None:
    """Skip the test where a part is missing, and say why."""
    reasons = [part.why_missing() for part in parts]
    if shutil.which("java") is None and {SPARK_JOB_SERVER, FLINK_JOB_SERVER} & set(parts):
        reasons.append("there is no java on the PATH (Java 17 was tested)")
    if reason := "; ".join(filter(None, reasons)):
        pytest.skip(reason)
