// Tangents of the state and of what stands beside it, for each direction, and of samples, by the
// dense output of a step.
#pragma once

#include "tangent.hpp"
#include "tape_walk.hpp"

TEORELL_BEGIN

// Executor, Record: as for Forward.
template <class V, class Method, class Executor, class Record>
class ForwardSamples : protected TapeWalk<V, Record> {
  protected:
    using Base = TapeWalk<V, Record>;
    using P = Pack<V>;
    using Base::get, Base::put, Base::lane, Base::for_each, Base::current;
    using Base::patient, Base::record, Base::sample, Base::of, Base::active;
    using Base::W, Base::m, Base::at, Base::b, Base::ws;

    TEORELL_HD ForwardSamples(const Programs& programs, const Batch& batch,
                              const Tangents& tangents, Executor executor, const Record& tape,
                              double* workspace, double* staging, double* dots)
        : Base(programs, batch, tape, workspace, staging),
          g(tangents),
          execute(executor),
          carried(dots) {}

    const Tangents& g;
    Executor execute;
    double* carried;

    // Of direction d: the tangent of state k, of coefficient k, and of parameter k.
    TEORELL_HD double* ydot(double* dots, std::int64_t d, int k) const {
        return dots + (d * (at.n + at.n_coef + at.n_params) + k) * Base::stride;
    }
    TEORELL_HD double* coefdot(double* dots, std::int64_t d, int k) const {
        return ydot(dots, d, at.n + k);
    }
    TEORELL_HD double* paramdot(double* dots, std::int64_t d, int k) const {
        return coefdot(dots, d, at.n_coef + k);
    }
    TEORELL_HD double* ratedot(std::int64_t d, int k) const {
        return coefdot(carried, d, at.rates - at.coef + k);
    }

    TEORELL_HD void load(std::int64_t d) {
        for (int k = 0; k < at.n; ++k) put(at.yndot + k, P::load(ydot(carried, d, k)));
        for (int k = 0; k < at.n_coef; ++k) put(at.coefdot + k, P::load(coefdot(carried, d, k)));
    }

    TEORELL_HD TEORELL_APART void samples_within(std::int64_t d) {
        const auto waits = [this](int l) {
            return sample[l] < of[l]->steps.data[record[l]].sample;
        };
        unsigned due = 0;
        for_each(active, [&](int l) { due |= (waits(l) ? 1u : 0u) << l; });
        const V one = P::broadcast(1.0), start = get(at.scalar + s_tn), h = get(at.scalar + s_h);
        while (due != 0) {
            alignas(64) double time[W];
            P::store(time, start + h);
            for_each(due, [&](int l) { time[l] = Base::times[l][sample[l]]; });
            const V now = P::load(time), theta = min(one, (now - start) / h);
            push_forward_at(d, theta, now);
            unsigned more = 0;
            for_each(due, [&](int l) {
                for (int o = 0; o < at.n_out; ++o) *derivative(l, d, o) = lane(at.outdot + o, l);
                ++sample[l];
                more |= (waits(l) ? 1u : 0u) << l;
            });
            due = more;
        }
    }

    // The tangents of the outputs at theta, into region outdot.
    TEORELL_HD TEORELL_APART void push_forward_at(std::int64_t d, V theta, V now) {
        V weights[Method::stages];
        dense_weights<V, Method>(theta, weights);
        for (int i = 0; i < m.n_output_states; ++i) {
            const std::int32_t k = m.output_states[i];
            V dot = fma(theta, P::load(ydot(carried, d, k)),
                        (P::broadcast(1.0) - theta) * get(at.yndot + k));
            for (int j = 0; j < Method::stages; ++j)
                dot = fma(weights[j], get(at.udot + j * at.n + k), dot);
            put(at.y + k, dense_value<V, Method>(*this, k, theta, weights));
            put(at.ydot + k, dot);
        }
        put(at.scalar + s_t, now);
        interpret<V>(m.outputs_jvp, ws);
    }

    // Of one lane that stands at an event with the state y.
    TEORELL_HD TEORELL_APART void samples_here(int l, typename Record::Row y) {
        const std::int64_t from = sample[l];
        if (from == current(l).sample_after) return;
        for (int k = 0; k < at.n; ++k) lane(at.y + k, l) = y[k];
        lane(at.scalar + s_t, l) = lane(at.scalar + s_tn, l);
        for (std::int64_t d = 0; d < g.directions; ++d) {
            load(d);
            for (int k = 0; k < at.n; ++k) put(at.ydot + k, get(at.yndot + k));
            interpret<V>(m.outputs_jvp, ws);
            for (sample[l] = from; sample[l] < current(l).sample_after; ++sample[l])
                for (int o = 0; o < at.n_out; ++o) *derivative(l, d, o) = lane(at.outdot + o, l);
        }
    }

  private:
    TEORELL_HD double* derivative(int l, std::int64_t d, int o) const {
        return g.values +
               ((Base::first_row(patient[l], 0) + sample[l]) * at.n_out + o) * g.directions + d;
    }
};

TEORELL_END
