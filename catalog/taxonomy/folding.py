"""When two texts name the same: case, accents, hyphens and spaces do not tell them apart."""

import re
import unicodedata

# Accents of Latin, Greek and Cyrillic letters. The marks of other scripts make other letters.
_ACCENTS = re.compile("[\u0300-\u036f]")
_BETWEEN = re.compile(r"[\W_]+")


def fold(text: str) -> str:
    """A text as it is compared: `T-Shirt`, `t shirt` and `T SHÍRT` fold to `t shirt`."""
    plain = unicodedata.normalize("NFKC", _ACCENTS.sub("", unicodedata.normalize("NFKD", text)))
    folded = _BETWEEN.sub(" ", plain.casefold()).strip()
    # A name of nothing but signs is still a name.
    return folded or text.strip().casefold()
