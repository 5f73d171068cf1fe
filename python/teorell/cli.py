"""The command line: `teorell simulate`, `population`, `fit`, `train`, `evaluate`, `bench`,
`doctor`, each declared beside what it does.

Every mistake of a user is one sentence on stderr and exit code 2. A traceback is a bug of teorell.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from teorell.errors import InputError, ModelError, suggestion
from teorell.results.failures import SimulationError

__all__ = ["Parser", "main"]

EXTRAS = {
    "llvmlite": "llvmlite>=0.46",
    "matplotlib": "teorell[plot]",
    "pandas": "teorell[frames]",
    "pyarrow": "teorell[storage]",
    "safetensors": "teorell[learn]",
    "scipy": "scipy",
    "sklearn": "teorell[learn]",
    "torch": "teorell[torch]",
    "torchdiffeq": "teorell[learn]",
    "xarray": "teorell[frames]",
    "zarr": "teorell[storage]",
}
"""Package that a command may need -> what pip installs it with."""

NOBODY_READS = 141  # the exit code of a program whose reader has gone: 128 + SIGPIPE


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; argv: without the program's name, None is that of the process.

    Returns the exit code: 0, 1 if patients failed or a fit did not converge, 2 if the request was
    wrong, 130 after Ctrl-C, 141 if what reads stdout has gone.
    """
    if hasattr(sys.stdout, "reconfigure"):  # a name that the terminal cannot show is no error
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = _run(sys.argv[1:] if argv is None else list(argv))
    except BrokenPipeError:
        code = NOBODY_READS
    except KeyboardInterrupt:
        code = _say("interrupted", 130)
    except SimulationError as error:
        code = _say(str(error), 1)
    except (InputError, ModelError) as error:
        code = _say(f"error: {error}", 2)
    except MemoryError as error:
        reason = str(error) or "an array could not be made"
        code = _say(f"error: not enough memory ({reason}). Ask for less at once.", 2)
    except ImportError as error:
        code = _say(f"error: {_missing(error)}", 2)
    except OSError as error:
        code = _say(f"error: {_unusable(error)}", 2)
    return _flush(code)


def _run(arguments: list[str]) -> int:
    """The exit code of a command; what it was asked for wrongly, and what failed, is raised."""
    parser = _parser()
    try:
        options = parser.parse_args(arguments)
    except SystemExit as stop:  # after --help and --version
        return int(stop.code or 0)
    if options.run is None:
        parser.print_help()
        return 0
    if os.environ.get("TEORELL_ISA") and options.command != "doctor":
        from teorell.engine.executors import selected_isa

        selected_isa(None)  # what this processor cannot run is said before any work
    return int(options.run(options))


def _parser() -> Parser:
    """The parser of all commands; `run` of what it returns is the function that does the work."""
    from teorell import doctor
    from teorell.benchmark import command as bench
    from teorell.fitting import command as fit
    from teorell.learn import command as learn
    from teorell.pbpk import command as simulate
    from teorell.population import command as population

    parser = Parser(prog="teorell", description="Simulate virtual populations with PBPK models.")
    parser.add_argument("--version", action=_Version, help="print the version and stop")
    parser.set_defaults(run=None)
    commands = parser.add_subparsers(dest="command", title="commands", metavar="COMMAND")
    for module in (simulate, population, fit, learn, doctor, bench):
        module.add_parser(commands)
    return parser


class Parser(argparse.ArgumentParser):
    """argparse's parser, but a mistake is an InputError: a sentence with the nearest known name.

    Options are not abbreviated, and one that takes one value is given once.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=_Help, allow_abbrev=False, **options)

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        given = sys.argv[1:] if args is None else list(args)
        self._check_options(given)
        found, more = super().parse_known_args(given, namespace)
        if more:
            raise InputError(
                f"unexpected {_short(more[0])} ({self.prog} takes no such argument). {self._help()}"
            )
        return found, more

    def error(self, message: str) -> NoReturn:
        _, required, names = message.partition("required: ")
        if required:
            raise InputError(f"{self.prog} needs {names} (not given). {self._help()}")
        name, _, reason = message.removeprefix("argument ").partition(": ")
        action = self._option_string_actions.get(name)
        takes_number = action is not None and action.type in (int, float)
        negative = f"A negative value is written {name}=-1. " if takes_number else ""
        raise InputError(
            f"{name} cannot be used so ({reason or 'by argparse'}). {negative}{self._help()}"
        )

    def _check_options(self, given: Sequence[str]) -> None:
        """Before argparse takes the value of an unknown option for an argument."""
        seen: set[str] = set()
        for word in given:
            if word == "--":
                return
            if not word.startswith("-") or word == "-" or _is_number(word):
                if self._subparsers is not None:
                    return  # the command, and what is its own
                continue
            name = word.partition("=")[0]
            action = self._option_string_actions.get(name)
            if action is None:
                known = [each for each in self._option_string_actions if each.startswith("--")]
                raise InputError(
                    f"unknown option {_short(name)} ({self.prog} has none such). "
                    f"{suggestion(name, known)}"
                )
            if isinstance(action, argparse._StoreAction) and action.dest in seen:
                raise InputError(f"{name} is given twice (which is meant?). Leave one out.")
            seen.add(action.dest)

    def _get_value(self, action: argparse.Action, arg_string: str) -> Any:
        if action.nargs == argparse.PARSER:
            return arg_string
        if not arg_string.strip():
            raise InputError(f"{_name(action)} is empty (it needs a value). {self._help()}")
        try:
            return super()._get_value(action, arg_string)
        except argparse.ArgumentError:
            kind = "a whole number" if action.type is int else "a number"
            raise InputError(
                f"{_name(action)} is {_short(arg_string)} ({kind} is needed). Write it in digits."
            ) from None

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        known = action.choices
        if known is None or value in known:
            return
        if action.nargs == argparse.PARSER:
            raise InputError(
                f"unknown command {_short(value)} ({self.prog} has none such). "
                f"{suggestion(value, known)}"
            )
        raise InputError(
            f"{_name(action)} is {_short(value)} (there is no such choice). "
            f"{suggestion(value, known)}"
        )

    def _help(self) -> str:
        return f"See {self.prog} --help."


class _Help(argparse.HelpFormatter):
    """Of at most 80 columns."""

    def __init__(self, prog: str, **options: Any) -> None:
        columns = min(80, shutil.get_terminal_size().columns)
        super().__init__(prog, **{"width": columns - 2, "max_help_position": 26, **options})


class _Version(argparse.Action):
    """Prints the version, which is looked up then: that takes longer than all other parsing."""

    def __init__(self, option_strings: Sequence[str], dest: str, **options: Any) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, **options)

    def __call__(self, parser: argparse.ArgumentParser, *rest: Any) -> None:
        import teorell

        print(f"teorell {teorell.__version__}")
        parser.exit()


def _name(action: argparse.Action) -> str:
    """An argument as users know it: --dose, DRUG."""
    return "/".join(action.option_strings) or str(action.metavar or action.dest)


def _short(word: str) -> str:
    """A word that was given, quoted; the start of a long one."""
    return repr(word if len(word) <= 60 else f"{word[:57]}...")


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _missing(error: ImportError) -> str:
    """The sentence for a package that a command needs; any other failed import is raised again."""
    package = (error.name or "").partition(".")[0]
    reason = " ".join(str(error).split())
    if package in EXTRAS:
        return f"{package} cannot be imported ({reason}). Run pip install '{EXTRAS[package]}'."
    if package == "teorell" and "_core" in f"{error.name} {reason}":
        return f"the compiled core cannot be imported ({reason}). Run pip install . in the clone."
    if package:
        raise error
    return reason


def _unusable(error: OSError) -> str:
    """The sentence for a file that cannot be read or written."""
    reason = error.strerror or str(error)
    if error.filename is None:
        return f"output cannot be written ({reason}). Check the disk, and where stdout goes."
    return f"{error.filename} cannot be used ({reason}). Check the path and its permissions."


def _say(message: str, code: int) -> int:
    """Print a message on stderr, behind what stdout has; returns `code`."""
    code = _flush(code)
    print(f"teorell: {message}", file=sys.stderr)
    return code


def _flush(code: int) -> int:
    """Write what stdout holds back; returns the exit code, another one if that is not possible."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        # Python would try again at the end, and print a traceback.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            return code or NOBODY_READS
        print(
            f"teorell: error: stdout cannot be written ({error.strerror}). Send it elsewhere.",
            file=sys.stderr,
        )
        return code or 2
    return code


if __name__ == "__main__":
    raise SystemExit(main())
