"""A cheap guess, before trafilatura, whether a page can become a document.

resiliparse costs about a tenth of trafilatura. It hangs on tags nested 100,000 deep and on 100,000 attributes in a tag,
so pages must have passed the guards. Where it finds little main text, all text of the page decides: with the main text
alone, 9 of 993 documents were lost, and so 1 of 1,001 (docs/filters.md).
"""

from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.html import HTMLTree

from webtext.pipeline.settings import ExtractSettings
from webtext.pipeline.text import language
from webtext.schemas.records import Loss, Reason

# Below what a document needs, for resiliparse's text is not trafilatura's.
_ENGLISH = 0.3  # probability, where documents need 0.5
_CHARACTERS = 300  # where documents need 128 tokens, about 500 characters


def unpromising(html: str, settings: ExtractSettings) -> Loss | None:
    """Why the page will hardly become a document; None if it may."""
    least = min(_CHARACTERS, _CHARACTERS * settings.min_tokens // 128)
    tree = HTMLTree.parse(html)
    text = extract_plain_text(tree, main_content=True, alt_texts=False)
    if len(text) < least:
        text = extract_plain_text(tree, main_content=False, alt_texts=False)
    if len(text) < least:
        return Loss(Reason.NOT_PROMISING, f"{len(text)} characters, at least {least} are wanted")
    probability = min(_ENGLISH, 0.6 * settings.language_probability)
    code, best, english = language.identify(text)
    if english < probability:
        return Loss(Reason.NOT_PROMISING, f"{code} {best:.2f}, en {english:.2f}, at least {probability:.2f} is wanted")
    return None
