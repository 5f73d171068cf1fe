// One instruction-set build of the core; compiled once for each, with TEORELL_ISA and the
// compiler's -march set. Only headers of this project and freestanding C++ here: a standard-library
// template instantiated for one instruction set could be merged by the linker into code for
// another.
#include <cstdlib>

#include "kernel.hpp"
#include "teorell/forward.hpp"
#include "teorell/reverse.hpp"

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

TEORELL_BEGIN
namespace {

// A few patients, to be solved and then reversed.
struct ShortQueue {
    Run& shared;
    std::int64_t coming, end;
    std::int64_t next() { return coming < end ? coming++ : -1; }
    bool cancelled() const { return __atomic_load_n(&shared.cancel, __ATOMIC_RELAXED) != 0; }
    void finished() { __atomic_fetch_add(&shared.finished, 1, __ATOMIC_RELAXED); }
};

struct PatientQueue {
    Run& shared;
    std::int64_t next() {
        const std::int64_t i = __atomic_fetch_add(&shared.next, 1, __ATOMIC_RELAXED);
        return i < shared.patients ? i : -1;
    }
    bool cancelled() const { return __atomic_load_n(&shared.cancel, __ATOMIC_RELAXED) != 0; }
    void finished() { __atomic_fetch_add(&shared.finished, 1, __ATOMIC_RELAXED); }
};

template <class V, class Method>
struct Interpreted {
    const Programs& programs;
    void step(double* ws) const { Step<V, Method>{programs, ws}(); }
    void rhs(double* ws) const { interpret<V>(programs.rhs, ws); }
    void outputs(double* ws) const { interpret<V>(programs.outputs, ws); }
    void stages(double* ws) const { Step<V, Method>{programs, ws}.stages(); }
    void reverse(double* ws) const { ReverseStep<V, Method>{programs, ws}(); }
    void outputs_vjp(double* ws) const { interpret<V>(programs.outputs_vjp, ws); }
    void tangent(double* ws) const { TangentStep<V, Method>{programs, ws}(); }
};

struct Compiled {
    MachineCode code;
    void step(double* ws) const { code.step(ws); }
    void rhs(double* ws) const { code.rhs(ws); }
    void outputs(double* ws) const { code.outputs(ws); }
    void stages(double* ws) const { code.stages(ws); }
    void reverse(double* ws) const { code.reverse(ws); }
    void outputs_vjp(double* ws) const { code.outputs_vjp(ws); }
    void tangent(double* ws) const { code.tangent(ws); }
};

// Other libraries turn on flush-to-zero for a thread; results must not depend on that.
struct StandardFloatingPoint {
#if defined(__SSE2__)
    unsigned saved = _mm_getcsr();
    StandardFloatingPoint() { _mm_setcsr(0x1f80); }
    ~StandardFloatingPoint() { _mm_setcsr(saved); }
#else
    StandardFloatingPoint() {}
#endif
};

bool equal(const char* a, const char* b) {
    while (*a && *a == *b) ++a, ++b;
    return *a == *b;
}

constexpr int interpreter_width = 2 * register_width;

template <class V>
constexpr std::int64_t patients_a_round = 6 * Pack<V>::width;

template <class V, class Method, class Executor>
void integrate(const Programs& programs, const Batch& batch, Executor executor, Run& run,
               double* workspace) {
    PatientQueue queue{run};
    NoTape nothing;
    const std::int64_t size = std::int64_t{programs.at.slots} * Pack<V>::width;
    Group<V, Method, Executor, PatientQueue>(programs, batch, executor, queue, workspace,
                                             workspace + size, workspace + 2 * size, nothing)
        .run();
}

double* allocate(std::int64_t count) {
    auto* p = static_cast<double*>(
        std::aligned_alloc(64, static_cast<std::size_t>((count + 7) / 8 * 64)));
    if (p == nullptr) std::abort();
    return p;
}

// A few patients at a time are solved and recorded (own_values: part.values holds theirs alone),
// then `along` walks their tape: enough for lanes to find work, few enough for the cache.
template <class V, class Method, class Executor, class Along>
void by_rounds(const Programs& programs, Batch& part, Tape& tape, Executor executor, Run& run,
               double* workspace, double* nodes, bool own_values, Along along) {
    constexpr std::int64_t round = patients_a_round<V>;
    double* staging = workspace + static_cast<std::int64_t>(programs.at.slots) * Pack<V>::width;
    ShortQueue queue{run, 0, 0};
    Group<V, Method, Executor, ShortQueue, Tape> group(programs, part, executor, queue, workspace,
                                                       staging, nodes, tape);
    for (;;) {
        const std::int64_t first = __atomic_fetch_add(&run.next, round, __ATOMIC_RELAXED);
        if (first >= run.patients) return;
        const std::int64_t count = run.patients - first < round ? run.patients - first : round;
        queue.coming = first, queue.end = first + count;
        tape.begin(first);
        if (own_values) part.values_first = first;
        group.run();
        for (; queue.coming < queue.end; ++queue.coming) part.status[queue.coming] = cancelled;
        if (!queue.cancelled()) along(first, count);
    }
}

// Of the values of a round.
std::int64_t most_rows(const Batch& batch, std::int64_t round) {
    if (batch.sample_offsets == nullptr) return round * batch.n_times;
    std::int64_t most = 0;
    for (std::int64_t first = 0; first < batch.patients; first += round) {
        const std::int64_t end = first + round < batch.patients ? first + round : batch.patients;
        const std::int64_t rows = batch.sample_offsets[end] - batch.sample_offsets[first];
        most = rows > most ? rows : most;
    }
    return most;
}

template <class V, class Method, class Executor>
void pull_back(const Programs& programs, const Batch& batch, const Gradient& gradient,
               Executor executor, Run& run, double* workspace) {
    const auto size = static_cast<std::int64_t>(programs.at.slots) * Pack<V>::width;
    const std::int64_t n_out = programs.at.n_out, strides[3] = {batch.n_times * n_out, n_out, 1};
    Batch part = batch;
    double *values = nullptr, *slopes = nullptr;
    if (gradient.cotangent == nullptr) {
        const std::int64_t size_of_values = most_rows(batch, patients_a_round<V>) * n_out;
        part.values = values = allocate(2 * size_of_values + 1);
        slopes = values + size_of_values;
    }
    Tape tape(programs.at, patients_a_round<V>, gradient.recorded_steps, batch.reductions.count);
    Reverse<V, Method, Executor> reverse(programs, part, gradient, executor, tape, workspace,
                                         workspace + size, workspace + 2 * size);
    by_rounds<V, Method>(programs, part, tape, executor, run, workspace, workspace + 3 * size,
                         values != nullptr, [&](std::int64_t first, std::int64_t count) {
                             if (values == nullptr)
                                 reverse.run(first, count, gradient.cotangent, 0, gradient.strides);
                             else if (gradient.loss(gradient.context, first, count, values, slopes))
                                 reverse.run(first, count, slopes, first, strides);
                             else
                                 __atomic_store_n(&run.cancel, 1, __ATOMIC_RELAXED);
                         });
    std::free(values);
}

template <class V, class Method, class Executor>
void push_forward(const Programs& programs, const Batch& batch, const Tangents& tangents,
                  Executor executor, Run& run, double* workspace) {
    const auto size = static_cast<std::int64_t>(programs.at.slots) * Pack<V>::width;
    const Layout& at = programs.at;
    const std::int64_t dots =
        tangents.directions * (at.n + at.n_coef + at.n_params) * Pack<V>::width;
    double* carried = allocate(2 * dots);
    for (std::int64_t i = 0; i < 2 * dots; ++i) carried[i] = 0.0;
    Batch part = batch;
    Tape tape(programs.at, patients_a_round<V>, 4096, batch.reductions.count);
    Forward<V, Method, Executor> forward(programs, part, tangents, executor, tape, workspace,
                                         workspace + size, carried, carried + dots);
    by_rounds<V, Method>(
        programs, part, tape, executor, run, workspace, workspace + 2 * size, false,
        [&](std::int64_t first, std::int64_t count) { forward.run(first, count); });
    std::free(carried);
}

template <class V, class Method, class Executor>
void run_all(const Programs& programs, const Batch& batch, const Derivatives& derivatives,
             Executor executor, Run& run, double* workspace) {
    if (derivatives.gradient != nullptr)
        pull_back<V, Method>(programs, batch, *derivatives.gradient, executor, run, workspace);
    else if (derivatives.tangents != nullptr)
        push_forward<V, Method>(programs, batch, *derivatives.tangents, executor, run, workspace);
    else
        integrate<V, Method>(programs, batch, executor, run, workspace);
}

template <class Method>
bool work_with(const Programs& programs, const Batch& batch, const Derivatives& derivatives,
               const MachineCode& code, Run& run, double* workspace) {
    if (code.step == nullptr) {
        using V = Lanes<interpreter_width>;
        run_all<V, Method>(programs, batch, derivatives, Interpreted<V, Method>{programs}, run,
                           workspace);
        return true;
    }
    if (code.width != register_width) return false;
    run_all<Lanes<register_width>, Method>(programs, batch, derivatives, Compiled{code}, run,
                                           workspace);
    return true;
}

bool work(const Programs& programs, const Batch& batch, const Derivatives& derivatives,
          const char* method, const MachineCode& code, Run& run, double* workspace) {
    const StandardFloatingPoint guard;
    if (equal(method, Rodas5P::name))
        return work_with<Rodas5P>(programs, batch, derivatives, code, run, workspace);
    if (equal(method, Rodas4P2::name))
        return work_with<Rodas4P2>(programs, batch, derivatives, code, run, workspace);
    return false;
}

// Patients of one block, column by column: many columns side by side would be too many streams of
// memory.
template <class V>
constexpr std::int64_t block_of = std::int64_t{16} * Pack<V>::width;

// Groups of patients whose inputs lie in the workspace: `with_group(first, place, count)`, the
// first patient of the group and its place in the block; then `with_block(first, count)`. columns:
// [input][block].
template <class V, class Group, class Block>
void by_groups(const ColumnProgram& p, const Columns& c, Run& run, double* ws, double* columns,
               Group with_group, Block with_block) {
    constexpr int W = Pack<V>::width;
    constexpr std::int64_t block = block_of<V>;
    for (std::int64_t i = 0; i < static_cast<std::int64_t>(p.slots) * W; ++i) ws[i] = 0.0;
    for (int k = 0; k < p.n_constants; ++k)
        for (int l = 0; l < W; ++l) ws[(p.constants + k) * W + l] = p.constant_values[k];
    for (std::int64_t i = 0; i < p.n_inputs * block; ++i) columns[i] = 0.0;
    for (;;) {
        const std::int64_t first = __atomic_fetch_add(&run.next, block, __ATOMIC_RELAXED);
        if (first >= c.patients || __atomic_load_n(&run.cancel, __ATOMIC_RELAXED) != 0) return;
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
        __atomic_fetch_add(&run.finished, count, __ATOMIC_RELAXED);
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

// Doubles of one thread.
template <class V>
std::int64_t size_of(const ColumnProgram& p, const Constraints* constraints) {
    const std::int64_t common =
        static_cast<std::int64_t>(p.slots) * Pack<V>::width + p.n_inputs * block_of<V>;
    return common + (constraints ? Projector<V>::memory(*constraints) : p.n_outputs * block_of<V>);
}

std::int64_t column_memory(const ColumnProgram& program, const Constraints* constraints) {
    return program.machine == nullptr ? size_of<Lanes<interpreter_width>>(program, constraints)
                                      : size_of<Lanes<register_width>>(program, constraints);
}

bool project_program(const ColumnProgram& program, const Columns& columns,
                     const Constraints& constraints, const Projected& projected, Run& run,
                     double* workspace) {
    const StandardFloatingPoint guard;
    if (program.machine != nullptr && program.width != register_width) return false;
    if (program.machine == nullptr)
        project_columns<Lanes<interpreter_width>>(program, columns, constraints, projected, run,
                                                  workspace);
    else
        project_columns<Lanes<register_width>>(program, columns, constraints, projected, run,
                                               workspace);
    return true;
}

bool map_program(const ColumnProgram& program, const Columns& columns, Run& run,
                 double* workspace) {
    const StandardFloatingPoint guard;
    if (program.machine == nullptr)
        return map_columns<Lanes<interpreter_width>>(program, columns, run, workspace), true;
    if (program.width != register_width) return false;
    return map_columns<Lanes<register_width>>(program, columns, run, workspace), true;
}

bool interpret_program(const std::int32_t* code, double* workspace, int width) {
    const StandardFloatingPoint guard;
    if (width == 1) return interpret<double>(code, workspace), true;
    if (width == register_width) return interpret<Lanes<register_width>>(code, workspace), true;
    if (width == interpreter_width)
        return interpret<Lanes<interpreter_width>>(code, workspace), true;
    return false;
}

bool one_step(const Programs& programs, const char* method, double* workspace, int width) {
    const StandardFloatingPoint guard;
    using V = Lanes<register_width>;
    if (width != register_width) return false;
    if (equal(method, Rodas5P::name)) return Step<V, Rodas5P>{programs, workspace}(), true;
    if (equal(method, Rodas4P2::name)) return Step<V, Rodas4P2>{programs, workspace}(), true;
    return false;
}

}  // namespace

#define TEORELL_TEXT(name) #name
#define TEORELL_NAME(name) TEORELL_TEXT(name)

extern const Kernel kernel;
const Kernel kernel{
    TEORELL_NAME(TEORELL_ISA), register_width, interpreter_width, has_fma, work, map_program,
    project_program,           column_memory,  interpret_program, one_step};

TEORELL_END
