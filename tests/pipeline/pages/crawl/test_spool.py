"""What a part has fetched so far, safe from kills."""

import shutil

import pytest

from webtext.pipeline.files import storage
from webtext.pipeline.pages.crawl.spool import ARCHIVE, JOURNAL, Entry, Spool


def entry_of(row, spool):
    return Entry(row, 0, 200, "text/html", "", "", end=spool.size)


@pytest.mark.parametrize("damage", ["none", "cut line", "garbage line", "records without a line", "lost bytes"])
def test_a_spool_continues_after_its_last_whole_line(tmp_path, damage):
    with Spool(str(tmp_path), "mine") as spool:
        for row in range(3):
            assert spool.append(b"x" * 10) == row * 10
            spool.finish(entry_of(row, spool))
        if damage == "records without a line":
            spool.append(b"y" * 5)
    kept = 3
    journal, archive = tmp_path / JOURNAL, tmp_path / ARCHIVE
    if damage == "cut line":
        journal.write_bytes(journal.read_bytes()[:-5])
        kept = 2
    elif damage == "garbage line":
        journal.write_bytes(journal.read_bytes() + b"[1,2]\n")
    elif damage == "lost bytes":
        archive.write_bytes(archive.read_bytes()[:25])
        kept = 2
    with Spool(str(tmp_path), "mine") as spool:
        assert [entry.row for entry in spool.entries] == list(range(kept))
        assert spool.size == archive.stat().st_size == 10 * kept
        spool.append(b"z")
        spool.finish(entry_of(9, spool))
    with Spool(str(tmp_path), "mine") as spool:
        assert [entry.row for entry in spool.entries] == [*range(kept), 9]


def test_nothing_behind_a_flipped_bit_is_kept(tmp_path):
    whole = tmp_path / "whole"
    with Spool(str(whole), "mine") as spool:
        for row in range(4):
            spool.append(bytes([row]) * 10)
            spool.finish(entry_of(row, spool))
    written, ends = (whole / ARCHIVE).read_bytes(), []
    for name in (ARCHIVE, JOURNAL):
        for at in range((whole / name).stat().st_size):
            work = tmp_path / f"{name}-{at}"
            shutil.copytree(whole, work)
            data = bytearray((work / name).read_bytes())
            data[at] ^= 1 << at % 8
            (work / name).write_bytes(data)
            with Spool(str(work), "mine") as spool:
                assert [entry.row for entry in spool.entries] == list(range(len(spool.entries)))
                assert spool.archive.read_bytes() == written[: 10 * len(spool.entries)]
                ends.append(len(spool.entries))
    assert set(ends) == {0, 1, 2, 3}


def test_a_spool_of_another_stage_is_not_used(tmp_path):
    with Spool(str(tmp_path), "mine") as spool:
        spool.append(b"x")
        spool.finish(entry_of(0, spool))
    with Spool(str(tmp_path), "other") as spool:
        assert (spool.entries, spool.size) == ([], 0)


def test_a_published_archive_is_not_changed_by_a_crawl_that_goes_on(tmp_path):
    final = tmp_path / "final"
    for row in range(3):
        with Spool(str(tmp_path / "spool"), "mine") as spool:
            assert [entry.row for entry in spool.entries] == list(range(row))
            spool.append(b"x" * 10)
            spool.finish(entry_of(row, spool))
            before = final.read_bytes() if row else b""
            assert before == b"x" * 10 * row
            with storage.publish(str(final)) as sink:
                sink.take(str(spool.archive))
    with Spool(str(tmp_path / "spool"), "other") as spool:  # begins anew
        assert spool.size == 0
    assert final.read_bytes() == b"x" * 30
