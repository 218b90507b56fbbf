"""Windows of several lengths: what is cut out of a movie, and one small round."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mollifier_train import windows
from mollifier_train.problems import PROBLEMS


@pytest.mark.parametrize("law", windows.LAWS)
def test_the_usual_window_is_that_of_the_test_set(law: str) -> None:
    problem = PROBLEMS[law]
    own = problem.recording(problem.simulate(10_000), 5.0, 10_000)
    movie = windows.movie(law, 10_000, 5.0, frames=windows.USUAL, apart=windows.interval(law))
    np.testing.assert_array_equal(windows.middle(movie.u, windows.USUAL), own.u)
    np.testing.assert_array_equal(windows.middle(movie.u, 3), own.u[1:4])


@pytest.mark.usefixtures("mollifier")
def test_a_small_round(tmp_path: Path) -> None:
    windows.windows(tmp_path / "out.md", recordings=4, steps=2, fields=1, laws=["heat-transient"])
    text = (tmp_path / "out.md").read_text(encoding="utf-8")
    tables = [part for part in text.split("\n\n") if part.startswith("| frames")]
    assert len(tables) == 3
    for part in tables:
        rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in part.splitlines()[2:]]
        assert [int(row[0]) for row in rows] == list(windows.WINDOWS)
        # The closed form sees lambda at every length.
        assert all(float(row[2].split(" / ")[0]) > 0.8 for row in rows)
    assert [row.split("|")[2].strip() for row in tables[2].splitlines()[2:]] == ["8", "4", "2"]
