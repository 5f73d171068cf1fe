// What a thread records of the solve of its patient, in memory of fixed size: the Tape of the host
// for one patient, without memory that grows.
#pragma once

#include "teorell/tape_places.hpp"
#include "thread.cuh"

TEORELL_BEGIN

template <int apart>
struct BoundedEvery {
    template <class T>
    struct Array {
        Strided<T, apart> data;
        std::int64_t size = 0, room = 0;

        TEORELL_HD bool extend(std::int64_t count) {
            if (size + count > room) return false;
            size += count;
            return true;
        }
    };
    using Patient = PatientRecord<Array, Strided<double, apart>>;
};

// apart: as numbers lie in the memory and in the workspaces.
template <int apart>
class TapeEvery : public TapePlaces<typename BoundedEvery<apart>::Patient> {
    using Base = TapePlaces<typename BoundedEvery<apart>::Patient>;
    using Base::at_, Base::ring_steps_, Base::end_events;
    template <class T>
    using Bounded = typename BoundedEvery<apart>::template Array<T>;

  public:
    using Base::stretch_size, Base::state, Base::before;
    using typename Base::Patient, typename Base::Row;

    // record_slots of the memory are its own.
    TEORELL_HD TapeEvery(const Layout& at, const Room& room, MemoryEvery<apart>& memory,
                         std::int32_t reductions)
        : Base(at, room.states), reductions_(reductions) {
        place(patient_.steps, room.steps, memory);
        place(patient_.stretches, room.stretches, memory);
        place(patient_.marks, room.marks, memory);
        place(patient_.pieces, room.pieces, memory);
        place(patient_.values, room.stretches * stretch_size(), memory);
        patient_.ring = memory.template records<double>(room.states * at.n);
    }

    // For another patient.
    TEORELL_HD void begin() {
        Patient& p = patient_;
        p.steps.size = p.stretches.size = p.values.size = p.marks.size = p.pieces.size = 0;
        full_ = 0;
        for (int k = 0; k < reductions_; ++k) add(p.marks, Mark{-1, 0.0, 0.0, k});
    }
    // Was there too little room for the patient?
    TEORELL_HD bool full() const { return full_ != 0; }

    template <class Act>
    TEORELL_HD void each_kept(Act& act) {
        Patient& p = patient_;
        act(p.steps.size), act(p.stretches.size), act(p.values.size), act(p.marks.size);
        act(p.pieces.size), act(full_);
    }

    // --- as the Tape of the host

    TEORELL_HD bool holds(std::int64_t) const { return full_ == 0; }
    TEORELL_HD const Patient& of(std::int64_t) const { return patient_; }
    TEORELL_HD bool more(const Batch&, std::int64_t, std::int64_t&, std::int64_t&) const {
        return false;
    }
    TEORELL_HD void fetch_before(const Patient&, std::int64_t) const {}

    template <class Lane>
    TEORELL_HD void arrive(std::int64_t, std::int64_t sample, std::int32_t crossed,
                           std::int32_t acted, Lane lane) {
        Patient& p = patient_;
        const Stretch stretch{
            lane(at_.scalar + s_tn), p.steps.size, 0, sample, sample, crossed, acted};
        if (!add(p.stretches, stretch) || !room_for(p.values, stretch_size())) return;
        const Row y = before(p, p.stretches.size - 1);
        for (int k = 0; k < at_.n; ++k) y[k] = lane(at_.yn + k);
    }
    template <class Lane>
    TEORELL_HD void leave(std::int64_t, std::int64_t sample, std::int64_t event, Lane lane) {
        if (full_ == 0) end_events(patient_, sample, event, lane);
    }
    template <class Lane>
    TEORELL_HD Row step(std::int64_t i, double h, std::int64_t sample, std::int64_t sample_before,
                        std::int64_t event, Lane lane) {
        Patient& p = patient_;
        if (full_ != 0) return {};
        if (p.steps.size - p.stretches.data[p.stretches.size - 1].first_step == ring_steps_) {
            arrive(i, sample_before, -1, -1, lane);
            leave(i, sample_before, event, lane);
        }
        const std::int64_t place = p.steps.size;
        if (!add(p.steps, StepRecord{lane(at_.scalar + s_tn), h, sample})) return {};
        return state(p, place);
    }
    template <int W>
    TEORELL_HD void states(const double* yn, const Row* to) const {
        if (to[0].first == nullptr) return;
        for (int k = 0; k < at_.n; ++k) to[0][k] = yn[k * apart];
    }
    template <int W>
    TEORELL_HD void load(double* yn, const Row* from) const {
        for (int k = 0; k < at_.n; ++k) yn[k * apart] = from[0][k];
    }
    TEORELL_HD void end(std::int64_t, bool) {}
    TEORELL_HD void piece(std::int64_t, double start, double width) {
        add(patient_.pieces, Piece{patient_.steps.size, start, width});
    }
    TEORELL_HD void extremum(std::int64_t, int reduction, double theta, double slope) {
        if (full_ == 0)
            patient_.marks.data[reduction] = {patient_.steps.size, theta, slope, reduction};
    }
    TEORELL_HD void crossing(std::int64_t, int reduction, double theta, double factor) {
        add(patient_.marks, Mark{patient_.steps.size, theta, factor, reduction});
    }

  private:
    Patient patient_;
    std::int32_t reductions_;
    std::int32_t full_ = 0;

    template <class T>
    TEORELL_HD static void place(Bounded<T>& array, std::int64_t room, MemoryEvery<apart>& memory) {
        array.data = memory.template records<T>(room);
        array.room = room;
    }
    template <class T>
    TEORELL_HD bool room_for(Bounded<T>& array, std::int64_t count) {
        if (full_ == 0 && !array.extend(count)) full_ = 1;
        return full_ == 0;
    }
    template <class T>
    TEORELL_HD bool add(Bounded<T>& to, const T& record) {
        if (!room_for(to, 1)) return false;
        to.data[to.size - 1] = record;
        return true;
    }
};
using DeviceTape = TapeEvery<warp>;

TEORELL_END
