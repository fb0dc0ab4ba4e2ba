"""The command `glm-tts`: how it begins and how it ends. What it can do is in `commands`.

Nothing of weight is imported before signals are heeded: Ctrl-C ends the command from its first moment on.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from tts_service.cli.codes import EXIT_FAILED, EXIT_READER_LEFT, EXIT_USAGE

GRACE_SECONDS = 1.5
"""From a signal to the end of the process, whatever native code is still busy with."""


def main() -> None:
    """Run the command line; errors that say what to do are shown without a traceback."""
    _open_streams()
    # Libraries' own chatter belongs to whoever debugs; a command's words are its own.
    os.environ.setdefault("LOGURU_LEVEL", os.environ.get("GLM_TTS_LOG", "WARNING"))
    os.environ.setdefault("LOGURU_FORMAT", "<level>{message}</level>")
    with _heeding_signals() as taken:
        try:
            code = _run()
        except KeyboardInterrupt:
            code = 128 + signal.SIGINT
        except SystemExit as end:
            code = end.code
        except Exception:
            if not taken:  # libraries wrap what ends them, and what they then say is of no use
                raise
        if taken:
            code = 128 + taken[0]
        sys.exit(code)


def _run() -> int | str | None:
    from pipecat_glm_tts.wording import tr
    from tts_service.cli.commands import app
    from tts_service.cli.console import ReaderLeft, WrongUsage, err, out, usage
    from tts_service.engine import SpeechError

    for argument in sys.argv[1:]:
        if not argument.isprintable() and any("\udc80" <= char <= "\udcff" for char in argument):
            shown = argument.encode(errors="replace").decode()
            err.print(
                tr("the argument {shown} is not text; write it in UTF-8", shown=shown),
                style="red",
                markup=False,
            )
            return EXIT_USAGE
    try:
        code: int | None = app(prog_name="glm-tts", standalone_mode=False)
        return code
    except WrongUsage as error:
        err.print(usage(error), style="red", markup=False)
        return EXIT_USAGE
    except SpeechError as error:
        err.print(str(error), style="red", markup=False)
        return EXIT_FAILED
    except (ReaderLeft, BrokenPipeError):
        # Closing the real descriptors keeps the interpreter's own flush quiet.
        for console in (out, err):
            os.dup2(os.open(os.devnull, os.O_WRONLY), console.file.fileno())
        return EXIT_READER_LEFT
    except OSError as error:
        if error.filename is not None:
            raise
        # Named files are written by `files`, which tells of its own; what is left are the streams that we were given.
        err.print(
            tr("the output cannot be written ({reason}); make room or choose another place", reason=error.strerror),
            style="red",
            markup=False,
        )
        return EXIT_FAILED


def _open_streams() -> None:
    """Let no message kill its command: what the console cannot show is replaced, what is closed is opened on nothing.

    A closed descriptor would be given to the next file that is opened, and messages be written into that.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode, encoding="utf-8"))
        elif mode == "w" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


@contextmanager
def _heeding_signals() -> Iterator[list[int]]:
    """End on SIGTERM and SIGHUP as on Ctrl-C; yields the signals taken. Those that the parent ignores stay ignored."""
    taken: list[int] = []

    def end(number: int, frame: FrameType | None) -> None:
        if taken or _importing(frame):
            os._exit(128 + number)
        taken.append(number)
        raise KeyboardInterrupt

    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    default = (signal.SIG_DFL, signal.default_int_handler)
    before = {number: handler for number in numbers if (handler := signal.getsignal(number)) in default}
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.setblocking(False)
        waking = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=_insist, args=(ours.dup(),), daemon=True).start()
        try:
            for number in before:
                signal.signal(number, end)
            yield taken
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(waking)


def _importing(frame: FrameType | None) -> bool:
    """Whether that code runs inside of an import, where an exception may be wrapped, swallowed or printed.

    Whoever imports a module for the first time has begun nothing yet that would have to be ended.
    """
    while frame is not None:
        if frame.f_globals.get("__name__") == "importlib._bootstrap":
            return True
        frame = frame.f_back
    return False


def _insist(signals: socket.socket) -> None:
    """End the process when its main thread does not: in native code it sees no signal."""
    with signals:
        while number := signals.recv(1):
            if number[0] in (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", 0)):
                deadline = threading.Timer(GRACE_SECONDS, os._exit, (128 + number[0],))
                deadline.daemon = True
                deadline.start()
