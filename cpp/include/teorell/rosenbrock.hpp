// One Rosenbrock-Wanner step of a pack of lanes, each with its own t and h, in the workspace of
// docs/programs.md. The order of operations is a contract: engine/step_code.py emits the same,
// and both give the same bits.
#pragma once

#include "interpreted_model.hpp"
#include "tableau.hpp"
#include "workspace.hpp"

TEORELL_BEGIN

// Row i of A is row i - 1 with a one added: y_i = y_{i-1} + u_{i-1}.
template <class Method>
TEORELL_HD constexpr bool adds_previous_stage(int i) {
    const auto a = Method::a;  // nvcc takes the address of the array, not of its elements
    for (int j = 0; j + 1 < i; ++j)
        if (a[i][j] != a[i - 1][j]) return false;
    return i >= 2 && a[i][i - 1] == 1.0;
}

template <class V, class Method, class Model = InterpretedModel<V>>
struct Step : Slots<V> {
    using P = Pack<V>;
    using Slots<V>::m, Slots<V>::ws, Slots<V>::get, Slots<V>::put, Slots<V>::scalar;

    // Stage value y_i into region y; (1/h) sum_j C_ij u_j + h d_i f_t into the slots of u_i, for
    // rhs to add to.
    template <int i>
    TEORELL_HD void combine() const {
        const auto& L = m.at;
        put(L.scalar + s_t, fma(P::broadcast(Method::c[i]), scalar(s_h), scalar(s_tn)));
        V c[i];
        for (int j = 0; j < i; ++j) c[j] = P::broadcast(Method::C[i][j]) * scalar(s_hinv);
        for (int k = 0; k < L.n; ++k) {
            V y = get(L.yn + k), s = c[0];
            for (int j = 0; j < i; ++j) {
                const V u = get(L.u + j * L.n + k);
                s = j == 0 ? c[0] * u : fma(c[j], u, s);
                if (!adds_previous_stage<Method>(i)) y = fma(P::broadcast(Method::a[i][j]), u, y);
            }
            if (adds_previous_stage<Method>(i)) y = get(L.y + k) + get(L.u + (i - 1) * L.n + k);
            put(L.y + k, y);
            put(L.u + i * L.n + k, s);
        }
    }

    template <int i>
    TEORELL_HD void stage() const {
        const auto& L = m.at;
        const std::int32_t u = L.u + i * L.n;
        if constexpr (i > 0) {
            combine<i>();
        } else {
            for (int k = 0; k < L.n; ++k) put(u + k, P::broadcast(0.0));
        }
        if (Method::d[i] != 0.0 && L.n_ft > 0) {
            const V hd = scalar(s_h) * P::broadcast(Method::d[i]);
            for (int k = 0; k < L.n_ft; ++k)
                put(u + m.ft_rows[k], fma(hd, get(L.ft + k), get(u + m.ft_rows[k])));
        }
        Model::template stage<i>(m, ws);
    }

    template <int i>
    TEORELL_HD void stages_from() const {
        stage<i>();
        if constexpr (i + 1 < Method::stages) stages_from<i + 1>();
    }

    // Reads tn, h, yn, atol, rtol, coef; writes u, ynew, err2, pivot, valid, top.
    TEORELL_HD void operator()() const {
        stages();
        finish();
    }

    // Up to the last stage: the factors, u, and the stage value y_s in region y.
    TEORELL_HD void stages() const {
        const auto& L = m.at;
        const V hinv = P::broadcast(1.0) / scalar(s_h);
        put(L.scalar + s_hinv, hinv);
        put(L.scalar + s_ghinv, P::broadcast(1.0 / Method::gamma) * hinv);
        put(L.scalar + s_t, scalar(s_tn));
        for (int k = 0; k < L.n; ++k) {
            const V y = get(L.yn + k);
            put(L.y + k, y);
            if (!m.is_signed[k]) put(L.top + k, max(get(L.top + k), abs(y)));
        }
        Model::factor(m, ws);
        stages_from<0>();
    }

    TEORELL_HD void finish() const {
        const auto& L = m.at;
        const V rtol = scalar(s_rtol), ten_rtol = P::broadcast(10.0) * rtol,
                zero = P::broadcast(0.0);
        // Four sums in turn, so that the additions do not wait for each other.
        V sum[4] = {zero, zero, zero, zero}, finite[4] = {zero, zero, zero, zero}, lowest = zero;
        int turn = 0;
        for (int k = 0; k < L.n; ++k) {
            const V error = get(L.u + (Method::stages - 1) * L.n + k);
            const V y = get(L.yn + k), ynew = get(L.y + k) + error, atol = get(L.atol + k);
            put(L.ynew + k, ynew);
            if (m.controlled[k]) {
                const V q = error / fma(rtol, max(abs(y), abs(ynew)), atol);
                sum[turn] = fma(q, q, sum[turn]);
                turn = (turn + 1) & 3;
            }
            // NaN from the first value that is not finite.
            finite[k & 3] = fma(ynew, zero, finite[k & 3]);
            if (!m.is_signed[k])
                lowest = min(lowest,
                             fma(P::broadcast(100.0), atol, fma(ten_rtol, get(L.top + k), ynew)));
        }
        const V total = (sum[0] + sum[1]) + (sum[2] + sum[3]);
        put(L.scalar + s_err2, total * P::broadcast(m.inverse_n_controlled));
        const V valid = select(lowest < zero, P::broadcast(-1.0), P::broadcast(1.0));
        put(L.scalar + s_valid,
            select((finite[0] + finite[1]) + (finite[2] + finite[3]) == zero, valid, zero));
    }
};

// Weights of the stage vectors in the dense output:
//     w_j = theta (1 - theta) (H_0j + theta (H_1j + ...))
template <class V, class Method>
TEORELL_HD TEORELL_INLINE void dense_weights(V theta, V* weights) {
    using P = Pack<V>;
    const auto H = Method::H;
    const V bow = theta * (P::broadcast(1.0) - theta);
    for (int j = 0; j < Method::stages; ++j) {
        V polynomial = P::broadcast(H[Method::dense - 1][j]);
        for (int r = Method::dense - 2; r >= 0; --r)
            polynomial = fma(theta, polynomial, P::broadcast(H[r][j]));
        weights[j] = bow * polynomial;
    }
}

// State k at theta: (1 - theta) y_n + theta y_{n+1} + sum_j w_j u_j.
template <class V, class Method>
TEORELL_HD TEORELL_INLINE V dense_value(const Slots<V>& s, std::int32_t k, V theta,
                                        const V* weights) {
    const Layout& at = s.m.at;
    V value = fma(theta, s.get(at.ynew + k), (Pack<V>::broadcast(1.0) - theta) * s.get(at.yn + k));
    for (int j = 0; j < Method::stages; ++j)
        value = fma(weights[j], s.get(at.u + j * at.n + k), value);
    return value;
}

TEORELL_END
