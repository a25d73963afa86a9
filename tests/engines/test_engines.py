"""The same corpus on every engine: real job servers, a real cluster, real object stores."""

from contextlib import ExitStack

import engine_services as services
import pytest
from engine_builds import build, local, outcome
from engine_parts import FLINK_JOB_SERVER, PRISM, SPARK_ITSELF, SPARK_JOB_SERVER

pytestmark = [pytest.mark.timeout(1200), pytest.mark.usefixtures("engines_wanted")]

ENGINES = {
    "Spark local[2], LOOPBACK": (services.spark, (SPARK_JOB_SERVER, SPARK_ITSELF)),
    "Flink [local], LOOPBACK": (services.flink, (FLINK_JOB_SERVER,)),
    "Prism, LOOPBACK": (services.prism, (PRISM,)),
}


@pytest.mark.parametrize("name", ENGINES)
def test_each_engine_makes_the_corpus_of_the_local_one(name, tmp_path, reference, costs):
    start, parts = ENGINES[name]
    services.need(*parts)
    web, expected = reference
    with start(tmp_path / "engine") as engine:
        costs.append(build(tmp_path / f"{name}.log", web, str(tmp_path / "work"), (*engine.flags, *services.LOOPBACK)))
    assert outcome(local(tmp_path / "work")) == expected


@pytest.mark.parametrize("environment", ["EXTERNAL", "LOOPBACK"])
def test_a_spark_cluster_makes_the_corpus_of_the_local_engine(environment, tmp_path, cluster, reference, costs):
    web, expected = reference
    with ExitStack() as stack:
        flags = services.LOOPBACK
        if environment == "EXTERNAL":
            flags = stack.enter_context(services.worker_pool(tmp_path)).flags
        log = tmp_path / f"Spark standalone with 2 workers, {environment}.log"
        costs.append(build(log, web, str(tmp_path / "work"), (*cluster.flags, *flags)))
    assert outcome(local(tmp_path / "work")) == expected
