"""QuecThing, the Bluetooth protocol of Quectel's modules.

Source of truth
    Quectel's BLE protocol page of 2022 (frames, TTLV, file transfer, advertising: documented). Login and session
    encryption: third-party implementations that agree. No public capture of a real update is known.
Recognised by
    Its manufacturer data or its name (`advert.py`); on a link by the characteristic 0x9C40. Never by the service
    0x180A, which is the standard Device Information service too.
Conversation
    `session.py` (login, version) and `transfer.py` (the file). Write requests out, indications in.
Resume
    None documented. Within the device's own 15 s the next packet is sent over the new link, unannounced (`resume.py`);
    a device that answers as it did before still knows the file, and the transfer goes on. Otherwise, and after 15 s,
    the file is announced again, from its start. What was carried on and then found bad is sent once more whole.
Activation
    The device reboots by itself after its "received, success"; what it dropped the link for is not said.
Read-back
    0x7040, its ids a setting (inferred); else the firmware revision of Device Information, which any peer can tell: it
    proves only once the peer has shown the key (`key_check.py`).
What can go wrong
    Decline, cancel, failure (`DeviceError`), silence and endless pauses (`LinkError`, 15 s is the device's own
    limit), numbers that cannot be (`MalformedError`). A packet is sent 3 times; a file may be paused 1000 times and
    for 2 h in all. A success for bytes nobody vouches for is cancelled, and the file sent whole, once. Who stops, or
    gives up on a device that still listens, says cancel first; after the "success" nothing is said.
Pacing and quirks
    One packet in flight; its size is dictated by the device. A frame may span several writes and several
    indications. Every point that public sources leave open is in `session.Options`.
"""

from __future__ import annotations

from ble_ota.link import LinkFacts
from ble_ota.model import Secret
from ble_ota.protocols.driver import Driver
from ble_ota.protocols.quecthing import advert, key_check, session, transfer, versions
from ble_ota.protocols.quecthing.redact import QuecThingRedaction
from ble_ota.protocols.quecthing.session import Options, Session
from ble_ota.script import Script

__all__ = ["Options", "Session", "driver"]


def driver(options: Options) -> Driver[Session]:
    """QuecThing as a driver, with what its sources leave open settled by `options`."""

    def open_session(facts: LinkFacts, secret: Secret | None) -> Script[Session]:
        return session.open_session(facts, secret, options)

    return Driver(
        name=advert.NAME,
        recognise=advert.recognise,
        open=open_session,
        identify=versions.identify,
        upload=transfer.upload,
        activate=transfer.activate,
        same=advert.same,
        show_key=key_check.show_key,
        version_setting=versions.version_setting,
        redact=QuecThingRedaction,
    )
