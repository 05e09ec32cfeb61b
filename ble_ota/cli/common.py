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
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from getpass import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from ble_ota.errors import BleOtaError, StopAsked, StorageError, UsageError
from ble_ota.text import clean

if TYPE_CHECKING:
    from ble_ota.settings import Settings

Job: TypeAlias = Callable[..., Coroutine[Any, Any, int]]
"""A command's function: takes a `Common` and its own options, gives its exit code."""


TEXT_MAX = 1_000_000  # characters of one text for people; a hundred devices in a table stay far below


class TerminatedError(StopAsked):
    """SIGTERM, where the loop could not hear it."""

    exit_code = 143


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
        return not self.no_input and all(s is not None and s.isatty() for s in (sys.stdin, sys.stderr))

    def settings(self, **flags: object) -> Settings:
        """All settings; flags that are None were not given. Raises `SettingsError`."""
        from ble_ota.settings import load

        return load(self.config, profile=self.profile, flags={k: v for k, v in flags.items() if v is not None})

    def tell(self, text: str) -> None:
        """Say something to a person."""
        if not self.quiet:
            sys.stderr.write(clean(text, most=TEXT_MAX, keep="\n") + "\n")

    def result(self, data: object, text: str) -> None:
        """Give the command's data: one JSON line, or text; to stdout."""
        line = {"v": 1, "event": "result", "command": self.command, "data": data}
        sys.stdout.write((json.dumps(line) if self.json else clean(text, most=TEXT_MAX, keep="\n")) + "\n")
        sys.stdout.flush()

    def error(self, error: BleOtaError) -> int:
        """Say an error, and give its exit code."""
        sys.stderr.write(sentence(error))
        self.failed(error.exit_code, str(error), error.hint)
        return error.exit_code

    def failed(self, exit_code: int, message: str, hint: str = "") -> None:
        """Give the line of a command that could not be done, where lines are asked for."""
        if self.json:
            line = {"v": 1, "event": "error", "exit_code": exit_code, "message": message, "hint": hint}
            sys.stdout.write(json.dumps(line) + "\n")
            sys.stdout.flush()

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
            while not (answer := getpass(f"{question}: ") if secret else _answer(f"{question}: ")):
                pass
        return answer

    def agree(self, question: str) -> bool:
        """Ask a person for a yes; anything else is a no."""
        with interruptible():
            return _answer(f"{question} [y/N]: ").lower() in ("y", "yes")


def _answer(question: str) -> str:
    """One line from the terminal. typer's own prompt would write a space of it to stdout, among the JSON lines."""
    sys.stderr.write(question)
    sys.stderr.flush()
    if not (line := sys.stdin.readline()):
        raise EOFError
    return line.strip()


@contextmanager
def interruptible() -> Generator[None, None, None]:
    """Let a signal end a question: the loop's own handlers would wait for the line to be finished.

    Raises:
        StopAsked: It was ended, by Ctrl-C or by the end of the input.
        TerminatedError: It was ended by SIGTERM.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler), signal.signal(signal.SIGTERM, _terminated)
    try:
        yield
    except (EOFError, KeyboardInterrupt):
        msg = "stopped at a question"
        raise StopAsked(msg) from None
    finally:
        signal.signal(signal.SIGINT, before[0])
        signal.signal(signal.SIGTERM, before[1])


def _terminated(_number: int, _frame: object) -> None:
    msg = "stopped at a question"
    raise TerminatedError(msg)


def sentence(error: BleOtaError) -> str:
    """An error as a person reads it: what happened, a blank line, what to do."""
    text = f"error: {error}\n" + (f"\nhint: {error.hint}\n" if error.hint else "")
    return clean(text, most=TEXT_MAX, keep="\n")


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
    _open_closed_streams()
    try:
        with _logged(common):
            return asyncio.run(job())
    except BleOtaError as error:
        return common.error(error)
    except KeyboardInterrupt:
        return common.error(StopAsked("stopped"))
    except BrokenPipeError:  # whoever read us has gone
        return 0
    except Exception as bug:  # noqa: BLE001 -- said as what it is, with all there is to find it by
        say_bug()
        common.failed(1, f"{type(bug).__name__}: {bug}")
        return 1
    finally:
        _flush()


def say_bug() -> None:
    """Say that what is being caught is nobody's fault but ours."""
    traceback.print_exc()
    sys.stderr.write("\nThis is a bug in ble-ota.\n")


def _open_closed_streams() -> None:
    """Give Python streams for those the shell has closed: it sets None in their place."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 -- open till the end


def _flush() -> None:
    """Write what is left; Python would complain of a reader that has gone, with an exit code of its own."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


@contextmanager
def _logged(common: Common) -> Generator[None, None, None]:
    """Log as asked for the block. Raises `StorageError`."""
    handler = _log_to(common)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    level = (logging.WARNING, logging.INFO, logging.DEBUG)[min(common.verbose, 2)]
    before, was = root.handlers[:], root.level
    root.handlers[:] = [handler]
    root.setLevel(level if common.log_file is None else min(level, logging.INFO))
    try:
        yield
    finally:
        root.handlers[:] = before
        root.setLevel(was)
        handler.close()


def _log_to(common: Common) -> logging.Handler:
    try:
        if common.log_file is not None:
            return _LogFile(common.log_file, encoding="utf-8")
    except OSError as error:
        msg = f"the log file {common.log_file} cannot be written: {error.strerror}"
        raise StorageError(msg, hint="Name another one by `--log-file`") from error
    return logging.StreamHandler(sys.stderr) if common.verbose else logging.NullHandler()


class _LogFile(logging.FileHandler):
    """A log that goes deaf when its disk says no, and says so once: a run is worth more than its log."""

    _deaf = False

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`."""
        if not self._deaf:
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 -- logging's name
        """See `logging.Handler`."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
            return
        self._deaf = True
        with suppress(OSError, ValueError):
            sys.stderr.write(f"warning: no more is logged to {self.baseFilename}: {error.strerror}\n")

    def close(self) -> None:
        """See `logging.Handler`; what could not be written before cannot be written now."""
        with suppress(OSError):
            super().close()
