// The length of the first step after the start or an event: Hairer, Norsett & Wanner, Solving ODEs
// I, II.4, from the sizes of y, f and a difference of f. Their cap of 100 h0 is for explicit
// methods; the steps spent growing from it were up to 15 % of all at loose tolerances.
#pragma once

#include "step_control.hpp"
#include "workspace.hpp"

TEORELL_BEGIN

template <class V>
struct FirstStep {
    V h;
    unsigned finite;  // lanes in which state and right-hand side are
};

// From tn and yn, in all lanes; `stop` [W]: when the next events are. Executor: void rhs(double*
// ws). Changes regions y, ynew and f.
template <class V, class Method, class Executor>
TEORELL_HD FirstStep<V> find_first_step(const Slots<V>& s, const Batch& b, const Executor& execute,
                                        const double* stop) {
    using P = Pack<V>;
    const Programs& m = s.m;
    const Layout& at = m.at;
    const V zero = P::broadcast(0.0), rtol = P::broadcast(b.rtol),
            scale = P::broadcast(m.inverse_n_controlled);
    s.put(at.scalar + s_t, s.scalar(s_tn));
    for (int k = 0; k < at.n; ++k) s.put(at.y + k, s.get(at.yn + k)), s.put(at.f + k, zero);
    execute.rhs(s.ws);
    V d0 = zero, d1 = zero;
    for (int k = 0; k < at.n; ++k) {
        const V y = s.get(at.yn + k), f = s.get(at.f + k),
                weight = P::broadcast(1.0) / fma(rtol, abs(y), s.get(at.atol + k));
        s.put(at.ynew + k, f);
        if (!m.controlled[k]) {
            d1 = fma(f - f, f - f, d1);  // NaN where f is not finite, else nothing
            continue;
        }
        d0 = fma(y * weight, y * weight, d0);
        d1 = fma(f * weight, f * weight, d1);
    }
    const unsigned finite = bits(d0 + d1 < P::broadcast(Slots<V>::infinity));
    d0 = sqrt(d0 * scale), d1 = sqrt(d1 * scale);
    const auto tiny = (d0 < P::broadcast(1e-5)) | (d1 < P::broadcast(1e-5));
    V h0 = select(tiny, P::broadcast(1e-6), P::broadcast(0.01) * (d0 / d1));
    const V remaining = P::load(stop) - s.scalar(s_tn);
    h0 = min(h0, remaining);
    for (int k = 0; k < at.n; ++k)
        s.put(at.y + k, fma(h0, s.get(at.ynew + k), s.get(at.yn + k))), s.put(at.f + k, zero);
    s.put(at.scalar + s_t, s.scalar(s_tn) + h0);
    execute.rhs(s.ws);
    V d2 = zero;
    for (int k = 0; k < at.n; ++k) {
        if (!m.controlled[k]) continue;
        const V df = (s.get(at.f + k) - s.get(at.ynew + k)) /
                     fma(rtol, abs(s.get(at.yn + k)), s.get(at.atol + k));
        d2 = fma(df, df, d2);
    }
    d2 = sqrt(d2 * scale) / h0;
    const V steepest = max(d1, d2);
    const V guess =
        P::broadcast(0.01) / select(steepest < P::broadcast(1e100), steepest, P::broadcast(1e100));
    const V root = coarse_exp2(P::broadcast(1.0 / (Method::error_order + 1)) *
                               coarse_log2(max(guess, P::broadcast(1e-100))));
    const V h1 = select(steepest <= P::broadcast(1e-15),
                        max(P::broadcast(1e-6), P::broadcast(1e-3) * h0), root);
    const V first = min(P::broadcast(Controller::largest_first) * h0, h1);
    return {select(first > zero, first, P::broadcast(1e-6)), finite};
}

TEORELL_END
