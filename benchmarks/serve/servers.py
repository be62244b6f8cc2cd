"""Servers in processes of their own, and what they take of the processor."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

from benchmarks.serve.models import make_gguf

TICKS = os.sysconf("SC_CLK_TCK")
START_SECONDS = 600
WRITTEN = 32
"""Tokens of a text."""
THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
OURS, VLLM, LLAMA_CPP = "headstart", "vllm", "llama_cpp"

Ids = list[int]


@dataclass(frozen=True)
class Texts:
    """What was written for some prompts."""

    texts: list[str]
    tokens: int
    core_seconds: float

    @property
    def rate(self) -> float:
        """Tokens a core-second, reading the prompts included."""
        return self.tokens / self.core_seconds


class Server:
    """A server with an API like OpenAI's."""

    def __init__(self, name: str, command: Sequence[str], port: int, environment: dict[str, str]) -> None:
        """
        Raises:
            RuntimeError: it does not come up.
        """
        self.log = Path(f"{name}-server.log")
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, env=os.environ | THREAD | environment, start_new_session=True
            )
        address = f"http://127.0.0.1:{port}"
        self.http = httpx.Client(base_url=address, timeout=600, limits=httpx.Limits(max_connections=64))
        until = time.monotonic() + START_SECONDS
        while not self._ready():
            if self.process.poll() is not None or time.monotonic() > until:
                self.close()
                raise RuntimeError(f"it did not come up: {self.log.read_text()[-300:].strip()}")
            time.sleep(0.5)

    def _ready(self) -> bool:
        try:
            return self.http.get("/health").status_code == 200 and "gpt2" in self.http.get("/v1/models").text
        except httpx.TransportError:
            return False

    def threads(self) -> dict[str, float]:
        """Core-seconds so far of each thread of its processes."""
        found = {}
        for stat in Path("/proc").glob("[0-9]*/task/[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(")")[2].split()
            except OSError:  # it has just ended
                continue
            if int(fields[3]) == self.process.pid:  # its session
                found[stat.parent.name] = (int(fields[11]) + int(fields[12])) / TICKS
        return found

    def core_seconds(self) -> float:
        """Of all of them."""
        return sum(self.threads().values())

    def write(self, prompts: Sequence[Ids], at_once: int, stream: bool = False) -> Texts:
        """Greedy texts, so many requests at a time."""

        def one(ids: Ids) -> tuple[str, int]:
            body = {"model": "gpt2", "prompt": ids, "max_tokens": WRITTEN, "temperature": 0, "stream": stream}
            answer = self.http.post("/v1/completions", json=body).raise_for_status()
            if stream:
                return answer.text, answer.text.count("data: ") - 1
            return answer.json()["choices"][0]["text"], answer.json()["usage"]["completion_tokens"]

        before = self.core_seconds()
        with ThreadPoolExecutor(at_once) as pool:
            found = list(pool.map(one, prompts))
        took = self.core_seconds() - before
        return Texts([text for text, _ in found], sum(tokens for _, tokens in found), took)

    def share_beside_the_model(self, prompts: Sequence[Ids]) -> float:
        """Of the processor's time while texts stream, what is not the busiest thread's, which is the
        model's."""
        before = self.threads()
        self.write(prompts, len(prompts), stream=True)
        spent = [now - before.get(name, 0.0) for name, now in self.threads().items()]
        return 1 - max(spent) / sum(spent)

    def close(self) -> None:
        """End it, and whatever processes it has started."""
        self.http.close()
        for way in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, way)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(30)


def start_ours(gpt2: Path, minilm: Path) -> Server:
    """`headstart serve`."""
    command = [sys.executable, "-m", "headstart", "serve", str(gpt2), str(minilm), "--port", "8141"]
    return Server(OURS, [*command, "--precision", "bfloat16", "--no-access-log"], 8141, {})


def start_vllm(python: Path | None, gpt2: Path) -> Server:
    """vLLM's server of OpenAI's API, on one core.

    Raises:
        RuntimeError: it is not installed, or does not come up.
    """
    if python is None or not python.exists():
        raise RuntimeError(
            "not installed: `make bench-serve VLLM=1` fetches its wheel for CPUs, 3 GB with torch"
        )
    command = [
        str(python),
        "-m",
        "vllm.entrypoints.openai.api_server",
        "--model",
        str(gpt2),
        "--port",
        "8142",
    ]
    command += [
        "--served-model-name",
        "gpt2",
        "--dtype",
        "bfloat16",
        "--max-num-seqs",
        "16",
        "--enforce-eager",
    ]
    environment = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    environment |= {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_LOGGING_LEVEL": "WARNING"}
    return Server(VLLM, command, 8142, environment)


def start_llama_cpp(binary: Path | None, gpt2: Path) -> Server:
    """llama.cpp's `llama-server`, with a slot for each of 16 requests, on one core.

    Raises:
        RuntimeError: it is not installed, or does not come up.
    """
    if binary is None or not binary.exists():
        raise RuntimeError("not installed: `make bench-serve LLAMA_CPP=1` builds it, in about 20 minutes")
    command = [str(binary), "--model", str(make_gguf(gpt2)), "--alias", "gpt2", "--port", "8143"]
    command += ["--threads", "1", "--threads-batch", "1", "--parallel", "16", "--ctx-size", str(16 * 512)]
    return Server(LLAMA_CPP, command, 8143, {})
