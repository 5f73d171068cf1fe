// The pack of one device thread: one lane, whose slots lie as far from each other as a warp is
// wide, so that threads side by side read and write memory side by side.
#pragma once

#include "device.hpp"
#include "lanes.hpp"

TEORELL_BEGIN

struct DeviceLane {
    double value;
};

template <>
struct Pack<DeviceLane> {
    static constexpr int width = 1, stride = warp;
    using Mask = bool;
    TEORELL_HD TEORELL_INLINE static DeviceLane load(const double* p) { return {*p}; }
    TEORELL_HD TEORELL_INLINE static void store(double* p, DeviceLane a) { *p = a.value; }
    TEORELL_HD TEORELL_INLINE static DeviceLane broadcast(double a) { return {a}; }
    TEORELL_HD TEORELL_INLINE static bool from_bits(unsigned b) { return (b & 1u) != 0; }
};

#define TEORELL_OF_ONE(type, signature, expression) \
    TEORELL_HD TEORELL_INLINE type signature { return {expression}; }
TEORELL_OF_ONE(DeviceLane, operator+(DeviceLane a, DeviceLane b), a.value + b.value)
TEORELL_OF_ONE(DeviceLane, operator-(DeviceLane a, DeviceLane b), a.value - b.value)
TEORELL_OF_ONE(DeviceLane, operator-(DeviceLane a), -a.value)
TEORELL_OF_ONE(DeviceLane, operator*(DeviceLane a, DeviceLane b), a.value* b.value)
TEORELL_OF_ONE(DeviceLane, operator/(DeviceLane a, DeviceLane b), a.value / b.value)
TEORELL_OF_ONE(DeviceLane, fma(DeviceLane a, DeviceLane b, DeviceLane c),
               fma(a.value, b.value, c.value))
TEORELL_OF_ONE(DeviceLane, sqrt(DeviceLane a), sqrt(a.value))
TEORELL_OF_ONE(DeviceLane, abs(DeviceLane a), abs(a.value))
TEORELL_OF_ONE(DeviceLane, select(bool mask, DeviceLane a, DeviceLane b), mask ? a.value : b.value)
TEORELL_OF_ONE(DeviceLane, min(DeviceLane a, DeviceLane b), min(a.value, b.value))
TEORELL_OF_ONE(DeviceLane, max(DeviceLane a, DeviceLane b), max(a.value, b.value))
TEORELL_OF_ONE(DeviceLane, round_to_integer(DeviceLane a), round_to_integer(a.value))
TEORELL_OF_ONE(DeviceLane, exp2_integer(DeviceLane a), exp2_integer(a.value))
TEORELL_OF_ONE(DeviceLane, exponent(DeviceLane a), exponent(a.value))
TEORELL_OF_ONE(DeviceLane, mantissa(DeviceLane a), mantissa(a.value))
TEORELL_OF_ONE(bool, operator<(DeviceLane a, DeviceLane b), a.value < b.value)
TEORELL_OF_ONE(bool, operator<=(DeviceLane a, DeviceLane b), a.value <= b.value)
TEORELL_OF_ONE(bool, operator>(DeviceLane a, DeviceLane b), a.value > b.value)
TEORELL_OF_ONE(bool, operator>=(DeviceLane a, DeviceLane b), a.value >= b.value)
TEORELL_OF_ONE(bool, operator!=(DeviceLane a, DeviceLane b), a.value != b.value)
TEORELL_OF_ONE(bool, operator==(DeviceLane a, DeviceLane b), a.value == b.value)
#undef TEORELL_OF_ONE

TEORELL_END
