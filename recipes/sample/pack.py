"""The studio's copy of the sample, as small as may be without loss of what is shown: `pack.py MADE OUT`.

Weights of models go to bfloat16, captures to float16, JSON loses its blanks. Of the events of steps every
tenth stays, of statistics those of captured steps. Checkpoints, reports and what else no view reads stay
behind, and of the snapshots all but `STATES`. `hashes.json` has every file.
"""

import hashlib
import json
import shutil
import sys
import zlib
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

FOLDERS = ("corpus", "tokenizer", "tokens", "decoder", "encoder", "author", "head-start", "duel", "labels")
LEFT = ("checkpoints", "start", "task", "fits", "report.html", ".output.json")
STATES = {"decoder": ("step-0", "step-208"), "encoder": ("step-0",)}
EVERY = 10
MOST = 4_000_000
"""Bytes in a wheel, which deflates what it holds."""
ABOUT = Path(__file__).parent / "README.md"


def main(made: Path, out: Path) -> None:
    """Copy and shrink.

    Raises:
        SystemExit: it is too large for a wheel.
    """
    shutil.rmtree(out, ignore_errors=True)
    for name in FOLDERS:
        folder = made / name
        for file in sorted(folder.rglob("*")):
            inside = file.relative_to(made)
            if file.is_file() and not any(part in LEFT for part in inside.parts):
                (out / inside).parent.mkdir(parents=True, exist_ok=True)
                _shrunk(file, out / inside, made)
    for run, states in STATES.items():
        for state in (out / run / "snapshots").iterdir():
            if state.name not in states:
                shutil.rmtree(state)
    shutil.copyfile(ABOUT, out / "README.md")
    files = [file for file in sorted(out.rglob("*")) if file.is_file()]
    hashes = {
        file.relative_to(out).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in files
    }
    (out / "hashes.json").write_text(json.dumps(hashes, indent=0) + "\n", encoding="utf-8")
    found = [file.read_bytes() for file in out.rglob("*") if file.is_file()]
    size, packed = sum(map(len, found)), sum(len(zlib.compress(one)) for one in found)
    print(f"{len(found)} files, {size:,} bytes in {out}, {packed:,} in a wheel")
    if packed > MOST:
        raise SystemExit(f"that is more than the {MOST:,} bytes which a wheel may carry for it")


def _shrunk(file: Path, to: Path, made: Path) -> None:
    """Write a file smaller; a path of the folder in which all was made becomes relative to the sample."""
    here = f"{made.resolve()}/"
    if file.suffix == ".safetensors":
        with safe_open(file, "pt") as stored:
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 - no mapping
            facts = stored.metadata()
        small = torch.float16 if "captures" in file.parts else torch.bfloat16
        floats = {name: one.to(small) for name, one in tensors.items() if one.is_floating_point()}
        save_file(tensors | floats, to, facts)
    elif file.suffix == ".json":
        values = json.loads(file.read_text(encoding="utf-8"))
        if file.name == "config.json" and "dtype" in values:
            values["dtype"] = "bfloat16"
        text = json.dumps(values, ensure_ascii=False, separators=(",", ":")).replace(here, "")
        to.write_text(text + "\n", encoding="utf-8")
    elif file.name == "metrics.jsonl":
        captured = {int(path.name[5:]) for path in file.parent.glob("captures/step-*")}
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
        last = json.loads(lines[-1])["step"]
        events = [json.loads(line) for line in lines]
        to.write_text(
            "".join(
                line for line, event in zip(lines, events, strict=True)
                if event["step"] in captured or event["step"] == last
                or (event["kind"] != "statistics" and (event["kind"] != "step" or event["step"] % EVERY == 0))
            ),
            encoding="utf-8",
        )  # fmt: skip
    elif file.suffix in (".jsonl", ".yaml", ".md"):
        to.write_text(file.read_text(encoding="utf-8").replace(here, ""), encoding="utf-8")
    else:
        shutil.copyfile(file, to)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
