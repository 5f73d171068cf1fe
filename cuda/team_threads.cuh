// The threads of a team: which of them runs, how they wait for each other, and the memory of their
// block; on the host, a launch of such blocks.
#pragma once

#include "launch_shim.hpp"

#if defined(TEORELL_ON_HOST)

#include <cstddef>
#include <limits>

#include "fibres.hpp"

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

// The team: its block.
TEORELL_HD inline std::int64_t team_number() {
#if defined(__CUDA_ARCH__) || defined(TEORELL_ON_HOST)
    return blockIdx.x;
#else
    return 0;
#endif
}

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
