// Numbers that sum up a curve, one or a few a patient: extrema, the time above a threshold, the
// area under the curve. They are read off the dense output of each step, inside their windows,
// while it is there; they change no step.
#pragma once

#include "quartic_hull.hpp"
#include "samples.hpp"
#include "windows.hpp"

TEORELL_BEGIN

// A quartic stands for an output that is not linear where it is right, within the tolerance, at
// these two places as well: near its largest error, and at no fraction of a period that would hide
// a wave.
constexpr int n_checks = 2;
TEORELL_HD inline double check_place(int i) { return i == 0 ? 0.0886 : 0.6442; }
constexpr double shortest_piece = 1.0 / 4096;

// Executor: as for Group. Record: a Tape, or NoTape.
template <class V, class Method, class Executor>
class ReductionLanes : protected SampleLanes<V, Method, Executor> {
  protected:
    using Base = SampleLanes<V, Method, Executor>;
    using P = Pack<V>;
    using Base::get, Base::put, Base::lane, Base::tn, Base::has, Base::for_each, Base::patient,
        Base::execute;
    using Base::W, Base::infinity, Base::m, Base::at, Base::b, Base::ws;

    // values: [n_nodes + n_checks][n_out][W], or a stride apart, of each output in a piece of a
    // step.
    TEORELL_HD ReductionLanes(const Programs& programs, const Batch& batch, Executor executor,
                              double* workspace, double* values)
        : Base(programs, batch, executor, workspace), r(batch.reductions), nodes(values) {
        for (int k = 0; k < r.count; ++k) all_linear = all_linear && r.linear[k] != 0;
    }

    template <class Act>
    TEORELL_HD void each_kept(Act& act) {
        Base::each_kept(act);
        act(first_start), act(last_start), act(first_end), act(last_end);
    }

    TEORELL_HD void seat_reductions(int l) {
        first_start[l] = first_end[l] = infinity, last_start[l] = last_end[l] = -infinity;
        for (int k = 0; k < r.count; ++k) {
            const double* window = r.window(k, patient[l]);
            first_start[l] = window[0] < first_start[l] ? window[0] : first_start[l];
            last_start[l] = window[0] > last_start[l] ? window[0] : last_start[l];
            first_end[l] = window[1] < first_end[l] ? window[1] : first_end[l];
            last_end[l] = window[1] > last_end[l] ? window[1] : last_end[l];
            value(l, k) = r.kinds[k] == maximum   ? -infinity
                          : r.kinds[k] == minimum ? infinity
                                                  : 0.0;
            time(l, k) = infinity - infinity;
        }
    }

    // Lanes whose windows have all ended.
    TEORELL_HD V windows_end() const {
        return P::load(last_end) -
               P::broadcast(8.0 * 2.220446049250313e-16) * abs(P::load(last_end));
    }
    TEORELL_HD bool windows_over(int l) const {
        return last_end[l] <= tn(l) + event_tolerance(tn(l));
    }

    // An accepted step from tn to t_new.
    template <class Record>
    TEORELL_HD TEORELL_APART void reduce(unsigned accepted, V t_new, V h_step, Record& record) {
        alignas(Base::alignment) double end[W], h[W];
        P::store(end, t_new);
        P::store(h, h_step);
        // Most steps lie in all windows.
        const unsigned whole = accepted & bits((P::load(last_start) <= get(at.scalar + s_tn)) &
                                               (P::load(first_end) >= t_new));
        unsigned due = whole;
        for_each(accepted & ~whole, [&](int l) {
            due |= (part_of(first_start[l], last_end[l], tn(l), end[l], h[l]).empty() ? 0u : 1u)
                   << l;
        });
        for (int l = 0; l < W; ++l) start[l] = 0.0, width[l] = 1.0;
        while (due != 0) {
            for (int i = 0; i < n_nodes; ++i) evaluate(i, i / (n_nodes - 1.0), t_new, h_step);
            const unsigned good = all_linear ? due : checked(due, t_new, h_step);
            for_each(good, [&](int l) { record.piece(patient[l], start[l], width[l]); });
            for (int k = 0; k < r.count && good != 0; ++k) {
                Part parts[W];
                unsigned inside = good & whole;
                for_each(good & whole, [&](int l) { parts[l] = {0.0, 1.0}; });
                for_each(good & ~whole, [&](int l) {
                    const double* window = r.window(k, patient[l]);
                    parts[l] = part_of(window[0], window[1], tn(l), end[l], h[l])
                                   .of_piece(start[l], width[l]);
                    inside |= (parts[l].empty() ? 0u : 1u) << l;
                });
                if (inside == 0) continue;
                if (r.kinds[k] == area)
                    add_area(inside, k, parts, h_step);
                else if (r.kinds[k] == time_above)
                    add_time_above(inside, k, parts, h, record);
                else
                    find_extremum(inside, k, parts, t_new, h_step, record);
            }
            for_each(due, [&](int l) { due &= has(good, l) && !next_piece(l) ? ~(1u << l) : ~0u; });
        }
    }

    // No number is left of a window that a failure has cut short.
    TEORELL_HD TEORELL_APART void end_reductions(int l, bool whole) {
        for (int k = 0; k < r.count; ++k) {
            const bool cut = !whole && !(r.window(k, patient[l])[1] <= tn(l));
            if (cut || abs(value(l, k)) == infinity) value(l, k) = time(l, k) = infinity - infinity;
        }
    }

  private:
    const Reductions& r;
    double* nodes;
    bool all_linear = true;
    alignas(Base::alignment) double first_start[W], last_start[W], first_end[W], last_end[W];
    // Of the piece of the step that is looked at, in theta.
    alignas(Base::alignment) double start[W], width[W];
    unsigned smooth = 0;  // lanes in which the next piece may be twice as wide

    TEORELL_HD double& value(int l, int k) const { return r.values[patient[l] * r.count + k]; }
    TEORELL_HD double& time(int l, int k) const { return r.times[patient[l] * r.count + k]; }
    TEORELL_HD double* node(int i, int output) const {
        return nodes + (static_cast<std::int64_t>(i) * at.n_out + output) * Base::stride;
    }

    TEORELL_HD void evaluate(int i, double x, V t_new, V h_step) {
        outputs_at(P::load(start) + P::broadcast(x) * P::load(width), t_new, h_step);
        for (int o = 0; o < at.n_out; ++o) P::store(node(i, o), get(at.out + o));
    }
    TEORELL_HD void outputs_at(V theta, V t_new, V h_step) {
        Base::interpolate(theta);
        const V inside = get(at.scalar + s_tn) + theta * h_step;
        put(at.scalar + s_t, select(theta < P::broadcast(1.0), inside, t_new));
        execute.outputs(ws);
    }

    // Lanes in which quartics stand for all outputs; in the others the piece is halved.
    TEORELL_HD TEORELL_APART unsigned checked(unsigned due, V t_new, V h_step) {
        for (int i = 0; i < n_checks; ++i) evaluate(n_nodes + i, check_place(i), t_new, h_step);
        unsigned good = 0;
        smooth = 0;
        for_each(due, [&](int l) {
            double worst = 0.0;  // over the tolerance
            for (int k = 0; k < r.count; ++k) {
                double values[n_nodes], size = 0.0;
                if (r.linear[k] || !values_of(r.outputs[k], l, 1.0, values)) continue;
                for (int i = 0; i < n_nodes; ++i)
                    size = abs(values[i]) > size ? abs(values[i]) : size;
                const Quartic curve(values);
                for (int i = 0; i < n_checks; ++i) {
                    const double error =
                        abs(node(n_nodes + i, r.outputs[k])[l] - curve(check_place(i)));
                    if (!(error <= worst * size * tolerance()))
                        worst = error / (size * tolerance());
                }
            }
            if (worst <= 1.0 || width[l] <= shortest_piece)
                good |= 1u << l;
            else
                width[l] *= 0.5;
            smooth |= (worst <= 1.0 / 40 ? 1u : 0u)
                      << l;  // its error grows with the fifth power of the width
        });
        return good;
    }
    TEORELL_HD double tolerance() const { return b.rtol > 1e-12 ? b.rtol : 1e-12; }

    // False: the step has none left.
    TEORELL_HD bool next_piece(int l) {
        start[l] += width[l];
        const double left = 1.0 - start[l];
        if (has(smooth, l)) width[l] *= 2.0;
        if (width[l] > left) width[l] = left;
        return left > 0.0;
    }

    TEORELL_HD Hull<V> hull_of(int output, double sign) const {
        V v[n_nodes];
        for (int i = 0; i < n_nodes; ++i) v[i] = P::broadcast(sign) * P::load(node(i, output));
        return Hull<V>(v);
    }

    // The nodes of one lane; false where one is not finite.
    TEORELL_HD bool values_of(int output, int l, double sign, double* values) const {
        double sum = 0.0;
        for (int i = 0; i < n_nodes; ++i) values[i] = sign * node(i, output)[l], sum += values[i];
        return sum - sum == 0.0;
    }

    TEORELL_HD TEORELL_APART void add_area(unsigned inside, int k, const Part* parts, V h_step) {
        double weights[n_nodes];
        area_weights(0.0, 1.0, weights);
        alignas(Base::alignment) double length[W], sums[W];
        P::store(length, h_step * P::load(width));
        V sum = P::broadcast(0.0);
        for (int i = 0; i < n_nodes; ++i)
            sum = fma(P::broadcast(weights[i]), P::load(node(i, r.outputs[k])), sum);
        P::store(sums, sum);
        for_each(inside, [&](int l) {
            if (parts[l].lo != 0.0 || parts[l].hi != 1.0) {
                area_weights(parts[l].lo, parts[l].hi, weights);
                sums[l] = 0.0;
                for (int i = 0; i < n_nodes; ++i) sums[l] += weights[i] * node(i, r.outputs[k])[l];
            }
            value(l, k) += length[l] * sums[l];
        });
    }

    template <class Record>
    TEORELL_HD TEORELL_APART void add_time_above(unsigned inside, int k, const Part* parts,
                                                 const double* h, Record& record) {
        const Hull<V> hull = hull_of(r.outputs[k], 1.0);
        for_each(inside, [&](int l) {
            const double threshold = r.window(k, patient[l])[2];
            if (hull.upper[l] <= threshold) return;
            const Part part = parts[l];
            double sum = part.hi - part.lo, values[n_nodes], at_x[n_nodes];
            const double length = h[l] * width[l];
            if (!values_of(r.outputs[k], l, 1.0, values)) {
                sum = infinity - infinity;
            } else if (!(hull.lower[l] > threshold)) {
                const Quartic curve(values);
                const int n = curve.crossings(threshold, part.lo, part.hi, at_x);
                bool above = curve(part.lo) > threshold;
                sum = above ? -part.lo : 0.0;
                for (int i = 0; i < n; ++i, above = !above) {
                    sum += above ? at_x[i] : -at_x[i];
                    record.crossing(patient[l], k, start[l] + width[l] * at_x[i],
                                    length / abs(curve.slope(at_x[i])));
                }
                if (above) sum += part.hi;
            }
            value(l, k) += length * sum;
        });
    }

    // A new extremum, at the output's own value where the quartic has its own.
    template <class Record>
    TEORELL_HD TEORELL_APART void find_extremum(unsigned inside, int k, const Part* parts, V t_new,
                                                V h_step, Record& record) {
        const int output = r.outputs[k];
        const double sign = r.kinds[k] == maximum ? 1.0 : -1.0;
        alignas(Base::alignment) double theta[W] = {}, slope[W], h[W], found[W];
        const Hull<V> hull = hull_of(output, sign);
        P::store(h, h_step);
        unsigned chosen = 0, between = 0;
        for_each(inside, [&](int l) {
            double values[n_nodes];
            if (hull.upper[l] <= sign * value(l, k)) return;
            if (!values_of(output, l, sign, values)) {
                value(l, k) = infinity - infinity;
                return;
            }
            const Quartic curve(values);
            const double x = hull.largest_rise[l] <= 0.0 ? parts[l].lo
                             : hull.least_rise[l] >= 0.0 ? parts[l].hi
                                                         : curve.highest(parts[l].lo, parts[l].hi);
            theta[l] = start[l] + width[l] * x;
            slope[l] = sign * curve.slope(x) / (h[l] * width[l]);
            found[l] = node(x == 1.0 ? n_nodes - 1 : 0, output)[l];
            chosen |= 1u << l;
            between |= (x > 0.0 && x < 1.0 ? 1u : 0u) << l;
        });
        if (between != 0) {
            outputs_at(P::load(theta), t_new, h_step);
            for_each(between, [&](int l) { found[l] = lane(at.out + output, l); });
        }
        for_each(chosen, [&](int l) {
            if (!(sign * found[l] > sign * value(l, k))) return;
            value(l, k) = found[l];
            time(l, k) = tn(l) + theta[l] * h[l];
            record.extremum(patient[l], k, theta[l], slope[l]);
        });
    }
};

TEORELL_END
