"""Text from a server on its way to a person: on one line, short, and without secrets it was told."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

from ble_ota.text import clean


def one_line(text: str, *, at_most: int = 200) -> str:
    """Clean `text`, put it on one line, and cut it to `at_most` characters."""
    return clean(" ".join(text.split()), most=at_most).strip()


def notes(text: str) -> str:
    """Clean release notes; their lines stay."""
    return clean(text.replace("\t", " "), keep="\n").strip()


def redact(text: str, secrets: Iterable[str]) -> str:
    """Replace each of `secrets`, as it is and as it stands in a URL."""
    for secret in secrets:
        for form in (secret, quote(secret, safe=""), quote(secret)) if secret else ():
            text = text.replace(form, "***")
    return text
