"""Work for the sandbox, with hostile inputs. A module of its own, so that child processes can import it."""

import os
import signal
import time
from contextlib import suppress


def make_work():
    return work


def make_unfit():
    raise MemoryError("no room for the models")


def make_naming():
    return name_process


def name_process(payload):
    return b"%d %b" % (os.getpid(), payload)


def work(payload):
    match payload.split(b" "):
        case [b"spin"]:
            while True:
                pass
        case [b"eat", megabytes]:
            return str(len(bytearray(int(megabytes) << 20))).encode()
        case [b"die", name]:
            os.kill(os.getpid(), getattr(signal, name.decode()))
        case [b"die-once", name, trap]:
            # Creating the file is what only the first try can do.
            with suppress(FileExistsError):
                os.close(os.open(trap, os.O_CREAT | os.O_EXCL))
                os.kill(os.getpid(), getattr(signal, name.decode()))
        case [b"answer", megabytes]:
            return bytes(int(megabytes) << 20)
        case [b"exit"]:
            os._exit(3)
        case [b"raise"]:
            raise ValueError("no such page")
        case [b"sleep", seconds]:
            time.sleep(float(seconds))
    return payload.upper()
