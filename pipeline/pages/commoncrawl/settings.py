"""The settings of the Common Crawl source. Standard library only, so that `--help` costs nothing."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class CommonCrawlSettings:
    """Where Common Crawl is, and which captures are taken from it."""

    index: tuple[str, ...] = ()
    """Files of the columnar index: paths with wildcards, http(s) URLs, or lists of such files (*.paths, *.paths.gz)."""
    prefix: str = "https://data.commoncrawl.org/"
    """What stands before the file names of the index: http(s) URL, s3://commoncrawl/, or a folder; ends in a slash."""
    only_when: Literal["all", "missing"] = "all"
    """Look for every link, or only for those that the other sources have no usable capture of and whose sites did not
    refuse them (robots.txt, marks against text mining)."""
    candidates: int = 3
    """Captures that are read for one link, nearest first, before it is given up."""
    rounds: int = 1
    """Times the index is read, each time for another range of links: memory is about 8 bytes per link and round."""
    gap_bytes: int = 65_536
    """Largest gap in bytes that is read along to join two ranges of a file into one request."""
    connections: int = 4
    """Requests at a time, of each worker process."""
    retries: int = 6
    """Further attempts at a range after the first one."""
    timeout: float = 60.0
    """Seconds that a server may be silent."""
    backoff: float = 1.0
    """Seconds of the first wait before a retry; each further wait is twice as long, up to a minute."""
    user_agent: str = "webtext"
    """What requests say of who sends them; best with an address to write to."""
    cache: str = ""
    """Local folder that keeps what was read out of Common Crawl's archives; empty for none."""
