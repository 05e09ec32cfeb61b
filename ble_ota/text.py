"""Text from outside, made fit to be shown."""

from __future__ import annotations

import unicodedata

# Cc: C0 and C1 controls, terminal escapes among them. Cf: what turns or hides text (bidi overrides, zero width).
# Cs, Co, Cn: surrogates, private and unassigned. Zl, Zp: line ends that a terminal may or may not honour.
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def clean(text: str, *, most: int = 4096, keep: str = "") -> str:
    """Remove control and invisible characters and cut at `most` characters.

    Args:
        text: Anything.
        most: Longest text given back; a longer one ends in an ellipsis.
        keep: Characters to let through all the same, for example a line feed in release notes.
    """
    cut = text if len(text) <= most else text[: most - 1] + "…"
    return "".join(c for c in cut if c in keep or unicodedata.category(c) not in _HIDDEN)
