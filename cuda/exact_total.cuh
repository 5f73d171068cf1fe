// Sums without rounding, whatever the order: numbers in fixed point that has a place for every bit
// of a double (Kulisch, Computer Arithmetic and Validity, 2013, ch. 8). The host rounds the sum,
// once.
#pragma once

#include "launch_shim.hpp"
#include "teorell/batch.hpp"

TEORELL_BEGIN

// Words of 32 bits in 64, least first, the last one is a bit of 2^-1074: 2046 + 53 bits, and two
// words for what is carried. Then how many numbers were NaN, infinite, minus infinite; then how
// many patients had a weight that is none of these.
enum ExactPlace : int {
    carried = 66,
    of_nan = 68,
    of_infinite,
    of_minus_infinite,
    unfit_patients,
    exact_places
};

// What one thread adds up: words may grow, by 2^31 numbers at least, until they are carried.
struct ExactSum {
    std::int64_t words[exact_places] = {};

    TEORELL_HD void add(double x) {
        std::uint64_t bits;
        memcpy(&bits, &x, sizeof bits);
        const int exponent = static_cast<int>(bits >> 52 & 0x7ff);
        const bool negative = bits >> 63 != 0;
        std::uint64_t digits = bits & ((std::uint64_t{1} << 52) - 1);
        if (exponent == 0x7ff) {
            ++words[digits != 0 ? of_nan : negative ? of_minus_infinite : of_infinite];
            return;
        }
        if (exponent != 0) digits |= std::uint64_t{1} << 52;
        const int place = exponent == 0 ? 0 : exponent - 1, first = place / 32, shift = place % 32;
        const std::uint64_t low = digits << shift, high = shift == 0 ? 0 : digits >> (64 - shift);
        const std::int64_t parts[] = {static_cast<std::int64_t>(low & 0xffffffffu),
                                      static_cast<std::int64_t>(low >> 32),
                                      static_cast<std::int64_t>(high)};
        for (int k = 0; k < 3; ++k) words[first + k] += negative ? -parts[k] : parts[k];
    }

    // Into the sum of all threads.
    TEORELL_HD void give(unsigned long long* all) {
        for (int k = 0; k < carried + 1; ++k) {
            const std::int64_t more = words[k] >> 32;  // rounds down, as the rest is not negative
            words[k] -= more * (std::int64_t{1} << 32), words[k + 1] += more;
        }
        for (int k = 0; k < exact_places; ++k)
            if (words[k] != 0) fetch_add(&all[k], static_cast<unsigned long long>(words[k]));
    }
};

// all: [exact_places], zero before.
inline __global__ void total_of_column(const double* column, std::int64_t stride,
                                       std::int64_t count, unsigned long long* all) {
    const std::int64_t threads = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
    ExactSum sum;
    for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
         i < count; i += threads)
        sum.add(column[i * stride]);
    sum.give(all);
}

// The sum of weight times value, and of weight times reduction, of the patients who did not fail;
// weights are the cotangents of a gradient, of the first outputs. Without values the weights alone
// are looked at.
inline __global__ void total_of_patients(const __grid_constant__ Batch batch,
                                         const __grid_constant__ Gradient gradient,
                                         std::int64_t outputs, std::int64_t all_outputs,
                                         unsigned long long* all) {
    const std::int64_t threads = static_cast<std::int64_t>(gridDim.x) * blockDim.x,
                       count = batch.reductions.count;
    ExactSum sum;
    for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
         i < batch.patients; i += threads) {
        if (batch.status[i] != 0) continue;
        const bool own = batch.sample_offsets != nullptr;
        const std::int64_t first = own ? batch.sample_offsets[i] : i * batch.n_times,
                           rows = own ? batch.sample_offsets[i + 1] - first : batch.n_times;
        const double* weights =
            gradient.cotangent + (own ? first * gradient.strides[1] : i * gradient.strides[0]);
        bool fit = true;
        const auto add = [&](double weight, const double* value) {
            if (weight - weight != 0.0) fit = false;
            if (value != nullptr) sum.add(weight * *value);
        };
        for (std::int64_t j = 0; j < rows; ++j)
            for (std::int64_t o = 0; o < outputs; ++o)
                add(weights[j * gradient.strides[1] + o * gradient.strides[2]],
                    batch.values == nullptr ? nullptr
                                            : batch.values + (first + j) * all_outputs + o);
        for (std::int64_t k = 0; gradient.reduced != nullptr && k < count; ++k) {
            const double weight = gradient.reduced[i * count + k];
            if (weight != 0.0) add(weight, &batch.reductions.values[i * count + k]);
        }
        if (!fit) ++sum.words[unfit_patients];
    }
    sum.give(all);
}

TEORELL_END
