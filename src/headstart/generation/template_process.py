"""Fills chat templates in a process of its own, with bounds on time and memory.

A template comes with a downloaded model, so it is somebody else's program. Jinja's sandbox keeps it from
files and from Python's inside, but not from loops without end or from texts of gigabytes. So a child process
fills it: the child may hold `MEMORY` bytes, and the system kills it when one conversation takes longer than
`SECONDS`.

The child reads one request a line, `{"template": ..., "variables": {...}, "around": [..., ...]}`, and writes
one answer a line: `{"text": ...}` or `{"error": ...}`. It runs this file alone, so that it starts in a tenth
of a second, and it looks for Jinja where the parent looks for modules, whatever that has added to the path.
"""

import json
import os
import subprocess
import sys
import threading
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the child does without the package
    from headstart.folder import JSONObject

SECONDS = 5
MEMORY = 1 << 29
LONGEST = 1 << 26
"""Characters of one filled template; more is refused."""


class TemplateProcess:
    """One child process; it is started when it is first needed, and again after it was killed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._owner = 0  # the process that started the child: a fork must not share its pipes

    def fill(self, template: str, variables: "JSONObject", around: tuple[str, str] = ("", "")) -> str:
        """The text of a template.

        Args:
            around: what is put before and behind the parts that the template marks by `{% generation %}`.

        Raises:
            ValueError: the template fails, or takes too long or too much memory; says which.
        """
        request = {"template": template, "variables": variables, "around": around}
        encoded = json.dumps(request, default=_named).encode() + b"\n"
        with self._lock:
            try:
                line = self._asked(encoded)
            except BaseException:  # Ctrl-C too: an answer that nobody read would be taken for the next one
                self._stop()
                raise
            if not line:
                self._stop()
                raise ValueError(
                    f"it takes more than {SECONDS} seconds, or more than {MEMORY >> 20} MB of memory"
                )
        answer = json.loads(line)
        if "error" in answer:
            raise ValueError(answer["error"])
        return str(answer["text"])

    def _asked(self, request: bytes) -> bytes:
        child = self._started()
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            child.stdin.write(request)
            child.stdin.flush()
            return child.stdout.readline()
        except BrokenPipeError:
            return b""

    def _stop(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.wait()

    def _started(self) -> "subprocess.Popen[bytes]":
        from headstart.workers import environment_of_child

        if self._child is None or self._owner != os.getpid() or self._child.poll() is not None:
            self._child = subprocess.Popen(
                [sys.executable, "-P", __file__],
                env=environment_of_child(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            self._owner = os.getpid()
        return self._child


def _named(value: Any) -> str:
    """What a template sees of an object that is no JSON, such as an image."""
    return f"<{type(value).__name__}>"


# --- In the child ---------------------------------------------------------------------------------


def serve() -> None:
    """Answer requests until the parent closes the pipe."""
    import resource
    import signal

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's; it closes the pipe
    for line in sys.stdin.buffer:
        signal.setitimer(signal.ITIMER_REAL, SECONDS)  # SIGALRM ends the process, whatever it is doing
        answer = _answer(line)
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.stdout.buffer.write(answer + b"\n")
        sys.stdout.buffer.flush()


def _answer(line: bytes) -> bytes:
    try:
        request = json.loads(line)
        text = compiled(request["template"], *request["around"]).render(request["variables"])
        if len(text) > LONGEST:
            raise ValueError(f"it writes more than {LONGEST:,} characters")
        return json.dumps({"text": text}).encode()
    except MemoryError:
        return json.dumps({"error": f"it takes more than {MEMORY >> 20} MB of memory"}).encode()
    except Exception as error:  # whatever somebody else's program does
        kind = "" if type(error).__name__ == "TemplateError" else f"{type(error).__name__}: "
        return json.dumps({"error": f"{kind}{str(error)[:500]}"}).encode()


@lru_cache(maxsize=8)
def compiled(template: str, before: str = "", behind: str = "") -> Any:
    """A template in Jinja's sandbox, with what transformers lends to templates.

    Args:
        before, behind: stand around what the template marks as written by the assistant.
    """
    import jinja2
    from jinja2.ext import Extension
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """`{% generation %}` marks what the assistant wrote, for training."""

        tags = {"generation"}

        def parse(self, parser: Any) -> Any:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return jinja2.nodes.CallBlock(self.call_method("_written"), [], [], body).set_lineno(line)

        def _written(self, caller: Any) -> Any:
            return f"{before}{caller()}{behind}"

    def raise_exception(message: str) -> None:
        raise jinja2.TemplateError(message)

    def tojson(
        value: Any,
        ensure_ascii: bool = False,
        indent: int | None = None,
        separators: tuple[str, str] | None = None,
        sort_keys: bool = False,
    ) -> str:
        """Jinja's own escapes HTML and sorts keys, which no model was trained on."""
        return json.dumps(
            value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
        )

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", Generation]
    )
    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment.from_string(template)


if __name__ == "__main__":
    serve()
