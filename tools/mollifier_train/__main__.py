"""The command line of the Python tools: `python -m mollifier_train --help`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from . import calibration, command, evaluate, examples
from .problems import PROBLEMS

TRAINED = ("langevin", "heat", "heat-transient", "reaction-diffusion")
"""Laws whose trunk is trained here."""


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


def run_train(arguments: argparse.Namespace) -> int:
    """`train`: simulate, train and write `models/LAW.trunk.onnx`."""
    from . import train  # jax takes seconds to load, and only this needs it

    asked = {"recordings": arguments.recordings, "steps": arguments.steps}
    asked = {name: value for name, value in asked.items() if value is not None}
    recipe = train.Recipe(**(train.RECIPES.get(arguments.law, {}) | asked))
    out = arguments.out or command.MODELS / f"{arguments.law}.trunk.onnx"
    several = len(arguments.seed) > 1
    named = {seed: out.with_suffix(f".{seed}.onnx") if several else out for seed in arguments.seed}
    train.train(arguments.law, named, recipe)
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

    one = commands.add_parser("train", help="simulate a training set and train the trunk of a law")
    one.add_argument("law", choices=TRAINED, metavar="LAW", help=", ".join(TRAINED))
    one.add_argument("--out", type=Path, help="trunk to write [default: models/LAW.trunk.onnx]")
    one.add_argument("--recordings", type=int, help="in the training set [default: the law's own]")
    one.add_argument("--steps", type=int, help="of Adam [default: the law's own]")
    one.add_argument(
        "--seed",
        type=int,
        nargs="+",
        default=[0],
        help="of the network; of several each gets a file, with its seed in the name [default: 0]",
    )
    one.set_defaults(run=run_train)

    one = commands.add_parser("export", help="bake a law's front end and trunk into one model file")
    one.add_argument("law", choices=TRAINED, metavar="LAW", help=", ".join(TRAINED))
    one.add_argument("--trunk", type=Path, help="[default: models/LAW.trunk.onnx]")
    one.add_argument("--out", type=Path, help="model to write [default: models/LAW.onnx]")
    one.set_defaults(run=run_export)

    samples = commands.add_parser("examples", help="write the simulated sample recordings")
    samples.add_argument("--out", type=Path, default=command.ROOT / "examples" / "data", help="folder")
    samples.set_defaults(run=run_examples)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; returns the exit code."""
    arguments = parser().parse_args(argv)
    try:
        return arguments.run(arguments)
    except command.CommandError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
