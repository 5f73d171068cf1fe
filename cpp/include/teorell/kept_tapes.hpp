// The tapes of all patients, kept with all their states until a gradient is asked for, as long as
// they fit a budget; who does not fit is solved again.
#pragma once

#include <cstdlib>
#include <cstring>

#include "memory.hpp"
#include "tape_records.hpp"

TEORELL_BEGIN

struct PatientTape : PatientRecord<Growing, double*> {
    Growing<double> states;    // of a tape that is kept: the memory of its ring, of all steps
    std::int64_t charged = 0;  // bytes of it that the budget has given
    bool dropped = false;      // of a tape to keep: it is not here

    template <class Do>
    void each_array(Do act) {
        act(steps), act(pieces), act(marks), act(stretches), act(values), act(states);
    }
    void release() {
        each_array([](auto& array) { array.release(); });
        charged = 0;
    }
};

// The tapes of all patients of a call, and how much memory they may still take.
struct KeptTapes {
    std::int64_t patients, bytes_left, next;  // next: the first patient not yet reversed
    PatientTape* tapes;                       // [room]
    std::int64_t room;
};

inline void* new_kept() { return std::calloc(1, sizeof(KeptTapes)); }

inline void free_kept(void* given) {
    auto* kept = static_cast<KeptTapes*>(given);
    for (std::int64_t i = 0; i < kept->room; ++i) kept->tapes[i].release();
    std::free(kept->tapes);
    std::free(kept);
}

// For another call, which takes the memory over that is there: pages that are new to a process cost
// as much as a solve. False where there is no memory.
inline bool prepare_kept(void* given, std::int64_t patients, std::int64_t bytes) {
    auto* kept = static_cast<KeptTapes*>(given);
    if (patients > kept->room) {
        const auto size = static_cast<std::size_t>(patients) * sizeof(PatientTape);
        auto* larger = static_cast<PatientTape*>(std::realloc(kept->tapes, size));
        if (larger == nullptr) return false;
        std::memset(static_cast<void*>(larger + kept->room), 0,
                    static_cast<std::size_t>(patients - kept->room) * sizeof(PatientTape));
        kept->tapes = larger;
        kept->room = patients;
    }
    kept->patients = patients;
    kept->bytes_left = bytes;
    for (std::int64_t i = 0; i < kept->room; ++i) {
        PatientTape& p = kept->tapes[i];
        p.each_array([](auto& array) { array.size = 0; });
        p.dropped = false;
        if (p.charged > kept->bytes_left) p.release();
        kept->bytes_left -= p.charged;
    }
    return true;
}

// From the first patient on they are to be reversed; how many have their tape here.
inline std::int64_t rewind_kept(void* given) {
    auto* kept = static_cast<KeptTapes*>(given);
    std::int64_t there = 0;
    for (std::int64_t i = 0; i < kept->patients; ++i) there += kept->tapes[i].dropped ? 0 : 1;
    kept->next = 0;
    return there;
}

TEORELL_END
