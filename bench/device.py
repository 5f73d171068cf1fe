"""What a CUDA device does, in under ten minutes: python bench/device.py --out DIR

Checks values, gradients and statuses against the CPU; measures patients per second against the
number of patients for A, B and the model of 110 states, forward and with the gradient by all
parameters, interpreted, by kernels of the model's own text and (110 states) by teams, beside the
CPU, diffrax and nvQSP where they are installed (device_peers.py); counts what each call copies.
rtol 1e-6, four oral doses in 48 h, 97 samples of one output; parameters lie on the device. Writes a
table, in Markdown and as CSV, and a picture. Without a device it says so in one sentence, and ends
with status 2.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import compile_time
import device_peers
import numpy as np
import teorell as tl
from device_report import draw, label, written
from teorell.benchmark import reference_models
from teorell.device import devices, teams
from teorell.device.arrays import DeviceArray
from teorell.device.devices import Device
from teorell.device.driver import LEGACY_STREAM
from teorell.device.memory import Memory

CASES = ("A", "B", "110 states")
KINDS = ("forward", "gradient")
EXECUTORS = ("interpreter", "machine_code")
SIZES = (1_000, 4_000, 16_000, 64_000, 256_000, 1_000_000)
ON_CPU = 4_000  # patients
CHECKED = 200  # patients
ROUNDS = 3
DRAWN = 5_000  # different patients; larger batches have them several times
COUNTED = ("launch", "allocate", "write", "read", "zero")


class Case(NamedTuple):
    """A model, its patients, and where doses go."""

    name: str
    model: tl.Model
    drawn: dict[str, np.ndarray]
    into: str
    output: str

    def people(self, n: int) -> dict[str, np.ndarray]:
        return {name: np.resize(column, n) for name, column in self.drawn.items()}

    def executors(self) -> tuple[str, ...]:
        """Teams too, where a thread cannot hold the model."""
        large = len(self.model.state_names) > teams.MORE_STATES_THAN
        return (*EXECUTORS, "team") if large else EXECUTORS

    def run(self, kind: str, parameters: Any, **options: Any) -> tuple[Any, Any]:
        """(what is compared: arrays by name, the outcome of the patients)"""
        regimen = tl.Regimen.bolus(100.0, into=self.into, every=12.0, doses=4)
        given = (self.model, parameters, regimen, reference_models.TIMES, [self.output])
        options |= {"rtol": 1e-6, "samples": "before"}
        if options.get("executor") == "team":
            with mock.patch.object(teams, "teams_pay", return_value=True):
                return self.run(kind, parameters, **{**options, "executor": None})
        if kind == "forward":
            solution = tl.simulate(*given[:4], outputs=[self.output], **options)
            return {"values": solution.values, "steps": solution.steps}, solution
        _, gradient = tl.value_and_grad(np.ones((1, 1, 1)), *given, **options)
        return dict(gradient.parameters), gradient


def case(name: str) -> Case:
    if name in ("A", "B"):
        made = {"A": reference_models.problem_a, "B": reference_models.problem_b}[name]()
        return Case(
            name, made, reference_models.population(name, DRAWN), "STO", made.output_names[0]
        )
    model, rng = compile_time.large_model(), np.random.default_rng(1)
    varied = [each for each in model.parameter_names if each.startswith(("V_", "Q_", "fu_"))]
    drawn = {
        each: model.parameter_info(each).default * np.exp(rng.normal(0.0, 0.2, DRAWN))
        for each in varied
    }
    return Case(name, model, drawn, "stomach", "cp_drug")


class Counted:
    """A driver whose calls are counted, with the bytes that go over."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver
        self.reset()

    def reset(self) -> None:
        self.calls, self.bytes = dict.fromkeys(COUNTED, 0), {"write": 0, "read": 0}

    def __getattr__(self, name: str) -> Any:
        call = getattr(self.driver, name)
        if name not in COUNTED:
            return call

        def counted(*arguments: Any) -> Any:
            self.calls[name] += 1
            if name in self.bytes:
                array = arguments[0] if name == "read" else arguments[1]
                self.bytes[name] += array.nbytes
            return call(*arguments)

        return counted


def there(device: Device, given: dict[str, np.ndarray]) -> dict[str, DeviceArray]:
    """Columns on the device, as a user of CuPy has them."""
    found = {}
    with device.driver.current(device.number), Memory(device) as memory:
        for name, column in given.items():
            place = memory.keep(memory.take(column.nbytes, f"parameter {name!r}"))
            device.driver.write(place.address, column, LEGACY_STREAM)
            found[name] = DeviceArray(device, place.address, column.shape, (8,), place, name)
        device.driver.wait(LEGACY_STREAM)
    return found


def host(array: Any) -> np.ndarray:
    return array.numpy() if isinstance(array, DeviceArray) else np.asarray(array)


def check(one: Case, kind: str, executor: str, device: Device, n: int) -> dict[str, Any]:
    """Against the CPU, bit by bit; the first call compiles."""
    people = one.people(n)
    here, went = one.run(kind, people)
    begin = time.perf_counter()
    found, outcome = one.run(kind, there(device, people), device=device.name, executor=executor)
    seconds = time.perf_counter() - begin
    worst = 0.0
    for name, mine in here.items():
        theirs = host(found[name])
        same = (mine == theirs) | (np.isnan(mine) & np.isnan(theirs))
        size = np.maximum(np.abs(mine), np.finfo(float).tiny)
        worst = max(worst, float(np.where(same, 0.0, np.abs(theirs - mine) / size).max()))
    statuses = int((host(outcome.status) != went.status).sum())
    return {
        "model": one.name, "what": kind, "executor": executor, "patients": n,
        "first result, s": round(seconds, 2), "largest relative difference": worst,
        "statuses that differ": statuses,
    }  # fmt: skip


def curve(
    run: Callable[[int], Any], sizes: tuple[int, ...], ends: float, counted: Counted | None = None
) -> Iterator[dict[str, Any]]:
    """Of each size the rates of ROUNDS calls, after one that is not counted, while there is time:
    until `ends`.
    """
    rate = 0.0
    for n in sizes:
        if rate and time.perf_counter() + (ROUNDS + 1) * n / rate > ends:
            return
        rounds = []
        try:
            for _ in range(ROUNDS + 1):
                if counted is not None:
                    counted.reset()
                begin = time.perf_counter()
                run(n)
                rounds.append(n / (time.perf_counter() - begin))
        except MemoryError as error:
            print(f"    {n:,} patients: {error}")
            return
        rate = statistics.median(rounds[1:])
        row = {
            "patients": n, "patients/s": rate, "least": min(rounds[1:]), "greatest": max(rounds[1:])
        }  # fmt: skip
        if counted is not None:
            row |= {
                "launches": counted.calls["launch"], "bytes to it": counted.bytes["write"],
                "bytes from it": counted.bytes["read"],
            }  # fmt: skip
        yield row


def measure(
    cases: list[Case], device: Device, counted: Counted, options: argparse.Namespace
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    curves = [(one, kind) for one in cases for kind in options.kinds]
    peers = {} if options.no_peers else device_peers.PEERS

    def add(one: Case, kind: str, where: str, found: Iterator[dict[str, Any]]) -> None:
        for row in found:
            rows.append({"model": one.name, "what": kind, "where": where, **row})
            print(
                f"{one.name:11}{kind:9}{where:24}{row['patients']:10,}{row['patients/s']:13,.0f} "
                f"({row['least']:,.0f}-{row['greatest']:,.0f})", flush=True,
            )  # fmt: skip

    for number, (one, kind) in enumerate(curves):
        left = options.ends - time.perf_counter()
        share = left / (len(curves) - number) / (len(one.executors()) + 1 + len(peers))
        given = Given(one, device, counted)
        for executor in one.executors():
            run = partial(on_device, one, kind, given, executor)
            ends = time.perf_counter() + share
            add(one, kind, f"device, {executor}", curve(run, options.sizes, ends, counted))
        given.columns.clear()
        few = (min(ON_CPU, max(options.sizes)),)
        ends = time.perf_counter() + share
        add(one, kind, "CPU, all threads", curve(partial(on_cpu, one, kind), few, ends))
        for name, peer in peers.items():
            found = taking_part(peer, one, kind)
            if isinstance(found, str):
                print(f"{one.name:11}{kind:9}{name:24}not measured: {found}")
            else:
                add(one, kind, name, curve(found, options.sizes, time.perf_counter() + share))
    return rows


class Given:
    """The columns of a number of patients on the device: those asked for last."""

    def __init__(self, one: Case, device: Device, counted: Counted) -> None:
        self.one, self.device, self.counted = one, device, counted
        self.columns: dict[int, dict[str, DeviceArray]] = {}

    def of(self, n: int) -> dict[str, DeviceArray]:
        if n not in self.columns:
            self.columns.clear()
            self.columns[n] = there(self.device, self.one.people(n))
            self.counted.reset()
        return self.columns[n]


def on_device(one: Case, kind: str, given: Given, executor: str, n: int) -> Any:
    return one.run(kind, given.of(n), executor=executor)


def on_cpu(one: Case, kind: str, n: int) -> Any:
    return one.run(kind, one.people(n))


def taking_part(peer: device_peers.Peer, one: Case, kind: str) -> Callable[[int], Any] | str:
    """What the peer runs, or why it does not."""
    try:
        return peer(one.name, kind)
    except device_peers.NotMeasured as reason:
        return str(reason)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1 and the like")
    parser.add_argument("--models", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES, help="patients of a call")
    parser.add_argument("--seconds", type=float, default=540.0, help="in all")
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("bench-results"))
    options = parser.parse_args(arguments)
    options.ends, options.sizes = time.perf_counter() + options.seconds, tuple(options.sizes)
    missing = devices.driver_missing()
    if missing is not None:
        print(f"Nothing is measured: {missing}.", file=sys.stderr)
        raise SystemExit(2)
    counted = Counted(devices.load_driver())
    devices.load_driver = lambda: counted  # type: ignore[assignment]
    device = devices.open_device(devices.device_of(options.device) or 0)
    title, cases = label(device), [case(name) for name in options.models]
    print(f"{title}\n\nagainst the CPU, {min(CHECKED, max(options.sizes))} patients")
    checks = []
    for one in cases:
        for kind in options.kinds:
            for executor in one.executors():
                n = min(CHECKED, max(options.sizes))
                checks.append(check(one, kind, executor, device, n))
                print("  ".join(map(str, checks[-1].values())), flush=True)
    print(f"\n{'':44}{'patients':>10}{'patients/s':>13}")
    rows = measure(cases, device, counted, options)
    options.out.mkdir(parents=True, exist_ok=True)
    place = options.out / "device"
    place.with_suffix(".md").write_text(
        f"{title}\n\nAgainst the CPU:\n\n{written(checks)}\nPatients per second, median of "
        f"{ROUNDS} calls (least, greatest):\n\n{written(rows)}"
    )
    with place.with_suffix(".csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["device", *dict.fromkeys(n for row in rows for n in row)])
        writer.writeheader()
        writer.writerows({"device": title, **row} for row in rows)
    draw(rows, title, place.with_suffix(".png"))
    print(f"\nwritten: {place}.md, .csv, .png")
    wrong = [c for c in checks if c["largest relative difference"] or c["statuses that differ"]]
    if wrong:
        raise SystemExit(f"{len(wrong)} checks differ from the CPU.")


if __name__ == "__main__":
    main()
