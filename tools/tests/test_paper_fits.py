"""Fits of one recording: the truth of tasks, the two forms of an equation, the loss, a fit's file, what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import onnx
import onnxruntime
import pytest
import tifffile
from mollifier_train import command
from mollifier_train.__main__ import main
from mollifier_train.paper import fit_recording, fitted_file
from mollifier_train.paper.fitting import Fit, Settings, bind, mesh, train
from mollifier_train.paper.layer import Mollifier
from mollifier_train.paper.tasks import Task, heat_task, langevin_task, reaction_diffusion_task
from mollifier_train.scores import correlation

pytestmark = pytest.mark.usefixtures("mollifier")
SMALL = {"options": {"width": 8, "depth": 2}}


def closed_form(task: Task, radius: tuple[int, ...], form: str) -> np.ndarray:
    """Lambda from kernels over the data, least squares over the frames, where every kernel is covered."""
    e = task.equation
    layer = Mollifier(e.family, radius, task.u.shape, task.spacing, e.highest, "one-sided")
    d = e.mollified(layer, jnp.asarray(task.u), form)
    num, den = (np.asarray(side, np.float64) for side in e.sides(d, task.known, jnp))
    lam = (num * den).mean(axis=0) / (den**2).mean(axis=0)
    return lam


def test_true_lambda_and_derivative_solve_langevin_and_heat() -> None:
    task = langevin_task(20_000, 0.0)
    np.testing.assert_allclose(task.figure - task.known["a"] * task.u, task.lam, atol=1e-12)
    np.testing.assert_allclose(task.figure[1:-1], np.gradient(task.u, task.spacing[0])[1:-1], atol=0.05)
    task = heat_task(20_000, 0.0, sensors=1.0, keep=2)
    lap = sum(np.gradient(np.gradient(task.u, h, axis=a), h, axis=a) for a, h in enumerate(task.spacing))
    assert correlation(lap[3:-3, 3:-3], task.figure[3:-3, 3:-3]) > 0.999


def test_half_of_the_thermometers_are_seen() -> None:
    task = heat_task(20_001, 5.0, sensors=0.25, keep=8)
    assert task.seen.mean() == pytest.approx(0.25, abs=1e-2)
    full = heat_task(20_001, 5.0, sensors=1.0, keep=8)
    np.testing.assert_array_equal(task.u[task.seen], full.u[task.seen])
    # Between neighbours a smooth field is known well.
    clean = replace(task, u=np.where(task.seen, heat_task(20_001, 0.0, sensors=1.0, keep=8).u, 0.0))
    assert correlation(clean.filled(), heat_task(20_001, 0.0, sensors=1.0, keep=8).u) > 0.99


def test_noise_in_the_forcing_is_not_in_the_truth() -> None:
    calm, kicked = langevin_task(20_002, 0.0), langevin_task(20_002, 0.0, forcing_noise=0.3)
    np.testing.assert_array_equal(calm.lam, kicked.lam)
    difference = kicked.u - calm.u
    assert difference[0] == 0
    # A random walk that grows as u does: variance (e^{2t} - 1) / 2 of unit noise; one draw, so within a factor.
    assert 0.03 < difference.std() < 3


def test_the_weak_form_is_right_where_phases_are_separate() -> None:
    """Products of smoothed fields are not smoothed products: without noise the one finds lambda, the other does not."""
    task = reaction_diffusion_task(0, 0.0, side=40)
    inside = (slice(8, -8),) * 2
    scores = {
        form: correlation(closed_form(task, (2, 7, 7), form)[inside], task.lam[inside]) for form in ("weak", "smoothed")
    }
    assert scores["weak"] > 0.95
    assert scores["smoothed"] < 0.5


def test_first_guess_is_of_the_size_of_lambda() -> None:
    for task, radius in ((heat_task(20_003, 5.0), (12, 12)), (reaction_diffusion_task(20_003, 5.0), (2, 8, 8))):
        guess, size = task.first_guess(radius)
        assert 0.3 < guess / task.lam.mean() < 3
        assert size > 0


def bound(task: Task, **given: object) -> Fit:
    radius = {"langevin": (8,), "heat": (4, 4), "reaction-diffusion": (2, 6, 6)}[task.name]
    return bind(task, Settings(radius=radius, **(SMALL | {"steps": 20} | given)))


def test_direct_lambda_is_the_quotient_and_its_local_mean() -> None:
    task = heat_task(20_009, 0.0, sensors=1.0, keep=16)
    fit = bound(task, method="nested")
    terms = {"value": task.u, "laplacian": task.figure}
    np.testing.assert_allclose(fit.direct(terms), task.lam, rtol=1e-6)
    smooth = fit.direct(terms, average=True)
    assert smooth.min() >= task.lam.min() * 0.999
    assert smooth.max() <= task.lam.max() * 1.001
    assert correlation(smooth, task.lam) > 0.8


def test_plain_methods_have_the_same_loss() -> None:
    """Nested and Taylor mode at every point; a sampled residual is its mean over draws."""
    task = heat_task(20_004, 5.0, keep=16)
    nested, taylor = (bound(task, method=method) for method in ("nested", "taylor"))
    networks, key = nested.start(), jax.random.key(0)
    sampled = bound(task, method="taylor", sampled=4000)
    one, other, drawn = (float(eqx.filter_jit(f.loss)(networks, key)[0]) for f in (nested, taylor, sampled))
    np.testing.assert_allclose(other, one, rtol=1e-5)
    np.testing.assert_allclose(drawn, one, rtol=0.1)


def test_mollified_and_plain_agree_on_a_smooth_network() -> None:
    """On an untrained network, which is smooth, both see the same equation but for what the kernel smooths."""
    task = langevin_task(20_005, 5.0)
    mollified, plain = bound(task, method="mollified"), bound(task, method="nested")
    networks = plain.start()
    one, other = (eqx.filter_jit(fit.terms)(networks) for fit in (mollified, plain))
    for term in ("value", "dt"):
        np.testing.assert_allclose(one[term], other[term], atol=2e-2 * float(jnp.abs(other[term]).max()))


def test_training_lowers_the_loss_and_stops_at_its_cap() -> None:
    fit = bound(langevin_task(20_006, 5.0), steps=150, rate=1e-2)
    _, record = train(fit, looks=5)
    assert record.steps == 150
    start = float(eqx.filter_jit(fit.loss)(fit.start(), jax.random.key(0))[0])
    assert record.history[-1]["loss"] < 0.3 * start
    assert record.buffer_bytes > 0
    _, record = train(fit, cap=0.0)
    assert record.steps == 1
    assert record.capped


def test_lbfgs_goes_on_where_adam_ends() -> None:
    task = langevin_task(20_006, 5.0)
    fit = bound(task, steps=150, rate=1e-2, finish=40)
    _, record = train(fit, looks=5)
    assert record.steps == 190
    losses = {row["step"]: row["loss"] for row in record.history}
    assert losses[190] < 0.8 * losses[150]
    # As good a loss takes Adam alone several times as many steps.
    _, alone = train(bound(task, steps=190, rate=1e-2), looks=1)
    assert losses[190] < alone.history[-1]["loss"]
    _, record = train(fit, cap=1e9, looks=5, stop=lambda record: record.steps > 150)
    assert 150 < record.steps < 190


@pytest.mark.parametrize(
    ("task", "form"),
    [
        (langevin_task(20_007, 5.0), "smoothed"),
        (heat_task(20_007, 5.0, keep=16), "smoothed"),
        (reaction_diffusion_task(20_007, 5.0, side=14), "weak"),
    ],
    ids=["langevin", "heat", "reaction-diffusion"],
)
def test_the_file_of_a_fit_computes_the_fit(task: Task, form: str, tmp_path: Path) -> None:
    fit = bound(task, form=form)
    networks = fit.start()
    # Off its start, where the last bias is zero.
    networks = eqx.tree_at(lambda n: n.lam.inner.layers[-1][1], networks, jnp.array([0.3]))
    path = tmp_path / "fit.onnx"
    fitted_file.write(path, fit, networks, provenance={"seed": 1})
    assert onnx.load(path).opset_import[0].version == 17
    scale = task.statistics[1]
    session = onnxruntime.InferenceSession(str(path))
    points = mesh([np.linspace(*ends, n) for ends, n in zip(task.bounds, task.u.shape, strict=True)])
    field, _ = session.run(None, {"coordinates": points.astype(np.float32)})
    np.testing.assert_allclose(field.reshape(task.u.shape), fit.value(networks), atol=2e-4 * scale)

    # The command on its own engine: a map for each frame, lambda the same in all of them.
    lam = fit.lambda_map(networks)
    got = evaluated(path, tmp_path / "own")
    np.testing.assert_allclose(got["field"].reshape(task.u.shape), fit.value(networks), atol=2e-4 * scale)
    for one in got["lambda"].reshape(-1, *lam.shape) if lam.ndim == 2 else [got["lambda"]]:
        np.testing.assert_allclose(one, lam, rtol=2e-4, atol=1e-5)
    # Any grid: every second sample of one twice as fine is the recording's own.
    last = task.equation.axes[-1]
    fine = evaluated(path, tmp_path / "fine", "--size", f"{last}={2 * task.u.shape[-1] - 1}", "--threads", "1")
    for name, tolerance in (("field", 1e-5 * scale), ("lambda", 1e-4 * np.abs(lam).max())):
        np.testing.assert_allclose(fine[name][..., ::2], got[name], atol=tolerance)
    # Beside its recording: what it leaves of it.
    np.save(tmp_path / "u.npy", task.u)
    beside = evaluated(path, tmp_path / "beside", recording=tmp_path / "u.npy")
    left = task.u - beside["field"].reshape(task.u.shape)
    np.testing.assert_allclose(beside["misfit"].reshape(task.u.shape), left, atol=1e-6 * scale)
    np.testing.assert_array_equal(beside["field"], got["field"])


def evaluated(fit: Path, out: Path, *options: str, recording: Path | None = None) -> dict[str, np.ndarray]:
    """What `mollifier run` makes of a fit, by output."""
    own = [recording] if recording else []
    command.call(["run", fit, *own, "--out", out, "--format", "npy", *options])
    return {path.stem: np.load(path) for path in out.glob("*.npy")}


def test_fit_of_a_csv_series(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As a person does it: times and values in a CSV, gaps in it, maps and a graph come out."""
    task = langevin_task(20_000, 5.0)
    rows = [f"{i * task.spacing[0]:.6f},{'' if i in (50, 51) else f'{u:.6f}'}" for i, u in enumerate(task.u)]
    (tmp_path / "log.csv").write_text("time,position\n" + "\n".join(rows) + "\n", encoding="utf-8")
    out = tmp_path / "out"
    line = [
        "fit",
        str(tmp_path / "log.csv"),
        "--problem",
        "langevin",
        "--steps",
        "800",
        "--finish",
        "20",
        "--out",
        str(out),
    ]
    assert main(line) == 0
    said = capsys.readouterr()
    assert "time step 0.00784314" in said.err
    assert "held out" in said.err
    assert "misfit" in said.out
    lam = np.genfromtxt(out / "lambda.csv", delimiter=",", names=True)
    assert correlation(lam["lambda"], task.lam) > 0.9
    misfit = np.genfromtxt(out / "misfit.csv", delimiter=",", names=True)["misfit"]
    assert np.flatnonzero(np.isnan(misfit)).tolist() == [50, 51]
    assert json.loads((out / "fit.json").read_text())["best_step"] > 0
    assert evaluated(out / "fit.onnx", tmp_path / "coarse", "--size", "t=31")["lambda"].shape == (31,)


def test_fit_of_a_tiff(tmp_path: Path) -> None:
    task = heat_task(20_001, 5.0, sensors=0.6, keep=16)
    tifffile.imwrite(tmp_path / "plate.tif", np.where(task.seen, task.u, np.nan).astype(np.float32))
    tifffile.imwrite(tmp_path / "source.tif", np.asarray(task.known["m"], np.float32))
    loaded, notes = fit_recording.load(
        tmp_path / "plate.tif", "heat", spacing="y=62.5mm,x=62.5mm", given=[f"m={tmp_path / 'source.tif'}"]
    )
    assert notes == []
    np.testing.assert_array_equal(loaded.seen, task.seen)
    fitted = fit_recording.fit_task(loaded, steps=40, finish=0, radius=(4, 4), quiet=True)
    path = fit_recording.write(fitted, tmp_path / "out")
    said = command.call(["run", path, tmp_path / "plate.tif", "--unit", "u=K", "--unit", "m=K/s", "--out", path.parent])
    assert "mm^2/s" in said
    assert tifffile.imread(tmp_path / "out" / "lambda.tif").shape == task.u.shape
    misfit = tifffile.imread(tmp_path / "out" / "misfit.tif")
    np.testing.assert_array_equal(np.isfinite(misfit), task.seen)
    with tifffile.TiffFile(tmp_path / "out" / "lambda.tif") as file:
        assert 'PhysicalSizeX="62.5" PhysicalSizeXUnit="mm"' in str(file.ome_metadata)


@pytest.mark.parametrize("kind", ["imagej", "ome"])
def test_distances_come_from_a_tiff_that_states_them(kind: str, tmp_path: Path) -> None:
    """As for `mollifier run`: with none of the user's, those of the file count, in its units."""
    movie = np.random.default_rng(0).normal(size=(5, 12, 14)).astype(np.float32)
    path = tmp_path / "movie.tif"
    if kind == "imagej":
        metadata = {"axes": "TYX", "unit": "micron", "finterval": 0.5}
        tifffile.imwrite(path, movie, imagej=True, resolution=(10, 5), metadata=metadata)
    else:
        own = {"PhysicalSizeX": 0.1, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.2, "PhysicalSizeYUnit": "µm"}
        metadata = {"axes": "TYX", "TimeIncrement": 500.0, "TimeIncrementUnit": "ms", **own}
        tifffile.imwrite(path, movie, ome=True, metadata=metadata)
    task, notes = fit_recording.load(path, "heat-transient")
    assert task.units == {"t": "s" if kind == "imagej" else "ms", "y": "um", "x": "um"}
    np.testing.assert_allclose(task.spacing, (0.5 if kind == "imagej" else 500.0, 0.2, 0.1), rtol=1e-6)
    assert any("from the file" in note for note in notes)
    mine, _ = fit_recording.load(path, "heat-transient", spacing="t=1,y=2,x=3")
    assert mine.spacing == (1.0, 2.0, 3.0) and not mine.units


def test_a_tiff_that_states_a_part_of_its_distances_is_asked_about(tmp_path: Path) -> None:
    movie = np.random.default_rng(0).normal(size=(5, 12, 14)).astype(np.float32)
    path = tmp_path / "movie.tif"
    tifffile.imwrite(path, movie, imagej=True, resolution=(10, 10), metadata={"axes": "TYX", "unit": "um"})
    with pytest.raises(command.InputError, match="nothing for t from the file"):
        fit_recording.load(path, "heat-transient")
    tifffile.imwrite(path, movie, imagej=True, resolution=(10, 10), metadata={"axes": "TYX", "unit": "pixel"})
    task, notes = fit_recording.load(path, "heat-transient")
    assert task.spacing == (1.0, 1.0, 1.0) and len(notes) >= 3
    metadata = {"axes": "TYX", "unit": "pixel", "finterval": "unknown"}
    tifffile.imwrite(path, movie, imagej=True, resolution=(10, 10), metadata=metadata)
    assert fit_recording.load(path, "heat-transient")[0].spacing == (1.0, 1.0, 1.0)


def test_a_fit_ends_when_the_samples_kept_out_are_met_no_better() -> None:
    fitted = fit_recording.fit_task(langevin_task(20_008, 5.0), steps=2000, patience=1, looks=100, quiet=True)
    assert fitted.record.steps < 2000
    assert fitted.best_step < fitted.record.steps
    looks = [row["held_out"] for row in fitted.record.history]
    assert fitted.held_out == min(looks)


@pytest.mark.parametrize(
    ("text", "column", "expected"),
    [
        ("0,1\n1,2\n2,4\n3,8\n", None, ([1, 2, 4, 8], 1.0)),
        ("a\n1\n\n2\nnan\n", None, ([1, 2, float("nan")], None)),
        ("1,5\n9,6\n2,7\n", "2", ([5, 6, 7], None)),
        ("t,u,v\n0,1,4\n2,2,5\n4,3,6\n", "v", ([4, 5, 6], 2.0)),
        ("t [s],T [\u00b5K]\n0,1\n2,2\n6,3\n8,4\n", None, ([1, 2, float("nan"), 3, 4], 2.0)),
        ("Zeit;Wert\n0,5;1,25\n0,6;-2\n0,7;\n", None, ([1.25, -2, float("nan")], 0.1)),
        ("# made by hand\n0 1\n1 2\n2 4\n", None, ([1, 2, 4], 1.0)),
    ],
)
def test_reading_a_series(text: str, column: str | None, expected: tuple, tmp_path: Path) -> None:
    for encoding in ("utf-8", "latin-1"):
        (tmp_path / "s.csv").write_text(text, encoding=encoding)
        values, step = fit_recording.read_series(tmp_path / "s.csv", column)
        np.testing.assert_array_equal(values, expected[0])
        assert step == (expected[1] and pytest.approx(expected[1]))


def test_what_cannot_be_fitted_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "plate.npy", np.random.default_rng(0).normal(size=(20, 20)))
    np.save(tmp_path / "still.npy", np.ones((20, 20)))
    (tmp_path / "two.csv").write_text("1,5\n9,6\n2,7\n", encoding="utf-8")
    (tmp_path / "empty.csv").write_text("", encoding="utf-8")
    (tmp_path / "uneven.csv").write_text("time,u\n0,1\n1,2\n2.5,3\n3.1,4\n", encoding="utf-8")
    (tmp_path / "long.csv").write_text("\n".join(str(i % 7) for i in range(40)), encoding="utf-8")
    plate = str(tmp_path / "plate.npy")
    out = ["--out", str(tmp_path / "out")]
    for arguments, message in (
        ([plate, "--problem", "heat"], "got no m, expected --with m=NUMBER or FILE"),
        ([plate, "--problem", "heat", "--with", "q=1"], "expected one of m"),
        ([str(tmp_path / "uneven.csv"), "--problem", "langevin"], "got times 'time' that are no even steps"),
        ([plate, "--problem", "langevin"], "got values of shape (20, 20), expected the axes t"),
        ([plate, "--problem", "heat", "--with", "m=1", "--spacing", "y=-1"], "expected a positive number"),
        ([plate, "--problem", "heat", "--with", "m=1", "--spacing", "y=wide"], "expected a number"),
        ([plate, "--problem", "heat", "--with", "m=1", "--spacing", "y=1um,x=1"], "a unit for each of y, x"),
        ([plate, "--problem", "heat", "--with", "m=1", "--spacing", "y=1um,x=1nm"], "one unit along y and x"),
        ([plate, "--problem", "heat", "--with", "m=1", "--spacing", "y=1s,x=1s"], "expected a unit of pm"),
        (
            [str(tmp_path / "long.csv"), "--problem", "langevin", "--spacing", "t=1s"],
            "the default a = 1 has no meaning",
        ),
        ([plate, "--problem", "heat", "--with", "m=1", "--radius", "3"], "got 1 numbers, expected 2"),
        ([str(tmp_path / "still.npy"), "--problem", "heat", "--with", "m=1"], "at least 16 that differ"),
        ([str(tmp_path / "two.csv"), "--problem", "langevin"], "choose with --column"),
        ([str(tmp_path / "empty.csv"), "--problem", "langevin"], "got an empty file"),
        ([str(tmp_path / "none.tif"), "--problem", "heat", "--with", "m=1"], "No such file"),
    ):
        assert main(["fit", *arguments, *out]) == 1
        said = capsys.readouterr().err.strip().splitlines()
        assert message in said[-1]
    assert not (tmp_path / "out").exists()
