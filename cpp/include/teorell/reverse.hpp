// The reverse of the time loop: each lane goes back through the tape of one patient, step by step,
// and takes the next patient when it has arrived at time 0. The stages of a step are computed again
// by the code that computed them first.
#pragma once

#include "reverse_events.hpp"

TEORELL_BEGIN

// Executor: void stages(double* ws), reverse(double* ws), rhs(double* ws), outputs_vjp(double* ws).
// Record: a Tape.
template <class V, class Method, class Executor, class Record>
class Reverse : ReverseEvents<V, Method, Executor, Record> {
    using Base = ReverseEvents<V, Method, Executor, Record>;
    using P = Pack<V>;
    using Base::g, Base::execute;
    using Base::next_staged, Base::get, Base::put, Base::lane, Base::has, Base::for_each,
        Base::current;
    using Base::patient, Base::record, Base::stretch, Base::sample, Base::of, Base::active,
        Base::n_staged;
    using Base::W, Base::m, Base::at, Base::b, Base::tape, Base::ws, Base::next_patient,
        Base::end_patient;

  public:
    static constexpr bool of_failures = false;

    // Three workspaces, [slots][W] each, aligned.
    TEORELL_HD Reverse(const Programs& programs, const Batch& batch, const Gradient& gradient,
                       Executor executor, const Record& tape, double* workspace, double* staging,
                       double* waiting)
        : Base(programs, batch, gradient, executor, tape, workspace, staging, waiting) {}

    // Patients first, ..., first + count - 1, without those that failed. `slopes` is that of
    // patient `slopes_first`.
    TEORELL_HD void run(std::int64_t first, std::int64_t count, const double* slopes,
                        std::int64_t slopes_first, const std::int64_t* slope_strides) {
        start(first, count);
        read(slopes, slopes_first, slope_strides);
        walk();
    }

    // All patients whose tapes are kept, with other threads.
    TEORELL_HD void run(const double* slopes, const std::int64_t* slope_strides) {
        read(slopes, 0, slope_strides);
        walk();
    }

    // --- the same in parts

    TEORELL_HD void start(std::int64_t first, std::int64_t count) {
        next_patient = first, end_patient = first + count;
    }
    TEORELL_HD void read(const double* slopes, std::int64_t slopes_first,
                         const std::int64_t* slope_strides) {
        Base::cotangent = slopes, Base::cotangent_first = slopes_first,
        Base::strides = slope_strides;
    }
    // At most so many steps, which are counted down; false: there are more.
    TEORELL_HD bool walk(std::int64_t& left) {
        for (;;) {
            refill();
            if (active == 0) break;
            if (left == 0) return false;
            --left;
            step();
        }
        Base::flush();
        return true;
    }

    template <class Act>
    TEORELL_HD void each_kept(Act& act) {
        Base::each_kept(act);
        act(fresh);
    }

  private:
    TEORELL_HD void walk() {
        for (;;) {
            refill();
            if (active == 0) break;
            step();
        }
        Base::flush();
    }

    std::int64_t fresh[W];  // the first step whose state the ring holds

    // --- patients into lanes

    TEORELL_HD TEORELL_APART void refill() {
        constexpr unsigned all = W == 32 ? ~0u : (1u << W) - 1u;
        while (active != all) {
            for (int l = 0; l < W; ++l) {
                if (has(active, l)) continue;
                const auto solved = [this](std::int64_t i) {
                    return b.status[i] == success && tape.holds(i);
                };
                if (next_staged == n_staged && !Base::stage_patients(true, solved)) return;
                begin(l, next_staged++);
            }
        }
    }

    TEORELL_HD void begin(int l, int from) {
        Base::seat(l, from);
        stretch[l] = of[l]->stretches.size - 1;
        record[l] = of[l]->steps.size - 1;
        fresh[l] = record[l] + 1 - tape.ring_steps();
        sample[l] = Base::sample_count(patient[l]);
        Base::seat_reductions(l);
        Base::seat_events(l);
        Base::set_rates(l, stretch[l]);
        for (int k = 0; k < at.n_coef; ++k) lane(at.coefbar + k, l) = 0.0;
        for (int k = 0; k < at.n; ++k) lane(at.lam + k, l) = 0.0;
        settle(l);
    }

    // Back over the starts of stretches until there is a step to reverse, or the patient has
    // arrived.
    TEORELL_HD void settle(int l) {
        while (has(active, l) && record[l] < current(l).first_step) Base::cross(l);
    }

    // --- one step

    TEORELL_HD TEORELL_APART void step() {
        replay();
        load();
        execute.stages(ws);
        const V zero = P::broadcast(0.0);
        for (int k = 0; k < at.n; ++k) put(at.ynbar + k, zero);
        for (int k = 0; k < Method::dense * m.n_output_states; ++k) put(at.ubar + k, zero);
        Base::find_ynew();
        Base::samples_within();
        if (g.reduced != nullptr) Base::reductions_within();
        execute.reverse(ws);
        for_each(active, [this](int l) {
            --record[l];
            settle(l);
        });
    }

    // Times, lengths and states of the steps; idle lanes read those of any other.
    TEORELL_HD TEORELL_APART void load() {
        alignas(64) double t[W], h[W];
        typename Record::Row y[W];
        const int some = Base::first_of(active);
        for (int l = 0; l < W; ++l) {
            const int from = has(active, l) ? l : some;
            const StepRecord& r = of[from]->steps.data[record[from]];
            t[l] = r.t, h[l] = r.h, y[l] = tape.state(*of[from], record[from]);
            tape.fetch_before(*of[from], record[from]);
        }
        put(at.scalar + s_tn, P::load(t));
        put(at.scalar + s_h, P::load(h));
        tape.template load<W>(Base::slot(at.yn), y);
    }

    // States that have left the ring are computed again, from the start of their stretch.
    TEORELL_HD TEORELL_APART void replay() {
        unsigned need = 0;
        for_each(active, [&](int l) { need |= (record[l] < fresh[l] ? 1u : 0u) << l; });
        if (need == 0) return;
        std::int64_t q[W];
        for_each(need, [&](int l) {
            q[l] = fresh[l] = current(l).first_step;
            for (int k = 0; k < at.n; ++k) lane(at.yn + k, l) = tape.after(*of[l], stretch[l])[k];
        });
        while (need != 0) {
            for_each(need, [&](int l) {
                const auto y = tape.state(*of[l], q[l]);
                for (int k = 0; k < at.n; ++k) y[k] = lane(at.yn + k, l);
                lane(at.scalar + s_tn, l) = of[l]->steps.data[q[l]].t;
                lane(at.scalar + s_h, l) = of[l]->steps.data[q[l]].h;
                if (q[l]++ == record[l]) need &= ~(1u << l);
            });
            if (need == 0) break;
            execute.stages(ws);
            for (int k = 0; k < at.n; ++k)
                put(at.yn + k, get(at.y + k) + get(at.u + (Method::stages - 1) * at.n + k));
        }
    }
};

TEORELL_END
