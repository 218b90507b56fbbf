"""The banks that ours is timed against compute the same fields."""

from __future__ import annotations

import numpy as np
import pytest
from other_banks import Bank, elsewhere, five_fields, heat_radii


def taps(radius: int, order: int) -> np.ndarray:
    """Any taps: who computes the fields does not matter to them."""
    return np.random.default_rng(1000 * radius + order).normal(size=2 * radius + 1).astype(np.float32)


@pytest.mark.parametrize("bank", [five_fields(taps), heat_radii(taps)], ids=["five fields", "heat's radii"])
def test_every_library_computes_the_same_fields(bank: Bank) -> None:
    """Each field to single precision, whichever of the libraries are installed."""
    libraries = elsewhere(bank, 70)
    assert {"onnxruntime", "scipy"} <= set(libraries)
    expected = libraries["scipy"]()
    assert len(expected) == len(bank.fields)
    for name, fields in libraries.items():
        for got, want in zip(fields(), expected, strict=True):
            assert np.abs(got - want).max() < 1e-5 * np.abs(want).max(), name
