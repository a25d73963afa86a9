"""All text of a page but its chrome: navigation, headers without a heading, footers, dialogs, forms.

For pages that are no article. The text of shops, services and listings is in small pieces all over the page: a frame
has a part of it, and much of the rest is in links.
"""

import re
from copy import copy
from typing import Any, Final

from webtext.pipeline.documents import trafilatura_steps as steps
from webtext.pipeline.documents.frames import renamed
from webtext.pipeline.documents.rendering import Block, render

_SILENT: Final = frozenset({"head", "script", "style"})
_TAG_NAMES = "aside button dialog footer form iframe label nav noscript option select svg template textarea"
_TAGS: Final = frozenset(_TAG_NAMES.split())
_NAMED: Final = re.compile(
    r"(?:^|[\s_-])(?:breadcrumbs?|consent|cookies?|footer|gdpr|login|menu|modal|nav|navbar|navigation|newsletter|pager"
    r"|pagination|popup|related|share|sharing|sidebar|site-?header|skip-?link|social|subscribe)(?:$|[\s_-])",
    re.IGNORECASE,
)
_ROLES: Final = frozenset({"banner", "complementary", "contentinfo", "dialog", "navigation", "search"})
_NAMED_TAGS: Final = ("a", "div", "dl", "header", "li", "ol", "p", "section", "span", "ul")
_MOST: Final = 0.5  # share of the page's text that no piece of chrome has
_SHORT: Final = 40  # characters
_LINKED: Final = 0.8  # share in links of a short block that is none of the text


def whole_page(tree: Any, farms: bool) -> list[Block]:
    """The blocks of the page, which stays as it is; `farms`: with what is mostly links."""
    page = copy(tree)
    for element in list(page.iter(*_SILENT)):
        steps.processing.delete_element(element)
    _remove(page, [element for element in page.iter(*_TAGS, "header") if _is_chrome_by_tag(element)])
    _remove(page, [element for element in page.iterdescendants(*_NAMED_TAGS) if _is_chrome_by_name(element)])
    renamed(page)
    if not farms:
        steps.remove_link_farms(page)
    return [block for block in render(page) if len(block.text) >= _SHORT or block.links <= _LINKED * len(block.text)]


def _remove(page: Any, chrome: list[Any]) -> None:
    most = _MOST * len(page.text_content())
    for element in chrome:
        if len(element.text_content()) < most:
            steps.processing.delete_element(element)


def _is_chrome_by_tag(element: Any) -> bool:
    return element.tag != "header" or element.find(".//h1") is None


def _is_chrome_by_name(element: Any) -> bool:
    if _NAMED.search(f"{element.get('class', '')} {element.get('id', '')}") or element.get("role") in _ROLES:
        return True
    style = element.get("style", "").replace(" ", "")
    return "display:none" in style or "visibility:hidden" in style
