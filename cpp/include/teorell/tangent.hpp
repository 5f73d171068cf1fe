// The tangent of one Rosenbrock-Wanner step of a pack of lanes in one direction, with the factors
// of the step itself and with t and h constants: what differentiating the formulas of tableau.hpp
// gives, second derivatives included.
//     E udot_i = f_y(y_i) ydot_i + f_p(y_i) pdot + (J(y_n))dot u_i
//                + sum_{j<i} (C_ij / h) udot_j + h d_i (f_t)dot
// The order of operations is a contract with engine/tangent_code.py, as that of rosenbrock.hpp.
#pragma once

#include "rosenbrock.hpp"

TEORELL_BEGIN

template <class V, class Method, class Model = InterpretedModel<V>>
struct TangentStep : Slots<V> {
    using P = Pack<V>;
    using Slots<V>::m, Slots<V>::ws, Slots<V>::get, Slots<V>::put, Slots<V>::scalar;
    static constexpr int s = Method::stages;

    // Reads tn, h, hinv, yn, u, lu, coef, yndot, coefdot; writes udot, and the tangent of y_{n+1}
    // in region ydot.
    TEORELL_HD void operator()() const {
        const auto& L = m.at;
        put(L.scalar + s_t, scalar(s_tn));
        Model::second_dot(m, ws);
        stages_from<0>();
        for (int k = 0; k < L.n; ++k)
            put(L.ydot + k, get(L.ydot + k) + get(L.udot + (s - 1) * L.n + k));
    }

    template <int i>
    TEORELL_HD void stages_from() const {
        const auto& L = m.at;
        put(L.scalar + s_t,
            i > 0 ? fma(P::broadcast(Method::c[i]), scalar(s_h), scalar(s_tn)) : scalar(s_tn));
        combine<i>();
        const std::int32_t udot = L.udot + i * L.n;
        if (Method::d[i] != 0.0) {
            const V hd = scalar(s_h) * P::broadcast(Method::d[i]);
            for (int e = 0; e < L.n_ft; ++e)
                put(udot + m.ft_rows[e], fma(hd, get(L.entries_ft + e), get(udot + m.ft_rows[e])));
        }
        for (int e = 0; e < L.n_entries; ++e) {
            const std::int32_t row = udot + m.entries[std::int64_t{3} * e],
                               u = L.u + i * L.n + m.entries[std::int64_t{3} * e + 1];
            put(row, fma(get(L.entries + e), get(u), get(row)));
        }
        Model::template stage_dot<i>(m, ws);
        if constexpr (i + 1 < s) stages_from<i + 1>();
    }

    // y_i, z_i = y_i + u_i, the tangent of y_i, and what udot_i starts from.
    template <int i>
    TEORELL_HD void combine() const {
        const auto& L = m.at;
        V c[s];
        for (int j = 0; j < i; ++j) c[j] = P::broadcast(Method::C[i][j]) * scalar(s_hinv);
        for (int k = 0; k < L.n; ++k) {
            V y = get(L.yn + k), ydot = get(L.yndot + k), r = P::broadcast(0.0);
            if (adds_previous_stage<Method>(i)) {
                y = get(L.y + k) + get(L.u + (i - 1) * L.n + k);
                ydot = get(L.ydot + k) + get(L.udot + (i - 1) * L.n + k);
            } else {
                for (int j = 0; j < i; ++j) {
                    const V a = P::broadcast(Method::a[i][j]);
                    y = fma(a, get(L.u + j * L.n + k), y);
                    ydot = fma(a, get(L.udot + j * L.n + k), ydot);
                }
            }
            for (int j = 0; j < i; ++j) {
                const V udot = get(L.udot + j * L.n + k);
                r = j == 0 ? c[0] * udot : fma(c[j], udot, r);
            }
            put(L.y + k, y);
            put(L.z + k, y + get(L.u + i * L.n + k));
            put(L.ydot + k, ydot);
            put(L.udot + i * L.n + k, r);
        }
    }
};

TEORELL_END
