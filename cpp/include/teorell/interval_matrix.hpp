// What is known of the matrix M of an interval, by which a state's error follows from the residual.
//
// M is the derivative of a flow by the state; what is kept is I - M + P, with P on totals that
// nothing changes (modes.hpp), and its inverse. Of a model with many states M is known first along
// a few directions alone, those of the last moves: it has few slow modes, and these show them.
#pragma once

#include "modes.hpp"

namespace teorell {

constexpr int most_directions = 6;  // along which a large M is known first

struct IntervalMatrix {
    int m;               // states
    double* left;        // (m, m) I - M + P
    double* inverse;     // (m, m) of that, and what steps have shown since
    double* projection;  // (m, m) P, zero at first
    double modes[most_directions * most_directions];  // M as it acts on a few directions
    bool in_part = false;                             // M is known along these alone
    bool projects = false;                            // is P not zero?

    // Doubles of `work`.
    static std::int64_t memory(std::int64_t m) { return 3 * m * m + most_directions * 2 * m + m; }

    // From M (m, rows of `stride`).
    void set(const double* matrix, std::int64_t stride, double* work) {
        for (int i = 0; i < m; ++i)
            for (int j = 0; j < m; ++j)
                left[i * m + j] =
                    (i == j ? 1.0 : 0.0) - matrix[i * stride + j] + projection[i * m + j];
        invert(work);
        in_part = false;
    }

    // P, once all of M is known.
    void keep(const double* totals, double* work) {
        for (int i = 0; i < m * m; ++i) projection[i] = totals[i], left[i] += totals[i];
        projects = true;
        invert(work);
    }

    // From M times an orthonormal basis (m, d) of states in their size, and zero beside it: along
    // (m, d), of states in their size too.
    void set_along(const double* basis, const double* along, const double* size, double* work) {
        constexpr int d = most_directions;
        double few[d * d], inside[d * d];
        double *right = work, *transposed = work + m * d;
        for (int i = 0; i < m; ++i)
            for (int k = 0; k < d; ++k) transposed[k * m + i] = basis[i * d + k];
        dense::multiply_transposed(d, m, d, basis, along, modes);
        // (I - Y Q')^-1 = I + Y (I - Q' Y)^-1 Q'
        dense::set_identity(d, few);
        for (int i = 0; i < d * d; ++i) few[i] -= modes[i];
        dense::invert(d, few, inside);
        dense::multiply(m, d, d, along, inside, right);
        dense::multiply(m, d, m, along, transposed, left);
        dense::multiply(m, d, m, right, transposed, inverse);
        for (int i = 0; i < m; ++i)
            for (int j = 0; j < m; ++j) {
                const double ratio = size[i] / size[j], one = i == j ? 1.0 : 0.0;
                left[i * m + j] = one - left[i * m + j] * ratio;
                inverse[i * m + j] = one + inverse[i * m + j] * ratio;
            }
        in_part = true;
    }

    // May some of the modes that are known not die out? size: (m,) of the states.
    bool doubtful(const double* size, bool rhythmic, double* work) const {
        if (in_part) {
            const double unit[most_directions] = {1.0, 1.0, 1.0, 1.0, 1.0, 1.0};
            return suspicious(most_directions, modes, unit, rhythmic, work);
        }
        for (int i = 0; i < m * m; ++i) work[i] = -left[i];
        for (int i = 0; i < m; ++i) work[i * m + i] += 1.0;
        return suspicious(m, work, size, rhythmic, work + m * m);
    }

    // Corrects the inverse by what a step has done to the residual, each state in its size
    // (Broyden's update: Math. Comp. 19, 1965, 577).
    void learn(const double* step, const double* before, const double* after, const double* size,
               double* work) {
        double *weighted = work, *expected = work + m, *over = work + 2 * m, *row = work + 3 * m;
        for (int i = 0; i < m; ++i) {
            weighted[i] = step[i] / (size[i] * size[i]);
            over[i] = before[i] - after[i];
            row[i] = 0.0;
        }
        dense::multiply(m, m, inverse, over, expected);
        const double along = dense::dot(m, weighted, expected);
        if (!(along > 0.1 * dense::dot(m, weighted, step)) || !dense::all_finite(m, expected) ||
            !dense::all_finite(m, step))
            return;
        for (int i = 0; i < m; ++i) {
            over[i] = (step[i] - expected[i]) / along;
            dense::add(m, weighted[i], inverse + i * m, row);
        }
        for (int i = 0; i < m; ++i) dense::add(m, over[i], row, inverse + i * m);
    }

    // (1/h + I - M + P)^-1 right; as good as it is known where h is infinite, or 0.
    void solve(const double* right, double h, double* result, double* work) const {
        if (!std::isfinite(h) || h == 0.0) return dense::multiply(m, m, inverse, right, result);
        for (int i = 0; i < m * m; ++i) work[i] = left[i];
        for (int i = 0; i < m; ++i) work[i * m + i] += 1.0 / h, result[i] = right[i];
        dense::solve(m, work, 1, result);
    }

    // The residual without what moves totals that stay, but by the errors of the solver.
    void keep_out(double* residual, double* work) const {
        if (!projects) return;
        dense::multiply(m, m, projection, residual, work);
        for (int i = 0; i < m; ++i) residual[i] -= work[i];
    }

  private:
    void invert(double* work) {
        for (int i = 0; i < m * m; ++i) work[i] = left[i];
        dense::invert(m, work, inverse);
    }
};

}  // namespace teorell
