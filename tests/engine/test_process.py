"""The process lives on: wrong shapes are refused, memory may run out, children of a fork go on."""

import os
import subprocess
import sys
import threading
import time

import fuzz_shapes
import numpy as np
import pytest
import teorell as tl
from memory_case import CHILD, KINDS
from teorell.engine import solve
from teorell.memo import Memo


def test_wrong_calls_are_refused_or_right():
    """A thousand; .ci/run makes eight thousand under sanitizers."""
    refused, ran = fuzz_shapes.fuzz(1000, seed=1)
    assert refused > ran > 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits address space")
@pytest.mark.parametrize("what", KINDS)
@pytest.mark.parametrize("extra", [0, 4, 20])
def test_too_little_memory_is_a_memory_error(what, extra):
    """MB left once the model is compiled; bench/memory_limits.py has thirty limits."""
    run = subprocess.run(
        [sys.executable, "-c", CHILD, what, str(extra)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() in ("done", "MemoryError")


def chain(k):
    m = tl.Model("m")
    (p,) = m.parameters(k=1.0)
    xs = m.states(*[f"x{i}" for i in range(10)])
    for i in range(9):
        m.flow(xs[i], xs[i + 1], (1.0 + k + i) * p * xs[i])
    return tl.simulate(m, None, tl.Regimen.bolus(1.0, "x0"), [1.0])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore")  # that a process with threads forks
def test_a_child_forked_while_a_thread_compiles_goes_on(tmp_path, monkeypatch):
    monkeypatch.setenv("TEORELL_CACHE", str(tmp_path))
    chain(-1.0)
    stop = threading.Event()

    def compile_others():
        for k in range(10**6):
            if stop.is_set():
                return
            chain(float(k))

    thread = threading.Thread(target=compile_others)
    thread.start()
    try:
        for known in (-1.0, -0.5, -1.0):  # compiled already, and not
            time.sleep(0.2)
            child = os.fork()
            if child == 0:
                chain(known)
                os._exit(0)
            end = time.monotonic() + 60.0
            while (gone := os.waitpid(child, os.WNOHANG))[0] == 0 and time.monotonic() < end:
                time.sleep(0.02)
            if gone[0] == 0:
                os.kill(child, 9)
                os.waitpid(child, 0)
            assert gone == (child, 0)
    finally:
        stop.set()
        thread.join()


def test_what_a_thread_was_making_is_forgotten_in_a_child():
    memo = Memo(4)
    memo.get("there", lambda: 1)
    begun, go_on = threading.Event(), threading.Event()

    def slow():
        begun.set()
        go_on.wait()
        return 2

    thread = threading.Thread(target=lambda: memo.get("half", slow))
    thread.start()
    begun.wait()
    memo.after_fork()
    assert memo.get("half", lambda: 3) == 3
    assert memo.get("there", lambda: 4) == 1
    go_on.set()
    thread.join()


def test_llvmlite_has_the_lock_that_forks_wait_for():
    llvm = pytest.importorskip("llvmlite.binding")
    with llvm.ffi.lib._lock:
        pass


def test_a_failing_loss_stops_all_threads_on_the_calling_thread():
    m = tl.Model("m")
    (k,) = m.parameters(k=1.0)
    (x,) = m.states("x")
    m.flow(x, None, k * x)
    seen = set()

    def loss(values, patients):
        seen.add(threading.get_ident())
        if patients[0] > 0:
            raise KeyError("mine")
        return np.zeros(len(patients)), np.ones_like(values)

    with pytest.raises(KeyError, match="mine"):
        tl.value_and_grad(
            loss, m, {"k": np.ones(2000)}, tl.Regimen.bolus(1.0, "x"), [1.0],
            by_patient=True, threads=3,
        )  # fmt: skip
    assert seen == {threading.get_ident()}


def test_sizes_are_said_in_a_sentence():
    m = fuzz_shapes.model()
    calls = fuzz_shapes.recorded(lambda: tl.simulate(m, None, None, [1.0], executor="interpreter"))
    function, args, kwargs = next(call for call in calls if call[0] is solve._core.solve)
    kwargs["status"] = np.zeros(7, np.int32)
    with pytest.raises(ValueError, match=r"^status has shape \(7,\) \(it should be .*\)\. Give"):
        function(*args, **kwargs)
