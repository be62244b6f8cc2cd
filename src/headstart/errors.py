"""The one family of errors that a user can cause and mend."""

import difflib
import errno
from collections.abc import Iterable


class HeadstartError(Exception):
    """A user's mistake or a limit of the machine.

    The message is one sentence: what was wrong, where (file, line, key) and what to do.
    The command line prints it without a traceback and exits with code 2.
    """


class Stopped(Exception):
    """Somebody asked the work to stop; everything done so far is saved."""


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the known word closest to `word`, or the list of known words."""
    names = sorted(known)
    if not names:
        return ""
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(names)}"


def explain_os_error(error: OSError) -> str:
    """One sentence for what the operating system refused, and what to do about it."""
    where = f" {error.filename}" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk is full while writing{where}; free some space and start the same command again"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"no permission to use{where or ' a file'}; choose another folder or change its permissions"
    if error.errno == errno.ENOENT:
        return f"there is no{where or ' such'} file or folder; check the path"
    if error.errno in (errno.ENOTDIR, errno.EISDIR, errno.EEXIST):
        return f"{error.strerror}:{where}; choose another path"
    return f"{error.strerror or error}{':' + where if where else ''}"
