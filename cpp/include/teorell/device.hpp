// The plain views of a launch on a device, and how much memory each of its threads needs.
#pragma once

#include "batch.hpp"
#include "columns.hpp"
#include "program.hpp"

namespace teorell {

constexpr int warp = 32;  // threads whose slots lie side by side

// What all threads of a call share. Zero before its first launch, but for `patients`. A call is
// over when finished + unfit = patients, or when it was cancelled and a launch has seen that.
struct Counters {
    unsigned long long patients;  // of the call: all of them, or those of Launch::chosen
    unsigned long long next;      // the place of the first that nobody has taken
    unsigned long long finished;  // with a result
    unsigned long long unfit;     // whose record did not fit: see Room
    std::int32_t cancel;          // the host sets it
};

// For how much of one patient there is room while its derivatives are computed. Who takes more has
// its solution, but no derivatives: it is marked, and wants another call with more room.
struct Room {
    std::int64_t steps;      // accepted ones
    std::int64_t states;     // of the latest steps; older ones are computed again
    std::int64_t stretches;  // between events, passings of surfaces and the like
    std::int64_t marks;      // one for each reduction, and one for each crossing of a threshold
    std::int64_t pieces;     // of steps that reductions read; one a step where outputs are linear
};

// Of one launch, whatever the kernel. All its pointers are of the device.
struct Launch {
    // [threads / warp][slots][warp]: of each thread; what it keeps from launch to launch is in it.
    // Zero before the first launch of a call.
    double* memory;
    std::int64_t slots;  // of one thread
    Counters* counters;
    const std::int64_t* chosen;  // [counters->patients] who they are; null: all of the batch
    std::int64_t steps;          // of each thread, or patients of map and project; then it stops
    Room room;                   // of derivatives
    std::uint8_t* unfit;         // [patient] of derivatives: 1 where the record did not fit
};

// --- slots of one thread

constexpr std::int64_t kept_slots = 64;  // what its time loop keeps from launch to launch

TEORELL_HD inline std::int64_t node_slots(const Layout& at, std::int64_t reductions) {
    return reductions > 0 ? std::int64_t{7} * at.n_out : 0;
}

TEORELL_HD inline std::int64_t solve_slots(const Layout& at, std::int64_t reductions) {
    return kept_slots + std::int64_t{2} * at.slots + node_slots(at, reductions);
}

// Of the record of one patient: see tape_records.hpp.
TEORELL_HD inline std::int64_t record_slots(const Layout& at, const Room& room) {
    const std::int64_t stretch =
        std::int64_t{2} * at.n + at.n_rates + at.n_params + at.n_switches + 6;
    return 3 * room.steps + room.states * at.n + room.stretches * stretch + 4 * room.marks +
           3 * room.pieces;
}

TEORELL_HD inline std::int64_t gradient_slots(const Layout& at, std::int64_t reductions,
                                              const Room& room) {
    return solve_slots(at, reductions) + at.slots + record_slots(at, room);
}

TEORELL_HD inline std::int64_t tangent_slots(const Layout& at, std::int64_t reductions,
                                             std::int64_t directions, const Room& room) {
    return solve_slots(at, reductions) +
           directions * (std::int64_t{2} * (at.n + at.n_coef + at.n_params) + 1) +
           record_slots(at, room);
}

TEORELL_HD inline std::int64_t map_slots(const ColumnProgram& program) { return program.slots; }

}  // namespace teorell
