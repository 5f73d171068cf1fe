// Cotangents of reductions on the way back: areas as sums over the nodes of a step, all else at the
// marks of the forward solve, and what the times of events move directly.
#pragma once

#include "reverse_samples.hpp"

TEORELL_BEGIN

// Executor, Record: as for Reverse.
template <class V, class Method, class Executor, class Record>
class ReverseReductions : protected ReverseSamples<V, Method, Executor, Record> {
  protected:
    using Base = ReverseSamples<V, Method, Executor, Record>;
    using P = Pack<V>;
    using Base::get, Base::lane, Base::put, Base::for_each, Base::current, Base::g, Base::execute;
    using Base::patient, Base::record, Base::stretch, Base::of, Base::active;
    using Base::W, Base::at, Base::b, Base::tape;

    TEORELL_HD ReverseReductions(const Programs& programs, const Batch& batch,
                                 const Gradient& gradient, Executor executor, const Record& tape,
                                 double* workspace, double* staging)
        : Base(programs, batch, gradient, executor, tape, workspace, staging), r(batch.reductions) {
        for (int k = 0; k < r.count; ++k) has_areas = has_areas || r.kinds[k] == area;
    }

    template <class Act>
    TEORELL_HD void each_kept(Act& act) {
        Base::each_kept(act);
        act(mark), act(piece);
    }

    TEORELL_HD void seat_reductions(int l) {
        mark[l] = of[l]->marks.size - 1;
        piece[l] = of[l]->pieces.size - 1;
    }

    TEORELL_HD std::int64_t row(int l, std::int64_t e) const {
        return g.shared_rows > 0 ? patient[l] * g.shared_rows + e : e;
    }

    TEORELL_HD TEORELL_APART void reductions_within() {
        while (has_areas && areas_of_pieces()) {}
        for (int k = 0; k < r.count; ++k) extremum_within(k);
        for (;;) {
            unsigned due = 0;
            alignas(64) double theta[W] = {};
            for (int o = 0; o < at.n_out; ++o) put(at.outbar + o, P::broadcast(0.0));
            for_each(active, [&](int l) {
                if (mark[l] < r.count || of[l]->marks.data[mark[l]].step != record[l]) return;
                const Mark& crossing = of[l]->marks.data[mark[l]--];
                theta[l] = crossing.theta;
                lane(at.outbar + r.outputs[crossing.reduction], l) =
                    reduced(l, crossing.reduction) * crossing.factor;
                due |= 1u << l;
            });
            if (due == 0) return;
            pull_back_inside(due, P::load(theta));
        }
    }

    // d L / d time of events by what they move directly: the bounds of pieces of an integral, an
    // extremum at an event.
    TEORELL_HD TEORELL_APART void reductions_at_events(int l, std::int64_t from, std::int64_t to) {
        for (int k = 0; k < at.n; ++k) lane(at.yn + k, l) = tape.before(*of[l], stretch[l])[k];
        for (std::int64_t e = from; e < to; ++e) {
            double& time = g.event_time[row(l, e)];
            add_integrands(l, 1.0, time);
            Base::apply(l, e);
            add_integrands(l, -1.0, time);
        }
        for (int k = 0; k < r.count; ++k) {
            const Mark& found = of[l]->marks.data[k];
            if (found.step < 0 || !in_window(r.window(k, patient[l]), current(l).t)) continue;
            const double moved = reduced(l, k) * found.factor;
            if (found.step + 1 == current(l).first_step && found.theta == 1.0)
                g.event_time[row(l, from)] += moved;
            if (found.step == current(l).first_step && found.theta == 0.0)
                g.event_time[row(l, to - 1)] += moved;
        }
    }

    // d L / d time of a crossing by the extrema that stand at it.
    TEORELL_HD double extrema_moved(int l) const {
        double sum = 0.0;
        for (int k = 0; k < r.count; ++k) {
            const Mark& found = of[l]->marks.data[k];
            if (found.step < 0 || !in_window(r.window(k, patient[l]), current(l).t)) continue;
            const bool before = found.step + 1 == current(l).first_step && found.theta == 1.0,
                       after = found.step == current(l).first_step && found.theta == 0.0;
            if (before || after) sum += reduced(l, k) * found.factor;
        }
        return sum;
    }

    // What integrals read at yn, times their cotangents.
    TEORELL_HD TEORELL_APART void add_integrands(int l, double sign, double& sum) {
        Base::outputs_of_lane(l, execute);
        for (int k = 0; k < r.count; ++k) {
            const double* window = r.window(k, patient[l]);
            if (is_integral(r.kinds[k]) && in_window(window, current(l).t))
                sum += sign * reduced(l, k) *
                       integrand(r.kinds[k], lane(at.out + r.outputs[k], l), window[2]);
        }
    }

  private:
    const Reductions& r;
    std::int64_t mark[W], piece[W];  // the next crossing and the next piece of a step, going back
    bool has_areas = false;

    TEORELL_HD double reduced(int l, int k) const { return g.reduced[patient[l] * r.count + k]; }

    TEORELL_HD void pull_back_inside(unsigned lanes, V theta) {
        Base::pull_back_at(lanes, theta, get(at.scalar + s_tn) + theta * get(at.scalar + s_h));
    }

    // The last piece of the step in each lane; false: none is left.
    TEORELL_HD bool areas_of_pieces() {
        Piece pieces[W];
        unsigned due = 0;
        for_each(active, [&](int l) {
            if (piece[l] < 0 || of[l]->pieces.data[piece[l]].step != record[l]) return;
            pieces[l] = of[l]->pieces.data[piece[l]--];
            due |= 1u << l;
        });
        for (int i = 0; due != 0 && i < n_nodes; ++i) {
            alignas(64) double theta[W] = {};
            for (int o = 0; o < at.n_out; ++o) put(at.outbar + o, P::broadcast(0.0));
            for_each(due, [&](int l) {
                theta[l] = pieces[l].start + i / (n_nodes - 1.0) * pieces[l].width;
                for (int k = 0; k < r.count; ++k)
                    if (r.kinds[k] == area)
                        lane(at.outbar + r.outputs[k], l) +=
                            reduced(l, k) * Base::area_weight(l, k, pieces[l], i);
            });
            pull_back_inside(due, P::load(theta));
        }
        return due != 0;
    }

    TEORELL_HD void extremum_within(int k) {
        unsigned due = 0;
        alignas(64) double theta[W] = {};
        for_each(active, [&](int l) {
            const Mark& found = of[l]->marks.data[k];
            if (found.step != record[l]) return;
            theta[l] = found.theta;
            due |= 1u << l;
        });
        if (due == 0) return;
        for (int o = 0; o < at.n_out; ++o) put(at.outbar + o, P::broadcast(0.0));
        for_each(due, [&](int l) { lane(at.outbar + r.outputs[k], l) = reduced(l, k); });
        pull_back_inside(due, P::load(theta));
    }
};

TEORELL_END
