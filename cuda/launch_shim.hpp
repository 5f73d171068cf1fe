// Lets the same kernel source compile as host C++: blockIdx and threadIdx are variables of a host
// thread, and a launch runs the threads in an order that is shuffled, or on several host threads at
// once. What the tests run instead of a GPU (tests/engine/test_cuda_shim.py).
#pragma once

#include "teorell/host_device.hpp"

#if defined(TEORELL_ON_HOST)

#include <algorithm>
#include <cstddef>
#include <random>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __grid_constant__
#define __launch_bounds__(...)

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

// The same as a driver does it; arguments: the address of each parameter.
template <class... Parameters, std::size_t... number>
void launch_with(void (*kernel)(Parameters...), unsigned blocks, unsigned threads, void** arguments,
                 std::index_sequence<number...>) {
    thread_local std::mt19937 shuffle(1);
    launch(1, shuffle, kernel, blocks, threads,
           *static_cast<const std::decay_t<Parameters>*>(arguments[number])...);
}

template <class... Parameters>
void launch_by_address(void (*kernel)(Parameters...), unsigned blocks, unsigned threads,
                       void** arguments) {
    launch_with(kernel, blocks, threads, arguments, std::index_sequence_for<Parameters...>{});
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
