"""The command line: it wires, asks and renders, and does nothing else.

`app.py` is the table of commands and imports nothing heavy; each command's work is in a module of its own that is
imported when the command runs.
"""

from __future__ import annotations


def main() -> None:
    """Run `ble-ota`."""
    from ble_ota.cli.app import app

    app()
