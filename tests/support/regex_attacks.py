"""Attacks on a regular expression, made from its parse tree, and whether it takes more than linear time on one of them.

An attack is a beginning that leads to a repetition, something that is repeated, and an end at which the match fails.
"""

import re
import re._constants as op
import re._parser as parser
import signal
import time
from itertools import permutations

from regex_ambiguity import ALPHABET, characters

_SHORT, _LONG = 4_000, 64_000  # characters of an attack
_GROWTH = 4 * _LONG / _SHORT  # of the CPU time: _LONG / _SHORT were linear, their square quadratic
_FLOOR = 0.25  # seconds of CPU, below which a growth is no matter: what is quadratic takes longer for _LONG
_TRIES = 3  # of which each must show it, for machines are busy
_FEW = 4  # strings of which pairs are tried
_MANY = 20  # repetitions that are worth an attack
_USUAL = "a0 -.\n=/<>\"'_:@&%[x\xe9\u5b57"
_END = "\0"


def attacks(pattern):
    """(beginning, what is repeated) of each attack on a compiled pattern, as text."""
    flags, is_bytes = pattern.flags, isinstance(pattern.pattern, bytes)
    repeated = {}  # what leads to a repetition -> what it repeats

    def sample(tree, before, flags):
        """One string that a sequence matches, or nearly; notes the repetitions on the way."""
        text = ""
        for kind, value in tree:
            text += item(kind, value, before + text, flags)
        return text

    def item(kind, value, before, flags):
        if kind in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
            least, most, body = value
            if most is op.MAXREPEAT or most >= _MANY:
                repeated.setdefault(before, set()).update(bodies(body, before, flags))
            return sample(body, before, flags) * least
        if kind is op.SUBPATTERN:
            return sample(value[3], before, (flags | value[1]) & ~value[2])
        if kind is op.BRANCH:
            first, *_ = [sample(branch, before, flags) for branch in value[1]]  # all may repeat something
            return first
        if kind is op.ATOMIC_GROUP:
            return sample(value, before, flags)
        if kind in (op.ASSERT, op.ASSERT_NOT):
            return sample(value[1], before, flags) if kind is op.ASSERT and value[0] < 0 and not before else ""
        return "" if kind is op.AT else usual(kind, value, flags)[0]

    def bodies(body, before, flags):
        if len(body) == 1 and body[0][0] not in (op.SUBPATTERN, op.BRANCH, op.MAX_REPEAT, op.MIN_REPEAT):
            return usual(*body[0], flags)
        branches = body[0][1][3] if len(body) == 1 and body[0][0] is op.SUBPATTERN else body
        branches = branches[0][1][1] if len(branches) == 1 and branches[0][0] is op.BRANCH else [branches]
        return {sample(branch, before, flags) for branch in branches} - {""}

    def usual(kind, value, flags):
        found = characters((kind, value), flags, is_bytes)
        return [c for c in _USUAL if c in found][:5] or [c for c in ALPHABET if c in found][:1] or ["\0"]

    sample(parser.parse(pattern.pattern, flags & ~re.UNICODE if not is_bytes else flags), "", flags)
    found = {("", before + body) for before, bodies in repeated.items() for body in ("", *bodies)}
    for before, bodies in repeated.items():
        few = sorted(bodies)[:_FEW]
        found |= {(begin, pump) for begin in ("", before) for pump in (*bodies, *map("".join, permutations(few, 2)))}
    return sorted(attack for attack in found if attack[1])


class _OverrunError(Exception):
    pass


def _overrun(number, frame):
    raise _OverrunError


def _seconds(use, text, limit):
    """CPU time of one use; `limit` where it takes that long and is ended."""
    before = signal.signal(signal.SIGVTALRM, _overrun)
    start = time.process_time()
    try:
        signal.setitimer(signal.ITIMER_VIRTUAL, limit)
        use(text)
        return time.process_time() - start
    except _OverrunError:
        return limit
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def superlinear(pattern, searched, whole):
    """The first attack for which the CPU time grows faster than its length, or None.

    Args:
        pattern: compiled.
        searched: whether it is tried from each character on; else from the first alone.
        whole: whether it must match all of a string.
    """

    def use(text):
        if whole:
            return pattern.fullmatch(text)
        return sum(1 for _ in pattern.finditer(text)) if searched else pattern.match(text)

    for begin, pump in attacks(pattern):
        short, long = (begin + pump * (size // len(pump)) + _END for size in (_SHORT, _LONG))
        if isinstance(pattern.pattern, bytes):
            short, long = (text.encode("utf-8", "surrogateescape") for text in (short, long))
        if all(_grows(use, short, long) for _ in range(_TRIES)):
            return begin, pump
    return None


def _grows(use, short, long):
    limit = max(_FLOOR, _GROWTH * _seconds(use, short, _FLOOR / 5))
    return _seconds(use, long, limit) >= limit
