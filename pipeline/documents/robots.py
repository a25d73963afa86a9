"""What the robots.txt says that was captured beside a page, see pipeline/pages/robots."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import BinaryIO, Final

import pyarrow as pa

from webtext.pipeline.archives import warc
from webtext.pipeline.opt_outs.robots_rules import MAX_BYTES, RobotsRules, decode_text
from webtext.pipeline.opt_outs.signals import PRODUCT, OptOut
from webtext.schemas.records import Page

_KEPT: Final = 256  # files whose rules are held


class RobotsOfPages:
    """Where the robots.txt of the pages of one part lie, and the rules of those that were read lately."""

    def __init__(self, batches: Iterable[pa.RecordBatch]) -> None:
        """`batches` of tables.ROBOTS."""
        rows = (row for batch in batches for row in batch.to_pylist())
        self.places = {row["key"]: (row["archive"], row["offset"]) for row in rows}
        self._rules: OrderedDict[tuple[str, int], RobotsRules] = OrderedDict()

    def opt_outs(self, page: Page, archive: Callable[[str], BinaryIO]) -> Sequence[OptOut]:
        """The opt-outs of a page; `archive` opens one by its path.

        Raises:
            BadRecordError: no capture is there any more.
        """
        place = self.places.get(page.key)
        if place is None:
            return ()
        rules = self._rules.pop(place, None) or _read(archive(place[0]), place[1])
        self._rules[place] = rules
        if len(self._rules) > _KEPT:
            self._rules.popitem(last=False)
        return tuple(rules.opt_outs("/" + page.url.split("/", 3)[3]))


def _read(stream: BinaryIO, offset: int) -> RobotsRules:
    body = warc.read_page(stream, offset, MAX_BYTES).payload
    if len(body) > MAX_BYTES:  # the last line may be cut
        body = body[: max(body.rfind(b"\n"), body.rfind(b"\r")) + 1]
    return RobotsRules.parse(decode_text(body), PRODUCT)
