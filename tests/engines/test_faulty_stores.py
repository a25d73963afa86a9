"""A work directory in an object store behind a proxy that is slow, breaks off and flips bits: the same corpus.

A build may end in an error; its command is then given again.
"""

from contextlib import ExitStack

import engine_services as services
import pytest
from engine_builds import gcs_objects, launched, outcome, s3_objects
from engine_parts import GCS, S3
from faulty_proxy import faulty_proxy

pytestmark = [pytest.mark.timeout(1200), pytest.mark.usefixtures("engines_wanted")]
TRIES = 6  # of the command


@pytest.mark.parametrize("kind", ["s3", "gs"])
def test_faults_of_a_store_change_no_corpus(kind, tmp_path, reference, request):
    if not request.config.option.faults:
        pytest.skip("takes many minutes: `make test-faults`")
    web, expected = reference
    start, part, module = (services.s3, S3, "boto3") if kind == "s3" else (services.gcs, GCS, "google.cloud.storage")
    pytest.importorskip(module, reason=f"the extra {'aws' if kind == 's3' else 'gcp'} is not installed")
    services.need(part)
    seed = request.config.option.fault_seed
    with ExitStack() as stack:
        port = services.free_port()
        proxy = stack.enter_context(faulty_proxy(port, seed, slow=0.05, broken=0.01, flipped=0.01))
        store = stack.enter_context(start(tmp_path / "store", port, proxy.port))
        ends = []
        for number in range(TRIES):
            log = tmp_path / f"build-{number}.log"
            with launched(log, web, f"{store.bucket}/work", store.flags, store.environment) as process:
                if not process.wait():
                    break
            told = f"\n{log.read_text(errors='replace')}"
            assert "\nerror: " in told, told[-3000:]
            ends.append(told.rsplit("\nerror: ", 1)[1].splitlines()[0][:300])
        print(f"{kind}, seed {seed}: {proxy.faults}, {len(ends)} of {TRIES} tries ended early: {ends}")
        if kind == "s3":
            made = outcome(lambda: s3_objects(tmp_path / "store"))
        else:
            made = outcome(lambda: gcs_objects(f"http://127.0.0.1:{port}"))
        assert made == expected
        assert min(proxy.faults.values()) > 0
