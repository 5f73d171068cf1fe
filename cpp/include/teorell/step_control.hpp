// Step size control of a pack of lanes: the elementary controller h_new = safety h error^(-1/k), k
// the order of the error estimate plus one (Hairer & Wanner, Solving ODEs II, IV.2), on the mean
// square error norm. Proportional-integral variants (Gustafsson, ACM TOMS 17 (1991) 533) took 1-30
// % more steps at the same accuracy on the reference problems, for fewer rejections. Logarithm and
// power are short polynomials (absolute error below 4e-7: a step size needs no more), elementwise,
// so that every lane width takes the same steps.
#pragma once

#include "lanes.hpp"

TEORELL_BEGIN

// log2 of a positive normal number.
template <class V>
TEORELL_HD TEORELL_INLINE V coarse_log2(V x) {
    using P = Pack<V>;
    const V z = mantissa(x) - P::broadcast(1.5);
    V p = fma(z, P::broadcast(0.014440352), P::broadcast(-0.025110141));
    p = fma(p, z, P::broadcast(0.037610464));
    p = fma(p, z, P::broadcast(-0.070594554));
    p = fma(p, z, P::broadcast(0.14250802));
    p = fma(p, z, P::broadcast(-0.32063188));
    p = fma(p, z, P::broadcast(0.96179654));
    p = fma(p, z, P::broadcast(0.58496276));
    return exponent(x) + p;
}

// 2^x for abs(x) < 1000.
template <class V>
TEORELL_HD TEORELL_INLINE V coarse_exp2(V x) {
    using P = Pack<V>;
    const V whole = round_to_integer(x), z = x - whole;
    V p = fma(z, P::broadcast(0.0013390863), P::broadcast(0.0096760319));
    p = fma(p, z, P::broadcast(0.055503571));
    p = fma(p, z, P::broadcast(0.24022107));
    p = fma(p, z, P::broadcast(0.69314719));
    p = fma(p, z, P::broadcast(1.0));
    return p * exp2_integer(whole);
}

struct Controller {
    static constexpr double safety = 0.92, largest = 8.0, smallest = 0.2;
    // First step, over the explicit Euler step that changes y by 1 %.
    static constexpr double largest_first = 1e4;
    static constexpr double largest_after_first = 36.0;  // growth after the first step
};

// Growth of steps from the start of t^p, whose slope by p, log(t) t^p, they have to follow as well.
// Of Rodas5P's steps over log(t) from t to r t the error is 8e-5 (r - 1)^5 t.
TEORELL_HD inline double steep_growth(double rtol) {
    const double part = coarse_exp2(0.2 * coarse_log2(1e4 * rtol));
    return 1.0 + (part < 1.0 ? part : 1.0);
}

// Factor on h from log2 of the mean square error norm; `limit` is the largest growth allowed.
template <class V, class Method>
TEORELL_HD TEORELL_INLINE V step_factor(V log_error, V limit) {
    using P = Pack<V>;
    constexpr double k = 2.0 * (Method::error_order + 1);
    const V factor =
        P::broadcast(Controller::safety) * coarse_exp2(P::broadcast(-1.0 / k) * log_error);
    return max(P::broadcast(Controller::smallest), min(limit, factor));
}

TEORELL_END
