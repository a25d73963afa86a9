import gzip
import io
import sys

import pytest
import toy_webs
import zstandard

from webtext.pipeline.archives.warc import RawPage
from webtext.pipeline.documents.page_files import pages_of
from webtext.schemas.records import Loss, Reason

HTML = b"<p>hello"
LIMIT = 1000
ARCHIVE = toy_webs.MINIWEB / "pages-00000.warc.gz"


def only(path, limit=LIMIT):
    [page] = pages_of(str(path), "http://a.example/", limit)
    assert (page.file, page.offset, page.url) == (str(path), None, "http://a.example/")
    return page.content


def store(tmp_path, data, name="page"):
    path = tmp_path / name
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    "data",
    [HTML, gzip.compress(HTML), zstandard.compress(HTML)],
    ids=["plain", "gzip", "zstd"],
)
def test_a_saved_page(tmp_path, data):
    assert only(store(tmp_path, data)) == RawPage("http://a.example/", 200, "text/html", None, HTML, truncated=False)


@pytest.mark.parametrize(
    ("data", "reason", "detail"),
    [
        (b"", Reason.EMPTY_PAGE, "0 bytes without a character"),
        (b" \n\0", Reason.EMPTY_PAGE, "3 bytes without a character"),
        (b"%PDF-1.4 and more than is shown", Reason.NOT_HTML, "starts with b'%PDF-1.4 and mor'"),
        (b"x" * (LIMIT + 1), Reason.PAGE_TOO_LARGE, "over 1000 bytes"),
        (gzip.compress(b"x" * 10**7), Reason.PAGE_TOO_LARGE, "over 1000 bytes"),
        (b"x" * 10**6, Reason.PAGE_TOO_LARGE, "over 1000 bytes"),
    ],
    ids=["empty", "blank", "pdf", "one too many", "bomb", "large"],
)
def test_files_that_are_no_page(tmp_path, data, reason, detail):
    assert only(store(tmp_path, data)) == Loss(reason, detail)


def test_a_page_of_just_the_limit(tmp_path):
    assert isinstance(only(store(tmp_path, b"x" * LIMIT)), RawPage)


def test_an_archive_is_told_by_its_content(tmp_path):
    def contents(path):
        return [(page.offset, page.url, page.content) for page in pages_of(str(path), "", 10**6)]

    records = gzip.decompress(ARCHIVE.read_bytes())
    named = contents(ARCHIVE)
    assert len(named) > 100
    copy = contents(store(tmp_path, ARCHIVE.read_bytes(), "copy"))
    assert [entry for entry in copy if entry[0] is not None] == [entry for entry in named if entry[0] is not None]
    # One member for all records: the offsets are others, the pages are not.
    for data in (records, gzip.compress(records), zstandard.compress(records)):
        found = contents(store(tmp_path, data))
        assert [entry[1:] for entry in found if entry[0] is not None] == [
            entry[1:] for entry in named if entry[0] is not None
        ]


def test_a_name_makes_an_archive_of_anything(tmp_path):
    [page] = pages_of(str(store(tmp_path, HTML, "x.warc")), "http://a.example/", LIMIT)
    assert (page.url, page.content.reason) == ("", Reason.BAD_RECORD)


def test_standard_input_and_pipes(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(ARCHIVE.read_bytes())))
    piped = [page.url for page in pages_of("-", "", 10**6)]
    assert piped == [page.url for page in pages_of(str(ARCHIVE), "", 10**6)]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(HTML)))
    assert isinstance(only("-"), RawPage)


def test_a_file_that_cant_be_read(tmp_path):
    for path in (tmp_path, tmp_path / "none", "/proc/self/mem"):
        with pytest.raises(OSError, match=r"Is a directory|No such file|Invalid argument"):
            list(pages_of(str(path), "", LIMIT))
