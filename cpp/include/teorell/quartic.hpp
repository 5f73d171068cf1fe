// An output over one step, or a piece of one: the polynomial of degree 4 through its values at x =
// 0, 1/4, 1/2, 3/4, 1 of the piece. Of an output that is linear in the states it is the dense
// output itself, whose degree is 4 at most.
#pragma once

#include "host_device.hpp"

TEORELL_BEGIN

constexpr int n_nodes = 5;

// A root of a function that has another sign at b than at a: Newton's method, kept inside by
// bisection.
template <class Function, class Slope>
TEORELL_HD inline double root_between(double a, double b, Function f, Slope slope) {
    const bool rises = f(a) < f(b);
    double x = 0.5 * (a + b);
    for (int i = 0; i < 64; ++i) {
        const double y = f(x);
        if (y == 0.0) return x;
        ((y < 0.0) == rises ? a : b) = x;
        double next = x - y / slope(x);
        if (!(next > a && next < b)) next = 0.5 * (a + b);
        const double moved = next > x ? next - x : x - next;
        x = next;
        if (moved <= 1e-15) break;
    }
    return x;
}

class Quartic {
  public:
    TEORELL_HD explicit Quartic(const double* values) {
        const double a = values[1] - values[0], b = values[2] - values[0],
                     c = values[3] - values[0], d = values[4] - values[0];
        c_[0] = values[0];
        c_[1] = (48.0 * a - 36.0 * b + 16.0 * c - 3.0 * d) / 3.0;
        c_[2] = (-208.0 * a + 228.0 * b - 112.0 * c + 22.0 * d) / 3.0;
        c_[3] = (288.0 * a - 384.0 * b + 224.0 * c - 48.0 * d) / 3.0;
        c_[4] = (-128.0 * a + 192.0 * b - 128.0 * c + 32.0 * d) / 3.0;
    }

    TEORELL_HD double operator()(double x) const {
        return c_[0] + x * (c_[1] + x * (c_[2] + x * (c_[3] + x * c_[4])));
    }
    TEORELL_HD double slope(double x) const {
        return c_[1] + x * (2.0 * c_[2] + x * (3.0 * c_[3] + x * (4.0 * c_[4])));
    }

    // Where it is largest from lo to hi; the earliest of several.
    TEORELL_HD TEORELL_APART double highest(double lo, double hi) const {
        double at[n_nodes];
        const int n = pieces(lo, hi, at);
        double best = lo;
        for (int i = 1; i < n; ++i)
            if ((*this)(at[i]) > (*this)(best)) best = at[i];
        return best;
    }

    // Where it passes a level between lo and hi, ascending; how often, at most four times.
    TEORELL_HD TEORELL_APART int crossings(double level, double lo, double hi,
                                           double* found) const {
        double at[n_nodes];
        const int n = pieces(lo, hi, at);
        int count = 0;
        for (int i = 0; i + 1 < n; ++i) {
            if (((*this)(at[i]) > level) == ((*this)(at[i + 1]) > level)) continue;
            found[count++] = root_between(
                at[i], at[i + 1], [&](double x) { return (*this)(x)-level; },
                [&](double x) { return slope(x); });
        }
        return count;
    }

  private:
    double c_[n_nodes];

    TEORELL_HD double bend(double x) const {
        return 2.0 * c_[2] + x * (6.0 * c_[3] + x * (12.0 * c_[4]));
    }

    // lo, the turning points between, hi: from one to the next it rises or falls. Between the roots
    // of a polynomial's derivative it is monotone; so the roots of the second derivative, a
    // quadratic, part those of the first.
    TEORELL_HD int pieces(double lo, double hi, double* at) const {
        double bounds[4] = {lo};
        int n_bounds = inflections(lo, hi, bounds + 1) + 1;
        bounds[n_bounds++] = hi;
        int n = 0;
        at[n++] = lo;
        for (int i = 0; i + 1 < n_bounds; ++i) {
            const double left = slope(bounds[i]), right = slope(bounds[i + 1]);
            if ((left < 0.0 && right > 0.0) || (left > 0.0 && right < 0.0))
                at[n++] = root_between(
                    bounds[i], bounds[i + 1], [&](double x) { return slope(x); },
                    [&](double x) { return bend(x); });
        }
        at[n++] = hi;
        return n;
    }

    TEORELL_HD int inflections(double lo, double hi, double* found) const {
        const double a = 12.0 * c_[4], b = 6.0 * c_[3], c = 2.0 * c_[2],
                     discriminant = b * b - 4.0 * a * c;
        if (!(discriminant > 0.0)) return 0;
        // The larger root first, without cancellation; the other from the product of both.
        const double q = -0.5 * (b + (b < 0.0 ? -1.0 : 1.0) * ::sqrt(discriminant));
        // Infinite or NaN where the polynomial has a lower degree.
        double first = q / a, second = c / q;
        if (second < first) {
            const double other = first;
            first = second, second = other;
        }
        int n = 0;
        if (first > lo && first < hi) found[n++] = first;
        if (second > lo && second < hi) found[n++] = second;
        return n;
    }
};

// Weights of the five values in the integral over x from lo to hi: Boole's rule for the whole. A
// part of it by Gauss's rule of three points (exact to degree 5) on the Lagrange polynomials of the
// nodes.
TEORELL_HD TEORELL_APART inline void area_weights(double lo, double hi, double* weights) {
    if (lo == 0.0 && hi == 1.0) {
        const double whole[n_nodes] = {7.0 / 90.0, 32.0 / 90.0, 12.0 / 90.0, 32.0 / 90.0,
                                       7.0 / 90.0};
        for (int i = 0; i < n_nodes; ++i) weights[i] = whole[i];
        return;
    }
    const double gauss[3] = {0.11270166537925831, 0.5, 0.88729833462074169},
                 share[3] = {5.0 / 18, 8.0 / 18, 5.0 / 18};
    for (int i = 0; i < n_nodes; ++i) weights[i] = 0.0;
    for (int g = 0; g < 3; ++g) {
        const double x = lo + (hi - lo) * gauss[g];
        for (int i = 0; i < n_nodes; ++i) {
            double lagrange = 1.0;
            for (int j = 0; j < n_nodes; ++j)
                if (j != i) lagrange *= (4.0 * x - j) / (i - j);
            weights[i] += (hi - lo) * share[g] * lagrange;
        }
    }
}

TEORELL_END
