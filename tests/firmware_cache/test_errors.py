from __future__ import annotations

import pytest

from firmware_cache import (
    CacheStorageError,
    ContentError,
    DamagedBlobError,
    DownloadError,
    FirmwareCacheError,
    NotCachedError,
    OfflineError,
)
from firmware_cache.errors import TEXT_MAX, clean

URL = "https://cdn.example.com/fw.bin?sig=s3cret"


@pytest.mark.parametrize("kind", [CacheStorageError, ContentError, DamagedBlobError, DownloadError])
def test_every_error_has_the_one_root(kind: type[FirmwareCacheError]) -> None:
    assert issubclass(kind, FirmwareCacheError)


@pytest.mark.parametrize("kind", [CacheStorageError, ContentError, DamagedBlobError])
def test_every_error_says_what_to_do(kind: type[FirmwareCacheError]) -> None:
    assert kind("it broke").hint


def test_a_hint_of_the_moment_comes_before_the_general_one() -> None:
    assert CacheStorageError("it broke", hint="turn it on").hint == "turn it on"


def test_the_address_of_a_failed_download_is_an_attribute() -> None:
    assert DownloadError("no answer", url=URL).url == URL


def test_the_address_of_a_failed_download_is_in_no_text() -> None:
    error = DownloadError("no answer", url=URL, status=403)
    assert "s3cret" not in f"{error} {error!r} {error.args}"


def test_foreign_text_cannot_steer_a_terminal() -> None:
    assert clean("a\x1b[2Jb\r\n\u202ec") == "a?[2Jb???c"


def test_foreign_text_is_bounded() -> None:
    assert len(clean("x" * 10_000)) == TEXT_MAX


def test_a_file_that_is_not_here_is_named() -> None:
    error = NotCachedError("ab" * 32)
    assert (str(error), error.sha256) == (f"{'ab' * 32} is not in the cache", "ab" * 32)
    assert "import a bundle" in error.hint


def test_a_file_that_may_not_be_fetched_is_named_with_what_would_bring_it() -> None:
    error = OfflineError("ab" * 32)
    assert isinstance(error, NotCachedError)
    assert f"sha256:{'ab' * 32} is not in the cache" in str(error)
    assert "export it there into a bundle, and import that here" in error.hint


def test_a_file_without_a_sha256_is_not_named_by_it() -> None:
    assert str(OfflineError("", hint="x")).startswith("a file without a SHA-256 is not in the cache")
