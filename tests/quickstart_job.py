"""What tests of the main job share: a little raw text with labels; the job as a process without a network."""

import gzip
import shutil
import subprocess
import sys
from pathlib import Path

SAMPLES = Path(__file__).parents[1] / "samples"

# Any connection but those between our own processes ends the job.
OFFLINE = """
import socket
def refuse(self, address, *rest):
    if self.family != socket.AF_UNIX:
        raise SystemExit(f"somebody tried to reach {address}")
    return connect(self, address, *rest)
connect = socket.socket.connect
socket.socket.connect = refuse
socket.getaddrinfo = lambda *where, **how: refuse(socket.socket(), where)
from headstart.cli import main
if __name__ == "__main__":
    main()
"""


def lines(name: str, count: int) -> bytes:
    with gzip.open(SAMPLES / "labels" / name) as file:
        return b"".join(line for line, _ in zip(file, range(count), strict=False))


def make_raw(folder: Path) -> None:
    """A small pile of text with some broken files in it, and two small tasks."""
    text = folder / "text"
    text.mkdir()
    for name in ("austen-persuasion", "milton-areopagitica"):
        shutil.copy(SAMPLES / "books" / f"{name}.txt.gz", text)
    shutil.copy(SAMPLES / "crawl" / "headstart-sample-00003.warc.gz", text)  # the one with broken records
    (text / "binary.jsonl").write_bytes(bytes(range(256)) * 40)
    (text / "cut.txt.gz").write_bytes((text / "austen-persuasion.txt.gz").read_bytes()[:5000])
    labels = folder / "labels"
    labels.mkdir()
    # Of the longer texts too few for a second number of labels: fits of mails take most of the job's time.
    for task, count in (("spam", 100), ("pos", 150)):
        (labels / f"{task}.train.jsonl").write_bytes(lines(f"{task}.train.jsonl.gz", count))
        (labels / f"{task}.test.jsonl").write_bytes(lines(f"{task}.test.jsonl.gz", 40))
    (folder / "offline.py").write_text(OFFLINE)


def quickstart(raw: Path, out: Path) -> subprocess.Popen[str]:
    command = [sys.executable, str(raw / "offline.py"), "quickstart", "--minutes", "0.5", "--out", str(out)]
    command += ["--data", str(raw / "text"), "--labels", str(raw / "labels")]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
