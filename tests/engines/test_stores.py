"""Builds whose work directory and corpus are in an object store: real servers, the same bytes."""

from contextlib import ExitStack

import engine_services as services
import pytest
from engine_builds import build, gcs_objects, outcome, s3_objects
from engine_parts import GCS, S3

pytestmark = [pytest.mark.timeout(1200), pytest.mark.usefixtures("engines_wanted")]


@pytest.mark.parametrize(
    ("kind", "engine"),
    [
        ("s3", "FnApiRunner"),
        ("gs", "FnApiRunner"),
        ("s3", "Spark standalone, EXTERNAL"),
        ("gs", "Spark standalone, LOOPBACK"),
    ],
)
def test_a_build_in_an_object_store_makes_the_same_corpus(kind, engine, tmp_path, reference, request):
    web, expected = reference
    start, part, module = (services.s3, S3, "boto3") if kind == "s3" else (services.gcs, GCS, "google.cloud.storage")
    pytest.importorskip(module, reason=f"the extra {'aws' if kind == 's3' else 'gcp'} is not installed")
    services.need(part)
    with ExitStack() as stack:
        store = stack.enter_context(start(tmp_path / "store"))
        flags = store.flags
        if engine != "FnApiRunner":
            flags += request.getfixturevalue("cluster").flags
            if engine.endswith("EXTERNAL"):
                flags += stack.enter_context(services.worker_pool(tmp_path, store.environment)).flags
            else:
                flags += services.LOOPBACK
        work = f"{store.bucket}/work"
        build(tmp_path / "build.log", web, work, flags, store.environment)
        if kind == "s3":
            made = outcome(lambda: s3_objects(tmp_path / "store"))
        else:
            made = outcome(lambda: gcs_objects(store.environment["STORAGE_EMULATOR_HOST"]))
        assert made == expected
        if engine == "FnApiRunner":
            # It is found complete: listings, receipts and manifests come back from the store.
            before = (tmp_path / "build.log").read_text().count("parts")
            assert before
            build(tmp_path / "again.log", web, work, flags, store.environment)
            assert " parts" not in (tmp_path / "again.log").read_text()
