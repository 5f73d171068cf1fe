// Lets the same kernel source compile as host C++: blockIdx and threadIdx are variables of a host
// thread, and a launch runs the threads in an order that is shuffled, or on several host threads at
// once. What the tests run instead of a GPU (tests/engine/test_cuda_shim.py).
#pragma once

#include "teorell/host_device.hpp"

#if defined(TEORELL_ON_HOST)

#include <algorithm>
#include <limits>
#include <random>
#include <thread>
#include <vector>

#include "fibres.hpp"

#define __global__
#define __device__
#define __grid_constant__

struct LaunchIndex {
    unsigned x = 0;
};
inline thread_local LaunchIndex blockIdx, threadIdx, blockDim, gridDim;

// The threads of a launch in an order that `shuffle` gives, dealt out to so many host threads.
template <class... Parameters, class... Arguments>
void launch(int host_threads, std::mt19937& shuffle, void (*kernel)(Parameters...), unsigned blocks,
            unsigned threads, const Arguments&... arguments) {
    std::vector<unsigned> order(blocks * threads);
    for (unsigned i = 0; i < order.size(); ++i) order[i] = i;
    std::shuffle(order.begin(), order.end(), shuffle);
    const auto run = [&](std::size_t first) {
        gridDim.x = blocks, blockDim.x = threads;
        for (std::size_t i = first; i < order.size(); i += static_cast<std::size_t>(host_threads)) {
            blockIdx.x = order[i] / threads, threadIdx.x = order[i] % threads;
            kernel(arguments...);
        }
    };
    std::vector<std::thread> others;
    for (int k = 1; k < host_threads; ++k) others.emplace_back(run, static_cast<std::size_t>(k));
    run(0);
    for (std::thread& other : others) other.join();
}

inline thread_local double* memory_of_block = nullptr;
#define TEORELL_SHARED(name) [[maybe_unused]] double* const name = memory_of_block

// Blocks of one warp each, whose threads wait for each other, and so many numbers of shared memory.
template <class... Parameters, class... Arguments>
void launch_warps(std::mt19937& shuffle, void (*kernel)(Parameters...), unsigned blocks,
                  unsigned threads, std::size_t shared, const Arguments&... arguments) {
    std::vector<unsigned> order(blocks);
    for (unsigned i = 0; i < blocks; ++i) order[i] = i;
    std::shuffle(order.begin(), order.end(), shuffle);
    gridDim.x = blocks, blockDim.x = threads;
    for (const unsigned block : order) {
        std::vector<double> memory(shared, std::numeric_limits<double>::quiet_NaN());
        memory_of_block = memory.data();
        blockIdx.x = block;
        Fibres().run(threads, shuffle, [&](unsigned) { kernel(arguments...); });
    }
}

#else
#define TEORELL_SHARED(name) extern __shared__ double name[]
#endif

// --- a warp whose threads work together

TEORELL_HD inline int team_lane() {
#if defined(__CUDA_ARCH__)
    return static_cast<int>(threadIdx.x);
#elif defined(TEORELL_ON_HOST)
    return static_cast<int>(Fibres::lane());
#else
    return 0;
#endif
}

// What any of its threads has written before, all of them read after.
TEORELL_HD inline void await_team() {
#if defined(__CUDA_ARCH__)
    __syncwarp();
#elif defined(TEORELL_ON_HOST)
    Fibres::wait();
#endif
}

TEORELL_HD inline bool any_of_team(bool here) {
#if defined(__CUDA_ARCH__)
    return __any_sync(~0u, here) != 0;
#elif defined(TEORELL_ON_HOST)
    return Fibres::any(here);
#else
    return here;
#endif
}

// Adds to a counter that all threads of a launch share; returns what it was.
TEORELL_HD inline unsigned long long fetch_add(unsigned long long* counter,
                                               unsigned long long value) {
#if defined(__CUDA_ARCH__)
    return atomicAdd(counter, value);
#else
    return __atomic_fetch_add(counter, value, __ATOMIC_RELAXED);
#endif
}
