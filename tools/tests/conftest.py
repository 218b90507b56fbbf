"""What several tests need: the command, the shipped models, and recordings to feed them with."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from mollifier_train import command

ROOT = Path(__file__).resolve().parents[2]
# Scripts that tests use parts of.
sys.path += [str(ROOT / "tools"), str(ROOT / "examples")]

ABSENT = "the command `mollifier` is not built (cargo build --release), and MOLLIFIER names none"


@pytest.fixture(scope="session")
def mollifier() -> None:
    """Skip where the command is absent."""
    if command.find() is None:
        pytest.skip(ABSENT)
