"""All regular expressions of the source: where they stand, what they are, and how they are used."""

import ast
import importlib
import re
from pathlib import Path
from typing import NamedTuple

ROOMS = ("pipeline", "jobs", "schemas", "model")
_ONCE = {"match", "fullmatch"}
_MATCHING = {*_ONCE, "search", "sub", "subn", "split", "findall", "finditer"}


class Place(NamedTuple):
    """One call of `re`."""

    module: str
    name: str  # that the pattern is given, or its number in the module
    pattern: ast.expr
    flags: ast.expr | None
    methods: frozenset[str]  # of the pattern that the module calls; all where that is not known

    @property
    def searched(self):
        """Whether it is tried from each character on."""
        return not self.methods <= _ONCE

    @property
    def whole(self):
        """Whether it must match all of a string, always."""
        return self.methods == {"fullmatch"}

    def compiled(self):
        """The pattern. Raises NameError where it is made of what only a function knows."""
        names = vars(importlib.import_module(self.module))
        pattern, flags = (
            node and eval(compile(ast.Expression(node), self.module, "eval"), names)  # noqa: S307
            for node in (self.pattern, self.flags)
        )
        return re.compile(pattern, flags or 0)


def places(root):
    """Every call of `re` under a folder that has the rooms."""
    found = []
    for path in sorted(path for room in ROOMS for path in (Path(root) / room).rglob("*.py")):
        module = ".".join(["webtext", *path.relative_to(root).with_suffix("").parts])
        found += _places(module, ast.parse(path.read_text("utf-8")))
    return found


def _places(module, tree):
    named = {
        call: node
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value
        for call in ast.walk(node.value)
    }
    used = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            holder = node.value.value if isinstance(node.value, ast.Subscript) else node.value  # one of a dict
            if isinstance(holder, ast.Name):
                used.setdefault(holder.id, set()).update({node.attr} & _MATCHING)
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and _is_re(node.func)]
    for number, call in enumerate(calls):
        target = named.get(call)
        target = target and (target.targets[0] if isinstance(target, ast.Assign) else target.target)
        name = f"{target.id}-{number}" if isinstance(target, ast.Name) else str(number)
        methods = (
            (used.get(name.partition("-")[0]) or {"finditer", "fullmatch"})
            if call.func.attr == "compile"
            else {call.func.attr}
        )
        flags = next((each.value for each in call.keywords if each.arg == "flags"), None)
        if call.func.attr == "compile" and len(call.args) > 1:
            flags = call.args[1]
        yield Place(module, name, call.args[0], flags, frozenset(methods))


def _is_re(func):
    return (
        isinstance(func, ast.Attribute)
        and isinstance(func.value, ast.Name)
        and func.value.id == "re"
        and func.attr in {"compile", *_MATCHING}
    )
