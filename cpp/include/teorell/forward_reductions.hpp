// Tangents of reductions: areas as sums over the nodes of a step, all else at the marks of the
// forward solve, and what the times of events move directly.
#pragma once

#include "forward_samples.hpp"

TEORELL_BEGIN

// Executor, Record: as for Forward.
template <class V, class Method, class Executor, class Record>
class ForwardReductions : protected ForwardSamples<V, Method, Executor, Record> {
  protected:
    using Base = ForwardSamples<V, Method, Executor, Record>;
    using P = Pack<V>;
    using Base::get, Base::lane, Base::for_each, Base::current, Base::g, Base::execute;
    using Base::patient, Base::record, Base::of, Base::active, Base::W, Base::at;

    TEORELL_HD ForwardReductions(const Programs& programs, const Batch& batch,
                                 const Tangents& tangents, Executor executor, const Record& tape,
                                 double* workspace, double* staging, double* dots)
        : Base(programs, batch, tangents, executor, tape, workspace, staging, dots),
          r(batch.reductions) {
        for (int k = 0; k < r.count; ++k) has_areas = has_areas || r.kinds[k] == area;
    }

    const Reductions& r;
    std::int64_t mark[W], piece[W];  // the next crossing, and the next piece of a step

    template <class Act>
    TEORELL_HD void each_kept(Act& act) {
        Base::each_kept(act);
        act(mark), act(piece);
    }

    TEORELL_HD TEORELL_APART void reductions_within(std::int64_t d) {
        while (has_areas && areas_of_pieces(d)) {}
        for (int k = 0; k < r.count; ++k) {
            unsigned due = 0;
            alignas(64) double theta[W] = {};
            for_each(active, [&](int l) {
                const Mark& found = of[l]->marks.data[k];
                if (found.step != record[l]) return;
                theta[l] = found.theta;
                due |= 1u << l;
            });
            if (due == 0) continue;
            push_forward_inside(d, P::load(theta));
            for_each(due, [&](int l) { reduced(l, k, d) += lane(at.outdot + r.outputs[k], l); });
        }
        for (;;) {
            unsigned due = 0;
            alignas(64) double theta[W] = {};
            for_each(active, [&](int l) {
                if (mark[l] == of[l]->marks.size || of[l]->marks.data[mark[l]].step != record[l])
                    return;
                theta[l] = of[l]->marks.data[mark[l]].theta;
                due |= 1u << l;
            });
            if (due == 0) return;
            push_forward_inside(d, P::load(theta));
            for_each(due, [&](int l) {
                const Mark& crossing = of[l]->marks.data[mark[l]++];
                const double dot = lane(at.outdot + r.outputs[crossing.reduction], l);
                reduced(l, crossing.reduction, d) += crossing.factor * dot;
            });
        }
    }

    // All events of the stretch that a lane is about to cross, from yn before them.
    TEORELL_HD TEORELL_APART void reductions_at_events(int l, std::int64_t from, std::int64_t to) {
        for (std::int64_t e = from; e < to; ++e) {
            reductions_beside(l, e, 1.0);
            Base::apply(l, e);
            reductions_beside(l, e, -1.0);
        }
        for (std::int64_t d = 0; d < g.directions; ++d)
            extrema_at_events(l, d, time_dot(l, d, from), time_dot(l, d, to - 1));
    }

    // Extrema at events, or at a crossing, whose times have these tangents.
    TEORELL_HD void extrema_at_events(int l, std::int64_t d, double first, double last) {
        for (int k = 0; k < r.count; ++k) {
            const Mark& found = of[l]->marks.data[k];
            if (found.step < 0 || !in_window(r.window(k, patient[l]), current(l).t)) continue;
            const bool before = found.step + 1 == current(l).first_step && found.theta == 1.0;
            const bool after = found.step == current(l).first_step && found.theta == 0.0;
            reduced(l, k, d) += found.factor * (before ? first : after ? last : 0.0);
        }
    }

    TEORELL_HD double time_dot(int l, std::int64_t d, std::int64_t e) const {
        return g.event_time[d * g.event_strides[0] + patient[l] * g.event_strides[1] + e];
    }

    // What integrals have on one side of a point whose time moves by moved(d).
    template <class Moved>
    TEORELL_HD void integrals_beside(int l, double sign, Moved moved) {
        Base::outputs_of_lane(l, execute);
        for (int k = 0; k < r.count; ++k) {
            const double* window = r.window(k, patient[l]);
            if (!is_integral(r.kinds[k]) || !in_window(window, current(l).t)) continue;
            const double piece =
                sign * integrand(r.kinds[k], lane(at.out + r.outputs[k], l), window[2]);
            for (std::int64_t d = 0; d < g.directions; ++d) reduced(l, k, d) += piece * moved(d);
        }
    }

  private:
    bool has_areas = false;

    TEORELL_HD double& reduced(int l, int k, std::int64_t d) const {
        return g.reduced[(patient[l] * r.count + k) * g.directions + d];
    }

    TEORELL_HD void push_forward_inside(std::int64_t d, V theta) {
        Base::push_forward_at(d, theta, get(at.scalar + s_tn) + theta * get(at.scalar + s_h));
    }

    // The next piece of the step in each lane; false: none is left.
    TEORELL_HD bool areas_of_pieces(std::int64_t d) {
        Piece pieces[W];
        unsigned due = 0;
        for_each(active, [&](int l) {
            if (piece[l] == of[l]->pieces.size || of[l]->pieces.data[piece[l]].step != record[l])
                return;
            pieces[l] = of[l]->pieces.data[piece[l]++];
            due |= 1u << l;
        });
        for (int i = 0; due != 0 && i < n_nodes; ++i) {
            alignas(64) double theta[W] = {};
            for_each(due, [&](int l) {
                theta[l] = pieces[l].start + i / (n_nodes - 1.0) * pieces[l].width;
            });
            push_forward_inside(d, P::load(theta));
            for_each(due, [&](int l) {
                for (int k = 0; k < r.count; ++k)
                    if (r.kinds[k] == area)
                        reduced(l, k, d) += Base::area_weight(l, k, pieces[l], i) *
                                            lane(at.outdot + r.outputs[k], l);
            });
        }
        return due != 0;
    }

    // What an event moves directly: the bound of a piece of an integral.
    TEORELL_HD void reductions_beside(int l, std::int64_t e, double sign) {
        integrals_beside(l, sign, [&](std::int64_t d) { return time_dot(l, d, e); });
    }
};

TEORELL_END
