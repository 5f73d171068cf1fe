// The nearest point that satisfies constraints, of W patients at a time: min |z|^2 / 2 where r(x0 +
// s z) is 0 or at most 0, by sequential quadratic programming with sigma times the identity as
// Hessian; sigma is 1 but for constraints that bend, where it is the curvature that the last two
// steps have shown (Barzilai & Borwein, IMA J. Numer. Anal. 8, 1988, 141). Each step is a
// least-distance problem with the linearised constraints. Where steps end, the conditions of
// Karush, Kuhn and Tucker hold: z + A' lambda = 0. A patient for whom that leads nowhere is tried
// again, first with constraints that may be missed at a price, then so from other places.
#pragma once

#include "lanes.hpp"
#include "least_distance.hpp"

TEORELL_BEGIN

// The patients of the lanes of a group, each with its point; `evaluate(ws)` runs the program. Steps
// are shortened until |z|^2 / 2 + mu sum of violations falls (Nocedal & Wright, Numerical
// Optimization, 2006, 18.4), so that constraints may bend.
template <class V>
class Projector {
  public:
    static constexpr int W = Pack<V>::width;
    static constexpr std::int64_t wide = W, stride = Pack<V>::stride;  // of places in memory
    TEORELL_HD static std::int64_t memory(const Constraints& c) {
        return LeastDistance::size(c) + c.row_starts[c.n_rows] +
               wide * (std::int64_t{4} * c.n_free + c.n_rows);
    }

    TEORELL_HD Projector(const Constraints& constraints, const Projected& projected,
                         std::int64_t patients, double* memory)
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
    TEORELL_HD void run(std::int64_t first, int count, double* ws, std::int32_t inputs,
                        std::int32_t outputs, Evaluate evaluate) {
        x = ws + stride * inputs, r = ws + stride * outputs;
        for (int l = 0; l < count; ++l) seat(l, first + l);
        int waiting = count;
        for (int step = 0; waiting > 0; ++step) {
            evaluate(ws);
            for (int l = 0; l < count; ++l) {
                if (done[l]) continue;
                const bool there = violation(l) <= c.tolerance && moved[l] <= 1e-9 && !soft[l];
                if (there) p.steps[first + l] = step;
                done[l] = there;
                if (!there && (step - since[l] == c.most_steps || !move(l)))
                    done[l] = !again(l, step + 1);
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
    double* entries;                               // [entry]
    double *start, *scale, *point, *way, *lambda;  // of each lane x0, s, z, its next change, lambda
    double *x = nullptr, *r = nullptr;             // regions of the workspace
    double moved[W] = {}, share[W] = {}, merit[W] = {}, slope[W] = {}, mu[W] = {}, sigma[W] = {};
    double softness[W] = {};
    int attempt[W] = {}, since[W] = {};  // since: the step at which the attempt began
    bool done[W] = {}, soft[W] = {};     // soft: while constraints may be missed

    TEORELL_HD double& at(int l, int j) const { return x[c.free_inputs[j] * stride + l]; }
    TEORELL_HD double* of(double* region, int l) const { return region + std::int64_t{l} * n; }

    TEORELL_HD void seat(int l, std::int64_t patient) {
        done[l] = soft[l] = false, moved[l] = share[l] = mu[l] = 0.0, sigma[l] = 1.0;
        attempt[l] = since[l] = 0;
        p.steps[patient] = -1;
        for (int j = 0; j < n; ++j) {
            of(start, l)[j] = at(l, j);
            of(scale, l)[j] = p.scales[j][patient * p.scale_strides[j]];
            of(point, l)[j] = of(way, l)[j] = 0.0;
        }
        for (int i = 0; i < c.n_rows; ++i) lambda[l * c.n_rows + i] = 0.0;
    }

    // Another attempt, from the point itself and then from others further and further away; false:
    // that was the last.
    TEORELL_HD bool again(int l, int step) {
        if (++attempt[l] >= c.most_attempts) return false;
        since[l] = step, soft[l] = true, share[l] = mu[l] = 0.0, sigma[l] = moved[l] = 1.0;
        for (int i = 0; i < c.n_rows; ++i) lambda[l * c.n_rows + i] = 0.0;
        for (int j = 0; j < n; ++j) {
            of(point, l)[j] = attempt[l] == 1 ? 0.0 : elsewhere(attempt[l] - 2, j);
            of(way, l)[j] = 0.0;
            at(l, j) = of(start, l)[j] + of(scale, l)[j] * of(point, l)[j];
        }
        return true;
    }

    // Coordinate j of a place to start from: all coordinates to one side, to the other, to either.
    TEORELL_HD static double elsewhere(int number, int j) {
        double size = 0.1;
        for (int k = 0; k < number / 3; ++k) size *= 3.0;
        double u = 0.6180339887498949 * (j + 1) + 0.7548776662466927 * number;  // spread evenly
        u -= static_cast<double>(static_cast<std::int64_t>(u));
        if (number % 3 == 2) return size * (3.0 * u - 1.5);
        return (number % 3 == 0 ? size : -size) * (0.75 + 0.5 * u);
    }

    TEORELL_HD void hand_in(int l, std::int64_t patient) {
        const bool found = p.steps[patient] >= 0;
        for (int j = 0; j < n; ++j)
            p.values[j * patients + patient] = found ? at(l, j) : TEORELL_NAN;
        for (int i = 0; i < c.n_rows; ++i)
            p.multipliers[i * patients + patient] = found ? lambda[l * c.n_rows + i] : 0.0;
    }

    TEORELL_HD double violated(int l, int i) const {
        const double size = r[i * stride + l];
        return size >= 0.0 ? size : c.equality[i] ? -size : size < 0.0 ? 0.0 : size;
    }
    TEORELL_HD double violation(int l) const {
        double worst = 0.0;
        for (int i = 0; i < c.n_rows; ++i)
            if (!(violated(l, i) <= worst)) worst = violated(l, i);
        return worst;
    }
    TEORELL_HD double total_violation(int l) const {
        double sum = 0.0;
        for (int i = 0; i < c.n_rows; ++i) sum += violated(l, i);
        return sum;
    }

    // What must fall, where |z|^2 is `square`.
    TEORELL_HD double height(int l, double square) const {
        if (!soft[l]) return 0.5 * square + mu[l] * total_violation(l);
        double sum = 0.0;
        for (int i = 0; i < c.n_rows; ++i) sum += violated(l, i) * violated(l, i);
        return 0.5 * (square + sum / softness[l]);
    }

    // From what was evaluated at the point tried: on from there, or less far. False: there is no
    // way.
    TEORELL_HD bool move(int l) {
        double *z = of(point, l), *d = of(way, l), square = 0.0;
        for (int j = 0; j < n; ++j) square += (z[j] + share[l] * d[j]) * (z[j] + share[l] * d[j]);
        const bool close = share[l] == 1.0 && moved[l] <= 1e-6;  // where differences are rounding
        if (share[l] > 0.0 && !close &&
            !(height(l, square) <= merit[l] + 1e-4 * share[l] * slope[l])) {
            share[l] *= 0.5;
            if (share[l] < 1e-10) return false;
        } else {
            if (!(violation(l) < 1e300)) return false;
            for (int j = 0; j < n; ++j) z[j] += share[l] * d[j];
            // near the point that costs least, constraints need not be missed any more
            if (soft[l] && share[l] > 0.0 && moved[l] <= 1e-3) soft[l] = false, mu[l] = 0.0;
            if (!find_way(l)) return false;
            share[l] = 1.0;
        }
        for (int j = 0; j < n; ++j)
            at(l, j) = of(start, l)[j] + of(scale, l)[j] * (z[j] + share[l] * d[j]);
        return true;
    }

    // The change to the nearest point that satisfies the linearised constraints; false where there
    // is none.
    TEORELL_HD bool find_way(int l) {
        double *z = of(point, l), *d = of(way, l),
               *multiplier = lambda + std::int64_t{l} * c.n_rows;
        // The quadratic of the step has its minimum at z - z / sigma; distances are those from
        // there.
        const double rest = 1.0 / sigma[l];
        for (int i = 0; i < c.n_rows; ++i) {
            double sum = -r[i * stride + l];
            for (int e = c.row_starts[i]; e < c.row_starts[i + 1]; ++e) {
                entries[e] = r[(c.n_rows + e) * stride + l] * of(scale, l)[c.columns[e]];
                sum += entries[e] * (rest * z[c.columns[e]]);
            }
            problem.b[i] = sum;
            problem.lambda[i] = multiplier[i] * rest;
        }
        if (soft[l])
            softness[l] = (attempt[l] % 2 == 1 ? 1e-3 : 1e-6) * problem.largest_row(entries);
        if (!problem.solve(entries, soft[l] ? softness[l] : 0.0)) return false;
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
        if (!soft[l] && share[l] == 1.0 &&
            last > 0.0) {  // along the last step: 1 - curvature / sigma
            const double factor = 1.0 - turned / last;
            sigma[l] *= factor < 0.5 ? 0.5 : factor > 16.0 ? 16.0 : factor;
            sigma[l] = sigma[l] > 1.0 ? sigma[l] : 1.0;
        }
        merit[l] = height(l, square);
        slope[l] = soft[l] ? promised(l) - merit[l] : along - mu[l] * total_violation(l);
        moved[l] = change / size;
        return moved[l] < 1e300;
    }

    // The height where constraints are their linearisations, at the end of the way.
    TEORELL_HD double promised(int l) const {
        double sum = 0.0;
        for (int j = 0; j < n; ++j) sum += problem.z[j] * problem.z[j];
        for (int i = 0; i < c.n_rows; ++i)
            sum += softness[l] * problem.lambda[i] * problem.lambda[i];
        return 0.5 * sum;
    }
};

TEORELL_END
