// One instruction-set build of the core; compiled once for each, with TEORELL_ISA and the compiler's -march set.
// Only headers of this project and freestanding C++ here: a standard-library template instantiated for one instruction
// set could be merged by the linker into code for another.
#include "kernel.hpp"
#include "teorell/integrate.hpp"
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
};

struct Compiled {
    MachineCode code;
    void step(double* ws) const { code.step(ws); }
    void rhs(double* ws) const { code.rhs(ws); }
    void outputs(double* ws) const { code.outputs(ws); }
    void stages(double* ws) const { code.stages(ws); }
    void reverse(double* ws) const { code.reverse(ws); }
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

template <class V, class Method, class Executor>
void integrate(const Programs& programs, const Batch& batch, Executor executor, Run& run, double* workspace) {
    PatientQueue queue{run};
    NoTape nothing;
    double* staging = workspace + static_cast<std::int64_t>(programs.at.slots) * Pack<V>::width;
    Group<V, Method, Executor, PatientQueue>(programs, batch, executor, queue, workspace, staging, nothing).run();
}

// A few patients at a time forward, recording, and back: enough for lanes to find work, few enough for the cache.
template <class V, class Method, class Executor>
void differentiate(const Programs& programs, const Batch& batch, const Gradient& gradient, Executor executor, Run& run,
                   double* workspace) {
    constexpr std::int64_t round = 4 * Pack<V>::width;
    const auto size = static_cast<std::int64_t>(programs.at.slots) * Pack<V>::width;
    const std::int64_t row = batch.n_times * programs.at.n_out;
    const std::int64_t strides[3] = {row, programs.at.n_out, 1};
    Batch part = batch;
    double* slopes = nullptr;
    if (gradient.cotangent == nullptr) {
        part.values = static_cast<double*>(std::malloc(static_cast<std::size_t>(2 * round * row) * sizeof(double)));
        if (part.values == nullptr) std::abort();
        slopes = part.values + round * row;
    }
    Tape tape(programs.at, round, gradient.recorded_steps);
    for (;;) {
        const std::int64_t first = __atomic_fetch_add(&run.next, round, __ATOMIC_RELAXED);
        if (first >= run.patients) break;
        const std::int64_t count = run.patients - first < round ? run.patients - first : round;
        ShortQueue queue{run, first, first + count};
        tape.begin(first);
        if (slopes != nullptr) part.values_first = first;
        Group<V, Method, Executor, ShortQueue, Tape>(programs, part, executor, queue, workspace, workspace + size, tape)
            .run();
        if (queue.cancelled()) {
            for (; queue.coming < queue.end; ++queue.coming) batch.status[queue.coming] = cancelled;
            continue;
        }
        if (slopes != nullptr && !gradient.loss(gradient.context, first, count, part.values, slopes)) {
            __atomic_store_n(&run.cancel, 1, __ATOMIC_RELAXED);
            continue;
        }
        Reverse<V, Method, Executor>(programs, part, gradient, executor, tape, workspace, workspace + size,
                                     workspace + 2 * size)
            .run(first, count, slopes != nullptr ? slopes : gradient.cotangent, slopes != nullptr ? first : 0,
                 slopes != nullptr ? strides : gradient.strides);
    }
    if (slopes != nullptr) std::free(part.values);
}

template <class V, class Method, class Executor>
void run_all(const Programs& programs, const Batch& batch, const Gradient* gradient, Executor executor, Run& run,
             double* workspace) {
    if (gradient == nullptr)
        integrate<V, Method>(programs, batch, executor, run, workspace);
    else
        differentiate<V, Method>(programs, batch, *gradient, executor, run, workspace);
}

template <class Method>
bool work_with(const Programs& programs, const Batch& batch, const Gradient* gradient, const MachineCode& code,
               Run& run, double* workspace) {
    if (code.step == nullptr) {
        using V = Lanes<interpreter_width>;
        run_all<V, Method>(programs, batch, gradient, Interpreted<V, Method>{programs}, run, workspace);
        return true;
    }
    if (code.width != register_width) return false;
    run_all<Lanes<register_width>, Method>(programs, batch, gradient, Compiled{code}, run, workspace);
    return true;
}

bool work(const Programs& programs, const Batch& batch, const Gradient* gradient, const char* method,
          const MachineCode& code, Run& run, double* workspace) {
    const StandardFloatingPoint guard;
    if (equal(method, Rodas5P::name)) return work_with<Rodas5P>(programs, batch, gradient, code, run, workspace);
    if (equal(method, Rodas4P2::name)) return work_with<Rodas4P2>(programs, batch, gradient, code, run, workspace);
    return false;
}

bool interpret_program(const std::int32_t* code, double* workspace, int width) {
    const StandardFloatingPoint guard;
    if (width == 1) return interpret<double>(code, workspace), true;
    if (width == register_width) return interpret<Lanes<register_width>>(code, workspace), true;
    if (width == interpreter_width) return interpret<Lanes<interpreter_width>>(code, workspace), true;
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
const Kernel kernel{TEORELL_NAME(TEORELL_ISA), register_width, interpreter_width, has_fma, work,
                    interpret_program,         one_step};

TEORELL_END
