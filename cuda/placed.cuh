// Numbers of one array put into another where both lie on a device, whatever their strides.
#pragma once

#include "launch_shim.hpp"

TEORELL_BEGIN

// Elements along each of three dimensions, and from one to the next in both arrays.
struct Placing {
    std::int64_t shape[3], from_strides[3], to_strides[3];
};

inline __global__ void place_numbers(const double* from, double* to,
                                     const __grid_constant__ Placing at) {
    const std::int64_t count = at.shape[0] * at.shape[1] * at.shape[2],
                       threads = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
    for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
         i < count; i += threads) {
        const std::int64_t place[] = {i / at.shape[2] / at.shape[1], i / at.shape[2] % at.shape[1],
                                      i % at.shape[2]};
        std::int64_t read = 0, written = 0;
        for (int k = 0; k < 3; ++k)
            read += place[k] * at.from_strides[k], written += place[k] * at.to_strides[k];
        to[written] = from[read];
    }
}

// Where one of `count` numbers is NaN, so are those that belong to it: to is [count][each].
inline __global__ void spread_nan(const double* of, double* to, std::int64_t count,
                                  std::int64_t each) {
    const std::int64_t threads = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
    for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
         i < count * each; i += threads)
        if (of[i / each] != of[i / each]) to[i] = of[i / each];
}

TEORELL_END
