"""One text to a document, wherever it is from: the steps that a page's main text and a person's own text share."""

from webtext.pipeline.settings import ExtractSettings
from webtext.pipeline.text import filters, language, masking, minhash
from webtext.pipeline.text.document import Document
from webtext.schemas import vocabulary
from webtext.schemas.records import Loss, Reason


def judge(
    text: str, settings: ExtractSettings, title: str = "", published: str = "", html_lang: str = ""
) -> Document | Loss:
    """The document that a text makes, or the first reason against it.

    Args:
        text: not empty, and clean as by clean.clean, so that the tokenizer can't fail on it.
        settings: thresholds, filters, masks.
        title: as it is to be stored; so are `published` and `html_lang`.
        published: ISO 8601 date, or "".
        html_lang: as declared, or "".
    """
    code, best, english = language.identify(text)
    if english < settings.language_probability:
        return Loss(Reason.NOT_ENGLISH, f"{code} {best:.2f}, en {english:.2f}")
    filtered = filters.apply(text, settings.filter_families)
    if isinstance(filtered, Loss):
        return filtered
    text, emails, addresses = masking.mask(filtered) if settings.mask else (filtered, 0, 0)
    ids = vocabulary.load().encode_to_numpy(text, disallowed_special=())
    if len(ids) < settings.min_tokens:
        return Loss(Reason.TOO_SHORT, f"{len(ids)} tokens, at least {settings.min_tokens} are wanted")
    return Document(
        title=title,
        published=published,
        html_lang=html_lang,
        text=text,
        language_probability=english,
        tokens=ids.astype("<u2").tobytes(),
        text_hash=minhash.text_hash(text),
        signature=minhash.signature(text).astype("<u4").tobytes(),
        masked_emails=emails,
        masked_addresses=addresses,
    )
