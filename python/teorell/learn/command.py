"""`teorell train NAME` and `teorell evaluate CHECKPOINT`."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from teorell.learn.learner import LEARNERS, learner_class
from teorell.progress import on_terminal
from teorell.tables import check_folder

__all__ = ["add_parser"]

DEVICES = ("cpu", "cuda", "auto")


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Declare `teorell train` and `teorell evaluate` among the commands."""
    train = commands.add_parser(
        "train",
        help="train a learning model",
        description="Train a learning model, save its weights and report every figure. A training "
        "that was interrupted goes on where it was, to the same bits.",
    )
    train.add_argument("name", metavar="NAME", choices=LEARNERS, help=", ".join(LEARNERS) or None)
    train.add_argument(
        "--config",
        default="shipped",
        choices=("tiny", "shipped"),
        help="tiny: under a minute; shipped (default): what the package's weights were made by",
    )
    train.add_argument("--seed", type=int, default=None, help="another one than the config's")
    train.add_argument("--out", type=Path, default=None, help="folder (default: trained_NAME)")
    train.add_argument("--device", default="cpu", choices=DEVICES, help="default: cpu")
    train.set_defaults(run=_train)

    evaluate = commands.add_parser(
        "evaluate",
        help="compute every figure of a trained model again",
        description="Compute every figure of a trained learning model again from its weights.",
    )
    evaluate.add_argument(
        "checkpoint", metavar="CHECKPOINT", help="a file that teorell train wrote, or a NAME: "
        "the weights that come with the package",
    )  # fmt: skip
    evaluate.add_argument("--out", type=Path, default=None, help="folder for tables and pictures")
    evaluate.add_argument(
        "--people", type=int, default=None, metavar="N", help="how many people a figure is of, "
        "where that can be chosen (default: as many as its configuration says)",
    )  # fmt: skip
    evaluate.set_defaults(run=_evaluate)


def _train(options: argparse.Namespace) -> int:
    """Train, save, report. Returns 0."""
    out = options.out or Path(f"trained_{options.name}")
    check_folder(out, "--out")
    kind = learner_class(options.name)
    configuration = kind.configurations[options.config]
    if options.seed is not None:
        training = replace(configuration.training, seed=options.seed)
        configuration = replace(configuration, training=training)
    from teorell.learn.report import learning_curve
    from teorell.learn.trainer import train

    learner = kind(configuration)
    found = train(learner, out, device=options.device, progress=on_terminal())
    report = learner.report(found.network)
    _show(report, out)
    try:
        path = out / "learning_curve.png"
        learning_curve(found.losses, found.held_out).savefig(path, dpi=120)
        print(f"written: {path}")
    except ImportError as error:
        print(f"teorell: {error}", file=sys.stderr)
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    """Load, report. Returns 0."""
    if options.out is not None:
        check_folder(options.out, "--out")
    from teorell.learn.trainer import load

    learner, network = load(options.checkpoint)
    if options.people is not None:
        learner = learner.evaluating(options.people)
    _show(learner.report(network), options.out)
    return 0


def _show(report: Any, out: Path | None) -> None:
    """Print a report; write it where a folder is given."""
    print(report)
    if out is None:
        return
    try:
        for path in report.write(out):
            print(f"written: {path}")
    except ImportError as error:
        print(f"teorell: {error}", file=sys.stderr)
