// What is asked of columns of numbers before anything runs, where they lie on a device: every one
// is finite and within its bounds.
#pragma once

#include "launch_shim.hpp"

TEORELL_BEGIN

// columns, strides, lower, upper: [count]; bad: [count] how many numbers are not so, zero before.
// missing: 1 where NaN will do.
inline __global__ void check_columns(std::int64_t patients, std::int64_t count,
                                     std::int64_t missing, const double* const* columns,
                                     const std::int64_t* strides, const double* lower,
                                     const double* upper, unsigned long long* bad) {
    const std::int64_t threads = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
    for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
         i < patients; i += threads)
        for (std::int64_t k = 0; k < count; ++k) {
            const double number = columns[k][i * strides[k]];
            if (missing != 0 && number != number) continue;
            const bool finite = number - number == 0.0;
            if (!finite || number < lower[k] || number > upper[k]) fetch_add(&bad[k], 1ull);
        }
}

TEORELL_END
