"""Chromatin density maps and localisation tables."""

import csv
from pathlib import Path

import numpy as np
from mollifier_train.simulate.chromatin import COLUMNS, localise, simulate, write_thunderstorm
from mollifier_train.simulate.reaction_diffusion import evolve


def test_map_is_near_steady_and_short_steps_agree() -> None:
    r = simulate(20_001, size=32, localisations=1000)
    assert r.change < 0.1
    later = evolve(r.phi, r.lam, np.array([2.0]), step=0.05)[0]
    assert np.abs(later - r.phi).max() < 0.01


def test_localisations_follow_the_density() -> None:
    r = simulate(20_002, size=32, localisations=200_000, error=0.0)
    counts, _, _ = np.histogram2d(r.localisations[:, 1], r.localisations[:, 0], bins=32, range=[[0, 960], [0, 960]])
    expected = r.density * r.pixel**2
    assert abs(expected.sum() - 200_000) < 1
    z = (counts - expected) / np.sqrt(expected)
    assert abs(z.mean()) < 0.2
    assert 0.85 < z.std() < 1.15


def test_localisation_error_has_the_stated_width() -> None:
    density = np.zeros((3, 3))
    density[1, 1] = 20_000 / 1e-6
    xy = localise(np.random.default_rng(20_003), density, pixel=1e-3, error=10.0)
    np.testing.assert_allclose(xy.std(axis=0), 10, rtol=0.03)


def test_table_reads_back(tmp_path: Path) -> None:
    xy = np.array([[12.3456, 7.0], [100.0, -3.25], [5.0, 6.0]])
    path = tmp_path / "table.csv"
    write_thunderstorm(path, xy, frames=3)
    assert path.read_text().startswith('"id","frame","x [nm]","y [nm]","sigma [nm]","intensity [photon]"')
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    np.testing.assert_allclose([[float(r["x [nm]"]), float(r["y [nm]"])] for r in rows], xy, atol=1e-3)
    assert [r["frame"] for r in rows] == ["1", "2", "3"]
