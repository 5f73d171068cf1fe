// The nearest point that satisfies constraints, of W patients at a time: min |z|^2 / 2 where r(x0 +
// s z) is 0 or at most 0, by sequential quadratic programming with sigma times the identity as
// Hessian; sigma is 1 but for constraints that bend, where it is the curvature that the last two
// steps have shown (Barzilai & Borwein, IMA J. Numer. Anal. 8, 1988, 141). Each step is a
// least-distance problem with the linearised constraints, solved by an active set of its dual,
// non-negative least squares (Lawson & Hanson, Solving Least Squares Problems, 1974, chapter 23).
// Where steps end, the conditions of Karush, Kuhn and Tucker hold: z + A' lambda = 0.
#pragma once

#include <cstdint>

#include "interpreter.hpp"

namespace teorell {

// Constraints r of some free inputs of a program, whose outputs are r and then its derivatives, row
// by row.
struct Constraints {
    std::int32_t n_free, n_rows;
    const std::int32_t* free_inputs;  // [n_free]
    const std::uint8_t* equality;     // [n_rows]
    const std::int32_t* row_starts;   // [n_rows + 1] into columns and the derivatives
    const std::int32_t* columns;      // [entry] of the free inputs
    double tolerance;                 // of |r|, or of r > 0
    std::int32_t most_steps;
};

struct Projected {
    const double* const* scales;        // [n_free] -> column of s, positive
    const std::int64_t* scale_strides;  // [n_free]
    double* values;                     // [n_free][patient]
    double* multipliers;  // [n_rows][patient] lambda; 0 where a constraint is not active
    std::int32_t* steps;  // [patient] taken; -1: no point was found
};

}  // namespace teorell

TEORELL_BEGIN

// One least-distance problem: min |z|^2 / 2 where A z = b (equalities) or A z <= b.
class LeastDistance {
  public:
    // What the memory of one thread must hold.
    static std::int64_t size(const Constraints& c) {
        const std::int64_t n = c.n_free, m = c.n_rows;
        return 5 * m + n + m * n + 2 * m * m;
    }

    LeastDistance(const Constraints& constraints, double* memory)
        : c(constraints), n(c.n_free), m(c.n_rows) {
        const auto take = [&](std::int64_t count) {
            double* part = memory;
            memory += count;
            return part;
        };
        b = take(m), lambda = take(m), wanted = take(m), held = take(m), order = take(m);
        z = take(n), rows = take(std::int64_t{m} * n), gram = take(std::int64_t{m} * m);
        factor = take(std::int64_t{m} * m);
    }

    double *b, *lambda, *z;  // [m], [m], [n]; lambda is kept from problem to problem

    // entries: of A, as `columns` has them. False: no point was found.
    bool solve(const double* entries) {
        a = entries;
        n_active = 0;
        // To begin with, what was active before, and what z = 0 violates: most of it will be
        // active.
        for (int i = 0; i < m; ++i)
            if (c.equality[i] || lambda[i] > 0.0 || b[i] < 0.0) add(i);
        for (int i = 0; i < m; ++i)
            if (!c.equality[i]) lambda[i] = 0.0;
        for (int round = 0; round < 20 * (m + 1); ++round) {
            if (!solve_active()) return false;
            if (step_back()) continue;
            combine();
            const int worst = most_violated();
            if (worst < 0) return true;
            add(worst);
        }
        return false;
    }

  private:
    const Constraints& c;
    int n, m, n_active = 0;
    const double* a = nullptr;
    double *wanted, *held, *order, *rows, *gram, *factor;

    int active(int k) const { return static_cast<int>(order[k]); }
    double* row(int k) const { return rows + static_cast<std::int64_t>(k) * n; }
    double dot_sparse(int i, const double* dense) const {
        double sum = 0.0;
        for (int e = c.row_starts[i]; e < c.row_starts[i + 1]; ++e)
            sum += a[e] * dense[c.columns[e]];
        return sum;
    }

    void add(int i) {
        const int k = n_active++;
        order[k] = i;
        for (int j = 0; j < n; ++j) row(k)[j] = 0.0;
        for (int e = c.row_starts[i]; e < c.row_starts[i + 1]; ++e) row(k)[c.columns[e]] = a[e];
        for (int j = 0; j <= k; ++j) gram[k * m + j] = gram[j * m + k] = dot_sparse(i, row(j));
    }

    void drop(int k) {
        --n_active;
        for (int j = k; j < n_active; ++j) {
            order[j] = order[j + 1];
            for (int l = 0; l < n; ++l) row(j)[l] = row(j + 1)[l];
        }
        for (int j = 0; j <= n_active; ++j)
            for (int l = k; l < n_active; ++l) gram[j * m + l] = gram[j * m + l + 1];
        for (int j = k; j < n_active; ++j)
            for (int l = 0; l < n_active; ++l) gram[j * m + l] = gram[(j + 1) * m + l];
    }

    // wanted: of the active constraints, what makes all of them hold. A row that depends on those
    // before it gets 0.
    bool solve_active() {
        for (int k = 0; k < n_active; ++k) {
            for (int j = 0; j <= k; ++j) {
                double sum = gram[k * m + j];
                for (int l = 0; l < j; ++l) sum -= factor[k * m + l] * factor[j * m + l];
                if (j < k) {
                    factor[k * m + j] = held[j] != 0.0 ? sum / factor[j * m + j] : 0.0;
                } else {
                    held[k] = sum > 1e-13 * gram[k * m + k] ? 1.0 : 0.0;
                    factor[k * m + k] = held[k] != 0.0 ? __builtin_sqrt(sum) : 1.0;
                }
            }
            double sum = -b[active(k)];
            for (int l = 0; l < k; ++l) sum -= factor[k * m + l] * wanted[l];
            wanted[k] = held[k] != 0.0 ? sum / factor[k * m + k] : 0.0;
        }
        for (int k = n_active - 1; k >= 0; --k) {
            for (int l = k + 1; l < n_active; ++l) wanted[k] -= factor[l * m + k] * wanted[l];
            wanted[k] = held[k] != 0.0 ? wanted[k] / factor[k * m + k] : 0.0;
            if (!(wanted[k] - wanted[k] == 0.0)) return false;
        }
        return true;
    }

    // Towards what is wanted, until the first multiplier of a bound reaches 0: its constraint is
    // dropped. False: all the way.
    bool step_back() {
        double share = 1.0;
        int first = -1;
        for (int k = 0; k < n_active; ++k) {
            if (c.equality[active(k)] || wanted[k] > 0.0) continue;
            const double from = lambda[active(k)],
                         reach = from > 0.0 ? from / (from - wanted[k]) : 0.0;
            if (first < 0 || reach < share) share = reach, first = k;
        }
        for (int k = 0; k < n_active; ++k)
            lambda[active(k)] += share * (wanted[k] - lambda[active(k)]);
        if (first < 0) return false;
        lambda[active(first)] = 0.0;
        drop(first);
        return true;
    }

    void combine() {  // z = -A' lambda
        for (int j = 0; j < n; ++j) z[j] = 0.0;
        for (int k = 0; k < n_active; ++k)
            for (int j = 0; j < n; ++j) z[j] -= lambda[active(k)] * row(k)[j];
    }

    int most_violated() const {
        double worst = 0.1 * c.tolerance;
        int found = -1;
        for (int i = 0; i < m; ++i) {
            if (c.equality[i]) continue;
            const double over = dot_sparse(i, z) - b[i];
            if (!(over > worst)) continue;
            bool inside = false;
            for (int k = 0; k < n_active; ++k) inside = inside || active(k) == i;
            if (!inside) worst = over, found = i;
        }
        return found;
    }
};

// The patients of the lanes of a group, each with its point; `evaluate(ws)` runs the program. Steps
// are shortened until |z|^2 / 2 + mu sum of violations falls (Nocedal & Wright, Numerical
// Optimization, 2006, 18.4), so that constraints may bend.
template <class V>
class Projector {
  public:
    static constexpr int W = Pack<V>::width;
    static constexpr std::int64_t wide = W;  // for places in memory
    static std::int64_t memory(const Constraints& c) {
        return LeastDistance::size(c) + c.row_starts[c.n_rows] +
               wide * (std::int64_t{4} * c.n_free + c.n_rows);
    }

    Projector(const Constraints& constraints, const Projected& projected, std::int64_t patients,
              double* memory)
        : c(constraints),
          p(projected),
          patients(patients),
          n(c.n_free),
          problem(constraints, memory) {
        entries = memory + LeastDistance::size(c);
        start = entries + c.row_starts[c.n_rows];
        scale = start + wide * n, point = scale + wide * n, way = point + wide * n,
        lambda = way + wide * n;
    }

    // Patients first, ..., first + count - 1, whose inputs lie in the workspace.
    template <class Evaluate>
    void run(std::int64_t first, int count, double* ws, std::int32_t inputs, std::int32_t outputs,
             Evaluate evaluate) {
        x = ws + wide * inputs, r = ws + wide * outputs;
        for (int l = 0; l < count; ++l) seat(l, first + l);
        int waiting = count;
        for (int step = 0; step <= c.most_steps && waiting > 0; ++step) {
            evaluate(ws);
            for (int l = 0; l < count; ++l) {
                if (done[l]) continue;
                const bool there = violation(l) <= c.tolerance && moved[l] <= 1e-9;
                done[l] = there || step == c.most_steps || !move(l);
                if (there) p.steps[first + l] = step;
                waiting -= done[l] ? 1 : 0;
            }
        }
        for (int l = 0; l < count; ++l) hand_in(l, first + l);
    }

  private:
    const Constraints& c;
    const Projected& p;
    std::int64_t patients;
    int n;
    LeastDistance problem;
    double *entries, *start, *scale, *point, *way,
        *lambda;                        // [entry]; of each lane x0, s, z, its next change, lambda
    double *x = nullptr, *r = nullptr;  // regions of the workspace
    double moved[W] = {}, share[W] = {}, merit[W] = {}, slope[W] = {}, mu[W] = {}, sigma[W] = {};
    bool done[W] = {};

    double& at(int l, int j) const { return x[c.free_inputs[j] * W + l]; }
    double* of(double* region, int l) const { return region + std::int64_t{l} * n; }

    void seat(int l, std::int64_t patient) {
        done[l] = false, moved[l] = share[l] = mu[l] = 0.0, sigma[l] = 1.0;
        p.steps[patient] = -1;
        for (int j = 0; j < n; ++j) {
            of(start, l)[j] = at(l, j);
            of(scale, l)[j] = p.scales[j][patient * p.scale_strides[j]];
            of(point, l)[j] = of(way, l)[j] = 0.0;
        }
        for (int i = 0; i < c.n_rows; ++i) lambda[l * c.n_rows + i] = 0.0;
    }

    void hand_in(int l, std::int64_t patient) {
        const bool found = p.steps[patient] >= 0;
        for (int j = 0; j < n; ++j)
            p.values[j * patients + patient] = found ? at(l, j) : __builtin_nan("");
        for (int i = 0; i < c.n_rows; ++i)
            p.multipliers[i * patients + patient] = found ? lambda[l * c.n_rows + i] : 0.0;
    }

    double violated(int l, int i) const {
        const double size = r[i * W + l];
        return size >= 0.0 ? size : c.equality[i] ? -size : size < 0.0 ? 0.0 : size;
    }
    double violation(int l) const {
        double worst = 0.0;
        for (int i = 0; i < c.n_rows; ++i)
            if (!(violated(l, i) <= worst)) worst = violated(l, i);
        return worst;
    }
    double total_violation(int l) const {
        double sum = 0.0;
        for (int i = 0; i < c.n_rows; ++i) sum += violated(l, i);
        return sum;
    }

    // From what was evaluated at the point tried: on from there, or less far. False: there is no
    // way.
    bool move(int l) {
        double *z = of(point, l), *d = of(way, l), square = 0.0;
        for (int j = 0; j < n; ++j) square += (z[j] + share[l] * d[j]) * (z[j] + share[l] * d[j]);
        const double now = 0.5 * square + mu[l] * total_violation(l);
        const bool close = share[l] == 1.0 && moved[l] <= 1e-6;  // where differences are rounding
        if (share[l] > 0.0 && !close && !(now <= merit[l] + 1e-4 * share[l] * slope[l])) {
            share[l] *= 0.5;
            if (share[l] < 1e-10) return false;
        } else {
            if (!(violation(l) < 1e300)) return false;
            for (int j = 0; j < n; ++j) z[j] += share[l] * d[j];
            if (!find_way(l)) return false;
            share[l] = 1.0;
        }
        for (int j = 0; j < n; ++j)
            at(l, j) = of(start, l)[j] + of(scale, l)[j] * (z[j] + share[l] * d[j]);
        return true;
    }

    // The change to the nearest point that satisfies the linearised constraints; false where there
    // is none.
    bool find_way(int l) {
        double *z = of(point, l), *d = of(way, l),
               *multiplier = lambda + std::int64_t{l} * c.n_rows;
        // The quadratic of the step has its minimum at z - z / sigma; distances are those from
        // there.
        const double rest = 1.0 / sigma[l];
        for (int i = 0; i < c.n_rows; ++i) {
            double sum = -r[i * W + l];
            for (int e = c.row_starts[i]; e < c.row_starts[i + 1]; ++e) {
                entries[e] = r[(c.n_rows + e) * W + l] * of(scale, l)[c.columns[e]];
                sum += entries[e] * (rest * z[c.columns[e]]);
            }
            problem.b[i] = sum;
            problem.lambda[i] = multiplier[i] * rest;
        }
        if (!problem.solve(entries)) return false;
        double largest = 0.0;
        for (int i = 0; i < c.n_rows; ++i) {
            multiplier[i] = problem.lambda[i] * sigma[l];
            largest = abs(multiplier[i]) > largest ? abs(multiplier[i]) : largest;
        }
        mu[l] = mu[l] > 1.5 * largest ? mu[l] : 2.0 * largest;
        double change = 0.0, size = 1.0, square = 0.0, along = 0.0, turned = 0.0, last = 0.0;
        for (int j = 0; j < n; ++j) {
            const double next = problem.z[j] - rest * z[j];
            turned += next * d[j], last += d[j] * d[j];
            d[j] = next;
            square += z[j] * z[j], along += z[j] * d[j];
            change = abs(d[j]) > change ? abs(d[j]) : change;
            size = abs(z[j] + d[j]) > size ? abs(z[j] + d[j]) : size;
        }
        if (share[l] == 1.0 && last > 0.0) {  // along the last step: 1 - curvature / sigma
            const double factor = 1.0 - turned / last;
            sigma[l] *= factor < 0.5 ? 0.5 : factor > 16.0 ? 16.0 : factor;
            sigma[l] = sigma[l] > 1.0 ? sigma[l] : 1.0;
        }
        merit[l] = 0.5 * square + mu[l] * total_violation(l);
        slope[l] = along - mu[l] * total_violation(l);
        moved[l] = change / size;
        return moved[l] < 1e300;
    }
};

TEORELL_END
