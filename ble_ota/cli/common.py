"""What every command has: its common options, its way of speaking, and its way of ending."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Coroutine, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from ble_ota.errors import BleOtaError, StopAsked, UsageError

if TYPE_CHECKING:
    from ble_ota.settings import Settings

Job: TypeAlias = Callable[..., Coroutine[Any, Any, int]]
"""A command's function: takes a `Common` and its own options, gives its exit code."""


@dataclass(frozen=True, slots=True)
class Common:
    """The options that every command takes, and who is asked when something is missing."""

    command: str
    json: bool = False
    config: Path | None = None
    profile: str = ""
    verbose: int = 0
    quiet: bool = False
    log_file: Path | None = None
    no_input: bool = False

    @property
    def may_ask(self) -> bool:
        """Whether a question would reach a person."""
        return not self.no_input and sys.stdin.isatty() and sys.stderr.isatty()

    def settings(self, **flags: object) -> Settings:
        """All settings; flags that are None were not given. Raises `SettingsError`."""
        from ble_ota.settings import load

        return load(self.config, profile=self.profile, flags={k: v for k, v in flags.items() if v is not None})

    def tell(self, text: str) -> None:
        """Say something to a person."""
        if not self.quiet:
            sys.stderr.write(text + "\n")

    def result(self, data: object, text: str) -> None:
        """Give the command's data: one JSON line, or text; to stdout."""
        line = {"v": 1, "event": "result", "command": self.command, "data": data}
        sys.stdout.write((json.dumps(line) if self.json else text) + "\n")
        sys.stdout.flush()

    def error(self, error: BleOtaError) -> int:
        """Say an error, and give its exit code."""
        line = {
            "v": 1,
            "event": "error",
            "exit_code": error.exit_code,
            "message": str(error),
            "hint": error.hint,
        }
        if self.json:
            sys.stdout.write(json.dumps(line) + "\n")
        sys.stderr.write(sentence(error))
        return error.exit_code

    def ask(self, question: str, *, flag: str, secret: bool = False) -> str:
        """Ask a person.

        Args:
            question: Without a question mark.
            flag: What would have made the question needless, for those who cannot be asked.
            secret: Do not show what is typed.

        Raises:
            UsageError: There is nobody to ask.
        """
        if not self.may_ask:
            msg = f"{question} is not known, and there is nobody to ask"
            raise UsageError(msg, hint=f"Give it by {flag}")
        with interruptible():
            answer: str = typer.prompt(question, hide_input=secret, err=True)
        return answer


@contextmanager
def interruptible() -> Generator[None, None, None]:
    """Let Ctrl-C end a question: the loop's own handler would wait for the line to be finished.

    Raises:
        StopAsked: It was ended, by Ctrl-C or by the end of the input.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    except (typer.Abort, KeyboardInterrupt):
        msg = "stopped at a question"
        raise StopAsked(msg) from None
    finally:
        signal.signal(signal.SIGINT, before)


def sentence(error: BleOtaError) -> str:
    """An error as a person reads it: what happened, a blank line, what to do."""
    return f"error: {error}\n" + (f"\nhint: {error.hint}\n" if error.hint else "")


_OPTIONS: Mapping[str, tuple[Any, Any]] = {
    "json": (Annotated[bool, typer.Option("--json", help="Print JSON lines to stdout.")], False),
    "config": (Annotated[Path | None, typer.Option("--config", help="Settings file.", metavar="FILE")], None),
    "profile": (Annotated[str, typer.Option("--profile", help="Table of the settings file.", metavar="NAME")], ""),
    "verbose": (Annotated[int, typer.Option("--verbose", "-v", count=True, help="Log more; twice for all.")], 0),
    "quiet": (Annotated[bool, typer.Option("--quiet", "-q", help="Only errors to stderr.")], False),
    "log_file": (Annotated[Path | None, typer.Option("--log-file", help="Log to a file.", metavar="FILE")], None),
    "no_input": (Annotated[bool, typer.Option("--no-input", help="Never ask; fail where one would.")], False),
}


def command(app: typer.Typer, name: str, *, group: str = "") -> Callable[[Job], Job]:
    """Add a coroutine function to `app`, with the common options after its own.

    Args:
        app: Where to.
        name: The command's word.
        group: The group's word, where there is one.
    """

    def add(job: Job) -> Job:
        signature = inspect.signature(job, eval_str=True)
        own = [p for p in signature.parameters.values() if p.name != "common"]
        shared = [
            inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
            for n, (kind, default) in _OPTIONS.items()
        ]

        def run(**given: Any) -> None:
            common = Common(f"{group} {name}".strip(), **{n: given.pop(n) for n in _OPTIONS})
            raise SystemExit(execute(common, lambda: job(common, **given)))

        run.__doc__ = job.__doc__
        parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own] + shared
        run.__signature__ = signature.replace(parameters=parameters, return_annotation=None)  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in parameters}
        app.command(name)(run)
        return job

    return add


def execute(common: Common, job: Callable[[], Coroutine[Any, Any, int]]) -> int:
    """Run a command to its exit code; every named error becomes a sentence, and nothing else is kept quiet."""
    _log(common)
    try:
        return asyncio.run(job())
    except BleOtaError as error:
        return common.error(error)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever read us has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception:  # noqa: BLE001 -- a bug; said as one, with all there is to find it by
        traceback.print_exc()
        sys.stderr.write("\nThis is a bug in ble-ota.\n")
        return 1


def _log(common: Common) -> None:
    level = (logging.WARNING, logging.INFO, logging.DEBUG)[min(common.verbose, 2)]
    handler: logging.Handler
    if common.log_file is not None:
        handler = logging.FileHandler(common.log_file, encoding="utf-8")
        level = min(level, logging.INFO)
    elif common.verbose:
        handler = logging.StreamHandler(sys.stderr)
    else:
        handler = logging.NullHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
