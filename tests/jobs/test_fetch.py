import json

import pytest
from loopback import HTML, answer, moved, serving

from webtext.jobs.cli import main


@pytest.fixture
def site():
    """A real server in a thread of its own."""
    robots = answer(b"User-agent: *\nDisallow: /closed", kind="text/plain")
    pages = {"/": answer(), "/old": moved("/"), "/x.pdf": answer(kind="application/pdf")}
    with serving(pages, robots) as server:
        yield server


FLAGS = ["--contact", "me@example.org", "--delay", "0", "--retries", "0", "--backoff", "0"]


def test_one_line_for_each_url(site, capsys):
    urls = [site.url(path) for path in ("/old", "/closed", "/x.pdf", "/none")]
    asked = ["fetch", *urls, "javascript:x", *FLAGS, "--allow-private", "--ports", str(site.port)]
    assert main(asked) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["url"] for line in lines] == [*urls, "javascript:x"]
    assert [line["result"] for line in lines] == ["page", "robots_disallowed", "not_html", "http_status", "bad_url"]
    first = lines[0]
    assert (first["status"], first["final_url"], first["bytes"]) == (200, site.url("/"), len(HTML))
    assert first["redirects"] == [{"url": urls[0], "status": 302}]
    assert (first["ip"], first["robots"], first["requests"]) == ("127.0.0.1", "allowed by robots.txt", 2)
    assert lines[1]["robots"] == "disallowed by robots.txt"
    assert main(["fetch", site.url("/"), *FLAGS, "--allow-private", "--ports", str(site.port)]) == 0


def test_private_addresses_are_refused_by_default(site, capsys):
    assert main(["fetch", site.url("/"), *FLAGS, "--ports", str(site.port)]) == 1
    line = json.loads(capsys.readouterr().out)
    assert (line["result"], line["detail"]) == ("forbidden_address", "127.0.0.1 is loopback (RFC 1122)")
    assert site.connections == 0


def test_a_contact_is_required(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["fetch", "http://a.example/"])
    assert stop.value.code == 2
    assert "--contact" in capsys.readouterr().err
    assert main(["fetch", "http://a.example/", "--contact", "nobody"]) in (1, 2)
    assert "give an e-mail address or URL" in capsys.readouterr().err
