"""What follows from the records: versions, reported statuses, orders, wrong passwords, ended sessions.

Nothing of it is stored: it is worked out from the records on start, and kept in step while they grow.

*Inferred*: what code 5325 ("access blocked 24 h for abnormal behaviour") is given for. Here it is the third time within
24 hours that the account freezes (5147), whatever logins there were between.
"""

from __future__ import annotations

from collections.abc import Sequence

from ble_ota.virtual.developer_center.answers import SUCCESS
from ble_ota.virtual.developer_center.records import Record, Records

REPORT_STATUS = {"confirmed": 2, "succeeded": 9, "failed": 8}
"""`reportStatus` by meaning. The vendor documents only the range 0 to 12, so this map is the virtual cloud's own."""

WRONG_PASSWORDS = 5  # codes 5579 to 5586 count 4, 3, 2, 1 further attempts
LOCK_S = 20 * 60  # code 5147: "try again after 20 minutes"
BLOCK_S = 24 * 3600  # code 5325
FREEZES = 3  # inferred, see above


class State:
    """The records, and what they add up to."""

    def __init__(self, records: Records) -> None:
        self.records = records
        self.wrong_passwords = 0
        self.locked_until = 0.0  # Unix time
        self.blocked_until = 0.0  # Unix time
        self._freezes: list[float] = []  # Unix times
        self._ended: set[str] = set()
        self._versions: dict[tuple[str, str], str] = {}
        self._reported: dict[tuple[str, str], Record] = {}
        self._orders: dict[str, list[Record]] = {}
        for record in records.all():
            self._apply(record)

    def note(self, what: str, **facts: object) -> None:
        """Record that something happened, and draw the conclusions."""
        self._apply(self.records.append(what, **facts))

    def version(self, device_key: str, component_no: str) -> str | None:
        """The version that the last report of success left; None when there was none."""
        return self._versions.get((device_key, component_no))

    def status(self, device_key: str, component_no: str) -> int | None:
        """The `reportStatus` reported last."""
        report = self._reported.get((device_key, component_no))
        return None if report is None else int(report["reportStatus"])

    def meanings(self, device_key: str) -> set[str | None]:
        """What the last report of each component of a device means; None for a number with no meaning here."""
        return {report["meaning"] for (key, _), report in self._reported.items() if key == device_key}

    def orders(self, device_key: str) -> Sequence[Record]:
        """The orders for a device that were taken, and its automatic switch, oldest first."""
        return self._orders.get(device_key, ())

    def ended(self, session: str) -> bool:
        """Whether this session was logged out."""
        return session in self._ended

    def _apply(self, record: Record) -> None:
        match record["what"]:
            case "login":
                self.wrong_passwords, self.locked_until = 0, 0.0
            case "login.refused" if record["wrong"]:
                self._count_wrong_password(record["ts"])
            case "logout":
                self._ended.add(record["session"])
            case "status.reported":
                self._take_report(record)
            case "auto.set" | "order.given" if record.get("code", SUCCESS) == SUCCESS:
                self._orders.setdefault(record["deviceKey"], []).append(record)
            case _:
                pass

    def _count_wrong_password(self, ts: float) -> None:
        self.wrong_passwords += 1
        if self.wrong_passwords == WRONG_PASSWORDS:
            self.wrong_passwords, self.locked_until = 0, ts + LOCK_S
            self._freezes = [at for at in self._freezes if ts - at < BLOCK_S] + [ts]
            if len(self._freezes) >= FREEZES:
                self.blocked_until = ts + BLOCK_S

    def _take_report(self, report: Record) -> None:
        at = report["deviceKey"], report["componentNo"]
        self._reported[at] = report
        if report["meaning"] == "succeeded":
            self._versions[at] = report["targetVersion"]
