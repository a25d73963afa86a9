"""Names that act on a terminal: colours, titles, cleared screens, forged lines, text turned round."""

import unicodedata

# As a file can be called and a URL be spelled: no slash, no NUL.
HOSTILE = "a\x1b[2J\x1b[31m\x1b]0;owned\x07\x08\x9b1m\x7f\r\nerror: forged\u202egnp.\u2066\u2028\u2029\u200f[bold]z"
_UNSEEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def unseen(text, keep=""):
    """The characters of `text` that do more than stand there."""
    return {c for c in text if c not in keep and unicodedata.category(c) in _UNSEEN}
