"""Compiled kernels: once a process, and on disk under the rules of engine/object_cache.py."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict

from teorell.device.compiler import OPTIONS, Compiled, Usage, compile_kernels, compiler_version
from teorell.device.source import digest
from teorell.engine import object_cache
from teorell.memo import Memo

__all__ = ["kernels_of", "kernels_there", "written"]

_kept: Memo[Compiled] = Memo(32)  # texts and architectures a process keeps


def kernels_of(
    text: str, kernels: Sequence[str], architecture: str, *, content: bytes | None = None
) -> Compiled:
    """`compile_kernels` of the same arguments, compiled if they are not there yet.

    A text, the headers as they are, the options, the architecture and NVRTC's version name the
    code. content: what another process has `written` of them.
    """

    def build() -> bytes:
        return content or written(compile_kernels(text, kernels, architecture))

    return _kept_of(text, kernels, architecture, build)


def kernels_there(text: str, kernels: Sequence[str], architecture: str) -> Compiled | None:
    """The same where nothing needs to be compiled for it, else None."""

    def build() -> bytes:
        raise LookupError

    try:
        return _kept_of(text, kernels, architecture, build)
    except LookupError:
        return None


def _kept_of(
    text: str, kernels: Sequence[str], architecture: str, build: Callable[[], bytes]
) -> Compiled:
    def make() -> Compiled:
        version = ".".join(map(str, compiler_version()))
        key = ("cuda", text, *kernels, digest(), *OPTIONS, architecture, version)
        return _read(object_cache.fetch(key, build))

    return _kept.get((text, tuple(kernels), architecture), make)


def written(compiled: Compiled) -> bytes:
    """A line of JSON, and the code."""
    usage = {kernel: asdict(each) for kernel, each in compiled.usage.items()}
    return json.dumps({"names": compiled.names, "usage": usage}).encode() + b"\n" + compiled.code


def _read(content: bytes) -> Compiled:
    line, _, code = content.partition(b"\n")
    told = json.loads(line)
    usage = {kernel: Usage(**each) for kernel, each in told["usage"].items()}
    return Compiled(code, told["names"], usage)
