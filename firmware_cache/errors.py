"""Every error of this package, and what to do about it.

::

    FirmwareCacheError
    ├── DownloadError         the network, the server's status, or an address that may not be followed
    ├── ContentError          what came is not what was asked for: size, digest, a web page
    ├── DamagedBlobError      a blob is no longer what its name says; it was moved to quarantine
    └── CacheStorageError     disk full, permission, any other error of the file system

Anything else that is raised is a bug, or was raised by the caller's own `progress`.
"""

from __future__ import annotations

TEXT_MAX = 200  # characters of foreign text in one sentence: enough for a TLS reason, too few to flood a terminal


class FirmwareCacheError(Exception):
    """Root of all errors this package raises on purpose.

    The sentence says what happened, to what; `hint` says what to do next.
    """

    hint: str = ""

    def __init__(self, sentence: str, *, hint: str | None = None) -> None:
        super().__init__(sentence)
        if hint is not None:
            self.hint = hint


class DownloadError(FirmwareCacheError):
    """The file could not be had from its address.

    `url` is the whole address that failed: it may be signed, so it stands in no sentence and no repr. `status` is the
    HTTP status, where one came. `transient` says that another attempt at once may help.
    """

    hint = "Check the network, then run the same again"

    def __init__(
        self, sentence: str, *, url: str, status: int | None = None, transient: bool = False, hint: str | None = None
    ) -> None:
        super().__init__(sentence, hint=hint)
        self.url = url
        self.status = status
        self.transient = transient


class ContentError(FirmwareCacheError):
    """What came is not the file that was asked for; nothing of it was kept."""

    hint = "Do not use this file; ask whoever published it to check size and digests"


class DamagedBlobError(FirmwareCacheError):
    """A blob is not what its name says."""

    hint = "The damaged file was moved to quarantine; fetch it again, and check the disk if it comes back"


class CacheStorageError(FirmwareCacheError):
    """The file system said no."""

    hint = "Check free space and permissions of the folder"


def clean(text: str) -> str:
    """Make foreign text fit for a sentence: at most `TEXT_MAX` characters, none that steers a terminal."""
    return "".join(c if c.isprintable() else "?" for c in text[:TEXT_MAX])
