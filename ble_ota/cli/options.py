"""Options that several commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Cloud = Annotated[str | None, typer.Option(metavar="cn|eu|us|URL|virtual:DIR", help="Which Developer Center.")]
Radio = Annotated[str | None, typer.Option(metavar="bleak|bumble:TRANSPORT|virtual:DIR", help="What to reach it by.")]
Device = Annotated[str | None, typer.Argument(metavar="DEVICE", help="Address, name, or PRODUCT_KEY/DEVICE_KEY.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Agree to the plan without being asked.")]
Down = Annotated[bool, typer.Option("--allow-downgrade", help="Also go to a version that is lower.")]
Record = Annotated[Path | None, typer.Option("--record", metavar="FILE", help="Write a transcript, for a replay.")]
