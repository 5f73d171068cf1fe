// Derivatives, one patient a thread: the patient is solved and recorded, then a walk goes along the
// record, back with cotangents or forward with tangents.
#pragma once

#include "record.cuh"
#include "teorell/forward.hpp"
#include "teorell/integrate.hpp"
#include "teorell/reverse.hpp"

TEORELL_BEGIN

// The queue of the solve of one patient.
struct OnePatient {
    const DeviceQueue& all;
    std::int64_t patient = -1;
    TEORELL_HD std::int64_t next() {
        const std::int64_t i = patient;
        patient = -1;
        return i;
    }
    TEORELL_HD bool cancelled() const { return all.cancelled(); }
    TEORELL_HD void finished() const {}
};

template <class Executor>
using RecordingGroup = Group<typename Executor::V, typename Executor::Method, Executor, OnePatient,
                             TapeEvery<Pack<typename Executor::V>::stride>>;

// Patient after patient, for the steps of a launch; `kept` stands after `phase`. Walk: start(first,
// count), walk(left), each_kept, of_failures.
template <int apart, class Solve, class Walk>
TEORELL_HD void walk_patients(const Launch& launch, const Batch& batch, KeptEvery<apart>& kept,
                              std::int64_t phase, TapeEvery<apart>& tape, OnePatient& queue,
                              Solve& solve, Walk& walk) {
    const DeviceQueue& all = queue.all;
    std::int64_t patient = -1, left = launch.steps;
    const auto each_kept = [&] {
        kept(patient);
        if (phase == solving || phase == walking) tape.each_kept(kept);
        if (phase == solving) solve.each_kept(kept);
        if (phase == walking) walk.each_kept(kept);
    };
    each_kept();
    while (phase != over) {
        if (phase == waiting) {
            patient = all.cancelled() ? -1 : all.next();
            phase = patient < 0 ? over : solving;
            queue.patient = patient;
            tape.begin();
        }
        if (phase == solving) {
            if (!solve.run(left)) break;
            if (all.cancelled()) {
                phase = over;
                break;
            }
            const bool wanted = Walk::of_failures || batch.status[patient] == success;
            phase = wanted && !tape.full() ? walking : waiting;
            if (!wanted) {
                all.finished();
            } else if (tape.full()) {
                launch.unfit[patient] = 1;
                fetch_add(&launch.counters->unfit, 1ull);
            }
            if (phase == walking) walk.start(patient, 1);
        }
        if (phase == walking) {
            if (all.cancelled()) phase = over;
            if (phase == over || !walk.walk(left)) break;
            all.finished();
            phase = waiting;
        }
    }
    kept.next = 0, kept.read = false;
    kept(phase);
    each_kept();
}

TEORELL_END
