// What the adjoint must know of the forward solve of a few patients, recorded while it runs. States
// are kept for the latest steps alone (a ring); of older ones, the start of every stretch, from
// where they are computed again. So memory does not grow with the number of steps, but for 24 bytes
// each.
//
// Or what is recorded goes to the tapes of all patients (KeptTapes), with all states.
#pragma once

#include <cstdlib>

#include "batch.hpp"
#include "kept_tapes.hpp"
#include "run.hpp"
#include "status.hpp"
#include "tape_places.hpp"
#include "transpose.hpp"

TEORELL_BEGIN

class Tape : public TapePlaces<PatientTape> {
  public:
    // kept: tapes that are elsewhere, of patients that are not to be solved again.
    Tape(const Layout& at, std::int64_t patients, std::int64_t ring_steps, int reductions,
         const KeptTapes* kept = nullptr)
        : TapePlaces(at, ring_steps),
          elsewhere_(kept),
          count_(patients),
          reductions_(reductions),
          patients_(new_patients(patients)) {
        const auto states = static_cast<std::size_t>(patients * ring_steps * at.n);
        // Pages that no step needs are never touched.
        ring_ = static_cast<double*>(std::malloc(states * sizeof(double)));
        full_ = ring_ == nullptr || patients_ == nullptr;
        for (std::int64_t i = 0; i < patients && !full_; ++i)
            patients_[i].ring = ring_ + i * ring_steps * at.n;
    }
    // The tapes that are kept, to record or to walk along; several threads may do so, each with
    // patients of its own. walkers: what those share that walk along them.
    Tape(const Layout& at, KeptTapes& kept, int reductions, Run* walkers = nullptr)
        : TapePlaces(at, all_steps),
          count_(kept.patients),
          reductions_(reductions),
          kept_(&kept),
          walkers_(walkers),
          patients_(kept.tapes) {}
    Tape(const Tape&) = delete;
    Tape& operator=(const Tape&) = delete;
    ~Tape() {
        if (kept_ != nullptr) return;
        for (std::int64_t i = 0; i < count_ && patients_ != nullptr; ++i) patients_[i].release();
        std::free(patients_);
        std::free(ring_);
    }

    // Is the patient's record here, or to be made here?
    bool holds(std::int64_t patient) const {
        if (kept_ != nullptr) return !kept_->tapes[patient].dropped;
        return elsewhere_ == nullptr || elsewhere_->tapes[patient].dropped;
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

    // More patients to walk along, with other threads; false where there are none.
    bool more(const Batch& b, std::int64_t count, std::int64_t& first, std::int64_t& end) const {
        if (walkers_ == nullptr || is_cancelled(*walkers_)) return false;
        first = __atomic_fetch_add(&kept_->next, count, __ATOMIC_RELAXED);
        if (first >= b.patients) return first = end = b.patients, false;
        end = first + count < b.patients ? first + count : b.patients;
        std::int64_t done = 0;
        for (std::int64_t i = first; i < end; ++i)
            done += holds(i) || b.status[i] != success ? 1 : 0;
        add_finished(*walkers_, done);
        return true;
    }

    // The step before one that is read is next: its state is fetched while that one is worked on,
    // which needs the nearest cache; so into the second.
    TEORELL_INLINE void fetch_before(const PatientTape& p, std::int64_t step) const {
        const double* next = state(p, step > 0 ? step - 1 : 0);
        for (int k = 0; k < at_.n; k += 8) __builtin_prefetch(next + k, 0, 2);
        __builtin_prefetch(p.steps.data + (step > 3 ? step - 3 : 0));
    }

    // --- recording; `lane(slot)` is a slot's value in the lane of the patient

    template <class Lane>
    void arrive(std::int64_t patient, std::int64_t sample, std::int32_t crossed, std::int32_t acted,
                Lane lane) {
        if (full_ || of(patient).dropped) return;
        PatientTape& p = of(patient);
        if (kept_ != nullptr && p.stretches.size == 0)
            for (int k = 0; k < reductions_; ++k) add(p.marks, Mark{-1, 0.0, 0.0, k});
        add(p.stretches,
            Stretch{lane(at_.scalar + s_tn), p.steps.size, 0, sample, sample, crossed, acted});
        double* values = extend(p.values, stretch_size());
        if (!charge(p)) return;
        for (int k = 0; k < at_.n; ++k) values[k] = lane(at_.yn + k);
    }

    template <class Lane>
    void leave(std::int64_t patient, std::int64_t sample, std::int64_t event, Lane lane) {
        if (full_ || of(patient).dropped) return;
        PatientTape& p = of(patient);
        end_events(p, sample, event, lane);
    }

    // A step from the state at tn, about to be taken; where the state goes (`states` puts it
    // there), or null.
    template <class Lane>
    double* step(std::int64_t patient, double h, std::int64_t sample, std::int64_t sample_before,
                 std::int64_t event, Lane lane) {
        if (full_ || of(patient).dropped) return nullptr;
        PatientTape& p = of(patient);
        if (p.steps.size - p.stretches.data[p.stretches.size - 1].first_step == ring_steps_) {
            arrive(patient, sample_before, -1, -1, lane);
            leave(patient, sample_before, event, lane);
        }
        const std::int64_t place = p.steps.size;
        if (kept_ != nullptr) {
            extend(p.states, at_.n);
            p.ring = p.states.data;
        }
        add(p.steps, StepRecord{lane(at_.scalar + s_tn), h, sample});
        if (!charge(p)) return nullptr;
        if (kept_ != nullptr) fetch_next(p);
        return state(p, place);
    }
    // yn: region yn of W lanes; to: where those that `step` has recorded go.
    template <int W>
    void states(const double* yn, double* const* to) const {
        distribute<W>(yn, to, at_.n);
    }
    // Into region yn of W lanes, a state for each.
    template <int W>
    TEORELL_INLINE void load(double* yn, const double* const* from) const {
        collect<W>(yn, from, at_.n);
    }

    // The patient's simulation is over. Of one that failed nothing is kept.
    void end(std::int64_t patient, bool succeeded) {
        if (kept_ == nullptr || of(patient).dropped) return;
        if (!succeeded) drop(of(patient));
    }

    // Of the step that is recorded next.
    void piece(std::int64_t patient, double start, double width) {
        if (full_ || of(patient).dropped) return;
        PatientTape& p = of(patient);
        add(p.pieces, Piece{p.steps.size, start, width});
        charge(p);
    }
    void extremum(std::int64_t patient, int reduction, double theta, double slope) {
        if (full_ || of(patient).dropped) return;
        PatientTape& p = of(patient);
        p.marks.data[reduction] = {p.steps.size, theta, slope, reduction};
    }
    void crossing(std::int64_t patient, int reduction, double theta, double factor) {
        if (full_ || of(patient).dropped) return;
        PatientTape& p = of(patient);
        add(p.marks, Mark{p.steps.size, theta, factor, reduction});
        charge(p);
    }

  private:
    static constexpr std::int64_t all_steps = std::int64_t{1} << 40;  // more than anybody takes

    const KeptTapes* elsewhere_ = nullptr;
    std::int64_t count_, first_ = 0;
    int reductions_;
    bool full_ = false;
    bool missing_ = false;    // memory for what was last recorded
    std::int64_t grown_ = 0;  // bytes that it took, until they are charged
    KeptTapes* kept_ = nullptr;
    Run* walkers_ = nullptr;
    PatientTape* patients_;
    double* ring_ = nullptr;

    template <class T>
    T* extend(Growing<T>& array, std::int64_t count) {
        const std::int64_t before = array.bytes();
        T* place = array.extend(count);
        grown_ += array.bytes() - before;
        missing_ = missing_ || place == nullptr;
        return place;
    }
    template <class T>
    void add(Growing<T>& to, const T& record) {
        T* place = extend(to, 1);
        if (place != nullptr) *place = record;
        if (kept_ == nullptr) full_ = full_ || missing_;
    }

    // False where there was no memory: all is of no use then, or of a tape to keep this patient's.
    bool charge(PatientTape& p) {
        if (kept_ == nullptr) {
            full_ = full_ || missing_;
            return !full_;
        }
        if (grown_ != 0) {
            p.charged += grown_;
            const std::int64_t left =
                __atomic_sub_fetch(&kept_->bytes_left, grown_, __ATOMIC_RELAXED);
            missing_ = missing_ || left < 0;
            grown_ = 0;
        }
        if (missing_) drop(p);
        return !p.dropped;
    }

    // Where the next step goes is fetched while it is taken: the tapes of all patients are larger
    // than a cache.
    void fetch_next(const PatientTape& p) const {
        if (p.states.size + at_.n > p.states.room) return;
        const double* next = p.states.data + p.states.size;
        for (int k = 0; k < at_.n; k += 8) __builtin_prefetch(next + k, 1);
        __builtin_prefetch(p.steps.data + p.steps.size, 1);
    }

    void drop(PatientTape& p) {
        __atomic_add_fetch(&kept_->bytes_left, p.charged, __ATOMIC_RELAXED);
        p.release();
        p.dropped = true;
        missing_ = false;
    }

    static PatientTape* new_patients(std::int64_t count) {
        return static_cast<PatientTape*>(
            std::calloc(static_cast<std::size_t>(count), sizeof(PatientTape)));
    }
};

TEORELL_END
