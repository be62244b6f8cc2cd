"""Workers that die for lack of memory, or stand still, end in a sentence and not in a run without end."""

import resource
import signal
from types import SimpleNamespace

import pytest

from headstart.corpus import engine
from headstart.corpus.engine import ATTEMPTS, MOST_LOOKS, Deaths, _Worker
from headstart.errors import HeadstartError


def die(deaths: Deaths, folder, times: int, code: int) -> None:
    """Every death over another record, so that each of them alone would be passed over."""
    (folder / "prepared").mkdir(exist_ok=True)
    for number in range(times):
        (folder / "prepared" / "000000.last").write_text(f"record {number}")
        deaths.count(0, code)


def test_deaths_by_the_kernel_that_finish_nothing_are_a_lack_of_memory(tmp_path) -> None:
    deaths = Deaths("prepare", tmp_path)
    die(deaths, tmp_path, 2 * ATTEMPTS - 1, -signal.SIGKILL)
    deaths.none_over(3)
    die(deaths, tmp_path, 2 * ATTEMPTS - 1, -signal.SIGKILL)
    with pytest.raises(HeadstartError, match="there is not enough memory"):
        die(deaths, tmp_path, 1, -signal.SIGKILL)


def test_crashes_without_a_limit_cost_their_records_alone(tmp_path) -> None:
    die(Deaths("prepare", tmp_path), tmp_path, 5 * ATTEMPTS, -signal.SIGSEGV)


def test_crashes_under_a_limit_are_a_lack_of_memory(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (600 << 20, resource.RLIM_INFINITY))
    with pytest.raises(HeadstartError, match=r"with the limit of 600 MB that is set \(ulimit -v\)"):
        die(Deaths("prepare", tmp_path), tmp_path, 5 * ATTEMPTS, -signal.SIGABRT)


def test_a_worker_that_does_nothing_for_many_looks_is_ended(monkeypatch) -> None:
    seen = iter([*"aaa", "", *"bb", *"c" * (MOST_LOOKS + 1)])
    monkeypatch.setattr(engine, "_activity", lambda pid: next(seen))
    ended: list[bool] = []
    worker = _Worker.__new__(_Worker)
    worker.process = SimpleNamespace(pid=1, kill=lambda: ended.append(True))  # type: ignore[assignment]
    worker._seen, worker._still = "", 0
    for _ in range(6 + MOST_LOOKS):
        worker.look()
        assert not ended
    worker.look()
    assert ended
