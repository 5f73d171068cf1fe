// The time loop once more with tangents: each lane follows the tape of one patient, and carries the
// derivative of its state in every direction that is asked for. Steps are those of the tape, so
// values are those of the solve.
#pragma once

#include "forward_events.hpp"

TEORELL_BEGIN

// Executor: void stages(double* ws), tangent(double* ws), rhs(double* ws). Record: a Tape.
template <class V, class Method, class Executor, class Record>
class Forward : ForwardEvents<V, Method, Executor, Record> {
    using Base = ForwardEvents<V, Method, Executor, Record>;
    using P = Pack<V>;
    using Base::g, Base::execute, Base::carried, Base::r, Base::mark, Base::piece;
    using Base::next_staged, Base::staged, Base::get, Base::put, Base::in, Base::has,
        Base::for_each;
    using Base::patient, Base::record, Base::stretch, Base::sample, Base::of, Base::active,
        Base::n_staged;
    using Base::W, Base::m, Base::at, Base::tape, Base::ws, Base::side, Base::next_patient,
        Base::end_patient;
    using Base::ydot, Base::coefdot, Base::paramdot, Base::ratedot, Base::load;

  public:
    static constexpr bool of_failures = true;  // up to where they failed

    // Two workspaces, [slots][W] each, two of [directions][n + n_coef + n_params][W], all aligned,
    // and a number for each direction.
    TEORELL_HD Forward(const Programs& programs, const Batch& batch, const Tangents& tangents,
                       Executor executor, const Record& tape, double* workspace, double* staging,
                       double* dots, double* staged_dots, double* shifts)
        : Base(programs, batch, tangents, executor, tape, workspace, staging, dots, shifts),
          coming(staged_dots) {}

    TEORELL_HD void run(std::int64_t first, std::int64_t count) {
        start(first, count);
        for (;;) {
            refill();
            if (active == 0) return;
            step();
        }
    }

    // --- the same in parts

    TEORELL_HD void start(std::int64_t first, std::int64_t count) {
        next_patient = first, end_patient = first + count;
    }
    // At most so many steps, which are counted down; false: there are more.
    TEORELL_HD bool walk(std::int64_t& left) {
        for (;;) {
            refill();
            if (active == 0) return true;
            if (left == 0) return false;
            --left;
            step();
        }
    }

    using Base::each_kept;

  private:
    double* coming;

    // --- patients into lanes

    TEORELL_HD TEORELL_APART void refill() {
        constexpr unsigned all = W == 32 ? ~0u : (1u << W) - 1u;
        while (active != all) {
            for (int l = 0; l < W; ++l) {
                if (has(active, l)) continue;
                const auto any = [](std::int64_t) { return true; };
                if (next_staged == n_staged) {
                    if (!Base::stage_patients(false, any)) return;
                    stage_tangents();
                }
                begin(l, next_staged++);
            }
        }
    }

    TEORELL_HD double parameter_dot(std::int64_t d, std::int64_t patient, int k) const {
        return g.parameters == nullptr ? 0.0
                                       : g.parameters[d * g.parameter_strides[0] +
                                                      patient * g.parameter_strides[1] + k];
    }

    TEORELL_HD TEORELL_APART void stage_tangents() {
        for (std::int64_t d = 0; d < g.directions; ++d) {
            for (int l = 0; l < W; ++l)
                for (int k = 0; k < at.n_params; ++k)
                    in(side, at.paramsdot + k, l) =
                        parameter_dot(d, staged[l < n_staged ? l : 0], k);
            interpret<V>(m.prepare_jvp, side);
            interpret<V>(m.initial_jvp, side);
            for (int l = 0; l < W; ++l) {
                for (int k = 0; k < at.n; ++k) ydot(coming, d, k)[l] = in(side, at.yndot + k, l);
                for (int k = 0; k < at.n_coef; ++k)
                    coefdot(coming, d, k)[l] = in(side, at.coefdot + k, l);
                for (int k = 0; k < at.n_params; ++k)
                    paramdot(coming, d, k)[l] = in(side, at.paramsdot + k, l);
            }
        }
    }

    TEORELL_HD TEORELL_APART void begin(int l, int from) {
        Base::seat(l, from);
        Base::set_rates(l, -1);
        for (std::int64_t d = 0; d < g.directions; ++d) {
            for (int k = 0; k < at.n; ++k) ydot(carried, d, k)[l] = ydot(coming, d, k)[from];
            for (int k = 0; k < at.n_coef; ++k)
                coefdot(carried, d, k)[l] = coefdot(coming, d, k)[from];
            for (int k = 0; k < at.n_params; ++k)
                paramdot(carried, d, k)[l] = paramdot(coming, d, k)[from];
            for (int k = 0; k < at.n_rates; ++k) ratedot(d, k)[l] = 0.0;
        }
        stretch[l] = record[l] = sample[l] = 0;
        mark[l] = r.count;
        piece[l] = 0;
        Base::cross(l);
        settle(l);
    }

    // On over the ends of stretches until there is a step to take, or the tape ends.
    TEORELL_HD void settle(int l) {
        for (;;) {
            const bool last = stretch[l] + 1 == of[l]->stretches.size;
            const std::int64_t end =
                last ? of[l]->steps.size : of[l]->stretches.data[stretch[l] + 1].first_step;
            if (record[l] < end) return;
            if (last) return Base::leave(l);
            ++stretch[l];
            Base::cross(l);
        }
    }

    // --- one step

    TEORELL_HD TEORELL_APART void step() {
        for_each(active, [this](int l) { Base::load_step(l); });
        execute.stages(ws);
        for (int k = 0; k < at.n; ++k)
            put(at.ynew + k, get(at.y + k) + get(at.u + (Method::stages - 1) * at.n + k));
        std::int64_t from[W], mark_from[W], piece_from[W];
        for_each(active, [&](int l) {
            from[l] = sample[l], mark_from[l] = mark[l], piece_from[l] = piece[l];
        });
        for (std::int64_t d = 0; d < g.directions; ++d) {
            load(d);
            execute.tangent(ws);
            for (int k = 0; k < at.n; ++k) P::store(ydot(carried, d, k), get(at.ydot + k));
            for_each(active, [&](int l) {
                sample[l] = from[l], mark[l] = mark_from[l], piece[l] = piece_from[l];
            });
            Base::samples_within(d);
            if (r.count > 0) Base::reductions_within(d);
        }
        for (int k = 0; k < at.n; ++k) put(at.yn + k, get(at.ynew + k));
        for_each(active, [this](int l) {
            sample[l] = of[l]->steps.data[record[l]].sample;
            ++record[l];
            settle(l);
        });
    }
};

TEORELL_END
