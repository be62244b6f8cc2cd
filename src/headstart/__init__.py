"""headstart: train once on raw text, fine-tune for anything.

`import headstart` is light: torch is imported when a name that needs it is first used.
"""

import sys
from pathlib import Path
from typing import Any

from headstart import former_names
from headstart.errors import HeadstartError

__version__ = "0.1.0"

former_names.install()

_HOMES = dict.fromkeys(("load", "finetune", "compare", "distill"), "headstart.api")

__all__ = ["__version__", "compare", "distill", "finetune", "load"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        import importlib

        if "torch" not in sys.modules:
            _check_working_folder()
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'headstart' has no attribute {name!r}")


def _check_working_folder() -> None:
    """In a folder that was deleted MKL ends the whole process while torch is imported, in words of its own.

    Raises:
        HeadstartError: the working folder was deleted.
    """
    try:
        Path.cwd()
    except FileNotFoundError:
        raise HeadstartError(
            "the working folder of this process is gone; go to one that is there (os.chdir) and try again"
        ) from None


def __dir__() -> list[str]:
    """What completion in a shell or a notebook offers."""
    return sorted(__all__)
