// A column program over all patients, a group of lanes at a time: its outputs, or the nearest
// points that satisfy the constraints that they are.
#pragma once

#include "columns.hpp"
#include "interpreter.hpp"
#include "projection.hpp"
#include "run.hpp"

TEORELL_BEGIN

// Patients of one block, column by column: many columns side by side would be too many streams of
// memory.
template <class V>
constexpr std::int64_t block_of = std::int64_t{16} * Pack<V>::width;

// Groups of patients whose inputs lie in the workspace: `with_group(first, place, count)`, the
// first patient of the group and its place in the block; then `with_block(first, count)`. columns:
// [input][block].
template <class V, class WithGroup, class WithBlock>
void by_groups(const ColumnProgram& p, const Columns& c, Run& run, double* ws, double* columns,
               WithGroup with_group, WithBlock with_block) {
    constexpr int W = Pack<V>::width;
    constexpr std::int64_t block = block_of<V>;
    for (std::int64_t i = 0; i < static_cast<std::int64_t>(p.slots) * W; ++i) ws[i] = 0.0;
    for (int k = 0; k < p.n_constants; ++k)
        for (int l = 0; l < W; ++l) ws[(p.constants + k) * W + l] = p.constant_values[k];
    for (std::int64_t i = 0; i < p.n_inputs * block; ++i) columns[i] = 0.0;
    for (;;) {
        const std::int64_t first = take(run, block);
        if (first >= c.patients || is_cancelled(run)) return;
        const std::int64_t count = c.patients - first < block ? c.patients - first : block;
        for (int k = 0; k < p.n_inputs; ++k) {
            const std::int64_t stride = c.strides[k];
            const double* from = c.inputs[k] + first * stride;
            double* to = columns + k * block;
            for (std::int64_t i = 0; i < count; ++i) to[i] = from[i * stride];
            for (std::int64_t i = count; i < block; ++i) to[i] = to[0];  // lanes without a patient
        }
        for (std::int64_t place = 0; place < count; place += W) {
            for (int k = 0; k < p.n_inputs; ++k)
                Pack<V>::store(ws + static_cast<std::int64_t>(p.inputs + k) * W,
                               Pack<V>::load(columns + k * block + place));
            with_group(first + place, place,
                       static_cast<int>(count - place < W ? count - place : W));
        }
        with_block(first, count);
        add_finished(run, count);
    }
}

template <class V>
void evaluate(const ColumnProgram& p, double* ws) {
    if (p.machine != nullptr)
        p.machine(ws);
    else
        interpret<V>(p.code, ws);
}

template <class V>
void map_columns(const ColumnProgram& p, const Columns& c, Run& run, double* ws) {
    constexpr int W = Pack<V>::width;
    constexpr std::int64_t block = block_of<V>;
    double *columns = ws + static_cast<std::int64_t>(p.slots) * W,
           *found = columns + p.n_inputs * block;
    by_groups<V>(
        p, c, run, ws, columns,
        [&](std::int64_t, std::int64_t place, int) {
            evaluate<V>(p, ws);
            for (int k = 0; k < p.n_outputs; ++k)
                Pack<V>::store(found + k * block + place,
                               Pack<V>::load(ws + static_cast<std::int64_t>(p.outputs + k) * W));
        },
        [&](std::int64_t first, std::int64_t count) {
            for (int k = 0; k < p.n_outputs; ++k)
                for (std::int64_t i = 0; i < count; ++i)
                    c.outputs[k * c.patients + first + i] = found[k * block + i];
        });
}

template <class V>
void project_columns(const ColumnProgram& p, const Columns& c, const Constraints& constraints,
                     const Projected& projected, Run& run, double* ws) {
    double *columns = ws + static_cast<std::int64_t>(p.slots) * Pack<V>::width,
           *memory = columns + p.n_inputs * block_of<V>;
    Projector<V> projector(constraints, projected, c.patients, memory);
    by_groups<V>(
        p, c, run, ws, columns,
        [&](std::int64_t first, std::int64_t, int count) {
            projector.run(first, count, ws, p.inputs, p.outputs,
                          [&](double* at) { evaluate<V>(p, at); });
        },
        [](std::int64_t, std::int64_t) {});
}

// Doubles of one thread; constraints are null for map_columns.
template <class V>
std::int64_t size_of(const ColumnProgram& p, const Constraints* constraints) {
    const std::int64_t common =
        static_cast<std::int64_t>(p.slots) * Pack<V>::width + p.n_inputs * block_of<V>;
    return common + (constraints ? Projector<V>::memory(*constraints) : p.n_outputs * block_of<V>);
}

TEORELL_END
