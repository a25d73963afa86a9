"""Extractors in Python as a program: pages on standard input, texts and CPU seconds on standard output.

A page is 4 bytes of length (little-endian) and UTF-8 markup; an answer 8 bytes of CPU seconds (a double), 4 bytes of
length, and UTF-8 text. Run by any Python that has the libraries: nothing of this project is imported.

    python python_peers.py NAME
"""

import logging
import struct
import sys
import time
import warnings
from collections.abc import Callable


def resiliparse() -> Callable[[str], str]:
    """Its main content."""
    from resiliparse.extract.html2text import extract_plain_text

    return lambda html: extract_plain_text(html, main_content=True, alt_texts=False)


def rs_trafilatura() -> Callable[[str], str]:
    """As it comes: it tells the kind of page and chooses by it."""
    from rs_trafilatura import extract

    return lambda html: extract(html).main_content or ""


def magic_html() -> Callable[[str], str]:
    """Its default, which gives markup."""
    from lxml import html as lxml_html
    from magic_html import GeneralExtractor

    extractor = GeneralExtractor()

    def text(html: str) -> str:
        found = extractor.extract(html, base_url="http://a.example/")["html"]
        return " ".join(lxml_html.fragment_fromstring(found, create_parent=True).itertext()) if found else ""

    return text


def newspaper4k() -> Callable[[str], str]:
    """An article, without the network."""
    import newspaper

    return lambda html: newspaper.article("http://a.example/a", input_html=html, fetch_images=False).text


PEERS = {
    "resiliparse": resiliparse,
    "rs-trafilatura": rs_trafilatura,
    "magic-html": magic_html,
    "newspaper4k": newspaper4k,
}


def main() -> None:
    """Answer pages until the input ends. A page at which the extractor fails has no text."""
    warnings.simplefilter("ignore")
    logging.disable()
    text_of = PEERS[sys.argv[1]]()
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    while head := source.read(4):
        html = source.read(struct.unpack("<I", head)[0]).decode()
        start = time.process_time()
        try:
            text = text_of(html)
        except Exception:
            text = ""
        spent, answer = time.process_time() - start, text.encode("utf-8", "ignore")
        sink.write(struct.pack("<dI", spent, len(answer)) + answer)
        sink.flush()


if __name__ == "__main__":
    main()
