// Where on a tape things stand, whatever holds it.
#pragma once

#include "program.hpp"
#include "tape_records.hpp"

TEORELL_BEGIN

template <class Patient_>
class TapePlaces {
  public:
    using Patient = Patient_;
    using Row = typename Patient::Row;

    TEORELL_HD std::int64_t ring_steps() const { return ring_steps_; }
    TEORELL_HD std::int64_t stretch_size() const { return size_of_stretch(at_); }
    TEORELL_HD static std::int64_t size_of_stretch(const Layout& at) {
        return 2 * at.n + at.n_rates + at.n_params + at.n_switches;
    }
    TEORELL_HD Row state(const Patient& p, std::int64_t step) const {
        return p.ring + step % ring_steps_ * at_.n;
    }
    TEORELL_HD Row before(const Patient& p, std::int64_t stretch) const {
        return p.values.data + stretch * stretch_size();
    }
    TEORELL_HD Row after(const Patient& p, std::int64_t stretch) const {
        return before(p, stretch) + at_.n;
    }
    TEORELL_HD Row rates(const Patient& p, std::int64_t stretch) const {
        return after(p, stretch) + at_.n;
    }
    TEORELL_HD Row parameters(const Patient& p, std::int64_t stretch) const {
        return rates(p, stretch) + at_.n_rates;
    }

  protected:
    TEORELL_HD TapePlaces(const Layout& at, std::int64_t ring_steps)
        : at_(at), ring_steps_(ring_steps) {}

    const Layout& at_;
    std::int64_t ring_steps_;

    // Of the last stretch, after the events at its start; `lane(slot)` is a slot's value.
    template <class Lane>
    TEORELL_HD void end_events(Patient& p, std::int64_t sample, std::int64_t event, Lane lane) {
        const std::int64_t last = p.stretches.size - 1;
        p.stretches.data[last].sample_after = sample;
        p.stretches.data[last].event = event;
        const Row y = after(p, last), infused = rates(p, last), given = parameters(p, last);
        for (int k = 0; k < at_.n; ++k) y[k] = lane(at_.yn + k);
        for (int k = 0; k < at_.n_rates; ++k) infused[k] = lane(at_.rates + k);
        for (int k = 0; k < at_.n_params + at_.n_switches; ++k) given[k] = lane(at_.params + k);
    }
};

TEORELL_END
