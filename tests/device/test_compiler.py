"""NVRTC without a device: what it compiles, what it says, what is kept of it."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import pytest
from teorell.device import compiler, kernel_cache, source
from teorell.device.compiler import Usage, compile_kernels, usage_of

needs_nvrtc = pytest.mark.skipif(
    compiler.compiler_missing() is not None,
    reason="NOT RUN: needs cuda-bindings and nvidia-cuda-nvrtc",
)

TEXT = """
template <class T>
__global__ void scale(T* numbers) {
    __shared__ T kept[32];
    kept[threadIdx.x] = numbers[threadIdx.x] / 3;
    __syncthreads();
    numbers[threadIdx.x] = kept[31 - threadIdx.x];
}
"""
LOG = """ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '_Z5scaleIdEvPT_' for 'sm_90'
ptxas info    : Function properties for _Z5scaleIdEvPT_
    464 bytes stack frame, 8 bytes spill stores, 16 bytes spill loads
ptxas info    : Used 110 registers, used 1 barriers, 464 bytes cumulative stack size, 256 bytes smem
"""


def test_the_assembler_is_read() -> None:
    assert usage_of(LOG) == {"_Z5scaleIdEvPT_": Usage(110, 464, 8, 16, 256)}
    with pytest.raises(RuntimeError, match="says nothing"):
        usage_of(LOG.replace("Used", "Took"))


@needs_nvrtc
@pytest.mark.parametrize("architecture", ["sm_80", "sm_90", "sm_100"])
def test_templates_compile_for_architectures(architecture: str) -> None:
    assert architecture in compiler.architectures()
    compiled = compile_kernels(TEXT, ["scale<double>", "scale<float>"], architecture)
    assert compiled.code[:4] == b"\x7fELF"
    for kernel, size in (("scale<double>", 8), ("scale<float>", 4)):
        assert compiled.names[kernel].encode() in compiled.code
        assert compiled.usage[kernel].shared == 32 * size
        assert compiled.usage[kernel].spill_stores == 0


@needs_nvrtc
@pytest.mark.parametrize(
    ("text", "kernel", "architecture", "said"),
    [
        ("nothing;", "scale<int>", "sm_90", "this declaration has no storage class"),
        (TEXT, "scale<int*>", "sm_90", "expression must have arithmetic"),
        (TEXT, "scale<int>", "sm_30", "invalid value for --gpu-architecture"),
        ('#include "teorell/nowhere.hpp"\n' + TEXT, "scale<int>", "sm_90", "nowhere.hpp"),
    ],
)
def test_what_does_not_compile_says_why(
    text: str, kernel: str, architecture: str, said: str
) -> None:
    with pytest.raises(RuntimeError, match="do not compile") as caught:
        compile_kernels(text, [kernel], architecture)
    assert said in str(caught.value)


@needs_nvrtc
def test_kernels_are_compiled_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TEORELL_CACHE", str(tmp_path / "cache"))
    built = []
    monkeypatch.setattr(
        kernel_cache, "compile_kernels", lambda *told: built.append(told) or compile_kernels(*told)
    )

    def fetched(text: str = TEXT, architecture: str = "sm_90") -> compiler.Compiled:
        monkeypatch.setattr(kernel_cache, "_kept", kernel_cache.Memo(4))  # as another process has
        return kernel_cache.kernels_of(text, ["scale<double>"], architecture)

    first = fetched()
    assert kernel_cache.kernels_of(TEXT, ["scale<double>"], "sm_90") is first
    assert fetched() == first
    assert len(built) == 1
    fetched(architecture="sm_80")
    fetched(TEXT + "\n")
    monkeypatch.setattr(kernel_cache, "digest", lambda: "other headers")
    fetched()
    monkeypatch.setattr(kernel_cache, "compiler_version", lambda: (99, 0))
    fetched()
    assert len(built) == 5


def test_without_the_bindings_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **named: Any) -> Any:
        if name.startswith("cuda"):
            raise ModuleNotFoundError(f"No module named {name!r}")
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    assert "pip install 'teorell[cuda]'" in str(compiler.compiler_missing())
    with pytest.raises(ImportError, match="cuda-bindings cannot be imported"):
        compile_kernels(TEXT, ["scale<int>"], "sm_90")


def test_headers_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    core, kernels = source.include_folders()
    assert (core / "teorell" / "integrate.hpp").is_file()
    assert (kernels / "kernel.cuh").is_file()
    # As installed: one folder holds both.
    package = tmp_path / "python" / "teorell" / "device"
    monkeypatch.setattr(source, "PACKAGE", package)
    with pytest.raises(FileNotFoundError, match="Install teorell again"):
        source.include_folders()
    for path in ("include/teorell/integrate.hpp", "include/cuda/kernel.cuh"):
        (package / path).parent.mkdir(parents=True)
        (package / path).write_text("// " + path)
    assert source.include_folders() == (package / "include", package / "include" / "cuda")
    before = source.digest()
    (package / "include/cuda/kernel.cuh").write_text("// another")
    assert source.digest() != before
