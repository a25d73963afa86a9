from dataclasses import replace

import pytest

import webtext
from webtext.pipeline.archives.warc import RawPage
from webtext.pipeline.documents.heed import heed
from webtext.pipeline.opt_outs.signals import OptOut
from webtext.pipeline.settings import ExtractSettings
from webtext.schemas.records import Loss, Reason

PAGE = RawPage("http://a.example/", 200, "text/html", None, b"<head></head><p>x", truncated=False)
HEAD = b"HTTP/1.1 200 OK\r\nX-Robots-Tag: a\r\n noai\r\nx-robots-tag: noindex\r\nTDM-Reservation:1\r\n\r\n"
BY_FIELD = replace(PAGE, head=HEAD)
OF_SITE = OptOut("content-usage", "robots.txt line 3: Content-Usage: train-ai=n")


@pytest.mark.parametrize(
    ("page", "opt_outs", "of_site", "line"),
    [
        (PAGE, "all", [], None),
        (BY_FIELD, "all", [], "TDM-Reservation: 1"),
        (BY_FIELD, "tdmrep", [], "TDM-Reservation: 1"),
        (PAGE, "all", [OF_SITE], OF_SITE.line),
        (BY_FIELD, "all", [OF_SITE], OF_SITE.line),
        (BY_FIELD, "tdmrep", [OF_SITE], "TDM-Reservation: 1"),
    ],
)
def test_what_is_obeyed_is_a_loss(page, opt_outs, of_site, line):
    content, opt_out = heed(page, ExtractSettings(opt_outs=opt_outs), of_site)
    assert content == (page if line is None else Loss(Reason.MINING_REFUSED, line))
    assert (opt_out and opt_out.line) == line


def test_what_is_not_obeyed_is_told():
    content, opt_out = heed(BY_FIELD, ExtractSettings(opt_outs="noai"))
    assert content == BY_FIELD
    assert str(opt_out) == "tdmrep: TDM-Reservation: 1"


def test_the_public_face_heeds_a_page():
    page = '<html><head><meta name="robots" content="noai"></head><body><p>' + "The cat sat on the mat. " * 60
    assert webtext.extract(page) == Loss(Reason.MINING_REFUSED, "meta robots: noai")
    assert webtext.extract(page, opt_outs="none").text.startswith("The cat")
