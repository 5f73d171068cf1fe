// What is known of the matrix M of an interval, by which a state's error follows from the residual.
//
// M is the derivative of a flow by the state; what is kept is I - M + P, with P on totals that
// nothing changes (modes.hpp), and its inverse. Of a model with many states M is known first along
// a few directions alone, those of the last moves: it has few slow modes, and these show them.
#pragma once

#include "modes.hpp"

namespace teorell {

constexpr int most_directions = 6;  // along which a large M is known first

class IntervalMatrix {
  public:
    // Doubles of one, and of `work`.
    static std::int64_t memory(std::int64_t m) {
        return 2 * m * (m + most_directions + most_terms);
    }
    static std::int64_t work_memory(std::int64_t m) { return 3 * m * m + 13 * m; }

    IntervalMatrix(dense::Index m, double* memory, double* projection)
        : m(m),
          left(memory),
          inverse(left + m * m),
          projection(projection),
          images(inverse + m * m),
          across(images + m * most_directions),
          columns(across + m * most_directions),
          rows(columns + m * most_terms) {}

    bool known_in_part() const { return in_part; }
    bool keeps_totals() const { return projects; }

    // From M (m, m).
    void set(const double* matrix, double* work) {
        for (int i = 0; i < m * m; ++i) left[i] = projection[i] - matrix[i];
        for (int i = 0; i < m; ++i) left[i * m + i] += 1.0;
        in_part = false;
        invert(work);
    }

    // P, once all of M is known.
    void keep(const double* totals, double* work) {
        for (int i = 0; i < m * m; ++i) projection[i] = totals[i], left[i] += totals[i];
        projects = true;
        invert(work);
    }

    // From what M makes of orthonormal directions (d, m), each state in its size, and zero beside
    // them: seen (d, m).
    void set_along(const double* directions, const double* seen, const double* size) {
        constexpr dense::Index d = most_directions;
        double few[d * d], inside[d * d];
        for (int k = 0; k < d; ++k) {
            dense::multiply(d, m, seen, directions + k * m, modes + k * d);
            for (int i = 0; i < m; ++i) {
                images[k * m + i] = seen[k * m + i] * size[i];
                across[k * m + i] = rows[k * m + i] = directions[k * m + i] / size[i];
            }
        }
        // (I - Y Q')^-1 = I + Y (I - Q' Y)^-1 Q'
        dense::set_identity(d, few);
        for (int i = 0; i < d * d; ++i) few[i] -= modes[i];
        dense::invert(d, few, inside);
        dense::multiply_transposed(d, d, m, inside, images, columns);
        in_part = true;
        terms = d;
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
        }
        solve(over, expected);
        const double along = dense::dot(m, weighted, expected);
        if (!(along > 0.1 * dense::dot(m, weighted, step)) || !dense::all_finite(m, expected) ||
            !dense::all_finite(m, step))
            return;
        if (terms == most_terms) write_out();
        for (int i = 0; i < m; ++i) {
            over[i] = (step[i] - expected[i]) / along;
            row[i] = terms == dense_form ? 0.0 : weighted[i];
        }
        for (int k = 0; k < terms; ++k)
            dense::add(m, dense::dot(m, weighted, columns + k * m), rows + k * m, row);
        for (int i = 0; i < m && terms == dense_form; ++i)
            dense::add(m, weighted[i], inverse + i * m, row);
        add(over, row);
    }

    // (I - M + P)^-1 right, as good as it is known.
    void solve(const double* right, double* result) const {
        if (terms == dense_form) return dense::multiply(m, m, inverse, right, result);
        for (int i = 0; i < m; ++i) result[i] = right[i];
        for (int k = 0; k < terms; ++k)
            dense::add(m, dense::dot(m, rows + k * m, right), columns + k * m, result);
    }

    // (1/h + I - M + P)^-1 right, of a finite h.
    void solve(const double* right, double h, double* result, double* work) const {
        if (in_part) dense::multiply_transposed(m, most_directions, m, images, across, work);
        for (int i = 0; i < m * m; ++i) work[i] = in_part ? -work[i] : left[i];
        for (int i = 0; i < m; ++i) {
            work[i * m + i] += (in_part ? 1.0 : 0.0) + 1.0 / h;
            result[i] = right[i];
        }
        dense::solve(m, work, 1, result);
    }

    // P x
    void project(const double* x, double* result) const {
        dense::multiply(m, m, projection, x, result);
    }

    // The residual without what moves totals that stay, but by the errors of the solver.
    void keep_out(double* residual, double* work) const {
        if (!projects) return;
        project(residual, work);
        for (int i = 0; i < m; ++i) residual[i] -= work[i];
    }

    // M - P for M (m, m).
    void without_totals(double* matrix) const {
        for (int i = 0; i < m * m; ++i) matrix[i] -= projection[i];
    }

  private:
    static constexpr int most_terms = most_directions + 10, dense_form = -1;
    dense::Index m;      // states
    double* left;        // (m, m) I - M + P, unless M is known in part
    double* inverse;     // (m, m) of that, and what steps have shown since, in the dense form
    double* projection;  // (m, m) P, zero at first
    // (d, m) what M makes of a few directions, and what these are of a state; as it acts on them.
    double *images, *across, modes[most_directions * most_directions];
    double *columns, *rows;  // (terms, m) else the inverse is I + the sum of columns times rows
    int terms = dense_form;
    bool in_part = false;   // M is known along a few directions alone
    bool projects = false;  // is P not zero?

    void invert(double* work) {
        for (int i = 0; i < m * m; ++i) work[i] = left[i];
        dense::invert(m, work, inverse);
        terms = dense_form;
    }

    void add(const double* column, const double* row) {
        for (int i = 0; i < m && terms == dense_form; ++i)
            dense::add(m, column[i], row, inverse + i * m);
        if (terms == dense_form) return;
        for (int i = 0; i < m; ++i)
            columns[terms * m + i] = column[i], rows[terms * m + i] = row[i];
        ++terms;
    }

    void write_out() {
        dense::multiply_transposed(m, terms, m, columns, rows, inverse);
        for (int i = 0; i < m; ++i) inverse[i * m + i] += 1.0;
        terms = dense_form;
    }
};

}  // namespace teorell
