"""What kind of page a tree is, by what it says of itself: metadata, generator, names that software gives.

The kinds decide how its text is looked for (main_text.py). Signs are words of vocabularies (schema.org, Open Graph)
and of programs, which weigh more the less they are used for anything else.
"""

import re
from typing import Any, Final, NamedTuple

from lxml import etree  # type: ignore[import-untyped]

KINDS: Final = ("article", "documentation", "forum", "listing", "product", "other")
"""In the order in which a kind wins among equals."""

_ARTICLES: Final = ("Article", "BlogPosting", "NewsArticle", "Recipe", "Report", "ScholarlyArticle", "TechArticle")
_TYPES: Final[dict[str, tuple[str, int]]] = {
    **dict.fromkeys(_ARTICLES, ("article", 2)),
    **dict.fromkeys(("DiscussionForumPosting", "QAPage"), ("forum", 5)),
    **dict.fromkeys(("CollectionPage", "ItemList", "SearchResultsPage"), ("listing", 1)),
    **dict.fromkeys(("Product", "ProductGroup"), ("product", 1)),
}
_OPEN_GRAPH: Final = {"article": ("article", 1), "product": ("product", 2), "product.group": ("listing", 2)}
_GENERATORS: Final = (
    (
        re.compile(r"bbpress|discourse|fluxbb|invision|mybb|phpbb|smf|vanilla|vbulletin|xenforo", re.IGNORECASE),
        "forum",
        5,
    ),
    (
        re.compile(
            r"asciidoctor|docbook|docusaurus|doxygen|gitbook|javadoc|mdbook|mediawiki|mkdocs|rustdoc|sphinx|vitepress"
            r"|vuepress",
            re.IGNORECASE,
        ),
        "documentation",
        3,
    ),
)
_NAMES: Final = (  # in class and id of <html> and <body>
    (re.compile(r"\b(?:XF|bbpress|ipsApp|phpbb|punbb|Vanilla|vb-page|wpforo)\b"), "forum", 5),
    (re.compile(r"\bsingle-post\b"), "article", 2),
    (re.compile(r"\b(?:archive|category|page-category)\b"), "listing", 1),
    (re.compile(r"\bsingle-product\b"), "product", 2),
)
_MAX_NAME: Final = 2_000  # characters
_MAX_JSON: Final = 500_000  # characters of a script
_JSON_TYPE: Final = re.compile(r'"@type"\s{0,9}:\s{0,9}(?:"(\w{1,60})"|\[([^\]]{0,300})\])')
_WORD: Final = re.compile(r"\w+")
_item_types: Final = etree.XPath("//@itemtype", smart_strings=False)


class PageKind(NamedTuple):
    """One of KINDS, and how sure that is: 0 (no sign) to 1."""

    name: str
    certainty: float


def kind_of(tree: Any) -> PageKind:
    """The kind for which there is the most evidence; "other" where there is none."""
    evidence = dict.fromkeys(KINDS, 0)
    for kind, weight in (*_of_head(tree), *_of_types(tree), *_of_names(tree)):
        evidence[kind] += weight
    if _is_single(tree):
        evidence["article"] += 1
    name = max(KINDS, key=evidence.__getitem__)
    if not evidence[name]:
        return PageKind("other", 0.0)
    return PageKind(name, round(evidence[name] / (sum(evidence.values()) + 1), 3))


def _is_single(tree: Any) -> bool:
    articles = tree.iter("article")
    return next(articles, None) is not None and next(articles, None) is None


def _of_head(tree: Any) -> list[tuple[str, int]]:
    found = []
    for meta in tree.iter("meta"):
        name, content = (meta.get("property") or meta.get("name") or "").lower(), meta.get("content") or ""
        if name == "og:type" and (sign := _OPEN_GRAPH.get(content.lower())):
            found.append(sign)
        elif name == "article:published_time":
            found.append(("article", 2))
        elif name == "generator":
            found += [(kind, weight) for pattern, kind, weight in _GENERATORS if pattern.search(content[:_MAX_NAME])]
    return found


def _of_types(tree: Any) -> list[tuple[str, int]]:
    types = {value.rpartition("/")[2] for value in _item_types(tree)}
    for script in tree.iter("script"):
        if script.get("type") == "application/ld+json":
            for single, several in _JSON_TYPE.findall((script.text or "")[:_MAX_JSON]):
                types.update((single,) if single else _WORD.findall(several))
    return list({_TYPES[name] for name in types if name in _TYPES})


def _of_names(tree: Any) -> list[tuple[str, int]]:
    body = tree.find("body")
    elements = (tree,) if body is None else (tree, body)
    text = " ".join(f"{element.get('class', '')} {element.get('id', '')}" for element in elements)[:_MAX_NAME]
    return [(kind, weight) for pattern, kind, weight in _NAMES if pattern.search(text)]
