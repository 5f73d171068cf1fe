"""Simulations on a CUDA device: kernels compiled at run time, memory, launches, arrays."""
