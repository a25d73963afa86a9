"""trafilatura's XPath expressions with the same results in less time.

They look for words in the class and id of nearly every element by `re:test`, 40 % of all time: alternations of fifty
words, tried again for each of the hundreds of elements with the same class. Here an attribute that is absent is not
tested, and what was found for a value is kept.
"""

import functools
import importlib
import re
from collections.abc import Callable
from typing import Any, Final

from lxml import etree  # type: ignore[import-untyped]

_NAMESPACE: Final = "https://webtext/tests"
_REGEXP: Final = "http://exslt.org/regular-expressions"
_VALUES: Final = 16_384  # that are kept for an expression
_SHORT: Final = 200  # characters of a value that is kept
_TEST = re.compile(r"re:test\((@[\w|@]+), '([^']*)'(?:, '(i)')?\)")


def _make_test(pattern: str, flags: str) -> Callable[[object, str], bool]:
    search = re.compile(pattern, re.IGNORECASE if flags else 0).search
    kept = functools.lru_cache(_VALUES)(search)

    def test(_: object, value: str) -> bool:
        return (kept(value) if len(value) < _SHORT else search(value)) is not None

    return test


def faster(path: str) -> Any:
    """An `etree.XPath` that selects what `path` selects.

    Raises:
        ValueError: a pattern matches the empty string, so that an absent attribute would pass it.
    """
    extensions: dict[tuple[str, str], Callable[[object, str], bool]] = {}

    def replace(found: re.Match[str]) -> str:
        attributes, pattern, flags = found.groups()
        if re.search(pattern, ""):
            raise ValueError(f"{pattern!r} matches the empty string")
        name = f"test{len(extensions)}"
        extensions[_NAMESPACE, name] = _make_test(pattern, flags)
        return f"({attributes} and own:{name}(string({attributes})))"

    quick = _TEST.sub(replace, path)
    return etree.XPath(quick, namespaces={"own": _NAMESPACE, "re": _REGEXP}, extensions=extensions, smart_strings=False)


def _replacements() -> list[tuple[Any, str, Any]]:
    """(module, name, our expressions in the place of its own)."""
    found: list[tuple[Any, str, Any]] = []
    # Modules that took the name of an expression from another; `trafilatura.baseline` is also a function.
    for module_name, name in (
        ("trafilatura.main_extractor", "BODY_XPATH"),
        ("trafilatura.main_extractor", "OVERALL_DISCARD_XPATH"),
        ("trafilatura.external", "OVERALL_DISCARD_XPATH"),
        ("trafilatura.core", "RAW_TREE_PRUNE_XPATH"),
        ("trafilatura.core", "REMOVE_COMMENTS_AND_LISTS_XPATH"),
        ("trafilatura.baseline", "BASIC_CLEAN_XPATH"),
    ):
        module = importlib.import_module(module_name)
        theirs = getattr(module, name)
        ours = [faster(path.path) for path in theirs] if isinstance(theirs, list) else faster(theirs.path)
        found.append((module, name, ours))
    return found


REPLACEMENTS: Final = _replacements()
