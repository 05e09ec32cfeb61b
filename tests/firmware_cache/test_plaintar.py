from __future__ import annotations

import io
import tarfile

import pytest

from firmware_cache import ContentError
from firmware_cache.plaintar import BLOBS, CAPS, END, INDEX, Caps, Member, header, members, padding

BLOB = f"{BLOBS}/{'0' * 64}"
OTHER = f"{BLOBS}/{'1' * 64}"


def tar(*names: str, content: bytes = b"content", end: bytes = END) -> io.BytesIO:
    return io.BytesIO(b"".join(header(n, len(content)) + content + padding(len(content)) for n in names) + end)


def odd(name: str, **more: object) -> io.BytesIO:
    """A tar by Python's own writer, with one member that is not as we write it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as written:
        info = tarfile.TarInfo(name)
        for key, value in more.items():
            setattr(info, key, value)
        written.addfile(info, io.BytesIO(bytes(info.size)))
    out.seek(0)
    return out


def refused(file: io.BytesIO, why: str, caps: Caps = CAPS) -> ContentError:
    with pytest.raises(ContentError, match=why) as caught:
        members(file, caps)
    return caught.value


def test_members_are_found_where_their_content_is() -> None:
    assert members(tar(INDEX, BLOB), CAPS) == {INDEX: Member(512, 7), BLOB: Member(1536, 7)}


def test_any_tar_program_reads_what_is_written() -> None:
    with tarfile.open(fileobj=tar(INDEX, BLOB)) as read:
        infos = read.getmembers()
    assert [(i.name, i.size, i.mode, i.mtime, i.uid, i.gid, i.uname) for i in infos] == [
        (name, 7, 0o644, 0, 0, 0, "") for name in (INDEX, BLOB)
    ]


def test_a_member_that_another_program_wrote_is_found() -> None:
    assert members(odd(BLOB, size=9, mtime=5, uid=1000, uname="me"), CAPS) == {BLOB: Member(512, 9)}


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513])
def test_a_member_of_any_size_is_followed_by_the_next(size: int) -> None:
    assert list(members(tar(BLOB, OTHER, content=bytes(size)), CAPS)) == [BLOB, OTHER]


UNSAFE = [
    "../x",
    "/etc/passwd",
    f"/{BLOB}",
    f"../{BLOB}",
    f"./{BLOB}",
    f"{BLOBS}/../../x",
    f"{BLOBS}/{'0' * 63}",
    f"{BLOBS}/{'A' * 64}",
    f"{BLOB}/x",
    f"{BLOB}\n",
    "blobs\\sha256\\" + "0" * 64,
    "C:x",
    "",
    "INDEX.JSON",
    "x\x1b[2J",
]


@pytest.mark.parametrize("name", UNSAFE)
def test_a_name_that_is_no_blobs_is_refused(name: str) -> None:
    assert "\x1b" not in str(refused(odd(name), "is no name of a blob"))


KINDS = {
    "hard link": tarfile.LNKTYPE,
    "symbolic link": tarfile.SYMTYPE,
    "character device": tarfile.CHRTYPE,
    "block device": tarfile.BLKTYPE,
    "folder": tarfile.DIRTYPE,
    "pipe": tarfile.FIFOTYPE,
    "contiguous": tarfile.CONTTYPE,
    "sparse": tarfile.GNUTYPE_SPARSE,
    "extended": tarfile.XHDTYPE,
    "global": tarfile.XGLTYPE,
    "long name": tarfile.GNUTYPE_LONGNAME,
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
def test_what_is_no_plain_file_is_refused(kind: bytes) -> None:
    info = tarfile.TarInfo(BLOB)
    info.type, info.linkname = kind, "/etc/passwd"
    refused(io.BytesIO(info.tobuf(tarfile.USTAR_FORMAT) + END), "is no plain file")


def test_a_long_name_in_a_header_of_its_own_is_refused() -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as written:
        written.addfile(tarfile.TarInfo("x" * 200))
    refused(out, "is no name of a blob")


@pytest.mark.parametrize("name", [BLOB, INDEX])
def test_the_same_name_twice_is_refused(name: str) -> None:
    refused(tar(name, name), "is in it twice")


def test_a_negative_size_is_refused() -> None:
    info = tarfile.TarInfo(BLOB)
    info.size = -1
    refused(io.BytesIO(info.tobuf(tarfile.GNU_FORMAT) + END), "is no plain file")


@pytest.mark.parametrize("cut", [1, 511, 512, 513, 518, 519, 1000])
def test_a_tar_that_is_cut_short_is_refused(cut: int) -> None:
    refused(io.BytesIO(tar(BLOB).getvalue()[:cut]), "cut short|no tar")


def test_a_tar_without_its_end_is_refused() -> None:
    refused(tar(BLOB, end=b""), "cut short")


def test_an_empty_file_is_refused() -> None:
    refused(io.BytesIO(), "cut short")


def test_what_is_no_tar_is_refused() -> None:
    refused(io.BytesIO(b"PK\x03\x04" + bytes(2000)), "no tar")


def test_a_flipped_bit_in_a_header_is_refused() -> None:
    content = bytearray(tar(BLOB).getvalue())
    content[40] ^= 1
    refused(io.BytesIO(content), "no tar")


def test_what_stands_after_the_end_is_not_looked_at() -> None:
    assert list(members(io.BytesIO(tar(BLOB).getvalue() + b"more"), CAPS)) == [BLOB]


@pytest.mark.parametrize("caps", [Caps(blobs=1), Caps(blob_bytes=6), Caps(total_bytes=13)])
def test_more_than_the_caps_is_refused(caps: Caps) -> None:
    refused(tar(INDEX, BLOB, OTHER), "it has more than", caps)


def test_exactly_the_caps_is_taken() -> None:
    assert len(members(tar(INDEX, BLOB, OTHER), Caps(blobs=2, blob_bytes=7, total_bytes=14))) == 3


def test_an_index_is_not_among_the_blobs() -> None:
    CAPS.check([], CAPS.index_bytes)
    with pytest.raises(ContentError, match="its index has more"):
        CAPS.check([], CAPS.index_bytes + 1)


def test_far_too_many_members_are_not_all_read() -> None:
    names = [f"{BLOBS}/{n:064}" for n in range(50)]
    file = tar(*names)
    refused(file, "it has more than", Caps(blobs=3))
    assert file.tell() < 10 * 1024
