"""Bluetooth controllers that exist in memory only: Bumble's, with what they lack mended.

Seen in bumble 0.0.236: data packets of 27 bytes; a connection attempt cannot be cancelled; data is sent in the name
of the *random* address, so that a host which connects with its public one is not heard; a reset leaves links and
advertising standing, so that a host that died blocks the next one; a scan response repeats the advertisement; a
connection is told by the old event only, for which Linux does not wait, and then cannot end the link; data length and
PHY are claimed, refused, and never answered.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import Any

from bumble import core, hci, ll
from bumble.controller import Connection, Controller
from bumble.device import Device
from bumble.host import Host
from bumble.link import LocalLink

ENHANCED_COMPLETE = 1 << 9  # in the LE event mask; a host that sets it waits for no other (Vol 4 Part E 7.8.1)
DATA_PACKET_BYTES = 251  # the longest link-layer payload; Core Specification Vol 6 Part B 2.4


class AirWaves(LocalLink):
    """What controllers of one virtual place share."""

    def send_acl_data(
        self,
        sender_controller: Controller,
        destination_address: hci.Address,
        transport: core.PhysicalTransport,
        data: bytes,
    ) -> None:
        """Deliver data in the name of the connection's own address."""
        own = sender_controller.le_connections.get(destination_address)
        receiver = self.find_le_controller(destination_address)
        if own is not None and receiver is not None:
            asyncio.get_running_loop().call_soon(receiver.on_link_acl_data, own.self_address, transport, data)


class VirtualController(Controller):
    """A controller on `AirWaves`."""

    le_acl_data_packet_length = DATA_PACKET_BYTES
    supported_max_tx_octets = DATA_PACKET_BYTES
    supported_max_rx_octets = DATA_PACKET_BYTES

    def on_hci_le_create_connection_cancel_command(self, _command: hci.HCI_Command) -> hci.HCI_StatusReturnParameters:
        """End a connection attempt, and say so (Core Specification Vol 4 Part E 7.8.13)."""
        pending, self.pending_le_connection = self.pending_le_connection, None
        if pending is None:
            return hci.HCI_StatusReturnParameters(hci.HCI_ErrorCode.COMMAND_DISALLOWED_ERROR)
        complete = hci.HCI_LE_Connection_Complete_Event(
            status=hci.HCI_ErrorCode.UNKNOWN_CONNECTION_IDENTIFIER_ERROR,
            connection_handle=0,
            role=hci.Role.CENTRAL,
            peer_address_type=pending.peer_address.address_type,
            peer_address=pending.peer_address,
            connection_interval=0,
            peripheral_latency=0,
            supervision_timeout=0,
            central_clock_accuracy=0,
        )
        asyncio.get_running_loop().call_soon(self.send_hci_packet, complete)
        return hci.HCI_StatusReturnParameters(hci.HCI_ErrorCode.SUCCESS)

    def on_hci_le_set_data_length_command(
        self,
        command: Any,  # noqa: ANN401 -- bumble's decorator hides its type
    ) -> hci.HCI_StatusAndConnectionHandleReturnParameters:
        """Take longer packets: nothing is on the air that they would change (Vol 4 Part E 7.8.33)."""
        handle: int = command.connection_handle
        return hci.HCI_StatusAndConnectionHandleReturnParameters(self._status_of(handle), handle)

    def on_hci_le_set_phy_command(self, command: hci.HCI_LE_Set_PHY_Command) -> None:
        """Say that it has begun, and that it is done (Vol 4 Part E 7.8.49)."""
        status = self._status_of(command.connection_handle)
        self._send_hci_command_status(status, command.op_code)
        if status == hci.HCI_ErrorCode.SUCCESS:
            wanted = (command.tx_phys, command.rx_phys)
            phys = [hci.Phy.LE_2M if bits & hci.PhyBit.LE_2M else hci.Phy.LE_1M for bits in wanted]
            self.send_hci_packet(
                hci.HCI_LE_PHY_Update_Complete_Event(
                    status=status, connection_handle=command.connection_handle, tx_phy=phys[0], rx_phy=phys[1]
                )
            )

    def _status_of(self, handle: int) -> hci.HCI_ErrorCode:
        known = self.find_le_connection_by_handle(handle) is not None
        return hci.HCI_ErrorCode.SUCCESS if known else hci.HCI_ErrorCode.UNKNOWN_CONNECTION_IDENTIFIER_ERROR

    def on_hci_reset_command(self, _command: hci.HCI_Command) -> hci.HCI_StatusReturnParameters:
        """Forget everything a host has set up."""
        self.silence()
        self.le_event_mask = 0
        return hci.HCI_StatusReturnParameters(hci.HCI_ErrorCode.SUCCESS)

    def send_hci_packet(self, packet: hci.HCI_Packet) -> None:
        """Send to the host: with the advertiser's own scan response, and in the form the host has asked for."""
        if isinstance(packet, hci.HCI_LE_Extended_Advertising_Report_Event):
            scan_response = hci.HCI_LE_Extended_Advertising_Report_Event.EventType.SCAN_RESPONSE
            reports = [
                replace(r, data=self._scan_response(r.address)) if r.event_type == scan_response else r
                for r in packet.reports
            ]
            packet = hci.HCI_LE_Extended_Advertising_Report_Event(reports)
        elif isinstance(packet, hci.HCI_LE_Connection_Complete_Event) and self.le_event_mask & ENHANCED_COMPLETE:
            packet = _enhanced(packet)
        super().send_hci_packet(packet)

    def _scan_response(self, address: hci.Address) -> bytes:
        for advertiser in self.link.controllers:
            for advertising in advertiser.advertising_sets.values():
                if advertising.enabled and advertising.address == address:
                    return bytes(advertising.scan_response_data)
            legacy = advertiser.le_legacy_advertiser
            if legacy.enabled and legacy.address == address:
                return bytes(legacy.scan_response_data)
        return b""

    def silence(self) -> None:
        """Stop advertising, scanning and connecting, and let links time out: the host is gone."""
        self.le_scan_enable = False
        self.pending_le_connection = None
        self.le_legacy_advertiser.stop()
        for advertising in self.advertising_sets.values():
            advertising.stop()
        self.advertising_sets.clear()
        for connection in tuple(self.le_connections.values()):
            self.drop(connection)

    def drop(self, connection: Connection) -> None:
        """End a link as if the other end had gone out of range: both sides see a supervision timeout (0x08)."""
        reason = hci.HCI_ErrorCode.CONNECTION_TIMEOUT_ERROR
        with suppress(core.InvalidArgumentError):  # the other end is gone from the air altogether
            connection.send_ll_control_pdu(ll.TerminateInd(reason))
        self.on_le_disconnected(connection, reason)


def _enhanced(complete: hci.HCI_LE_Connection_Complete_Event) -> hci.HCI_LE_Enhanced_Connection_Complete_Event:
    return hci.HCI_LE_Enhanced_Connection_Complete_Event(
        status=complete.status,
        connection_handle=complete.connection_handle,
        role=complete.role,
        peer_address_type=complete.peer_address_type,
        peer_address=complete.peer_address,
        local_resolvable_private_address=hci.Address.ANY,
        peer_resolvable_private_address=hci.Address.ANY,
        connection_interval=complete.connection_interval,
        peripheral_latency=complete.peripheral_latency,
        supervision_timeout=complete.supervision_timeout,
        central_clock_accuracy=complete.central_clock_accuracy,
    )


def device_on(waves: AirWaves, name: str, address: str) -> Device:
    """A Bumble device with a controller of its own on `waves`; not yet powered on."""
    device = Device(name, hci.Address(address))
    device.host = Host()
    device.host.controller = VirtualController(name, link=waves)
    return device
