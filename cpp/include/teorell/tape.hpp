// What the adjoint must know of the forward solve of a few patients: for each accepted step its
// time, length and state, and what held between events. States are kept for the latest steps alone
// (a ring); of older ones, the start of every stretch, from where they are computed again. So
// memory does not grow with the number of steps, but for 24 bytes each.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "memory.hpp"
#include "program.hpp"

TEORELL_BEGIN

struct StepRecord {
    double t, h;
    std::int64_t sample;  // samples taken up to the end of the step
};

// Steps between two events, or at most as many as the ring holds. Its values: the state before and
// after the events at its start, then the infusion rates, the parameters and the switches that hold
// in it.
struct Stretch {
    double t;
    // Cursors after its events; before and after samples.
    std::int64_t first_step, event, sample_before, sample_after;
    // What happens at its start: the surface that the solution passes, the declared event whose
    // action is taken; -1: none.
    std::int32_t crossed, acted;
};

// A point on which a reduction depends: its extremum, or where the output crosses its threshold.
struct Mark {
    std::int64_t step;  // -1: no extremum yet
    double theta;
    double factor;  // of an extremum the slope in time, of a crossing d reduction / d output
    std::int32_t reduction;
};

// Of a step from theta = start on: where a quartic stands for each output that is reduced.
struct Piece {
    std::int64_t step;
    double start, width;
};

struct PatientTape {
    Growing<StepRecord> steps;
    Growing<Piece> pieces;  // of steps that reductions have read
    // The extremum of each reduction (or a mark without a step), then crossings in their order.
    Growing<Mark> marks;
    Growing<Stretch> stretches;
    Growing<double> values;
    double* ring = nullptr;  // [step % ring_steps][state]
};

class Tape {
  public:
    Tape(const Layout& at, std::int64_t patients, std::int64_t ring_steps, int reductions)
        : at_(at),
          count_(patients),
          ring_steps_(ring_steps),
          reductions_(reductions),
          patients_(new_patients(patients)) {
        const auto states = static_cast<std::size_t>(patients * ring_steps * at.n);
        // Pages that no step needs are never touched.
        ring_ = static_cast<double*>(std::malloc(states * sizeof(double)));
        full_ = ring_ == nullptr || patients_ == nullptr;
        for (std::int64_t i = 0; i < patients && !full_; ++i)
            patients_[i].ring = ring_ + i * ring_steps * at.n;
    }
    Tape(const Tape&) = delete;
    Tape& operator=(const Tape&) = delete;
    ~Tape() {
        for (std::int64_t i = 0; i < count_ && patients_ != nullptr; ++i) {
            std::free(patients_[i].steps.data);
            std::free(patients_[i].marks.data);
            std::free(patients_[i].pieces.data);
            std::free(patients_[i].stretches.data);
            std::free(patients_[i].values.data);
        }
        std::free(patients_);
        std::free(ring_);
    }

    // There was no memory left: nothing more is recorded, and what is here is of no use.
    bool full() const { return full_; }

    // The tape is for patients first, first + 1, ...
    void begin(std::int64_t first) {
        first_ = first;
        for (std::int64_t i = 0; i < count_ && !full_; ++i) {
            PatientTape& p = patients_[i];
            p.steps.size = p.stretches.size = p.values.size = p.marks.size = p.pieces.size = 0;
            for (int k = 0; k < reductions_; ++k) add(p.marks, Mark{-1, 0.0, 0.0, k});
        }
    }

    PatientTape& of(std::int64_t patient) const { return patients_[patient - first_]; }
    std::int64_t ring_steps() const { return ring_steps_; }
    std::int64_t stretch_size() const {
        return 2 * at_.n + at_.n_rates + at_.n_params + at_.n_switches;
    }
    double* state(const PatientTape& p, std::int64_t step) const {
        return p.ring + step % ring_steps_ * at_.n;
    }
    double* before(const PatientTape& p, std::int64_t stretch) const {
        return p.values.data + stretch * stretch_size();
    }
    double* after(const PatientTape& p, std::int64_t stretch) const {
        return before(p, stretch) + at_.n;
    }
    double* rates(const PatientTape& p, std::int64_t stretch) const {
        return after(p, stretch) + at_.n;
    }
    double* parameters(const PatientTape& p, std::int64_t stretch) const {
        return rates(p, stretch) + at_.n_rates;
    }

    // --- recording; `lane(slot)` is a slot's value in the lane of the patient

    template <class Lane>
    void arrive(std::int64_t patient, std::int64_t sample, std::int32_t crossed, std::int32_t acted,
                Lane lane) {
        if (full_) return;
        PatientTape& p = of(patient);
        add(p.stretches,
            Stretch{lane(at_.scalar + s_tn), p.steps.size, 0, sample, sample, crossed, acted});
        double* values = p.values.extend(stretch_size());
        full_ = full_ || values == nullptr;
        if (full_) return;
        for (int k = 0; k < at_.n; ++k) values[k] = lane(at_.yn + k);
    }

    template <class Lane>
    void leave(std::int64_t patient, std::int64_t sample, std::int64_t event, Lane lane) {
        if (full_) return;
        PatientTape& p = of(patient);
        const std::int64_t last = p.stretches.size - 1;
        p.stretches.data[last].sample_after = sample;
        p.stretches.data[last].event = event;
        for (int k = 0; k < at_.n; ++k) after(p, last)[k] = lane(at_.yn + k);
        for (int k = 0; k < at_.n_rates; ++k) rates(p, last)[k] = lane(at_.rates + k);
        for (int k = 0; k < at_.n_params + at_.n_switches; ++k)
            parameters(p, last)[k] = lane(at_.params + k);
    }

    // A step from the state at tn, about to be taken.
    template <class Lane>
    void step(std::int64_t patient, double h, std::int64_t sample, std::int64_t sample_before,
              std::int64_t event, Lane lane) {
        if (full_) return;
        PatientTape& p = of(patient);
        if (p.steps.size - p.stretches.data[p.stretches.size - 1].first_step == ring_steps_) {
            arrive(patient, sample_before, -1, -1, lane);
            leave(patient, sample_before, event, lane);
        }
        double* state = this->state(p, p.steps.size);
        for (int k = 0; k < at_.n; ++k) state[k] = lane(at_.yn + k);
        add(p.steps, StepRecord{lane(at_.scalar + s_tn), h, sample});
    }

    // Of the step that is recorded next.
    void piece(std::int64_t patient, double start, double width) {
        if (full_) return;
        PatientTape& p = of(patient);
        add(p.pieces, Piece{p.steps.size, start, width});
    }
    void extremum(std::int64_t patient, int reduction, double theta, double slope) {
        if (full_) return;
        PatientTape& p = of(patient);
        p.marks.data[reduction] = {p.steps.size, theta, slope, reduction};
    }
    void crossing(std::int64_t patient, int reduction, double theta, double factor) {
        if (full_) return;
        PatientTape& p = of(patient);
        add(p.marks, Mark{p.steps.size, theta, factor, reduction});
    }

  private:
    const Layout& at_;
    std::int64_t count_, ring_steps_, first_ = 0;
    int reductions_;
    bool full_ = false;
    PatientTape* patients_;
    double* ring_;

    template <class T>
    void add(Growing<T>& to, const T& record) {
        T* place = to.extend(1);
        if (place == nullptr)
            full_ = true;
        else
            *place = record;
    }

    static PatientTape* new_patients(std::int64_t count) {
        return static_cast<PatientTape*>(
            std::calloc(static_cast<std::size_t>(count), sizeof(PatientTape)));
    }
};

// The forward solve alone records nothing.
struct NoTape {
    template <class Lane>
    TEORELL_HD void arrive(std::int64_t, std::int64_t, std::int32_t, std::int32_t, Lane) {}
    template <class Lane>
    TEORELL_HD void leave(std::int64_t, std::int64_t, std::int64_t, Lane) {}
    template <class Lane>
    TEORELL_HD void step(std::int64_t, double, std::int64_t, std::int64_t, std::int64_t, Lane) {}
    TEORELL_HD void piece(std::int64_t, double, double) {}
    TEORELL_HD void extremum(std::int64_t, int, double, double) {}
    TEORELL_HD void crossing(std::int64_t, int, double, double) {}
};

TEORELL_END
