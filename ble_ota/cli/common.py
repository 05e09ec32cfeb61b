"""What every command has: its common options, its way of speaking, and its way of ending."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import signal
import stat
import sys
import traceback
from collections.abc import Callable, Coroutine, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from getpass import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from ble_ota.background import DaemonThreads
from ble_ota.cli import output, process, signals
from ble_ota.cli.keyboard import drop_typed_ahead
from ble_ota.cli.logs import logged
from ble_ota.cli.output import Kind
from ble_ota.cli.signals import HungUpError, TerminatedError
from ble_ota.errors import BleOtaError, StopAsked, UsageError
from ble_ota.text import clean

if TYPE_CHECKING:
    from ble_ota.settings import Settings

Job: TypeAlias = Callable[..., Coroutine[Any, Any, int]]
"""A command's function: takes a `Common` and its own options, gives its exit code."""


TEXT_MAX = 1_000_000  # characters of one text for people; a hundred devices in a table stay far below
ASKED_S = 1.0  # our choice: a terminal that is looked at takes a screenful in milliseconds

__all__ = ["Common", "Job", "TerminatedError", "command", "execute", "interruptible", "say_bug", "sentence"]


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

    async def load_settings(self, **flags: object) -> Settings:
        """Read all settings off the loop: their file may be on a disk that hangs. Takes and raises as `settings`."""
        return await asyncio.to_thread(partial(self.settings, **flags))

    def tell(self, text: str) -> None:
        """Say something to a person."""
        if not self.quiet:
            output.write(sys.stderr, clean(text, most=TEXT_MAX, keep="\n") + "\n")

    def result(self, data: object, text: str) -> None:
        """Give the command's data: one JSON line, or text; to stdout."""
        line = {"v": 1, "event": "result", "command": self.command, "data": data}
        shown = json.dumps(line) if self.json else clean(text, most=TEXT_MAX, keep="\n")
        output.write(sys.stdout, shown + "\n", Kind.DATA)

    def error(self, error: BleOtaError) -> int:
        """Say an error, and give its exit code."""
        output.write(sys.stderr, sentence(error))
        self.failed(error.exit_code, str(error), error.hint)
        return error.exit_code

    def failed(self, exit_code: int, message: str, hint: str = "") -> None:
        """Give the line of a command that could not be done, where lines are asked for."""
        if self.json:
            line = {"v": 1, "event": "error", "exit_code": exit_code, "message": message, "hint": hint}
            output.write(sys.stdout, json.dumps(line) + "\n")

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
    drop_typed_ahead()
    output.write(sys.stderr, question)
    if not (line := sys.stdin.readline()):
        raise EOFError
    return line.strip()


@contextmanager
def interruptible() -> Generator[None, None, None]:
    """Let a signal end a question: the loop's own handlers would wait for the line to be finished.

    Raises:
        StopAsked: Ctrl-C, or the end of the input, ended it.
        TerminatedError: SIGTERM ended it.
        HungUpError: SIGHUP ended it, or the terminal was closed.
    """
    with signals.handled(_stop_asking), process.asking():
        try:
            for writer in output.writers(sys.stderr):  # `getpass` writes to the terminal itself, past what waits here
                writer.drain(ASKED_S)
            yield
        except KeyboardInterrupt:
            raise StopAsked(_STOPPED) from None
        except EOFError:
            raise (HungUpError if _hung_up() else StopAsked)(_STOPPED) from None
        except OSError as error:
            if error.errno not in output.GONE:
                raise
            raise HungUpError(_STOPPED) from None


_AGAIN = "Run the same command again"
_STOPPED = "stopped at a question"


def _stop_asking(number: signal.Signals) -> None:
    raise signals.stopped(number, _STOPPED)


def _hung_up() -> bool:
    """Return True if stdin is a terminal that is gone: its reads end, and it no longer answers as a terminal."""
    try:
        return bool(stat.S_ISCHR(os.fstat(sys.stdin.fileno()).st_mode)) and not sys.stdin.isatty()
    except (OSError, ValueError):
        return False


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
    """Run a command to its exit code; every named error becomes a sentence, and nothing else is kept quiet.

    A stop signal cancels the command, and a second one ends the process. Calls that block run in threads that are
    left behind.
    """
    _open_closed_streams()
    heard: list[signal.Signals] = []
    try:
        with logged(common.log_file, common.verbose):
            return asyncio.run(_stoppable(common, job, heard))
    except BleOtaError as error:
        return common.error(error)
    except KeyboardInterrupt:
        return common.error(StopAsked("stopped", hint=_AGAIN))
    finally:
        _flush()


async def _stoppable(common: Common, job: Callable[[], Coroutine[Any, Any, int]], heard: list[signal.Signals]) -> int:
    """Run `job` so that a stop signal cancels it; tell how it ended, and see that the process does end."""
    loop = asyncio.get_running_loop()
    loop.set_default_executor(DaemonThreads("call that may block"))
    task = asyncio.ensure_future(job())

    def stop(number: signal.Signals) -> None:
        heard.append(number)
        if len(heard) > 1:
            signals.let_go()
        loop.call_soon_threadsafe(task.cancel)
        process.unless_blocked(loop.call_soon_threadsafe, signals.CODES[heard[0]])

    with signals.handled(stop, loop):
        code = await _told(common, task, heard)
        process.hurry(code)
        return code


async def _told(common: Common, task: asyncio.Future[int], heard: list[signal.Signals]) -> int:
    """Wait for a command; give its exit code after telling its error."""
    try:
        return await task
    except BleOtaError as error:
        return common.error(error)
    except asyncio.CancelledError:
        if not heard:
            raise
        return common.error(signals.stopped(heard[0], "stopped", hint=_AGAIN))
    except Exception as bug:  # noqa: BLE001 -- said as what it is, with all there is to find it by
        say_bug()
        common.failed(1, f"{type(bug).__name__}: {bug}")
        return 1


def say_bug() -> None:
    """Say that what is being caught is nobody's fault but ours."""
    traceback.print_exc()
    output.write(sys.stderr, "\nThis is a bug in ble-ota.\n")


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
