"""What a part of stage `fetch` says while it runs: out of the files that parts state, in whatever state these are."""

import json
import os

import pytest

from webtext.pipeline.pages.crawl.live import Live
from webtext.pipeline.pages.crawl.spool import LIVE, PREFIX

NOW = 1_700_000_000.0


def state(folder, part, stated, **figures):
    """What `Spool.tell` leaves at this time."""
    place = folder / f"{PREFIX}{part}"
    place.mkdir(parents=True, exist_ok=True)
    told = {"links": 9000, "running": 4, "done": 0, "hosts_waiting": 0, "bytes": 0, "seconds": 0.0, "reasons": {}}
    (place / LIVE).write_text(json.dumps(told | figures))
    os.utime(place / LIVE, (stated, stated))


def test_rates_are_those_of_the_last_seconds_of_all_parts(tmp_path):
    live = Live(str(tmp_path))
    assert live.look(NOW) == ""
    for second in range(60):  # part 0 gets faster after half a minute
        pages = 2 * second + 8 * max(0, second - 30)
        reasons = {"dns_failed": second, "http_status": 3}
        hosts = {"hosts_waiting": 7, "hosts_aside": 2}
        state(tmp_path, 0, NOW + second, done=pages + second + 3, seconds=second, reasons=reasons, **hosts)
        state(tmp_path, 1, NOW + second, done=second, seconds=second, bytes=2_000_000 * second, hosts_waiting=1000)
        told = live.look(NOW + second)
    assert told == "11.0 pages/s, 2.0 MB/s, 1,007 hosts waiting, 2 of them silent, dns_failed 59, http_status 3"


def test_the_rarest_errors_are_one_figure(tmp_path):
    live = Live(str(tmp_path))
    reasons = {f"error_{number}": number for number in range(1, 8)}
    state(tmp_path, 0, NOW, done=28, reasons=reasons)
    assert live.look(NOW).endswith("hosts waiting, error_7 7, error_6 6, error_5 5, error_4 4, other errors 6")


def test_a_part_that_is_done_or_killed_has_no_rate_but_errors(tmp_path):
    live = Live(str(tmp_path))
    for second in range(4):
        for part in range(2):
            state(tmp_path, part, NOW + second, done=2 * second, seconds=second, reasons={"dns_failed": second})
        assert live.look(NOW + second)
    (tmp_path / f"{PREFIX}1" / LIVE).unlink()
    for second in range(4, 20):
        state(tmp_path, 0, NOW + second, done=2 * second, seconds=second, reasons={"dns_failed": second})
        told = live.look(NOW + second)
    assert told == "1.0 pages/s, 0.0 MB/s, 0 hosts waiting, dns_failed 22"
    assert live.look(NOW + 60) == ""


def test_a_part_that_begins_again_counts_from_there(tmp_path):
    live = Live(str(tmp_path))
    state(tmp_path, 0, NOW, done=1000, seconds=500, bytes=10**9)
    live.look(NOW)
    for second in range(1, 4):
        state(tmp_path, 0, NOW + second, done=1000 + 5 * second, seconds=second, bytes=1_000_000 * second)
        told = live.look(NOW + second)
    assert told.startswith("5.0 pages/s, 1.0 MB/s")


@pytest.mark.parametrize(
    "content",
    [b"", b'{"done": 5, "by', b"[]", b"null", b"\xff\xfe\x00", b'{"done": "5"}', b'{"done": 5}', b"[" * 100_000],
)
def test_a_file_that_is_no_statement_changes_nothing(tmp_path, content):
    live = Live(str(tmp_path))
    state(tmp_path, 0, NOW, done=5, seconds=1)
    before = live.look(NOW)
    (tmp_path / f"{PREFIX}0" / LIVE).write_bytes(content)
    (tmp_path / f"{PREFIX}1").mkdir()
    (tmp_path / f"{PREFIX}2").write_bytes(content)  # no folder
    assert live.look(NOW + 1) == before
    assert Live(str(tmp_path)).look(NOW) == ""


def test_a_folder_that_is_not_there_or_not_local_says_nothing(tmp_path):
    assert Live(str(tmp_path / "none")).look(NOW) == ""
    assert Live("gs://bucket/fetch").look(NOW) == ""
