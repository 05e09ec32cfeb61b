"""The versions of a QuecThing device, by 0x7040 and 0x7041 (known by name only) or by Device Information.

::

    app                                             device
     │ 7040                                            │  what do you run
     │                              7041 {12: "1.0.0"} │  the ids are a setting; inferred
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ble_ota.errors import MalformedError
from ble_ota.proof import Versions
from ble_ota.protocols.quecthing.session import INFO, INFO_ANSWER, VERSION_MAX, Session
from ble_ota.protocols.quecthing.ttlv import Value
from ble_ota.script import Script, read
from ble_ota.text import clean

INFO_S = 3.0  # our choice: many devices will not know 0x7040 and stay silent
TEXTS_MAX = 16  # our choice: texts of an answer that are shown where the settings find no version in it


def identify(session: Session) -> Script[Versions]:
    """Ask what runs: by 0x7040, else by the firmware revision of Device Information, else nothing is known.

    Raises:
        MalformedError: The answer cannot be read, or holds a version that cannot be one.
        LinkError, AttRefusedError: As the link's.
    """
    answer = yield from ask_info(session)
    ids = _named(session.options.version_ids)
    told = {no: _version(answer[at]) for no, at in ids.items() if at in answer}
    texts = dict(_texts(answer))
    if told:
        return Versions(told, "device", session.trusted, texts)
    if session.revision is not None:
        value = yield from read(session.revision.handle)
        module = next((no for no, at in ids.items() if at == session.options.version_ids.get("")), "")
        return Versions({module: _version(value.rstrip(b"\0"))}, "device-information", session.trusted, texts)
    return Versions(key_shown=session.trusted, texts=texts)


def _named(ids: Mapping[str, int]) -> Mapping[str, int]:
    """Return `ids` without the unnamed one where a component has its id: one version stands for one component."""
    named = {no: at for no, at in ids.items() if no}
    return named if ids.get("") in named.values() else ids


def ask_info(session: Session) -> Script[Mapping[int, Value]]:
    """Ask by 0x7040 and return the fields of the answer; none where the device does not answer.

    Raises:
        MalformedError: The answer cannot be decrypted or read.
    """
    session.asked_info = True
    return (yield from session.ask(INFO, answer=INFO_ANSWER, within_s=INFO_S)) or {}


def _texts(answer: Mapping[int, Value]) -> Iterator[tuple[int, str]]:
    """Give the texts of an answer that may be versions by their id, clean."""
    for at in sorted(answer)[:TEXTS_MAX]:
        value = answer[at]
        text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
        if not isinstance(value, bool | tuple) and 0 < len(text) <= VERSION_MAX and clean(text).strip():
            yield at, clean(text)


def _version(value: Value) -> str:
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    if isinstance(value, bool | tuple) or not text or len(text) > VERSION_MAX or clean(text) != text:
        msg = f"the device tells a version that is none: {clean(text, most=VERSION_MAX)!r}"
        raise MalformedError(msg)
    return text


def version_setting(component: str, at: int) -> str:
    """Return the line of the settings that reads the version of `component` from the id `at` of 0x7041."""
    return f'quecthing.version_ids = {{ "{component}" = {at} }}'
