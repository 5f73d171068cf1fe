// Cotangents of samples on the way back: through the outputs and the dense output of a step, into
// what the reverse of the step starts from.
#pragma once

#include "adjoint.hpp"
#include "tape_walk.hpp"

TEORELL_BEGIN

// Executor, Record: as for Reverse.
template <class V, class Method, class Executor, class Record>
class ReverseSamples : protected TapeWalk<V, Record> {
  protected:
    using Base = TapeWalk<V, Record>;
    using P = Pack<V>;
    using Base::get, Base::put, Base::lane, Base::for_each, Base::current;
    using Base::patient, Base::record, Base::sample, Base::of, Base::active;
    using Base::W, Base::m, Base::at, Base::b, Base::ws;

    TEORELL_HD ReverseSamples(const Programs& programs, const Batch& batch,
                              const Gradient& gradient, Executor executor, const Record& tape,
                              double* workspace, double* staging)
        : Base(programs, batch, tape, workspace, staging), g(gradient), execute(executor) {}

    const Gradient& g;
    Executor execute;
    const double* cotangent = nullptr;
    std::int64_t cotangent_first = 0;  // the patient of its first row
    const std::int64_t* strides = nullptr;

    // The end of the step, for the dense output.
    TEORELL_HD void find_ynew() {
        for (int i = 0; i < m.n_sampled_states; ++i) {
            const std::int32_t k = m.sampled_states[i];
            put(at.ynew + k, get(at.y + k) + get(at.u + (Method::stages - 1) * at.n + k));
        }
    }

    TEORELL_HD double slope(int l, std::int64_t sample, int o) const {
        const std::int64_t first = b.sample_offsets == nullptr
                                       ? (patient[l] - cotangent_first) * strides[0]
                                       : Base::first_row(patient[l], cotangent_first) * strides[1];
        return cotangent[first + sample * strides[1] + o * strides[2]];
    }

    TEORELL_HD void interpolate(V theta) {
        V weights[Method::stages];
        dense_weights<V, Method>(theta, weights);
        for (int i = 0; i < m.n_sampled_states; ++i)
            put(at.y + m.sampled_states[i],
                dense_value<V, Method>(*this, m.sampled_states[i], theta, weights));
    }

    // Cotangents of the samples inside the step, through the dense output into lam and ynbar, and
    // as moments sum of theta^r (1 - theta) theta mu into ubar: H_rj times them is what reaches
    // u_j.
    TEORELL_HD TEORELL_APART void samples_within() {
        std::int64_t least[W] = {};
        unsigned due = 0;
        const auto pick = [&](int l) { due |= (sample[l] > least[l] ? 1u : 0u) << l; };
        for_each(active, [&](int l) {
            const bool first = record[l] == current(l).first_step;
            least[l] = first ? current(l).sample_after : of[l]->steps.data[record[l] - 1].sample;
            pick(l);
        });
        if (due == 0) return;
        const V one = P::broadcast(1.0), start = get(at.scalar + s_tn), h = get(at.scalar + s_h);
        while (due != 0) {
            alignas(64) double time[W];
            P::store(time, start + h);
            for (int o = 0; o < at.n_out; ++o) put(at.outbar + o, P::broadcast(0.0));
            for_each(due, [&](int l) {
                --sample[l];
                time[l] = Base::times[l][sample[l]];
                for (int o = 0; o < at.n_out; ++o) lane(at.outbar + o, l) = slope(l, sample[l], o);
            });
            const V now = P::load(time);
            pull_back_at(due, min(one, (now - start) / h), now);
            due = 0;
            for_each(active, pick);
        }
    }

    // The cotangents in region outbar, of outputs at theta.
    TEORELL_HD TEORELL_APART void pull_back_at(unsigned lanes, V theta, V now) {
        const V zero = P::broadcast(0.0), one = P::broadcast(1.0), bow = theta * (one - theta);
        if (m.n_sampled_states > 0) interpolate(theta);
        put(at.scalar + s_t, now);
        execute.outputs_vjp(ws);
        const auto mask = P::from_bits(lanes);
        for (int i = 0; i < m.n_output_states; ++i) {
            const std::int32_t k = m.output_states[i];
            const V mu = select(mask, get(at.ysbar + k), zero);
            put(at.lam + k, fma(theta, mu, get(at.lam + k)));
            put(at.ynbar + k, fma(one - theta, mu, get(at.ynbar + k)));
            V moment = bow * mu;
            for (int r = 0; r < Method::dense; ++r) {
                const std::int32_t slot = at.ubar + r * m.n_output_states + i;
                put(slot, get(slot) + moment);
                moment = moment * theta;
            }
        }
        for (int c = 0; c < at.n_outcoef; ++c) {
            const std::int32_t slot = at.coefbar + m.output_coefs[c];
            put(slot, get(slot) + select(mask, get(at.outcoef + c), zero));
        }
    }

    // Of one lane that stands at an event with the state y.
    TEORELL_HD TEORELL_APART void samples_here(int l, std::int64_t least, typename Record::Row y) {
        if (sample[l] == least) return;
        for (int k = 0; k < at.n; ++k) lane(at.y + k, l) = y[k];
        lane(at.scalar + s_t, l) = lane(at.scalar + s_tn, l);
        while (sample[l] > least) {
            --sample[l];
            for (int o = 0; o < at.n_out; ++o) lane(at.outbar + o, l) = slope(l, sample[l], o);
            execute.outputs_vjp(ws);
            for (int i = 0; i < m.n_output_states; ++i)
                lane(at.lam + m.output_states[i], l) += lane(at.ysbar + m.output_states[i], l);
            for (int c = 0; c < at.n_outcoef; ++c)
                lane(at.coefbar + m.output_coefs[c], l) += lane(at.outcoef + c, l);
        }
    }
};

TEORELL_END
