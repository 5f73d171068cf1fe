// The point nearest to the origin that satisfies linear constraints, by an active set of the dual,
// non-negative least squares (Lawson & Hanson, Solving Least Squares Problems, 1974, chapter 23);
// constraints that depend on active ones replace one of these (Goldfarb & Idnani, Mathematical
// Programming 27, 1983, 1).
#pragma once

#include "columns.hpp"
#include "host_device.hpp"

TEORELL_BEGIN

// One least-distance problem: min |z|^2 / 2 where A z = b (equalities) or A z <= b.
class LeastDistance {
  public:
    // What the memory of one thread must hold.
    TEORELL_HD static std::int64_t size(const Constraints& c) {
        const std::int64_t n = c.n_free, m = c.n_rows;
        return 5 * m + n + m * n + 2 * m * m;
    }

    TEORELL_HD LeastDistance(const Constraints& constraints, double* memory)
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

    // entries: of A, as `columns` has them. With softness the constraints may be missed by s, which
    // costs |s|^2 / (2 softness): s is softness * lambda, and there always is a point. False: no
    // point was found.
    TEORELL_HD bool solve(const double* entries, double softness = 0.0) {
        a = entries, soft = softness;
        return search(true) || search(false);
    }

    // Of the rows of A the largest squared length.
    TEORELL_HD double largest_row(const double* entries) const {
        double largest = 0.0;
        for (int i = 0; i < m; ++i) {
            double sum = 0.0;
            for (int e = c.row_starts[i]; e < c.row_starts[i + 1]; ++e)
                sum += entries[e] * entries[e];
            largest = sum > largest ? sum : largest;
        }
        return largest;
    }

  private:
    // To begin with, what was active before, and what z = 0 violates: most of it will be active.
    // Where that has misled, bounds come one by one.
    TEORELL_HD bool search(bool warm) {
        n_active = 0;
        for (int i = 0; i < m; ++i)
            if (c.equality[i] || (warm && (lambda[i] > 0.0 || b[i] < 0.0))) add(i);
        for (int i = 0; i < m; ++i)
            if (!warm || !c.equality[i]) lambda[i] = 0.0;
        for (int round = 0; round < 20 * (m + 1); ++round) {
            if (!solve_active()) return false;
            if (step_back()) continue;
            combine();
            const int worst = most_violated();
            if (worst < 0) return equalities_hold();
            add(worst);
            if (!make_independent()) return false;
        }
        return false;
    }

    const Constraints& c;
    int n, m, n_active = 0;
    double soft = 0.0;
    const double* a = nullptr;
    double *wanted, *held, *order, *rows, *gram, *factor;

    TEORELL_HD int active(int k) const { return static_cast<int>(order[k]); }
    TEORELL_HD double* row(int k) const { return rows + static_cast<std::int64_t>(k) * n; }
    TEORELL_HD double dot_sparse(int i, const double* dense) const {
        double sum = 0.0;
        for (int e = c.row_starts[i]; e < c.row_starts[i + 1]; ++e)
            sum += a[e] * dense[c.columns[e]];
        return sum;
    }

    TEORELL_HD void add(int i) {
        const int k = n_active++;
        order[k] = i;
        for (int j = 0; j < n; ++j) row(k)[j] = 0.0;
        for (int e = c.row_starts[i]; e < c.row_starts[i + 1]; ++e) row(k)[c.columns[e]] = a[e];
        for (int j = 0; j <= k; ++j) gram[k * m + j] = gram[j * m + k] = dot_sparse(i, row(j));
        gram[k * m + k] += soft;
    }

    TEORELL_HD void drop(int k) {
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

    // Row k of Cholesky's factor; held: whether it does not depend on those before it.
    TEORELL_HD void factorise(int k) {
        for (int j = 0; j <= k; ++j) {
            double sum = gram[k * m + j];
            for (int l = 0; l < j; ++l) sum -= factor[k * m + l] * factor[j * m + l];
            if (j < k) {
                factor[k * m + j] = held[j] != 0.0 ? sum / factor[j * m + j] : 0.0;
            } else {
                held[k] = sum > 1e-13 * gram[k * m + k] ? 1.0 : 0.0;
                factor[k * m + k] = held[k] != 0.0 ? ::sqrt(sum) : 1.0;
            }
        }
    }

    // The last row that was added is violated: if it is a combination of others, its multiplier
    // grows at the cost of theirs, which changes no point, until the first of a bound reaches 0:
    // that one is dropped. False: none does, so that no point satisfies all.
    TEORELL_HD bool make_independent() {
        for (;;) {
            const int last = n_active - 1;
            for (int k = 0; k <= last; ++k) factorise(k);
            if (held[last] != 0.0) return true;
            double share = 0.0;
            int first = -1;
            for (int k = last - 1; k >= 0; --k) {  // wanted: the combination
                double sum = factor[last * m + k];
                for (int l = k + 1; l < last; ++l) sum -= factor[l * m + k] * wanted[l];
                wanted[k] = held[k] != 0.0 ? sum / factor[k * m + k] : 0.0;
                if (c.equality[active(k)] || !(wanted[k] > 1e-12)) continue;
                const double reach = lambda[active(k)] / wanted[k];
                if (first < 0 || reach < share) share = reach, first = k;
            }
            if (first < 0) return false;
            for (int k = 0; k < last; ++k) lambda[active(k)] -= share * wanted[k];
            lambda[active(last)] += share;
            lambda[active(first)] = 0.0;
            drop(first);
        }
    }

    // Whether equalities that are combinations of others, and were left out, hold as well.
    TEORELL_HD bool equalities_hold() const {
        for (int k = 0; k < n_active; ++k) {
            const int i = active(k);
            if (held[k] != 0.0 || !c.equality[i]) continue;
            if (!(abs(dot_sparse(i, z) - b[i]) <= 1e-6 * (1.0 + abs(b[i])))) return false;
        }
        return true;
    }

    // wanted: of the active constraints, what makes all of them hold. A row that depends on those
    // before it gets 0.
    TEORELL_HD bool solve_active() {
        for (int k = 0; k < n_active; ++k) {
            factorise(k);
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
    TEORELL_HD bool step_back() {
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

    TEORELL_HD void combine() {  // z = -A' lambda
        for (int j = 0; j < n; ++j) z[j] = 0.0;
        for (int k = 0; k < n_active; ++k)
            for (int j = 0; j < n; ++j) z[j] -= lambda[active(k)] * row(k)[j];
    }

    TEORELL_HD int most_violated() const {
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

TEORELL_END
