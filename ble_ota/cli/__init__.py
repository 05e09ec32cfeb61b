"""The command line: it wires, asks and renders, and does nothing else.

`app.py` is the table of commands and imports nothing heavy; each command's work is in a module of its own that is
imported when the command runs. `process.py` is what surrounds them: signals, output, and the end.
"""

from __future__ import annotations

from collections.abc import Callable


def main() -> None:
    """Run `ble-ota`."""
    from ble_ota.cli import process

    process.main(_load)


def _load() -> Callable[[], object]:
    from ble_ota.cli.app import app

    return app
