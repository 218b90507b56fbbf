"""A short soak: `tools/soak.py` is the long one."""

from __future__ import annotations

from pathlib import Path

import pytest
from mollifier_train.command import find
from soak import ROOM_MB, soak


@pytest.mark.usefixtures("mollifier")
def test_random_faults_and_kills_lose_nothing_unaccounted_for(tmp_path: Path) -> None:
    outcome = soak(str(find()), tmp_path, frames=1200, kills=2, chance=0.01, seed=7)
    assert outcome.faults_found == []
    assert outcome.lost > 0
    assert outcome.growth_mb is None or outcome.growth_mb < ROOM_MB
