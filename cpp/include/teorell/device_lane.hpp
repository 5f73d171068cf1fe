// The pack of one device thread: one lane, whose slots lie as far from each other as a warp is
// wide, so that threads side by side read and write memory side by side; or, of a thread for whom a
// whole warp works, in a row.
#pragma once

#include "device.hpp"
#include "workspace.hpp"

TEORELL_BEGIN

template <int apart>
struct LaneEvery {
    double value;
};
using DeviceLane = LaneEvery<warp>;
using TeamLane = LaneEvery<1>;
template <>
constexpr bool memory_outlives<TeamLane> = true;

template <int apart>
struct Pack<LaneEvery<apart>> {
    using Lane = LaneEvery<apart>;
    static constexpr int width = 1, stride = apart;
    using Mask = bool;
    TEORELL_HD TEORELL_INLINE static Lane load(const double* p) { return {*p}; }
    TEORELL_HD TEORELL_INLINE static void store(double* p, Lane a) { *p = a.value; }
    TEORELL_HD TEORELL_INLINE static Lane broadcast(double a) { return {a}; }
    TEORELL_HD TEORELL_INLINE static bool from_bits(unsigned b) { return (b & 1u) != 0; }
};

#define TEORELL_OF_ONE(type, signature, expression) \
    template <int apart> \
    TEORELL_HD TEORELL_INLINE type signature { \
        return {expression}; \
    }
TEORELL_OF_ONE(LaneEvery<apart>, operator+(LaneEvery<apart> a, LaneEvery<apart> b),
               a.value + b.value)
TEORELL_OF_ONE(LaneEvery<apart>, operator-(LaneEvery<apart> a, LaneEvery<apart> b),
               a.value - b.value)
TEORELL_OF_ONE(LaneEvery<apart>, operator-(LaneEvery<apart> a), -a.value)
TEORELL_OF_ONE(LaneEvery<apart>, operator*(LaneEvery<apart> a, LaneEvery<apart> b),
               a.value* b.value)
TEORELL_OF_ONE(LaneEvery<apart>, operator/(LaneEvery<apart> a, LaneEvery<apart> b),
               a.value / b.value)
TEORELL_OF_ONE(LaneEvery<apart>, fma(LaneEvery<apart> a, LaneEvery<apart> b, LaneEvery<apart> c),
               fma(a.value, b.value, c.value))
TEORELL_OF_ONE(LaneEvery<apart>, sqrt(LaneEvery<apart> a), sqrt(a.value))
TEORELL_OF_ONE(LaneEvery<apart>, abs(LaneEvery<apart> a), abs(a.value))
TEORELL_OF_ONE(LaneEvery<apart>, select(bool mask, LaneEvery<apart> a, LaneEvery<apart> b),
               mask ? a.value : b.value)
TEORELL_OF_ONE(LaneEvery<apart>, min(LaneEvery<apart> a, LaneEvery<apart> b), min(a.value, b.value))
TEORELL_OF_ONE(LaneEvery<apart>, max(LaneEvery<apart> a, LaneEvery<apart> b), max(a.value, b.value))
TEORELL_OF_ONE(LaneEvery<apart>, round_to_integer(LaneEvery<apart> a), round_to_integer(a.value))
TEORELL_OF_ONE(LaneEvery<apart>, exp2_integer(LaneEvery<apart> a), exp2_integer(a.value))
TEORELL_OF_ONE(LaneEvery<apart>, exponent(LaneEvery<apart> a), exponent(a.value))
TEORELL_OF_ONE(LaneEvery<apart>, mantissa(LaneEvery<apart> a), mantissa(a.value))
TEORELL_OF_ONE(bool, operator<(LaneEvery<apart> a, LaneEvery<apart> b), a.value < b.value)
TEORELL_OF_ONE(bool, operator<=(LaneEvery<apart> a, LaneEvery<apart> b), a.value <= b.value)
TEORELL_OF_ONE(bool, operator>(LaneEvery<apart> a, LaneEvery<apart> b), a.value > b.value)
TEORELL_OF_ONE(bool, operator>=(LaneEvery<apart> a, LaneEvery<apart> b), a.value >= b.value)
TEORELL_OF_ONE(bool, operator!=(LaneEvery<apart> a, LaneEvery<apart> b), a.value != b.value)
TEORELL_OF_ONE(bool, operator==(LaneEvery<apart> a, LaneEvery<apart> b), a.value == b.value)
#undef TEORELL_OF_ONE

TEORELL_END
