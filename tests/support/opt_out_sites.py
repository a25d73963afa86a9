"""Sites that opt out of training, each in one way, and sites that only look so; a server that is all of them."""

import threading
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PATH = "/news/page.html"
ANY = "User-agent: *\nAllow: /\n"
TEXT = (
    "The harbour was quiet in the morning, and the fishermen who had come back during the night were mending their "
    "nets beside the wall. One of them told me that the weather would change before the evening, because the birds "
    "were flying low over the water. We walked along the beach until we reached the old lighthouse number {number}, "
    "which nobody had used for thirty years, and sat down on its steps to eat the bread that we had brought with us. "
    "From there you could see the whole bay, the two islands, and the road that leads over the hills to the town. "
)


@dataclass(frozen=True)
class Site:
    """One site with one page."""

    robots: str = ""
    fields: tuple[tuple[str, str], ...] = ()
    head: str = ""
    line: str = ""  # what opts out; "" for one that does not
    signal: str = ""
    encoding: str = "utf-8"

    def page(self, number):
        text = TEXT.format(number=number) * 3
        html = f"<!doctype html><html><head>{self.head}<title>{number}</title></head><body><article><p>{text}</p>"
        return f"{html}</article></body></html>".encode(self.encoding)


def _robots(text, line, signal):
    number = 1 + text.split("\n").index(next(each for each in text.split("\n") if line in each)) if line else 0
    return Site(robots=text, line=line and f"robots.txt line {number}: {line}", signal=signal)


def _field(name, value, signal):
    return Site(fields=((name, value),), line=signal and f"{name}: {value}", signal=signal)


def _head(head, line="", signal="", encoding="utf-8"):
    return Site(head=head, line=line, signal=signal, encoding=encoding)


def _usage(text, line="Content-Usage: train-ai=n"):
    return _robots(text, line, "content-usage")


def _signal(text, line="Content-Signal: ai-train=no"):
    return _robots(text, line, "content-signal")


VECTORS = [
    _usage(ANY + "Content-Usage: train-ai=n\n"),
    _usage("User-agent: *\nDisallow:\n\nUser-agent: webtext\nContent-Usage: train-ai=n\n"),
    _usage(ANY + "Content-Usage: train-ai=y\nContent-Usage: /news/ train-ai=n\n", "Content-Usage: /news/ train-ai=n"),
    _usage(ANY + "Content-Usage: /n train-ai=y\nContent-Usage: /n train-ai=n\n", "Content-Usage: /n train-ai=n"),
    _usage(ANY + "Content-Usage: search=y, train-ai=n;until=1\n", "Content-Usage: search=y, train-ai=n;until=1"),
    _usage(ANY + "Content-Usage: /*.html$ train-genai=n\n", "Content-Usage: /*.html$ train-genai=n"),
    _usage("Content-Usage: train-ai=n\n\n" + ANY),
    _signal(ANY + "Content-Signal: search=yes,ai-train=no,use=reference\n",
            "Content-Signal: search=yes,ai-train=no,use=reference"),
    _signal("# Signals\nUser-Agent: *\nContent-Signal: ai-train=no\nAllow: /\n\nUser-agent: GPTBot\nDisallow: /\n"),
    _signal("Content-Signal: ai-train=no\n" + ANY),
    _signal(ANY + "Content-Signal: /news/ ai-train=no\n", "Content-Signal: /news/ ai-train=no"),
    _field("Content-Usage", "train-ai=n", "content-usage"),
    Site(fields=(("Content-Usage", "search=y"), ("content-usage", "train-ai=n")),
         line="Content-Usage: search=y, train-ai=n", signal="content-usage"),
    _field("Content-Signal", "search=yes, ai-train=no", "content-signal"),
    _field("X-Robots-Tag", "noai", "noai"),
    Site(fields=(("X-Robots-Tag", "otherbot: noindex"), ("X-Robots-Tag", "noindex, NoAI")),
         line="X-Robots-Tag: noindex, NoAI", signal="noai"),
    _field("X-Robots-Tag", "webtext: noai", "noai"),
    _field("x-robots-tag", "noimageai", "noimageai"),
    _field("TDM-Reservation", "1", "tdmrep"),
    _head('<meta name="robots" content="index, noai">', "meta robots: index, noai", "noai"),
    _head("<META CONTENT=noimageai NAME=Webtext>", "meta webtext: noimageai", "noimageai"),
    _head('<meta name="tdm-reservation" content="1"/>', "meta tdm-reservation: 1", "tdmrep"),
    _head('<meta http-equiv="Content-Usage" content="train-ai=n">', "meta content-usage: train-ai=n", "content-usage",
          encoding="utf-16"),
    _head("<meta name='content-signal'\ncontent='ai-train=no'>", "meta content-signal: ai-train=no", "content-signal"),
]  # fmt: skip

LOOK_ALIKES = [
    _usage(ANY + "Content-Usage: train-ai=y\n", ""),
    _usage(ANY + "Content-Usage: search=n, ai-use=n, bots=n\n", ""),
    _usage(ANY + "Content-Usage: train-ai=n\nContent-Usage: /news/ train-ai=y\n", ""),
    _usage(ANY + "Content-Usage: /sport/ train-ai=n\n", ""),
    _usage("User-agent: otherbot\nContent-Usage: train-ai=n\n\n" + ANY, ""),
    _usage(ANY + "Content-Usage: train-ai=n\n\nUser-agent: webtext\nAllow: /\n", ""),
    _usage(ANY + "Content-Usage: Train-AI=N\n", ""),
    _usage(ANY + 'Content-Usage: train-ai="n"\n# Content-Usage: train-ai=n\n', ""),
    _signal(ANY + "Content-Signal: search=no, ai-input=no\n", ""),
    _signal("User-agent: GPTBot\nContent-Signal: ai-train=no\nDisallow: /\n\n" + ANY, ""),
    _signal(ANY + "# Content-Signal: ai-train=no\nX-Content-Signal: ai-train=no\n", ""),
    _signal("<html><body>Content-Signal: ai-train=no</body></html>", ""),
    _field("Content-Usage", "train-ai=y", ""),
    _field("Content-Usage", "train-ai=n, train-ai=y", ""),
    _field("Content-Signal", "ai-train=yes", ""),
    _field("X-Robots-Tag", "otherbot: noai", ""),
    _field("X-Robots-Tag", "noarchive, max-snippet: 5", ""),
    _field("TDM-Reservation", "0", ""),
    _field("X-Content-Usage", "train-ai=n", ""),
    _head('<!-- <meta name="robots" content="noai"> -->'),
    _head("""<script>document.write('<meta name="robots" content="noai">')</script>"""),
    _head('<meta name="googlebot" content="noai"><meta name="description" content="noai">'),
    _head('</head><body><p>Write <meta name="robots" content="noai"> into the head.</p>'),
    _head('<meta name="tdm-reservation" content="0"><meta name="tdm-policy" content="https://a.example/1">'),
]

SITES = [*VECTORS, *LOOK_ALIKES]


def address(number):
    """A host of loopback for each site."""
    return f"127.3.{1 + number // 200}.{1 + number % 200}"


class _Handler(BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_GET(self):
        numbers = {address(number): number for number in range(len(SITES))}
        number = numbers[self.headers["Host"].split(":")[0]]
        site = SITES[number]
        if self.path == PATH:
            self._answer(200, site.page(number), [("Content-Type", "text/html"), *site.fields])
        elif self.path == "/robots.txt" and site.robots:
            self._answer(200, site.robots.encode(), [("Content-Type", "text/plain")])
        else:
            self._answer(404, b"", [])

    def _answer(self, status, body, fields):
        self.send_response(status)
        for name, value in [*fields, ("Content-Length", str(len(body)))]:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


@contextmanager
def serve():
    """All sites on one port; gives the port."""
    with _Server(("0.0.0.0", 0), _Handler) as server:  # noqa: S104 - all of 127.0.0.0/8
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()
