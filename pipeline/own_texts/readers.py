"""Documents that are text already: JSON lines, Parquet and plain text files, plain or compressed, record by record.

Nothing in a file ends a build: a record that is no text is Rejected (see record.py), and damage raises DamagedFileError
behind all that came before it.
"""

from collections.abc import Generator, Iterator
from typing import Final

from webtext.pipeline.files import json_lines, storage
from webtext.pipeline.files.lines import MAX_LINE, TooLong, TruncatedInputError, cut_end, open_lines
from webtext.pipeline.own_texts.record import About, DamagedFileError, Text, make, refuse, text_of
from webtext.pipeline.own_texts.settings import TextFields
from webtext.schemas.records import Rejected

_COMPRESSED: Final = (".gz", ".bz2", ".xz", ".zst")
_JSON: Final = (".jsonl", ".ndjson", ".jsonlines", ".json")
_PLAIN: Final = (".txt", ".text", ".md", ".markdown", ".rst")
UNCOMPRESSED: Final = (*_JSON, *_PLAIN)
"""Endings of files that are as large as their text."""
_PARQUET: Final = (".parquet", ".pq")
_PARQUET_MAGIC: Final = b"PAR1"

_EXCERPT = 80  # bytes of a bad record to show


Found = Iterator[Text | Rejected]


def read_texts(path: str, id: str, fields: TextFields) -> Found:
    """The records of a file: of JSON lines, of Parquet, or the one of a plain text file.

    The ending of its name decides, before that of a compression; without a known one, JSON lines begin with a brace.

    Args:
        path: of the file.
        id: what the text of a plain text file is called.
        fields: where a record has what.

    Raises:
        DamagedFileError: behind the records that could be read.
        OSError: the file can't be read. Never raised for what it contains.
    """
    with storage.open_binary(path) as stream:
        magic = stream.read(len(_PARQUET_MAGIC))
    stem = path.lower()
    if magic == _PARQUET_MAGIC or stem.endswith(_PARQUET):
        from webtext.pipeline.own_texts import parquet  # takes a moment to import, and few have it

        for record in parquet.records(path, (*fields.text, *_describing(fields))):
            yield text_of(record, fields)
        return
    for ending in _COMPRESSED:
        stem = stem.removesuffix(ending)
    with storage.open_binary(path) as stream:
        lines, whole = open_lines(stream, path), True
        try:
            if stem.endswith(_JSON):
                whole = yield from _json_texts(lines, fields)
            elif stem.endswith(_PLAIN):
                yield _plain_text(lines, id)
            else:
                whole = yield from _of_unknown_kind(lines, id, fields)
        except TruncatedInputError as error:
            raise DamagedFileError(path, error.why, 1) from error
        if why := cut_end(stream, path, whole):
            raise DamagedFileError(path, why, 0)


def _describing(fields: TextFields) -> tuple[str, ...]:
    return (*fields.url, *fields.id, *fields.title, *fields.score, *fields.date)


Lines = Iterator[bytes | TooLong]
FoundAndEnd = Generator[Text | Rejected, None, bool]
"""Returns whether the last record was one."""


def _of_unknown_kind(lines: Lines, id: str, fields: TextFields) -> FoundAndEnd:
    seen: list[bytes | TooLong] = []
    for line in lines:
        seen.append(line)
        if isinstance(line, TooLong) or line.strip():
            break
    is_json = bool(seen) and isinstance(seen[-1], bytes) and seen[-1].lstrip()[:1] == b"{"

    def again() -> Lines:
        yield from seen
        yield from lines

    if is_json:
        return (yield from _json_texts(again(), fields))
    yield _plain_text(again(), id)
    return True


def _json_texts(lines: Lines, fields: TextFields) -> FoundAndEnd:
    whole = True
    for line in lines:
        if isinstance(line, TooLong):
            yield refuse(str(line))
        elif line := line.strip():
            try:
                record = json_lines.decode(line)
            except (ValueError, RecursionError) as error:
                whole = False
                yield refuse(f"{error}: {line[:_EXCERPT]!r}")
                continue
            whole = True
            yield text_of(record, fields)
    return whole


def _plain_text(lines: Lines, id: str) -> Text | Rejected:
    """A whole file as one document."""
    held: list[bytes] = []
    size = 0
    for line in lines:
        size += MAX_LINE if isinstance(line, TooLong) else len(line) + 1
        if isinstance(line, TooLong) or size > MAX_LINE:
            return refuse(f"has more than {MAX_LINE} bytes", About(id=id))
        held.append(line)
    try:
        text = b"\n".join(held).decode()
    except UnicodeDecodeError as error:
        return refuse(f"is not UTF-8: {error}", About(id=id))
    return make(text, About(id=id))
