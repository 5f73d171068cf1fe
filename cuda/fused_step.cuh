// One Rosenbrock-Wanner step of a model whose programs are code, with the stage value and the right
// hand side of a stage in registers: only the factors, the stage vectors and the end state are
// written to the workspace. The bits are those of rosenbrock.hpp: its additions y_i = y_{i-1} +
// u_{i-1} are here fma(1, u_{i-1}, y_{i-1}), which rounds the same sum, where y_{i-1} is computed
// once more by the same operations. The loop over the stages stays a loop: its body is there once,
// so that the code of a step fits the instruction cache.
#pragma once

#include "emitted_slots.cuh"
#include "teorell/rosenbrock.hpp"

TEORELL_BEGIN

// Model: what teorell/device/emitted.py writes.
template <class V, class Method, class Model>
struct FusedStep : Slots<V> {
    using P = Pack<V>;
    using Slots<V>::m, Slots<V>::ws, Slots<V>::get, Slots<V>::put;
    static constexpr int n = Model::n, s = Method::stages;
    using States = Held<V, n>;

    // Reads and writes what Step does, but for regions y and f.
    TEORELL_HD void operator()() const {
        States y, u;
        run(y, u);
        finish(y, u);
    }

    TEORELL_HD void stages() const {
        States y, u;
        run(y, u);
        TEORELL_UNROLL
        for (int k = 0; k < n; ++k) put(Model::at_y + k, y[k]);
    }

  private:
    TEORELL_HD TEORELL_INLINE V scalar(int which) const { return get(Model::at_scalar + which); }

    // y, u: afterwards of the last stage.
    TEORELL_HD TEORELL_INLINE void run(States& y, States& u) const {
        const V h = scalar(s_h), tn = scalar(s_tn), hinv = P::broadcast(1.0) / h;
        put(Model::at_scalar + s_hinv, hinv);
        put(Model::at_scalar + s_ghinv, P::broadcast(1.0 / Method::gamma) * hinv);
        put(Model::at_scalar + s_t, tn);
        TEORELL_UNROLL
        for (int k = 0; k < n; ++k) {
            y.put(k, get(Model::at_yn + k));
            if (!Model::is_signed(k))
                put(Model::at_top + k, max(get(Model::at_top + k), abs(y[k])));
        }
        Model::factor(SlotsFrom<V>{ws}, y);
        TEORELL_LOOP
        for (int i = 0; i < s; ++i) {
            combine(i, h, tn, hinv, y, u);
            Model::stage(SlotsFrom<V>{ws}, y, u);
            TEORELL_UNROLL
            for (int k = 0; k < n; ++k) put(Model::at_u + i * n + k, u[k]);
        }
    }

    TEORELL_HD TEORELL_INLINE void combine(int i, V h, V tn, V hinv, States& y, States& u) const {
        if (i == 0) {  // y is yn
            TEORELL_UNROLL
            for (int k = 0; k < n; ++k) u.put(k, P::broadcast(0.0));
        } else {
            put(Model::at_scalar + s_t, fma(P::broadcast(Model::c(i)), h, tn));
            const V a = P::broadcast(Model::a(i, 0)), c = P::broadcast(Model::C(i, 0)) * hinv;
            TEORELL_UNROLL
            for (int k = 0; k < n; ++k) {
                const V uj = get(Model::at_u + k);
                y.put(k, fma(a, uj, get(Model::at_yn + k)));
                u.put(k, c * uj);
            }
        }
        TEORELL_LOOP
        for (int j = 1; j < i; ++j) {
            const V a = P::broadcast(Model::a(i, j)), c = P::broadcast(Model::C(i, j)) * hinv;
            TEORELL_UNROLL
            for (int k = 0; k < n; ++k) {
                const V uj = get(Model::at_u + j * n + k);
                y.put(k, fma(a, uj, y[k]));
                u.put(k, fma(c, uj, u[k]));
            }
        }
        if constexpr (Model::n_ft > 0) {
            if (Model::d(i) != 0.0)
                Model::add_ft(SlotsFrom<V>{ws}, h * P::broadcast(Model::d(i)), u);
        }
    }

    TEORELL_HD TEORELL_INLINE void finish(const States& y, const States& u) const {
        const V rtol = scalar(s_rtol), ten_rtol = P::broadcast(10.0) * rtol,
                zero = P::broadcast(0.0);
        V sum[4] = {zero, zero, zero, zero}, finite[4] = {zero, zero, zero, zero}, lowest = zero;
        int turn = 0;
        TEORELL_UNROLL
        for (int k = 0; k < n; ++k) {
            const V ynew = y[k] + u[k], atol = get(Model::at_atol + k);
            put(Model::at_ynew + k, ynew);
            if (Model::is_controlled(k)) {
                const V q = u[k] / fma(rtol, max(abs(get(Model::at_yn + k)), abs(ynew)), atol);
                sum[turn] = fma(q, q, sum[turn]);
                turn = (turn + 1) & 3;
            }
            finite[k & 3] = fma(ynew, zero, finite[k & 3]);
            if (!Model::is_signed(k))
                lowest = min(lowest, fma(P::broadcast(100.0), atol,
                                         fma(ten_rtol, get(Model::at_top + k), ynew)));
        }
        const V total = (sum[0] + sum[1]) + (sum[2] + sum[3]);
        put(Model::at_scalar + s_err2, total * P::broadcast(m.inverse_n_controlled));
        const V valid = select(lowest < zero, P::broadcast(-1.0), P::broadcast(1.0));
        put(Model::at_scalar + s_valid,
            select((finite[0] + finite[1]) + (finite[2] + finite[3]) == zero, valid, zero));
    }
};

TEORELL_END
