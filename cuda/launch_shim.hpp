// Lets the same kernel source compile as host C++: a launch is two loops, blockIdx and threadIdx
// are their variables. What the tests run instead of a GPU (tests/engine/test_cuda_shim.py).
#pragma once

#include "teorell/host_device.hpp"

#if !defined(__CUDACC__)

#define __global__
#define __grid_constant__

struct LaunchIndex {
    unsigned x = 0;
};
inline thread_local LaunchIndex blockIdx, threadIdx, blockDim, gridDim;

// Runs the threads of a launch one after the other.
template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), unsigned blocks, unsigned threads,
            const Arguments&... arguments) {
    gridDim.x = blocks;
    blockDim.x = threads;
    for (blockIdx.x = 0; blockIdx.x < blocks; ++blockIdx.x)
        for (threadIdx.x = 0; threadIdx.x < threads; ++threadIdx.x) kernel(arguments...);
}

#endif

// Adds to a counter that all threads of a launch share; returns what it was.
TEORELL_HD inline unsigned long long fetch_add(unsigned long long* counter,
                                               unsigned long long value) {
#if defined(__CUDA_ARCH__)
    return atomicAdd(counter, value);
#else
    return __atomic_fetch_add(counter, value, __ATOMIC_RELAXED);
#endif
}
