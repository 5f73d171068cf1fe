// From rows, an array for each lane, to packs and back: squares of as many states as a register has
// lanes, transposed in registers. A lane at a time would take a load and a store for each number.
#pragma once

#include "lanes.hpp"

#if defined(TEORELL_ON_HOST)
#include <utility>
#endif

TEORELL_BEGIN

// to: [count][W]; rows: W arrays of `count`.
template <int W>
TEORELL_INLINE void collect(double* to, const double* const* rows, std::int64_t count);

// Back again, of the lanes whose array is not null.
template <int W>
TEORELL_INLINE void distribute(const double* from, double* const* rows, std::int64_t count);

#if defined(TEORELL_ON_HOST)

// A register of elements of two, numbered from those of a on to those of b.
template <std::size_t... from>
TEORELL_INLINE DoubleRegister choose(DoubleRegister a, DoubleRegister b,
                                     std::index_sequence<from...>) {
#if defined(__clang__)
    return __builtin_shufflevector(a, b, int{from}...);
#else
    return __builtin_shuffle(a, b, IntRegister{std::int64_t{from}...});
#endif
}

// Upper halves of each 2 * step elements of a change places with lower halves of b.
template <std::size_t step, std::size_t... j>
TEORELL_INLINE void exchange(DoubleRegister& a, DoubleRegister& b, std::index_sequence<j...>) {
    constexpr std::size_t width = register_width;
    const DoubleRegister before = a;
    a = choose(before, b, std::index_sequence<((j & step) != 0 ? width + j - step : j)...>());
    b = choose(before, b, std::index_sequence<((j & step) != 0 ? width + j : j + step)...>());
}

// Row i, column j to row j, column i.
template <std::size_t step = register_width / 2>
TEORELL_INLINE void transpose(DoubleRegister* square) {
    for (std::size_t i = 0; i < register_width; ++i)
        if ((i & step) == 0)
            exchange<step>(square[i], square[i + step], std::make_index_sequence<register_width>());
    if constexpr (step > 1) transpose<step / 2>(square);
}

// Calls square(first) until squares cover 0 to count; where they do not fit, the last covers once
// more what the one before did. A count below a square's takes single(k) for each k.
template <class Square, class Single>
TEORELL_INLINE void in_squares(std::int64_t count, Square square, Single single) {
    if (count < register_width) {
        for (std::int64_t k = 0; k < count; ++k) single(k);
        return;
    }
    std::int64_t k = 0;
    for (; k + register_width <= count; k += register_width) square(k);
    if (k < count) square(count - register_width);
}

template <int W>
TEORELL_INLINE void collect(double* to, const double* const* rows, std::int64_t count) {
    for (int part = 0; part < W; part += register_width)
        in_squares(
            count,
            [&](std::int64_t first) {
                DoubleRegister square[register_width];
                for (int l = 0; l < register_width; ++l)
                    std::memcpy(&square[l], rows[part + l] + first, sizeof square[l]);
                transpose(square);
                for (int k = 0; k < register_width; ++k)
                    *reinterpret_cast<InMemory*>(to + (first + k) * W + part) = square[k];
            },
            [&](std::int64_t k) {
                for (int l = part; l < part + register_width; ++l) to[k * W + l] = rows[l][k];
            });
}

template <int W>
TEORELL_INLINE void distribute(const double* from, double* const* rows, std::int64_t count) {
    for (int part = 0; part < W; part += register_width)
        in_squares(
            count,
            [&](std::int64_t first) {
                DoubleRegister square[register_width];
                for (int k = 0; k < register_width; ++k)
                    square[k] = *reinterpret_cast<const InMemory*>(from + (first + k) * W + part);
                transpose(square);
                for (int l = 0; l < register_width; ++l)
                    if (rows[part + l] != nullptr)
                        std::memcpy(rows[part + l] + first, &square[l], sizeof square[l]);
            },
            [&](std::int64_t k) {
                for (int l = part; l < part + register_width; ++l)
                    if (rows[l] != nullptr) rows[l][k] = from[k * W + l];
            });
}

#endif

TEORELL_END
