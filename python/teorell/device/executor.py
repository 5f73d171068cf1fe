"""Which code runs a model on a device: the interpreter's kernels, which serve all models, those of
teams of threads (teams.py), which do too, or kernels of the model's own text (emitted.py). All give
the same bits; what differs is time.

executor="interpreter" and "machine_code" ask for one of them. None chooses, here and nowhere else:
teams where they pay, for large models and few patients.
Emitted code moves some 120 bytes less of memory in a step for each state and stage of the method,
360 with its derivatives (A, of 20 states and 8 stages: 32.6 - 12.9 KB, 114.9 - 57.4 KB;
docs/cuda_speed.md counts them), and memory bounds both. So its worth grows with states x stages x
patients x steps; its price, 7 s of a processor for A and 13 s for 225 states, 12 and 35 s with
derivatives, grows less than the model. A model is interpreted until what emitted code
would have saved, or is about to save, is WORTH bytes. From then on its kernels are compiled apart,
at low priority, and interpreted until they are there. What an earlier process has left on disk is
taken at once.
"""

from __future__ import annotations

import sys
import threading
import warnings
from dataclasses import dataclass, field

from teorell.device.apart import Apart
from teorell.device.compiler import Compiled
from teorell.device.devices import Device
from teorell.device.emitted import emitted
from teorell.device.kernel_cache import kernels_of, kernels_there
from teorell.device.teams import TEXT_OF_TEAMS, Team, teams_for
from teorell.engine.batch import Batch, Options, Outcome
from teorell.engine.executors import METHODS, tableau
from teorell.memo import Memo

__all__ = ["TEXT", "Kernel", "kernel_for", "kernel_of"]

TEXT = '#include "kernel.cuh"\n'
LANE = "teorell::DeviceLane"
SAVED, SAVED_OF_DERIVATIVES = 120, 360  # bytes of a step, for each state and stage
WORTH = 2.5e12  # bytes: a second of a large device's memory, whose loss is a nuisance
INSIDE = ("teorell", "torch")  # whose frames are none of the user's
STEPS = 200  # attempted of a patient, until some are known; A takes 236 in 48 h at rtol 1e-6


@dataclass
class _Use:
    """Of a model by one kernel: what has been interpreted so far, and what is made of it."""

    attempts: float = 0.0  # steps of all patients
    of_a_patient: float = STEPS
    apart: Apart | None = None
    failed: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)


_uses: Memo[_Use] = Memo(128)


@dataclass(frozen=True)
class Kernel:
    """Code for a device, and the kernel in it."""

    executor: str  # "machine_code", "interpreter" or "team"
    compiled: Compiled
    called: str  # as C++ names it
    use: _Use
    team: Team | None = None  # where teams run it

    @property
    def name(self) -> str:
        """As the code names it."""
        return self.compiled.names[self.called]

    @property
    def shared(self) -> int | None:
        """Bytes of shared memory of each team; None where threads run it."""
        return None if self.team is None else self.team.shared

    def ran(self, outcome: Outcome) -> None:
        """How it went: the next choice knows how many steps are attempted."""
        if outcome.steps.size:
            attempts = float((outcome.steps + outcome.rejected).sum())
            self.use.attempts += attempts
            self.use.of_a_patient = attempts / outcome.steps.size


def kernel_of(method: str, function: str = "solve_patients", executor: str = "interpreter") -> str:
    """A kernel of cuda/kernel.cuh by a method, as C++ names it."""
    of_method = f"teorell::MethodAt<{METHODS.index(method)}>"
    if executor == "interpreter":
        return f"teorell::{function}<teorell::Interpreted<{of_method}>>"
    model = f"teorell::EmittedModel<{LANE}>"
    return f"teorell::{function}<teorell::Emitted<{LANE}, teorell::OnDevice<{of_method}>, {model}>>"


def kernel_for(function: str, batch: Batch, options: Options, device: Device) -> Kernel:
    """The kernel that runs a batch. function: "solve_patients" and the like, for whose derivatives
    the programs of the batch are lowered.

    Warns once where kernels of a model cannot be compiled apart; it is interpreted then.
    """
    method, programs = options.method, batch.programs
    key = (function, method, device.architecture, programs.digest, programs.outputs_digest)
    use = _uses.get(key, _Use)
    team = teams_for(function, batch, options, device)
    if team is not None:
        made = kernels_of(TEXT_OF_TEAMS, [team.kernel], device.architecture)
        return Kernel("team", made, team.kernel, use, team)
    compiled, called = None, kernel_of(method, function, "machine_code")
    if options.executor == "machine_code":
        compiled = kernels_of(TEXT + emitted(programs, method), [called], device.architecture)
    elif options.executor is None and _is_worth(use, function, batch, method):
        asked = (TEXT + emitted(programs, method), [called], device.architecture)
        compiled = kernels_there(*asked) or _apart(use, *asked)
    if compiled is not None:
        return Kernel("machine_code", compiled, called, use)
    called = kernel_of(method, function)
    return Kernel("interpreter", kernels_of(TEXT, [called], device.architecture), called, use)


def _is_worth(use: _Use, function: str, batch: Batch, method: str) -> bool:
    attempts = use.attempts + batch.patients * use.of_a_patient
    saved = SAVED if function == "solve_patients" else SAVED_OF_DERIVATIVES
    stages: int = tableau(method)["stages"]
    return saved * batch.programs.layout.n * stages * attempts >= WORTH


def _apart(use: _Use, text: str, kernels: list[str], architecture: str) -> Compiled | None:
    """What another process compiles, once it is there; it is started where there is none."""
    with use.lock:
        if use.failed:
            return None
        try:
            if use.apart is None:
                use.apart = Apart(text, kernels, architecture)
            return use.apart.made()
        except (OSError, RuntimeError) as error:
            use.failed, use.apart = True, None
            warnings.warn(
                f"the kernels of this model could not be compiled ({error}). They are interpreted, "
                "with the same results.",
                RuntimeWarning,
                stacklevel=_frames_to_user(),
            )
            return None


def _frames_to_user() -> int:
    """How many frames up the caller's who has called the package is, as warnings count them."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals["__name__"].partition(".")[0] in INSIDE:
        frame, level = frame.f_back, level + 1
    return level
