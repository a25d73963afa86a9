"""Which regular expressions backtrack over a run of one character: a static analysis of `re`'s own parse trees.

A pattern is a graph of positions (Glushkov's automaton). On a run of one character it takes quadratic time or worse
where that character leads around one loop, then on to another: each place to change over is tried. Searching is such a
first loop. Loops inside what is atomic or possessive are no first loops, for they never give back. Two ways around one
loop are exponential. What comes after the second loop must be able to fail, or the first try is the last.

Not seen: runs of longer strings, which regex_attacks.py tries; repetitions with a bound count as bounded work. Look-
arounds are taken as always true, so that a pattern which they make linear is suspected.

Source: Weideman et al. 2016, "Analyzing matching time behavior of backtracking regular expression matchers by using
ambiguity of NFA"; Glushkov 1961.
"""

import re
import re._constants as op
import re._parser as parser
from dataclasses import dataclass, field

ALPHABET = [*map(chr, range(0x180)), "\u2013", "\u2028", "\u5b57", "\ud800", "\U0001f600"]
_START = -1


@dataclass
class _Graph:
    """Positions of a pattern: what each matches, which follow it, and the atomic group that holds it."""

    matches: list[frozenset[str]] = field(default_factory=list)
    follows: dict[int, set[int]] = field(default_factory=dict)
    atoms: list[int] = field(default_factory=list)  # 0: none
    groups: int = 0
    fallible: bool = False  # something without width may fail
    twice: set[tuple[int, int]] = field(default_factory=set)  # steps of a loop inside a loop
    inner: list[object] = field(default_factory=list)  # of look-arounds

    def add(self, matches, atom):
        self.matches.append(matches)
        self.atoms.append(atom)
        self.follows[len(self.matches) - 1] = set()
        return len(self.matches) - 1

    def link(self, lasts, firsts):
        for last in lasts:
            self.follows[last] |= firsts


def characters(node, flags, is_bytes):
    """The characters of ALPHABET that a node of the parse tree with the width of one character matches."""
    tree = parser.SubPattern(parser.State(), [node])
    tree.state.flags, tree.state.str = flags, b"" if is_bytes else ""
    compiled = re._compiler.compile(tree, flags)
    if is_bytes:
        return frozenset(c for c in ALPHABET if ord(c) < 256 and compiled.fullmatch(c.encode("latin-1")))
    return frozenset(filter(compiled.fullmatch, ALPHABET))


def _build(tree, graph, flags, atom, is_bytes):
    """(may match nothing, first positions, last positions) of a sequence, which is added to the graph."""
    nullable, firsts, lasts = True, set(), set()
    for kind, value in tree:
        empty, first, last = _item(kind, value, graph, flags, atom, is_bytes)
        graph.link(lasts, first)
        if nullable:
            firsts |= first
        lasts = lasts | last if empty else last
        nullable = nullable and empty
    return nullable, firsts, lasts


def _item(kind, value, graph, flags, atom, is_bytes):
    if kind in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
        least, most, body = value
        if kind is op.POSSESSIVE_REPEAT:
            atom = graph.groups = graph.groups + 1
        empty, first, last = _build(body, graph, flags, atom, is_bytes)
        if most is op.MAXREPEAT:
            around = {(p, q) for p in last for q in first}
            graph.twice |= {(p, q) for p, q in around if q in graph.follows[p] and graph.atoms[p] == atom}
            graph.link(last, first)
        return empty or least == 0, first, last
    if kind is op.SUBPATTERN:
        _, added, removed, body = value
        return _build(body, graph, (flags | added) & ~removed, atom, is_bytes)
    if kind is op.ATOMIC_GROUP:
        graph.groups += 1
        return _build(value, graph, flags, graph.groups, is_bytes)
    if kind is op.BRANCH:
        built = [_build(branch, graph, flags, atom, is_bytes) for branch in value[1]]
        empties, firsts, lasts = zip(*built, strict=True)
        return any(empties), set().union(*firsts), set().union(*lasts)
    if kind in (op.ASSERT, op.ASSERT_NOT):
        graph.inner.append(value[1])
    if kind in (op.ASSERT, op.ASSERT_NOT, op.AT):
        graph.fallible = True
        return True, set(), set()
    place = graph.add(characters((kind, value), flags, is_bytes), atom)
    return False, {place}, {place}


def ambiguities(pattern, searched, whole=False):
    """Why a pattern may take more than linear time on a run of one character, one text for each pair of loops.

    Args:
        pattern: compiled.
        searched: whether it is tried from each character on.
        whole: whether it must match all of a string.
    """
    flags = pattern.flags & ~re.UNICODE if isinstance(pattern.pattern, str) else pattern.flags
    tree = parser.parse(pattern.pattern, flags)
    return _ambiguities(tree, pattern.flags, isinstance(pattern.pattern, bytes), searched, whole)


def _ambiguities(tree, flags, is_bytes, searched, whole):
    graph = _Graph()
    nullable, firsts, lasts = _build(tree, graph, flags, 0, is_bytes)
    found = [why for inner in graph.inner for why in _ambiguities(inner, flags, is_bytes, False, False)]
    before = _before(tree, flags, is_bytes) if searched and not nullable else frozenset()
    succeeds = set() if whole or graph.fallible else lasts
    # One of each set of characters that all positions treat alike.
    for c in sorted({tuple(c in m for m in graph.matches): c for c in reversed(ALPHABET)}.values()):
        alive = {p for p, matches in enumerate(graph.matches) if c in matches}
        follows = {p: graph.follows[p] & alive for p in alive}
        reach = {p: _reached(follows, follows[p]) for p in alive}
        loops = {p for p in alive if p in reach[p]}
        for p in loops:
            around = [q for q in follows[p] if p in reach[q]]
            if len(around) > 1 or any((p, q) in graph.twice and p not in succeeds for q in around):
                found.append(f"exponential on {c!r}")
        starts = {p: reach[p] & loops for p in loops}
        if c in before:
            entered = firsts & alive
            starts[_START] = (_reached(follows, entered) | entered) & loops
        for p, others in starts.items():
            for q in others:
                same = p != _START and p in reach[q]
                kept = p != _START and graph.atoms[p] and graph.atoms[p] != graph.atoms[q]
                if not same and not kept and q not in succeeds:
                    found.append(f"{'searched' if p == _START else f'position {p}'} and position {q} on {c!r}")
    return found


def _before(tree, flags, is_bytes):
    """The characters behind which a search may begin to match: some patterns begin by looking behind."""
    kind, value = tree[0]
    if kind is op.AT and value is op.AT_BEGINNING and flags & re.MULTILINE:
        return frozenset("\n")
    if kind is op.AT and value in (op.AT_BEGINNING, op.AT_BEGINNING_STRING):
        return frozenset()
    if kind in (op.ASSERT, op.ASSERT_NOT) and value[0] < 0:
        [*_, last] = value[1]
        seen = characters(last, flags, is_bytes)
        return seen if kind is op.ASSERT else frozenset(ALPHABET) - (seen if len(value[1]) == 1 else frozenset())
    return frozenset(ALPHABET)


def _reached(follows, start):
    seen, todo = set(start), list(start)
    while todo:
        for after in follows[todo.pop()] - seen:
            seen.add(after)
            todo.append(after)
    return seen
