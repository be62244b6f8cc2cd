"""The one family of errors that a user can cause and correct."""

import difflib
import errno
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NO_MEMORY = re.compile(
    r"can't allocate memory|out of memory|bad_alloc|Cannot allocate memory|can't start new thread"
)


class HeadstartError(Exception):
    """A user's mistake or a limit of the machine.

    The message is one sentence: what was wrong, where (file, line, key) and what to do.
    The command line prints it without a traceback and exits with code 2.
    """


class Stopped(Exception):
    """Somebody stopped the work; everything that was done is saved."""


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the known word closest to `word`, or the list of known words."""
    names = sorted(known)
    if not names:
        return ""
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(names)}"


@contextmanager
def named_after(path: Path) -> Iterator[None]:
    """Errors of a disk that takes no more become `OSError`s that name the file, whoever raised them."""
    try:
        yield
    except Exception as error:
        number = _disk_error(error)
        if number is None or getattr(error, "filename", None) is not None:
            raise
        raise OSError(number, os.strerror(number), str(path)) from error


def _disk_error(error: Exception) -> int | None:
    """The number of the operating system's error behind one that says a disk takes no more; else None."""
    found = error.errno if isinstance(error, OSError) else None
    if found is None and (native := re.search(r"\bos error (\d+)\b", str(error))):
        found = int(native[1])
    if (
        found is None
        and isinstance(error, OSError)
        and re.match(r"\d+ requested and \d+ written", str(error))
    ):
        found = errno.ENOSPC  # numpy's words; it does not ask why
    return found if found in FULL else None


def gives_up_in_words(method: Callable[P, R]) -> Callable[P, R]:
    """A method that calls a native library: its panics, no `Exception`, become a `HeadstartError`."""

    @wraps(method)
    def guarded(*arguments: P.args, **named: P.kwargs) -> R:
        try:
            return method(*arguments, **named)
        except BaseException as error:
            if not is_panic(error):
                raise
            raise HeadstartError(
                f"the tokenizer gave up on a text ({str(error)[:200]}); its tokenizer.json has a rule that "
                "takes too long, or is damaged: get it again"
            ) from None

    return guarded


def is_panic(error: BaseException) -> bool:
    """Whether a native library gave up; its error is no `Exception`."""
    return type(error).__name__ == "PanicException"


def explain(error: BaseException) -> str | None:
    """One sentence for what the machine refused, and what to do about it; None: it is a bug."""
    if isinstance(error, OSError):
        return explain_os_error(error)
    if is_panic(error):
        return f"a native library gave up ({str(error)[:200]}); what it read is damaged, or too much for it"
    if isinstance(error, UnicodeEncodeError | TypeError) and "surrogates not allowed" in str(error):
        return "the name of a file or folder, or a text, is no UTF-8; rename it, or write the text again"
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and _NO_MEMORY.search(str(error))):
        return (
            "there is not enough memory; close other programs, raise the limit (ulimit -v), or take smaller "
            "settings or fewer workers"
        )
    if (number := _disk_error(error) if isinstance(error, Exception) else None) is not None:
        return explain_os_error(OSError(number, os.strerror(number)))
    return None


def explain_os_error(error: OSError) -> str:
    """One sentence for what the operating system refused, and what to do about it."""
    where = f" {error.filename}" if error.filename else ""
    number = error.errno or _disk_error(error)
    if number in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk is full while writing{where}; free some space and start the same command again"
    if number == errno.EFBIG:
        return (
            f"no file may grow as large here as{where or ' what is written'}; raise the limit (ulimit -f), "
            "or write to another disk"
        )
    if "temporary directory" in str(error.strerror):
        return "no folder for temporary files can be written; make one, and name it in TMPDIR"
    if "AF_UNIX path too long" in str(error):
        return "the path of the folder for temporary files is too long; name a shorter one in TMPDIR, as /tmp"
    if number in (errno.EMFILE, errno.ENFILE):
        return "too many files are open at once; raise the limit (ulimit -n 4096) and start again"
    if number in (errno.ENOMEM, errno.EAGAIN):
        return (
            f"there is not enough memory{' for' + where if where else ''}, or too many processes run; close "
            "other programs, raise the limits (ulimit -v, ulimit -u), or take fewer workers"
        )
    if number == errno.EBADF:
        return "standard output is closed; leave it open, send it to /dev/null, or write to a file with --out"
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"no permission to use{where or ' a file'}; choose another folder or change its permissions"
    if number == errno.ENOENT:
        return f"there is no{where or ' such'} file or folder; check the path"
    if number in (errno.ENOTDIR, errno.EISDIR, errno.EEXIST):
        return f"{error.strerror}:{where}; choose another path"
    if number in (errno.ENAMETOOLONG, errno.EINVAL, errno.ELOOP):
        return f"{error.strerror}:{where}; choose a shorter or plainer path"
    return f"{error.strerror or error}{':' + where if where else ''}"
