// A workspace of a group of lanes: [slot][lane] float64, the regions of docs/programs.md.
#pragma once

#include "batch.hpp"
#include "interpreter.hpp"

TEORELL_BEGIN

// A workspace before its first use.
template <class V>
TEORELL_HD void clear_workspace(const Programs& m, const Batch& b, double* w) {
    constexpr std::int64_t width = Pack<V>::width, stride = Pack<V>::stride;
    const Layout& at = m.at;
    const auto fill = [=](std::int32_t slot, double value) {
        for (int l = 0; l < width; ++l) w[slot * stride + l] = value;
    };
    for (int s = 0; s < at.slots; ++s) fill(s, 0.0);
    for (int i = 0; i < at.n_const; ++i) fill(at.constants + i, m.constants[i]);
    for (int k = 0; k < at.n; ++k) fill(at.atol + k, b.atol[k]);
    fill(at.scalar + s_rtol, b.rtol);
    fill(at.scalar + s_h, 1.0);
}

// The slots of a model's workspace, a pack of lanes each.
template <class V>
struct Slots {
    using P = Pack<V>;
    static constexpr int W = P::width, stride = P::stride;
    // Of arrays of lanes: on a device each patient has a stack.
    static constexpr int alignment = W == 1 ? 8 : 64;
    static constexpr double infinity = TEORELL_INFINITY;
    const Programs& m;
    double* ws;

    TEORELL_HD TEORELL_INLINE double* slot(std::int32_t s) const {
        double* place = ws + static_cast<std::int64_t>(s) * stride;
        if constexpr (P::stride != W) TEORELL_IN_DEVICE_MEMORY(place);  // not a team's
        return place;
    }
    TEORELL_HD TEORELL_INLINE V get(std::int32_t s) const { return P::load(slot(s)); }
    TEORELL_HD TEORELL_INLINE void put(std::int32_t s, V v) const { P::store(slot(s), v); }
    TEORELL_HD TEORELL_INLINE V scalar(int which) const { return get(m.at.scalar + which); }
};

// Of a device the memory outlives the lanes, which are made again by each launch: who owns it has
// cleared it.
template <class V>
constexpr bool memory_outlives = Pack<V>::stride != Pack<V>::width;

// The slots of single lanes, and sets of lanes as bits.
template <class V>
class WorkspaceLanes : protected Slots<V> {
  protected:
    using P = Pack<V>;
    using Slots<V>::W, Slots<V>::stride, Slots<V>::m, Slots<V>::ws, Slots<V>::slot;

    TEORELL_HD WorkspaceLanes(const Programs& programs, const Batch& batch, double* workspace)
        : Slots<V>{programs, workspace}, at(programs.at), b(batch) {
        clear_new(ws);
    }

    const Layout& at;
    const Batch& b;

    TEORELL_HD void clear_new(double* w) const {
        if constexpr (!memory_outlives<V>) clear_workspace<V>(m, b, w);
    }

    // The samples of patient i: how many, when, and their first row in what belongs to patients
    // from `first` on.
    TEORELL_HD std::int64_t sample_count(std::int64_t i) const {
        return b.sample_offsets == nullptr ? b.n_times
                                           : b.sample_offsets[i + 1] - b.sample_offsets[i];
    }
    TEORELL_HD const double* sample_times(std::int64_t i) const {
        return b.sample_offsets == nullptr ? b.times : b.times + b.sample_offsets[i];
    }
    TEORELL_HD std::int64_t first_row(std::int64_t i, std::int64_t first) const {
        return b.sample_offsets == nullptr ? (i - first) * b.n_times
                                           : b.sample_offsets[i] - b.sample_offsets[first];
    }

    TEORELL_HD double& lane(std::int32_t s, int l) const { return slot(s)[l]; }
    TEORELL_HD double& tn(int l) const { return lane(at.scalar + s_tn, l); }
    TEORELL_HD static double& in(double* w, std::int32_t s, int l) {
        return w[static_cast<std::int64_t>(s) * stride + l];
    }
    TEORELL_HD static bool has(unsigned set, int l) { return (set >> l) & 1u; }
    TEORELL_HD TEORELL_INLINE static int first_of([[maybe_unused]] unsigned set) {
#if defined(TEORELL_ON_HOST)
        if constexpr (W > 1) return __builtin_ctz(set);
#endif
        return 0;
    }
    template <class Action>
    TEORELL_HD TEORELL_INLINE static void for_each(unsigned set, Action action) {
        for (; set != 0; set &= set - 1) action(first_of(set));
    }
};

TEORELL_END
