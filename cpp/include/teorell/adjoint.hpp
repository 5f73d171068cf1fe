// The reverse of one Rosenbrock-Wanner step of a pack of lanes, whose stages lie in the workspace:
// the discrete adjoint of Sandu, Daescu & Carmichael (Atmos. Environ. 37, 2003, 5083), with t and h
// constants. In region lam goes d L / d y_n+1 in, d L / d y_n comes out. The order of operations is
// a contract with engine/adjoint_code.py, as that of rosenbrock.hpp.
//     E' w_i = (1 if i = s) lam + sum_{j>i} (a_ji Y_j + (C_ji / h) w_j) + ubar_i
//     Y_i = f_y(y_i)' w_i (+ what follows)
// where Y_i is the cotangent of the stage value y_i: y_{i+1} = y_i + u_i passes Y_{i+1} on to Y_i
// and u_i.
#pragma once

#include "rosenbrock.hpp"

TEORELL_BEGIN

template <class V, class Method, class Model = InterpretedModel<V>>
struct ReverseStep : Slots<V> {
    using P = Pack<V>;
    using Slots<V>::m, Slots<V>::ws, Slots<V>::get, Slots<V>::put, Slots<V>::scalar;
    static constexpr int s = Method::stages;
    // Of stage i and state k: z = y_i + u_i in place of u_i, y_i, w_i and Y_i.
    TEORELL_HD TEORELL_INLINE std::int32_t z(int i, int k) const { return m.at.u + i * m.at.n + k; }
    TEORELL_HD TEORELL_INLINE std::int32_t y(int i, int k) const {
        return m.at.block + 3 * i * m.at.n + k;
    }
    TEORELL_HD TEORELL_INLINE std::int32_t w(int i, int k) const { return y(i, k) + m.at.n; }
    TEORELL_HD TEORELL_INLINE std::int32_t Y(int i, int k) const { return w(i, k) + m.at.n; }
    // u_i of the column of entry e.
    TEORELL_HD TEORELL_INLINE std::int32_t kept(int i, int e) const {
        return m.at.ukept + m.entries[std::int64_t{3} * e + 2] * s + i;
    }

    // Reads tn, h, hinv, yn, u, lu, coef, lam, ubar, ynbar; changes lam, ynbar, coefbar.
    TEORELL_HD void operator()() const {
        stage_values();
        stages_down_from<s - 1>();
        finish();
    }

    // z takes the place of u, which is kept for the columns of entries alone: what a step reads
    // fits the nearest cache.
    TEORELL_HD void stage_values() const {
        const auto& L = m.at;
        for (int e = 0; e < L.n_entries; ++e)
            for (int i = 0; i < s; ++i)
                put(kept(i, e), get(z(i, m.entries[std::int64_t{3} * e + 1])));
        for (int k = 0; k < L.n; ++k) {
            V u[s], value = get(L.yn + k);
            for (int i = 0; i < s; ++i) u[i] = get(z(i, k));
            values_from<0>(k, u, value);
        }
    }
    template <int i>
    TEORELL_HD void values_from(int k, const V* u, V previous) const {
        V value = get(m.at.yn + k);
        if constexpr (i > 0 && adds_previous_stage<Method>(i)) {
            value = previous + u[i - 1];
        } else {
            for (int j = 0; j < i; ++j) value = fma(P::broadcast(Method::a[i][j]), u[j], value);
        }
        put(y(i, k), value);
        put(z(i, k), value + u[i]);
        if constexpr (i + 1 < s) values_from<i + 1>(k, u, value);
    }

    template <int i>
    TEORELL_HD void stages_down_from() const {
        const auto& L = m.at;
        put(L.scalar + s_t,
            i > 0 ? fma(P::broadcast(Method::c[i]), scalar(s_h), scalar(s_tn)) : scalar(s_tn));
        gather<i>();
        Model::template stage_reverse<i>(m, ws);
        for (int k = 0; k < L.n; ++k) {
            if constexpr (i + 1 == s)
                put(Y(i, k), get(Y(i, k)) + get(L.lam + k));
            else if constexpr (adds_previous_stage<Method>(i + 1))
                put(Y(i, k), get(Y(i, k)) + get(Y(i + 1, k)));
        }
        if constexpr (i > 0) stages_down_from<i - 1>();
    }

    // The right-hand side of w_i.
    template <int i>
    TEORELL_HD void gather() const {
        const auto& L = m.at;
        const auto C = Method::C;
        const auto a = Method::a;
        const auto H = Method::H;
        V c[s];
        for (int j = i + 1; j < s; ++j) c[j] = P::broadcast(C[j][i]) * scalar(s_hinv);
        for (int k = 0; k < L.n; ++k) {
            V r;
            if constexpr (i + 1 == s)
                r = get(L.lam + k);
            else if constexpr (adds_previous_stage<Method>(i + 1))
                r = get(Y(i + 1, k));
            else
                r = P::broadcast(Method::a[i + 1][i]) * get(Y(i + 1, k));
            for (int j = i + 2; j < s; ++j)
                if (!adds_previous_stage<Method>(j))
                    r = fma(P::broadcast(a[j][i]), get(Y(j, k)), r);
            for (int j = i + 1; j < s; ++j) r = fma(c[j], get(w(j, k)), r);
            put(w(i, k), r);
        }
        for (int o = 0; o < m.n_output_states; ++o) {
            const std::int32_t slot = w(i, m.output_states[o]);
            V sum = get(slot);
            for (int r = 0; r < Method::dense; ++r)
                sum = fma(P::broadcast(H[r][i]), get(L.ubar + r * m.n_output_states + o), sum);
            put(slot, sum);
        }
    }

    TEORELL_HD void finish() const {
        const auto& L = m.at;
        for (int e = 0; e < L.n_entries; ++e) {
            const std::int32_t row = m.entries[std::int64_t{3} * e];
            V sum = get(w(s - 1, row)) * get(kept(s - 1, e));
            for (int i = s - 2; i >= 0; --i) sum = fma(get(w(i, row)), get(kept(i, e)), sum);
            put(L.entries + e, sum);
        }
        const auto d = Method::d;
        for (int e = 0; e < L.n_ft; ++e) {
            V sum = P::broadcast(0.0);
            for (int i = 0; i < s; ++i)
                if (d[i] != 0.0)
                    sum = fma(scalar(s_h) * P::broadcast(d[i]), get(w(i, m.ft_rows[e])), sum);
            put(L.entries_ft + e, sum);
        }
        put(L.scalar + s_t, scalar(s_tn));
        Model::second_reverse(m, ws);
        for (int k = 0; k < L.n; ++k) {
            V sum = get(L.ynbar + k);
            for (int i = s - 1; i >= 0; --i)
                if (!adds_previous_stage<Method>(i)) sum = sum + get(Y(i, k));
            put(L.lam + k, sum);
        }
    }
};

TEORELL_END
