// Where the code of a model's programs (written by teorell/device/emitted.py) finds its numbers: in
// a thread's workspace, or held in variables of a step. Both read as x[k], and write by put.
#pragma once

#include "teorell/lanes.hpp"

#if defined(__CUDACC__)
#define TEORELL_NOINLINE __noinline__
#define TEORELL_TABLE __constant__
#define TEORELL_UNROLL _Pragma("unroll")
#define TEORELL_LOOP _Pragma("unroll 1")
#else
#define TEORELL_NOINLINE __attribute__((noinline))
#define TEORELL_TABLE static const
#define TEORELL_UNROLL
#define TEORELL_LOOP
#endif

TEORELL_BEGIN

// Slots of a workspace from `first` on.
template <class V>
struct SlotsFrom {
    using P = Pack<V>;
    double* first;
    TEORELL_HD TEORELL_INLINE double* slot(int k) const {
        double* place = first + static_cast<std::int64_t>(k) * P::stride;
        TEORELL_IN_DEVICE_MEMORY(place);
        return place;
    }
    TEORELL_HD TEORELL_INLINE V operator[](int k) const { return P::load(slot(k)); }
    TEORELL_HD TEORELL_INLINE void put(int k, V value) const { P::store(slot(k), value); }
    TEORELL_HD TEORELL_INLINE SlotsFrom at(int k) const { return {slot(k)}; }
};

// As many numbers in registers: every k is a constant once loops are unrolled.
template <class V, int n>
struct Held {
    V value[n];
    TEORELL_HD TEORELL_INLINE V operator[](int k) const { return value[k]; }
    TEORELL_HD TEORELL_INLINE void put(int k, V v) { value[k] = v; }
};

TEORELL_END
