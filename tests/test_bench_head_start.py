"""What `make bench-head-start` concludes of measured cells."""

from benchmarks.head_start.summary import summary


def cell(system: str, score: float, sample: int = 0, task: str = "reviews", labels: int = 100) -> dict:
    return {"task": task, "labels": labels, "system": system, "sample": sample, "score": score}


def test_pre_training_that_pays_more_the_longer_it_runs() -> None:
    found = summary([cell("own 1x", 0.80), cell("own 4x", 0.82), cell("counted", 0.75)], [1, 4, 16])
    assert found["monotone"] is True
    assert found["ahead_of_counts"] == {"system": "own 4x", "share": 1.0, "points": {"reviews 100": 7.0}}
    assert found["gap_to_minilm"] is None
    assert found["foundation"] is None


def test_what_breaks_it_is_named() -> None:
    cells = [cell("own 1x", 0.80), cell("own 4x", 0.785), cell("random", 0.81), cell("static", 0.79)]
    found = summary(cells, [1, 4])
    (broken,) = found["monotone"]["cells"]
    assert (broken["system"], broken["below"], broken["points"]) == ("own 4x", "own 1x", 1.5)
    assert found["monotone"]["mean"] == [{"from": 1, "to": 4, "mean_points": -1.5}]
    assert [row["system"] for row in found["below_random"]] == ["own 4x"]  # 1x is one point below: noise
    assert found["below_static"] == []


def test_differences_are_of_the_same_samples() -> None:
    """A sample that one system lacks tells nothing of the two."""
    cells = [cell("own 1x", 0.8, 0), cell("own 1x", 0.2, 1), cell("counted", 0.7, 0)]
    found = summary(cells, [1])
    assert found["ahead_of_counts"]["points"] == {"reviews 100": 10.0}
    (row,) = [row for row in found["table"] if row["system"] == "own 1x"]
    assert (row["score"], row["samples"]) == (50.0, [0, 1])


def test_what_is_lower_says_how_sure_that_is() -> None:
    """Differences of 4 and 2 points: their mean is 3, its standard error the half of what they differ by."""
    cells = [cell("own 1x", 0.8, 0), cell("own 1x", 0.7, 1), cell("own 4x", 0.76, 0), cell("own 4x", 0.68, 1)]
    (broken,) = summary(cells, [1, 4])["monotone"]["cells"]
    assert (broken["points"], broken["standard_error"], broken["samples"]) == (3.0, 1.0, 2)
    (alone,) = summary(cells[::2], [1, 4])["monotone"]["cells"]
    assert (alone["standard_error"], alone["samples"]) == (None, 1)


def test_the_gap_is_to_the_better_minilm() -> None:
    cells = [cell("own 1x", 0.7), cell("minilm", 0.8), cell("minilm frozen", 0.84), cell("foundation", 0.9)]
    cells += [cell("own 1x", 0.6, task="topics"), cell("minilm", 0.7, task="topics"), cell("counted", 0.85)]
    found = summary(cells, [1])
    assert found["gap_to_minilm"] == {"100": {"mean": 12.0, "tasks": {"reviews": 14.0, "topics": 10.0}}}
    assert found["foundation"] == {"reviews 100": {"score": 90.0, "ahead_of_counts": 5.0}}
