"""Work for the sandbox, with hostile inputs. A module of its own, so that child processes can import it."""

import os
import signal
import time


def make_work():
    return work


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
        case [b"die"]:
            os.kill(os.getpid(), signal.SIGKILL)
        case [b"exit"]:
            os._exit(3)
        case [b"raise"]:
            raise ValueError("no such page")
        case [b"sleep", seconds]:
            time.sleep(float(seconds))
    return payload.upper()
