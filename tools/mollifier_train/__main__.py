"""The command line of the Python tools: `python -m mollifier_train --help`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from . import calibration, command, evaluate, examples
from .problems import PROBLEMS

TRAINED = ("langevin", "heat", "heat-transient", "reaction-diffusion", "chromatin")
"""Laws whose trunk is trained here."""
FITTED = ("langevin", "heat", "heat-transient", "reaction-diffusion")
"""Laws that a network can be fitted to a recording with."""


def problems_of(model: str) -> list[str]:
    """The test sets of a shipped model, by its stem."""
    return [name for name, problem in PROBLEMS.items() if problem.model == model]


def run_evaluate(arguments: argparse.Namespace) -> int:
    """`evaluate`: print the table of each problem; write a card if asked."""
    done = []
    for name in arguments.problem:
        done.append(
            evaluate.evaluate(
                name,
                model=arguments.model,
                fields=arguments.fields,
                seed_start=arguments.seed_start,
                levels=arguments.noise,
                known_noise=arguments.known_noise,
                quiet=not arguments.verbose,
            )
        )
        print(evaluate.report(done[-1]), end="\n\n", flush=True)
    if arguments.card:
        evaluate.write_card(arguments.card, done)
        print(f"wrote {arguments.card}")
    return int(any(row.errors for e in done for row in e.rows))


def run_cards(arguments: argparse.Namespace) -> int:
    """`cards`: evaluate shipped models and renew the accuracy blocks of their cards."""
    stems = arguments.model or [p.stem for p in command.shipped()]
    for stem in stems:
        names = problems_of(stem)
        if not names:
            print(f"{stem}: no test set, card left as it is")
            continue
        done = [evaluate.evaluate(name, fields=arguments.fields) for name in names]
        for e in done:
            print(evaluate.report(e), end="\n\n", flush=True)
        evaluate.write_card(command.MODELS / f"{stem}.md", done)
        print(f"wrote {command.MODELS / f'{stem}.md'}", flush=True)
    return 0


def run_calibrate(arguments: argparse.Namespace) -> int:
    """`calibrate`: how often the truth lies within a trained model's interval."""
    model = arguments.model or command.MODELS / f"{PROBLEMS[arguments.problem[0]].model}.onnx"
    text = calibration.block(
        arguments.problem, model, fields=arguments.fields, seed_start=arguments.seed_start, levels=arguments.noise
    )
    print(text)
    if arguments.card:
        calibration.write_card(arguments.card, text)
    return 0


def run_widths(arguments: argparse.Namespace) -> int:
    """`widths`: the width that suits each usual method best, on seeds that publish nothing."""
    for name in arguments.problem:
        print(f"{name}: {evaluate.best_widths(name, fields=arguments.fields, seed_start=arguments.seed_start)}")
    return 0


def run_pictures(arguments: argparse.Namespace) -> int:
    """`pictures`: truth, estimate and error of one recording for each trained model's card."""
    from . import pictures

    for model in arguments.model or list(pictures.SUBJECTS):
        out = arguments.out / f"{model}.png"
        pictures.draw(model, out)
        print(f"wrote {out}")
    return 0


def run_oracle(arguments: argparse.Namespace) -> int:
    """`oracle`: what can be reached on the Langevin test set."""
    from . import oracle

    for level in PROBLEMS["langevin"].levels:
        s = oracle.best(level, fields=arguments.fields, seed_start=arguments.seed_start)
        parts = [("interior", s.interior), ("L2", s.error), ("boundary", s.boundary)]
        print(f"{level:g} %: " + ", ".join(f"{name} {evaluate.number(value)}" for name, value in parts), flush=True)
    return 0


def run_train(arguments: argparse.Namespace) -> int:
    """`train`: simulate, train and write `models/LAW.trunk.onnx`."""
    from . import train  # jax takes seconds to load, and only this needs it

    asked = {"recordings": arguments.recordings, "steps": arguments.steps}
    asked = {name: value for name, value in asked.items() if value is not None}
    recipe = train.Recipe(**(train.RECIPES.get(arguments.law, {}) | asked))
    out = arguments.out or command.MODELS / f"{arguments.law}.trunk.onnx"
    several = len(arguments.seed) > 1
    named = {seed: out.with_suffix(f".{seed}.onnx") if several else out for seed in arguments.seed}
    train.train(arguments.law, named, recipe, workers=arguments.workers)
    return 0


def run_ablate(arguments: argparse.Namespace) -> int:
    """`ablate`: what a trunk's parts are worth."""
    from . import ablate

    ablate.ablate(arguments.out, recordings=arguments.recordings, steps=arguments.steps, fields=arguments.fields)
    print(f"wrote {arguments.out}")
    return 0


def run_precision(arguments: argparse.Namespace) -> int:
    """`precision`: what fewer bits in a trunk's products cost."""
    from . import precision

    precision.measure(arguments.out, fields=arguments.fields)
    print(f"wrote {arguments.out}")
    return 0


def run_windows(arguments: argparse.Namespace) -> int:
    """`windows`: how many frames a map is worth."""
    from . import windows

    windows.windows(arguments.out, recordings=arguments.recordings, steps=arguments.steps, fields=arguments.fields)
    print(f"wrote {arguments.out}")
    return 0


def run_export(arguments: argparse.Namespace) -> int:
    """`export`: join front end and trunk into a model file."""
    law = arguments.law
    trunk = arguments.trunk or command.MODELS / f"{law}.trunk.onnx"
    out = arguments.out or command.MODELS / f"{law}.onnx"
    command.bake(command.MODELS / f"{law}.toml", out, trunk=trunk)
    print(f"wrote {out}")
    return 0


def run_examples(arguments: argparse.Namespace) -> int:
    """`examples`: write the sample recordings."""
    for path in examples.write(arguments.out):
        print(f"wrote {path} ({path.stat().st_size} bytes)")
    return 0


def run_reproduce(arguments: argparse.Namespace) -> int:
    """`reproduce`: run the cells of the paper's comparison that have no result yet, and write the report."""
    from .paper import reproduce

    results, report, images = arguments.results, arguments.report, arguments.images
    if arguments.quick:
        # Not figures: they must not be mixed with the study's.
        folder = command.ROOT / "out" / "reproduce-quick"
        results, report, images = folder / "results.jsonl", folder / "REPRODUCTION.md", folder / "images"
        results.unlink(missing_ok=True)
    failures = reproduce.reproduce(
        results_path=results,
        report_path=report,
        images=images,
        quick=arguments.quick,
        hours=arguments.hours,
        workers=arguments.workers,
        parts=arguments.part,
        report_only=arguments.report_only,
    )
    print(f"wrote {report}")
    if failures:
        print(f"error: {failures} cells failed: see the end of {report}", file=sys.stderr)
    return int(failures > 0)


def run_fit(arguments: argparse.Namespace) -> int:
    """`fit`: fit a mollified network to a recording and write it."""
    from .paper import fit_recording

    task, notes = fit_recording.load(
        arguments.recording,
        arguments.problem,
        spacing=arguments.spacing,
        column=arguments.column,
        given=arguments.given,
    )
    for note in notes:
        print(note, file=sys.stderr)
    fitted = fit_recording.fit_task(
        task,
        steps=arguments.steps,
        finish=arguments.finish,
        radius=arguments.radius,
        weight=arguments.weight,
        seed=arguments.seed,
        patience=arguments.patience,
        quiet=arguments.quiet,
    )
    print(
        f"best at step {fitted.best_step}: samples kept out are met within {fitted.held_out:.4f} standard deviations "
        "of the data"
    )
    if fitted.held_out > fit_recording.UNFOLLOWED:
        print(
            "warning: the network does not follow the recording (what it was not shown is missed by more than "
            f"{fit_recording.UNFOLLOWED:g} of its deviation), and its lambda means nothing: fit a smaller part",
            file=sys.stderr,
        )
    path = fit_recording.write(fitted, arguments.out, recording=arguments.recording.name)
    print(f"wrote {path} and fit.json")
    own = ["--column", arguments.column] if arguments.column else []
    try:
        said = command.call(["run", path, arguments.recording, *own, "--out", arguments.out])
    except command.CommandError as error:
        # The recording was read another way than the command does; its fit does not need it.
        print(f"without what the fit leaves of the recording: {error}", file=sys.stderr)
        said = command.call(["run", path, "--out", arguments.out])
    print(said, end="")
    return 0


def parser() -> argparse.ArgumentParser:
    """The argument parser."""
    top = argparse.ArgumentParser(prog="python -m mollifier_train", description=__doc__.split(":")[0])
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    one = commands.add_parser("evaluate", help="score a model on simulated recordings, run by `mollifier run`")
    one.add_argument("problem", nargs="+", choices=list(PROBLEMS), metavar="PROBLEM", help=", ".join(PROBLEMS))
    one.add_argument("--model", type=Path, help="model file [default: the problem's closed form in models/]")
    one.add_argument("--fields", type=int, help="recordings at each level [default: the problem's own]")
    one.add_argument("--seed-start", type=int, default=0, help="seed of the first one [default: 0]")
    one.add_argument("--noise", type=float, nargs="+", metavar="PERCENT", help="levels [default: the problem's own]")
    one.add_argument("--known-noise", action="store_true", help="tell the command the true noise")
    one.add_argument("--card", type=Path, help="model card whose accuracy block is renewed")
    one.add_argument("--verbose", action="store_true", help="print every score on standard error")
    one.set_defaults(run=run_evaluate)

    cards = commands.add_parser("cards", help="evaluate shipped models and renew their cards")
    cards.add_argument("model", nargs="*", help="stems, such as heat-closed-form [default: every models/*.onnx]")
    cards.add_argument("--fields", type=int, help="recordings at each level [default: the problem's own]")
    cards.set_defaults(run=run_cards)

    one = commands.add_parser("calibrate", help="measure the intervals of a model that gives std")
    one.add_argument("problem", nargs="+", choices=list(PROBLEMS), metavar="PROBLEM", help="test sets of one model")
    one.add_argument("--model", type=Path, help="model file [default: the problem's in models/]")
    one.add_argument("--fields", type=int, default=20, help="recordings at each level [default: %(default)s]")
    one.add_argument("--seed-start", type=int, default=0, help="seed of the first one [default: 0]")
    one.add_argument("--noise", type=float, nargs="+", default=[1, 5, 10], metavar="PERCENT", help="levels")
    one.add_argument("--card", type=Path, help="model card whose calibration block is renewed")
    one.set_defaults(run=run_calibrate)

    one = commands.add_parser("widths", help="find the widths of the usual methods that models are held against")
    one.add_argument("problem", nargs="+", choices=list(PROBLEMS), metavar="PROBLEM", help=", ".join(PROBLEMS))
    one.add_argument("--fields", type=int, default=6, help="recordings at each level [default: %(default)s]")
    one.add_argument("--seed-start", type=int, default=10_000, help="seed of the first one [default: %(default)s]")
    one.set_defaults(run=run_widths)

    one = commands.add_parser("pictures", help="draw truth, estimate and error of one recording for each card")
    one.add_argument("model", nargs="*", choices=TRAINED, metavar="MODEL", help="[default: every trained model]")
    one.add_argument("--out", type=Path, default=command.ROOT / "docs" / "images", help="folder")
    one.set_defaults(run=run_pictures)

    one = commands.add_parser("oracle", help="the best possible scores on the Langevin test set")
    one.add_argument("--fields", type=int, default=200, help="series at each level [default: %(default)s]")
    one.add_argument("--seed-start", type=int, default=0, help="seed of the first one [default: 0]")
    one.set_defaults(run=run_oracle)

    one = commands.add_parser("train", help="simulate a training set and train the trunk of a law")
    one.add_argument("law", choices=TRAINED, metavar="LAW", help=", ".join(TRAINED))
    one.add_argument("--out", type=Path, help="trunk to write [default: models/LAW.trunk.onnx]")
    one.add_argument("--recordings", type=int, help="in the training set [default: the law's own]")
    one.add_argument("--steps", type=int, help="of Adam [default: the law's own]")
    one.add_argument("--workers", type=int, default=1, help="processes that simulate [default: %(default)s]")
    one.add_argument(
        "--seed",
        type=int,
        nargs="+",
        default=[0],
        help="of the network; of several each gets a file, with its seed in the name [default: 0]",
    )
    one.set_defaults(run=run_train)

    one = commands.add_parser("ablate", help="train variants of the trunk of steady heat side by side")
    one.add_argument("--out", type=Path, default=command.ROOT / "docs" / "ablations.md", help="Markdown to write")
    one.add_argument("--recordings", type=int, default=1000, help="in the training set [default: %(default)s]")
    one.add_argument("--steps", type=int, default=1000, help="of Adam [default: %(default)s]")
    one.add_argument("--fields", type=int, default=10, help="choice recordings at each level [default: %(default)s]")
    one.set_defaults(run=run_ablate)

    one = commands.add_parser("precision", help="compute trunks with fewer bits and compare")
    one.add_argument("--out", type=Path, default=command.ROOT / "docs" / "precision.md", help="Markdown to write")
    one.add_argument("--fields", type=int, default=20, help="recordings at each level [default: %(default)s]")
    one.set_defaults(run=run_precision)

    one = commands.add_parser("windows", help="bake and train the laws of movies for several numbers of frames")
    one.add_argument("--out", type=Path, default=command.ROOT / "docs" / "windows.md", help="Markdown to write")
    one.add_argument("--recordings", type=int, default=300, help="in each training set [default: %(default)s]")
    one.add_argument("--steps", type=int, default=600, help="of Adam [default: %(default)s]")
    one.add_argument("--fields", type=int, default=10, help="choice recordings at each level [default: %(default)s]")
    one.set_defaults(run=run_windows)

    one = commands.add_parser("export", help="bake a law's front end and trunk into one model file")
    one.add_argument("law", choices=TRAINED, metavar="LAW", help=", ".join(TRAINED))
    one.add_argument("--trunk", type=Path, help="[default: models/LAW.trunk.onnx]")
    one.add_argument("--out", type=Path, help="model to write [default: models/LAW.onnx]")
    one.set_defaults(run=run_export)

    samples = commands.add_parser("examples", help="write the simulated sample recordings")
    samples.add_argument("--out", type=Path, default=command.ROOT / "examples" / "data", help="folder")
    samples.set_defaults(run=run_examples)

    one = commands.add_parser(
        "reproduce", help="plain against mollified networks: run the table, write REPRODUCTION.md"
    )
    one.add_argument("--quick", action="store_true", help="a few short cells, written to out/reproduce-quick")
    one.add_argument("--hours", type=float, default=12.0, help="begin no cell after these [default: %(default)s]")
    one.add_argument("--workers", type=int, default=1, help="cells side by side, one thread each [default: 1]")
    one.add_argument("--part", nargs="+", metavar="PART", help="of the study, such as tuning or table [default: all]")
    one.add_argument("--report-only", action="store_true", help="run nothing, write the report from the results")
    docs = command.ROOT / "docs"
    one.add_argument("--results", type=Path, default=docs / "reproduction.jsonl", help="file, one JSON line a cell")
    one.add_argument("--report", type=Path, default=command.ROOT / "REPRODUCTION.md", help="Markdown to write")
    one.add_argument("--images", type=Path, default=docs / "images", help="folder for its plots")
    one.set_defaults(run=run_reproduce)

    one = commands.add_parser("fit", help="fit a mollified network to one recording")
    one.add_argument("recording", type=Path, help="CSV series, TIFF or NPY; values that are not finite are missing")
    one.add_argument("--problem", required=True, choices=FITTED, help="the law")
    one.add_argument(
        "--with", dest="given", action="append", default=[], metavar="NAME=NUMBER|FILE", help="known beside it"
    )
    one.add_argument(
        "--spacing",
        help="sample distances, such as t=2s,y=0.1um,x=0.1um [default: what a TIFF or a CSV's times say, else 1]",
    )
    one.add_argument("--column", help="of a CSV file with several")
    one.add_argument("--radius", type=int, nargs="+", help="of the kernels along each axis, in samples")
    one.add_argument("--weight", type=float, help="of the equation against the data")
    one.add_argument("--steps", type=int, help="of Adam at most [default: the problem's own]")
    one.add_argument("--finish", type=int, help="iterations of L-BFGS behind them at most [default: likewise]")
    one.add_argument("--patience", type=int, default=10, help="looks (40 in a fit) without gain [default: %(default)s]")
    one.add_argument("--seed", type=int, default=0, help="of the networks [default: 0]")
    one.add_argument("--out", type=Path, required=True, help="folder for fit.onnx and the maps")
    one.add_argument("--quiet", action="store_true", help="no progress")
    one.set_defaults(run=run_fit)

    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; returns the exit code."""
    arguments = parser().parse_args(argv)
    try:
        return arguments.run(arguments)
    except (command.CommandError, command.InputError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
