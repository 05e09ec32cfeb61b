"""Machines with a Bluetooth as one wishes, for `ble-ota doctor`."""

from __future__ import annotations

from dataclasses import dataclass

from ble_ota.cli.doctor_system import Adapter, Block, Trouble

ON = Adapter("hci0", "00:1A:7D:DA:71:13", powered=True)


@dataclass(frozen=True, slots=True)
class Machine:
    """A `doctor_system.System` that is what it says; as it stands, all is well with it."""

    kind: str = "Linux"
    release: str = ""
    hci: tuple[str, ...] = ("hci0",)
    switches: tuple[Block, ...] = ()
    container: bool = False
    listed: bool = False
    member: bool = False
    bluez: str = "5.66"
    said: tuple[Adapter, ...] | Trouble = (ON,)

    def version(self) -> str:
        return self.release

    def controllers(self) -> tuple[str, ...]:
        return self.hci

    def blocks(self) -> tuple[Block, ...]:
        return self.switches

    def contained(self) -> bool:
        return self.container

    def groups(self) -> tuple[bool, bool]:
        return self.listed, self.member

    async def bluez_version(self) -> str:
        return self.bluez

    async def adapters(self) -> tuple[Adapter, ...] | Trouble:
        return self.said
