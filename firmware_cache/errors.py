"""Every error of this package, and what to do about it.

::

    FirmwareCacheError
    ├── DownloadError         the network, the server's status, or an address that may not be followed
    │   └── LinkExpiredError  401 or 403: ask for the plan again, and fetch with its new address
    ├── ContentError          what came is not what was asked for: size, digest, a web page
    ├── DamagedBlobError      a blob is no longer what its name says; it was moved to quarantine
    ├── NotCachedError        a file that is wanted from here alone is not here
    │   └── OfflineError          and the network was not to be asked
    └── CacheStorageError     disk full, permission, any other error of the file system
        └── TargetExistsError     what is to be written would replace something

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
    HTTP status, where one came. `transient` says that another attempt may help, `retry_after_s` in how many seconds,
    where the server said so.
    """

    hint = "Check the network, then run the same again"

    def __init__(
        self,
        sentence: str,
        *,
        url: str,
        status: int | None = None,
        transient: bool = False,
        retry_after_s: float | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(sentence, hint=hint)
        self.url = url
        self.status = status
        self.transient = transient
        self.retry_after_s = retry_after_s


class LinkExpiredError(DownloadError):
    """The address is signed, and its time is over. What came already is kept: a new address goes on from there."""

    hint = "The link may have expired: ask for the plan again"


class ContentError(FirmwareCacheError):
    """What came is not the file that was asked for; nothing of it was kept."""

    hint = "Do not use this file; ask whoever published it to check size and digests"


class DamagedBlobError(FirmwareCacheError):
    """A blob is not what its name says."""

    hint = "The damaged file was moved to quarantine; fetch it again, and check the disk if it comes back"


class NotCachedError(FirmwareCacheError):
    """A file that is wanted from the cache alone is not in it. `sha256` is its digest; "" where none is known."""

    hint = "Fetch it, add it from a file, or import a bundle that has it"

    def __init__(self, sha256: str, sentence: str | None = None, *, hint: str | None = None) -> None:
        super().__init__(sentence or f"{sha256} is not in the cache", hint=hint)
        self.sha256 = sha256


class OfflineError(NotCachedError):
    """A file is not here, or not intact, and the network was not to be asked."""

    hint = "Fetch it where there is a network, export it there into a bundle, and import that here"

    def __init__(self, sha256: str, *, hint: str | None = None) -> None:
        wanted = f"sha256:{sha256}" if sha256 else "a file without a SHA-256"
        super().__init__(sha256, f"{wanted} is not in the cache, and the network is not to be asked", hint=hint)


class CacheStorageError(FirmwareCacheError):
    """The file system said no."""

    hint = "Check free space and permissions of the folder"


class TargetExistsError(CacheStorageError):
    """What was to be written would replace something that is there; it was left as it is.

    `replaceable` says that it is a file or a link, which is replaced if the caller asks for that.
    """

    hint = "Name another file"

    def __init__(self, sentence: str, *, replaceable: bool) -> None:
        super().__init__(sentence)
        self.replaceable = replaceable


def clean(text: str) -> str:
    """Make foreign text fit for a sentence: at most `TEXT_MAX` characters, none that steers a terminal."""
    return "".join(c if c.isprintable() else "?" for c in text[:TEXT_MAX])
