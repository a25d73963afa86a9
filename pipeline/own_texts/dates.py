"""When a text was written, out of whatever a record says: ISO 8601 in its forms, seconds, or nothing."""

import re
from datetime import UTC, datetime
from typing import Final

_MAX_TIME: Final = 253_402_300_799  # end of the year 9999
_LONGEST: Final = 64  # characters of a date

# How many digits are what, be they a string or a number; 9 to 11 are seconds. Six would be YYMMDD as well as YYYYMM.
_DIGITS: Final = {4: "%Y", 7: "%Y%j", 8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
_SECONDS: Final = range(9, 12)
# What datetime.fromisoformat does not read of ISO 8601.
_SHORT: Final = ((re.compile("[0-9]{4}-[0-9]{2}"), "%Y-%m"), (re.compile("[0-9]{4}-[0-9]{3}"), "%Y-%j"))

LEAST_SECONDS: Final = 10 ** (_SECONDS.start - 1)
"""1973-03-03. A smaller number is a year, a date without hyphens or an accident, but no seconds since 1970."""


def seconds_of(value: object) -> int:
    """Seconds since 1970-01-01 UTC of the beginning of what is meant; 0 where that is not known or before 1970.

    Read are ISO 8601 dates of years, months, weeks and days, with times and without, in UTC where they have no zone;
    the same without hyphens (also as a number, also the 14 digits of archives); and seconds since 1970.
    """
    if isinstance(value, str) and len(value) < _LONGEST:
        text = value.strip()
        try:
            value = float(text)
        except ValueError:
            return _since_1970(_moment(text))
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 10**14:  # True for NaN
        return 0
    digits = str(int(value))
    if form := _DIGITS.get(len(digits)):
        return _since_1970(_read(digits, form))
    return int(value) if len(digits) in _SECONDS else 0


def _moment(text: str) -> datetime | None:
    for pattern, form in _SHORT:
        if pattern.fullmatch(text):
            return _read(text, form)
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _read(text: str, form: str) -> datetime | None:
    try:
        moment = datetime.strptime(text, form).replace(tzinfo=UTC)
    except ValueError:
        return None
    return moment if text.startswith(str(moment.year)) else None  # day 366 of most years is one of the next


def _since_1970(moment: datetime | None) -> int:
    if moment is None:
        return 0
    seconds = int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    return seconds if 0 <= seconds <= _MAX_TIME else 0
