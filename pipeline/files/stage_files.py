"""Files of stages, read only against the receipt of the part that wrote them.

Whoever finds a file damaged withdraws its receipt. So that part counts as not done, and the next run of the same build
does it again: on any engine, whichever process it was that read the file.
"""

from contextlib import suppress
from typing import BinaryIO, NoReturn, cast

import msgspec

from webtext.pipeline.files import storage
from webtext.pipeline.files.checksums import CheckedStream, read_sums
from webtext.schemas.manifest import RECEIPT, STAGE_MANIFEST


class StageFileError(OSError):
    """A file of a stage is not what its part wrote. Its receipt is withdrawn."""


class _File(msgspec.Struct):
    name: str
    bytes: int


class _Receipt(msgspec.Struct):
    """What a reader needs to know. The checksums check themselves, a name or size that is damaged finds no file."""

    files: list[_File]
    sums: dict[str, str]


def open_stage_file(path: str) -> BinaryIO:
    """A seekable stream of a file of a stage, each piece of it checked.

    Raises:
        StageFileError: here and in each read, where the file or its receipt is damaged or missing.
        OSError: the file can't be read.
    """

    def damaged(what: str) -> NoReturn:
        withdraw(path)
        raise StageFileError(f"{path} is damaged: {what}. The same build command makes it again")

    name = path.rsplit("/", 1)[-1]
    try:
        receipt = msgspec.json.decode(storage.read_bytes(receipt_of(path)), type=_Receipt)
        [size] = (file.bytes for file in receipt.files if file.name == name)
        sums = read_sums(receipt.sums.get(name, ""), size)
        stream = storage.open_binary(path)
    except OSError:
        if storage.exists(path) and storage.exists(receipt_of(path)):
            raise
        damaged("it is missing, or its receipt is")
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        damaged(f"its receipt {receipt_of(path)} can't be read: {error}")
    return cast(BinaryIO, CheckedStream(stream, size, sums, damaged))


def receipt_of(path: str) -> str:
    """Where the receipt of the part is that wrote this file."""
    folder, name = path.rsplit("/", 1)
    return storage.join(folder, name.split(".", 1)[0] + RECEIPT)


def withdraw(path: str) -> bool:
    """Let the part that wrote this file count as not done. Returns whether a part did; it stays where it is read-only.

    A file with no receipt beside it is no stage's, and nothing there is touched.
    """
    receipt = receipt_of(path)
    if not storage.exists(receipt):
        return False
    with suppress(OSError):
        storage.delete([receipt, storage.join(path.rsplit("/", 1)[0], STAGE_MANIFEST)])
    return True
