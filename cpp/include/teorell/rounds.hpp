// Derivatives of all patients of a run, a round of a few patients at a time: they are solved and
// recorded, then Reverse or Forward walks along their tape. Enough patients for lanes to find work,
// few enough for the cache.
#pragma once

#include "forward.hpp"
#include "integrate.hpp"
#include "reverse.hpp"
#include "run.hpp"
#include "tape.hpp"

TEORELL_BEGIN

template <class V>
constexpr std::int64_t patients_a_round = 6 * Pack<V>::width;

// The patients of a round.
struct ShortQueue {
    Run& shared;
    const KeptTapes* kept;  // of patients that need not be solved again; or null
    const std::int32_t* status;
    std::int64_t coming, end;
    std::int64_t next() {
        if (kept != nullptr)
            while (coming < end && !(kept->tapes[coming].dropped && status[coming] == success))
                ++coming;
        return coming < end ? coming++ : -1;
    }
    bool cancelled() const { return is_cancelled(shared); }
    void finished() { add_finished(shared, 1); }
};

// Solves round after round; then `along(first, count)` walks the tape. own_values: part.values
// holds those of the round alone.
template <class V, class Method, class Executor, class Along>
void by_rounds(const Programs& programs, Batch& part, Tape& tape, Executor executor, Run& run,
               double* workspace, double* nodes, bool own_values, Along along,
               const KeptTapes* kept = nullptr) {
    constexpr std::int64_t round = patients_a_round<V>;
    double* staging = workspace + static_cast<std::int64_t>(programs.at.slots) * Pack<V>::width;
    ShortQueue queue{run, kept, part.status, 0, 0};
    Group<V, Method, Executor, ShortQueue, Tape> group(programs, part, executor, queue, workspace,
                                                       staging, nodes, tape);
    for (;;) {
        const std::int64_t first = take(run, round);
        if (first >= run.patients) return;
        const std::int64_t count = run.patients - first < round ? run.patients - first : round;
        queue.coming = first, queue.end = first + count;
        if (kept != nullptr) {
            const std::int64_t some = queue.next();
            if (some < 0) continue;
            queue.coming = some;
        }
        tape.begin(first);
        if (own_values) part.values_first = first;
        group.run();
        for (; queue.coming < queue.end; ++queue.coming) part.status[queue.coming] = cancelled;
        if (tape.full()) return give_up(run);
        if (!queue.cancelled()) along(first, count);
    }
}

// Of the values of a round.
inline std::int64_t most_rows(const Batch& batch, std::int64_t round) {
    if (batch.sample_offsets == nullptr) return round * batch.n_times;
    std::int64_t most = 0;
    for (std::int64_t first = 0; first < batch.patients; first += round) {
        const std::int64_t end = first + round < batch.patients ? first + round : batch.patients;
        const std::int64_t rows = batch.sample_offsets[end] - batch.sample_offsets[first];
        most = rows > most ? rows : most;
    }
    return most;
}

// Gradients. workspace: 3 * [slots][W], and nodes as for Group. kept: what a forward solve has
// recorded of the same batch, or null; batch.status is then that of this solve.
template <class V, class Method, class Executor>
void pull_back(const Programs& programs, const Batch& batch, const Gradient& gradient,
               Executor executor, Run& run, double* workspace, KeptTapes* kept) {
    const auto size = static_cast<std::int64_t>(programs.at.slots) * Pack<V>::width;
    const std::int64_t n_out = programs.at.n_out, strides[3] = {batch.n_times * n_out, n_out, 1};
    Batch part = batch;
    const bool by_loss = gradient.cotangent == nullptr;
    const std::int64_t values = by_loss ? most_rows(batch, patients_a_round<V>) * n_out : 0;
    const Doubles memory(2 * values);
    double* slopes = memory.data + values;
    if (by_loss) part.values = memory.data;
    if (kept != nullptr) {
        const Tape tape(programs.at, *kept, batch.reductions.count, &run);
        Reverse<V, Method, Executor, Tape>(programs, part, gradient, executor, tape, workspace,
                                           workspace + size, workspace + 2 * size)
            .run(gradient.cotangent, gradient.strides);
    }
    Tape tape(programs.at, patients_a_round<V>, gradient.recorded_steps, batch.reductions.count,
              kept);
    if (memory.data == nullptr || tape.full()) return give_up(run);
    Reverse<V, Method, Executor, Tape> reverse(programs, part, gradient, executor, tape, workspace,
                                               workspace + size, workspace + 2 * size);
    by_rounds<V, Method>(
        programs, part, tape, executor, run, workspace, workspace + 3 * size, by_loss,
        [&](std::int64_t first, std::int64_t count) {
            if (!by_loss)
                reverse.run(first, count, gradient.cotangent, 0, gradient.strides);
            else if (gradient.loss(gradient.context, first, count, part.values, slopes))
                reverse.run(first, count, slopes, first, strides);
            else
                cancel(run);
        },
        kept);
}

// Forward sensitivities. workspace: 2 * [slots][W], and nodes as for Group.
template <class V, class Method, class Executor>
void push_forward(const Programs& programs, const Batch& batch, const Tangents& tangents,
                  Executor executor, Run& run, double* workspace) {
    const auto size = static_cast<std::int64_t>(programs.at.slots) * Pack<V>::width;
    const Layout& at = programs.at;
    const std::int64_t dots =
        tangents.directions * (at.n + at.n_coef + at.n_params) * Pack<V>::width;
    const Doubles memory(2 * dots + tangents.directions);
    double* carried = memory.data;
    Tape tape(programs.at, patients_a_round<V>, 4096, batch.reductions.count);
    if (carried == nullptr || tape.full()) return give_up(run);
    for (std::int64_t i = 0; i < 2 * dots; ++i) carried[i] = 0.0;
    Batch part = batch;
    Forward<V, Method, Executor, Tape> forward(programs, part, tangents, executor, tape, workspace,
                                               workspace + size, carried, carried + dots,
                                               carried + 2 * dots);
    by_rounds<V, Method>(
        programs, part, tape, executor, run, workspace, workspace + 2 * size, false,
        [&](std::int64_t first, std::int64_t count) { forward.run(first, count); });
}

TEORELL_END
