// What the threads of one call share: how many patients are taken and finished, and whether to go
// on.
#pragma once

#include "host_device.hpp"

namespace teorell {

// Plain numbers, which all instruction-set builds can share; read and changed by the functions
// below alone.
struct Run {
    std::int64_t patients = 0;
    std::int64_t next = 0;      // first patient not yet taken
    std::int64_t finished = 0;  // patients with a result
    int cancel = 0;
    int out_of_memory = 0;  // a thread had to give up
};

}  // namespace teorell

TEORELL_BEGIN

// The first of `count` patients that nobody else takes; from `patients` on there are none.
TEORELL_INLINE std::int64_t take(Run& run, std::int64_t count) {
    return __atomic_fetch_add(&run.next, count, __ATOMIC_RELAXED);
}
TEORELL_INLINE void add_finished(Run& run, std::int64_t count) {
    __atomic_fetch_add(&run.finished, count, __ATOMIC_RELAXED);
}
TEORELL_INLINE std::int64_t count_finished(const Run& run) {
    return __atomic_load_n(&run.finished, __ATOMIC_RELAXED);
}
TEORELL_INLINE void cancel(Run& run) { __atomic_store_n(&run.cancel, 1, __ATOMIC_RELAXED); }
TEORELL_INLINE bool is_cancelled(const Run& run) {
    return __atomic_load_n(&run.cancel, __ATOMIC_RELAXED) != 0;
}

TEORELL_INLINE void give_up(Run& run) {
    __atomic_store_n(&run.out_of_memory, 1, __ATOMIC_RELAXED);
    cancel(run);
}

TEORELL_END
