"""headstart: train once on raw text, fine-tune for anything.

`import headstart` is light: torch is imported when a name that needs it is first used.
"""

from typing import Any

from headstart import former_names

__version__ = "0.1.0"

former_names.install()

_HOMES = dict.fromkeys(("load", "finetune", "compare", "distill"), "headstart.api")

__all__ = ["__version__", "compare", "distill", "finetune", "load"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        import importlib

        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'headstart' has no attribute {name!r}")


def __dir__() -> list[str]:
    """What completion in a shell or a notebook offers."""
    return sorted(__all__)
