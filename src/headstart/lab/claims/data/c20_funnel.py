"""C20: how much of a crawl is left, stage by stage?"""

from collections import Counter, defaultdict
from pathlib import Path
from urllib.parse import urlsplit

from headstart.lab.bench import Bench
from headstart.lab.claim import Claim, Figure, Level, Numbers, Source
from headstart.lab.rules import Evidence, OnOwnData, Within

KEPT = "kept"

CLAIM = Claim(
    id="C20",
    chapter="data",
    title="most of a crawl is thrown away, stage by stage",
    statement="More than 80 % of the text of a web crawl does not survive cleaning and deduplication.",
    quantity="share of the words of extracted text that are removed, hosts as units",
    lesson='"Over 80 %" mixes two things: most bytes of a page are markup, which nobody would train on. What '
    "counts is how much of the extracted text goes.",
    scale="A random sample of Common Crawl of some thousand hosts; give its WARC files with --data.",
    sources=(
        Source(
            "Penedo et al. 2023 (RefinedWeb)", "arXiv 2306.01116", "nearly 90 % of documents removed", "text"
        ),
        Source(
            "Penedo et al. 2024 (FineWeb)", "arXiv 2406.17557", "filters and deduplication, stage by stage"
        ),
    ),
    confounders=(
        "The samples are pages of chosen sites, no random crawl: their share says nothing of the web.",
        "Documents, bytes and words give different shares; the rule is on words.",
        "Pages without any text that could be extracted are not counted as text.",
    ),
)
LEVELS = {"quick": Level(minutes=1), "full": Level(minutes=1)}
RULE = OnOwnData(
    Within("removed share of words", 0.8, 1.0),
    "the samples are pages of chosen sites, so that a random crawl alone decides",
)


def measure(bench: Bench) -> Numbers:
    """Words by host that were removed, over the mean words of a host: their mean is the removed share."""
    from headstart.corpus.stages import STAGES

    words, documents = by_host_and_stage(bench.make(bench.corpus))
    hosts = sorted(words)
    whole = [sum(words[host].values()) for host in hosts]
    mean = sum(whole) / len(hosts)
    removed = [(every - words[host][KEPT]) / mean for host, every in zip(hosts, whole, strict=True)]
    numbers: dict[str, float | list[float]] = {"removed share of words": removed}
    for name, counts in (("words", words), ("documents", documents)):
        left = sum(sum(by_stage.values()) for by_stage in counts.values())
        numbers[f"{name} that came in"] = float(left)
        for stage in [
            one.name for one in STAGES if any(one.name in by_stage for by_stage in counts.values())
        ]:
            left -= sum(by_stage[stage] for by_stage in counts.values())
            numbers[f"{name} behind {stage}"] = float(left)
    return numbers


def by_host_and_stage(folder: Path) -> tuple[dict[str, Counter[str]], dict[str, Counter[str]]]:
    """Words and documents of pages with a host, by the stage that removed them; `KEPT` for those that
    stay."""
    import pyarrow.parquet as pq

    words: dict[str, Counter[str]] = defaultdict(Counter)
    documents: dict[str, Counter[str]] = defaultdict(Counter)
    for part in ("documents", "removed"):
        columns = ["url", "text"] + (["stage"] if part == "removed" else [])
        for file in sorted((folder / part).glob("*.parquet")):
            for batch in pq.ParquetFile(file).iter_batches(256, columns=columns):
                for row in batch.to_pylist():
                    if host := urlsplit(row["url"] or "").hostname:
                        words[host][row.get("stage", KEPT)] += len((row["text"] or "").split())
                        documents[host][row.get("stage", KEPT)] += 1
    return words, documents


def picture(evidence: Evidence) -> list[Figure]:
    """The funnel in words and in documents."""
    figures = []
    for unit in ("words", "documents"):
        bars = [
            (name.removeprefix(f"{unit} "), float(values[0]))  # type: ignore[arg-type]
            for name, values in evidence.items()
            if name.startswith((f"{unit} behind", f"{unit} that"))
        ]
        figures.append(Figure("bars", f"What is left behind each stage, in {unit}", y=unit, bars=bars))
    return figures
