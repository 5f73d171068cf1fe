// What the Bernstein coefficients of quartics say of them, a pack of quartics at a time: each lies
// between the least and the largest of them, and its slope between those of their differences.
#pragma once

#include "quartic.hpp"
#include "workspace.hpp"

TEORELL_BEGIN

// NaN where a value of the quartic is not finite.
template <class V>
struct Hull {
    using P = Pack<V>;
    static constexpr int W = P::width;
    alignas(Slots<V>::alignment) double lower[W], upper[W], least_rise[W], largest_rise[W];

    // Of the quartics through the values `v` at the nodes.
    TEORELL_HD explicit Hull(const V (&v)[n_nodes]) {
        const V second = second_of(v[0], v[1], v[2], v[3], v[4]),
                fourth = second_of(v[4], v[3], v[2], v[1], v[0]);
        const V middle = (P::broadcast(13.0) * (v[0] + v[4]) - P::broadcast(64.0) * (v[1] + v[3]) +
                          P::broadcast(120.0) * v[2]) *
                         P::broadcast(1.0 / 18.0);
        const V check = (second + middle + fourth) * P::broadcast(0.0);
        P::store(lower, min(min(min(v[0], v[4]), min(second, fourth)), middle) + check);
        P::store(upper, max(max(max(v[0], v[4]), max(second, fourth)), middle) + check);
        const V a = second - v[0], b = middle - second, c = fourth - middle, d = v[4] - fourth;
        P::store(least_rise, min(min(a, b), min(c, d)));
        P::store(largest_rise, max(max(a, b), max(c, d)));
    }

  private:
    // The second of the five coefficients; from the other side the fourth.
    TEORELL_HD TEORELL_INLINE static V second_of(V a, V b, V c, V d, V e) {
        return (P::broadcast(-13.0) * a + P::broadcast(48.0) * b - P::broadcast(36.0) * c +
                P::broadcast(16.0) * d - P::broadcast(3.0) * e) *
               P::broadcast(1.0 / 12.0);
    }
};

TEORELL_END
