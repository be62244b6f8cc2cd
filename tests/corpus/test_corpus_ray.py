"""The corpus on a Ray cluster of two nodes, driven from the command line as a user would."""

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from raw_files import page, prose, response, write_jsonl

from headstart.corpus import CorpusRecipe, build

EXAMPLE = Path(__file__).parents[2] / "examples" / "corpus_extension.py"
ray = pytest.importorskip("ray")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a cluster of two nodes with one worker each."""
    from ray.cluster_utils import Cluster

    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    nodes.add_node(num_cpus=1)
    yield nodes.address
    nodes.shutdown()


def run(cluster: str, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command],
        env=os.environ | {"RAY_ADDRESS": cluster},
        capture_output=True,
        text=True,
        timeout=500,
    )


def contents(out: Path) -> dict[str, bytes]:
    files = [*out.glob("documents/*"), *out.glob("removed/*"), out / "skipped.jsonl"]
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


def test_ray_gives_the_same_bytes(tmp_path: Path, cluster: str) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    records = [gzip.compress(response(f"http://h{n}.org/", page(n).encode()), mtime=0) for n in range(60)]
    (raw / "a.warc.gz").write_bytes(b"".join(records) + records[0][:-30])
    for number in range(3):
        texts = [prose(1_000 * number + n % 500, 25) for n in range(700)]
        texts[7] = f"DRAFT\n{texts[7]}"
        rows = [{"id": str(n), "text": text} for n, text in enumerate(texts)]  # the same in every file
        write_jsonl(raw / f"b{number}.jsonl", rows)
    done = run(
        cluster,
        "-m",
        "headstart",
        "corpus",
        str(raw),
        "--out",
        str(tmp_path / "ray"),
        "--engine",
        "ray",
        "--json",
        f"extensions=[{EXAMPLE}]",
    )
    assert done.returncode == 0, done.stderr
    here = build([raw], tmp_path / "here", CorpusRecipe(extensions=[EXAMPLE]), workers=0)
    there = json.loads(done.stdout)
    assert contents(tmp_path / "ray") == contents(tmp_path / "here")
    assert there["funnel"] == here["funnel"]
    assert here["removed"]["unfinished"] == {"unfinished": 3}
    assert there["renamed"] == here["renamed"] == 1400
    assert there["skipped"] == here["skipped"] == {"truncated gzip": 1}


def test_a_dying_ray_worker_costs_one_record(tmp_path: Path, cluster: str) -> None:
    rows = [{"id": f"d{n}", "text": prose(n) + (" fatal" if n == 3 else "")} for n in range(8)]
    path = write_jsonl(tmp_path / "a.jsonl", rows)
    script = tmp_path / "crash.py"
    script.write_text(
        "import os, sys\nfrom pathlib import Path\n"
        "from headstart.corpus import CorpusRecipe, build, engine\n"
        "original = engine.run_step\n"
        "def run_step(*given):\n"
        "    from headstart.corpus import prepare\n"
        "    whole = prepare.normalise\n"
        "    def fatal(text):\n        return os.abort() if 'fatal' in text else whole(text)\n"
        "    prepare.normalise = fatal\n"
        "    return original(*given)\n"
        "engine.run_step = run_step\n"
        "build([Path(sys.argv[1])], Path(sys.argv[2]), CorpusRecipe(), on='ray')\n"
    )
    done = run(cluster, str(script), str(path), str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    skipped = (tmp_path / "out" / "skipped.jsonl").read_text()
    assert json.loads(skipped) == {"source": "a.jsonl:4", "reason": "it ended the process twice"}
