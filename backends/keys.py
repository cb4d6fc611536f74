"""The grammar of blob names, the same for every backend. A name is called *key* in this package.

    key     = segment *( "/" segment )          at most 512 characters
    segment = ( ALPHA / DIGIT / "_" / "-" ) *( ALPHA / DIGIT / "." / "_" / "-" )    at most 200

So a key is at once a relative path, an S3 key and a URL path that needs no escapes; it cannot climb
(no segment begins with "."), and names that begin with "." are the backend's own. Names that differ
in case only are two names; do not rely on it where the storage thinks otherwise.
"""

from __future__ import annotations

import re
from typing import Final

from backends.errors import InvalidKeyError

KEY_CHARACTERS_MAX: Final = 512
SEGMENT_CHARACTERS_MAX: Final = 200
_SEGMENT: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
_PREFIX_TAIL: Final = re.compile(r"([A-Za-z0-9_-][A-Za-z0-9._-]*)?")


def is_segment(text: str) -> bool:
    """Say whether the text can be one segment of a key."""
    return len(text) <= SEGMENT_CHARACTERS_MAX and _SEGMENT.fullmatch(text) is not None


def check_key(key: str) -> str:
    """Return the key unchanged.

    Raises:
        InvalidKeyError: It is outside the grammar.
    """
    if len(key) > KEY_CHARACTERS_MAX or not all(is_segment(part) for part in key.split("/")):
        message = f"not a valid blob name: {key[:KEY_CHARACTERS_MAX]!r}"
        raise InvalidKeyError(message, key=key[:KEY_CHARACTERS_MAX])
    return key


def check_prefix(prefix: str) -> str:
    """Return the prefix unchanged; it is the beginning of a key, the empty one included.

    Raises:
        InvalidKeyError: No key can begin with it.
    """
    *whole, tail = prefix.split("/")
    is_valid = (
        len(prefix) <= KEY_CHARACTERS_MAX
        and all(is_segment(part) for part in whole)
        and len(tail) <= SEGMENT_CHARACTERS_MAX
        and _PREFIX_TAIL.fullmatch(tail) is not None
    )
    if not is_valid:
        message = f"no blob name can begin with {prefix[:KEY_CHARACTERS_MAX]!r}"
        raise InvalidKeyError(message, prefix=prefix[:KEY_CHARACTERS_MAX])
    return prefix
