"""The double-precision fused-multiply-add peak of one core, measured: python bench/fma_peak.py

Twelve independent chains of fma on full vector registers, more than latency times ports of any
processor we know; made by llvmlite as the model code is, for the instruction set asked for. A
vector of 8 counts 16 flops an instruction.
"""

from __future__ import annotations

import argparse
import ctypes
import statistics
import time

from llvmlite import binding as llvm

CHAINS, UNROLL = 12, 4
WIDTHS = {"v2": 2, "v3": 4, "v4": 8}
TUNING = {
    "v2": "+sse4.2",
    "v3": "+avx2,+fma,+bmi,+bmi2",
    "v4": "+avx512f,+avx512vl,+avx512dq,+avx512bw,+avx512cd,+fma,+avx2,+bmi,+bmi2",
}


def source(width: int) -> str:
    """IR of `peak(n, x)`, which runs n * UNROLL * CHAINS fma on vectors of `width` and returns a
    lane of their sum.
    """
    vector = f"<{width} x double>"
    phis, body = [], []
    for k in range(CHAINS):
        phis.append(f"  %a{k} = phi {vector} [ %x, %entry ], [ %a{k}.{UNROLL}, %loop ]")
        for u in range(UNROLL):
            old = f"%a{k}" if u == 0 else f"%a{k}.{u}"
            arguments = f"{vector} {old}, {vector} %m, {vector} %x"
            body.append((u, f"  %a{k}.{u + 1} = call {vector} @fma({arguments})"))
    body.sort(key=lambda item: item[0])
    sums = [f"  %s0 = fadd {vector} %a0.{UNROLL}, %a1.{UNROLL}"]
    sums += [f"  %s{k - 1} = fadd {vector} %s{k - 2}, %a{k}.{UNROLL}" for k in range(2, CHAINS)]
    calls = "\n".join(line for _, line in body).replace("@fma", f"@llvm.fma.v{width}f64")
    attributes = f'"min-legal-vector-width"="{64 * width}" "prefer-vector-width"="512"'
    return f"""
declare {vector} @llvm.fma.v{width}f64({vector}, {vector}, {vector})
define double @peak(i64 %n, double %start) {attributes} {{
entry:
  %x0 = insertelement {vector} undef, double %start, i32 0
  %x = shufflevector {vector} %x0, {vector} undef, <{width} x i32> zeroinitializer
  %half = fmul double %start, 0.5
  %m0 = insertelement {vector} undef, double %half, i32 0
  %m = shufflevector {vector} %m0, {vector} undef, <{width} x i32> zeroinitializer
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %i1, %loop ]
{chr(10).join(phis)}
{calls}
  %i1 = add i64 %i, 1
  %more = icmp ult i64 %i1, %n
  br i1 %more, label %loop, label %done
done:
{chr(10).join(sums)}
  %r = extractelement {vector} %s{CHAINS - 2}, i32 0
  ret double %r
}}
"""


def measure(isa: str, repeats: int = 5) -> float | None:
    """GFLOP/s of one core, the median of the repeats; None where it does not apply (no x86-64, no
    FMA).
    """
    if isa not in ("v3", "v4"):
        return None
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    width = WIDTHS[isa]
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=f"x86-64-{isa}", features=TUNING[isa], opt=2, jit=True
    )
    module = llvm.parse_assembly(source(width))
    module.verify()
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    peak = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_int64, ctypes.c_double)(
        engine.get_function_address("peak")
    )
    n = 2_000_000
    peak(n, 0.9)
    rates = []
    for _ in range(repeats):
        begin = time.process_time()
        peak(n, 0.9)
        rates.append(2.0 * width * CHAINS * UNROLL * n / (time.process_time() - begin) / 1e9)
    return statistics.median(rates)


def main() -> None:
    from teorell.engine import executors

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--isa", nargs="*", help="v3, v4 (default: those this processor runs)")
    for isa in parser.parse_args().isa or [build["name"] for build in executors.instruction_sets()]:
        rate = measure(isa)
        print(
            f"{isa}: "
            + (f"{rate:.1f} GFLOP/s" if rate is not None else "not measured (no vector fma)")
        )


if __name__ == "__main__":
    main()
