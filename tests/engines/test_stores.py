"""Builds whose work directory and corpus are in an object store: real servers, the same bytes."""

import json
import urllib.parse
import urllib.request
from contextlib import ExitStack

import engine_services as services
import pytest
from engine_builds import build, outcome
from engine_parts import GCS, S3

pytestmark = [pytest.mark.timeout(1200), pytest.mark.usefixtures("engines_wanted")]


def s3_objects(folder):
    """The objects of the S3 server, which are files of its folder, by their names in the work directory."""
    work = folder / "s3" / "webtext" / "work"
    return {
        str(path.relative_to(work)): path.read_bytes() for path in sorted(work.glob("corpus/**/*")) if path.is_file()
    }


def gcs_objects(server):
    """The objects of the GCS server by its JSON API, by their names in the work directory."""
    base = f"{server}/storage/v1/b/webtext/o"
    with urllib.request.urlopen(f"{base}?prefix=work/corpus/&maxResults=1000", timeout=30) as answer:  # noqa: S310 - a server of ours
        names = [item["name"] for item in json.load(answer)["items"]]
    found = {}
    for name in names:
        with urllib.request.urlopen(f"{base}/{urllib.parse.quote(name, safe='')}?alt=media", timeout=30) as answer:  # noqa: S310 - a server of ours
            found[name.removeprefix("work/")] = answer.read()
    return found


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
