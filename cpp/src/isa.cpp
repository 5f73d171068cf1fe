// One instruction-set build of the core; compiled once for each, with TEORELL_ISA and the
// compiler's -march set. Only headers of this project and freestanding C++ here: a standard-library
// template instantiated for one instruction set could be merged by the linker into code for
// another.
#include "kernel.hpp"
#include "teorell/column_groups.hpp"
#include "teorell/integrate.hpp"
#include "teorell/rounds.hpp"

#include <cstddef>
#include <type_traits>

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

TEORELL_BEGIN
namespace {

struct PatientQueue {
    Run& shared;
    std::int64_t next() {
        const std::int64_t i = take(shared, 1);
        return i < shared.patients ? i : -1;
    }
    bool cancelled() const { return is_cancelled(shared); }
    void finished() { add_finished(shared, 1); }
};

template <class V, class Method>
struct Interpreted {
    const Programs& programs;
    void step(double* ws) const { Step<V, Method>{{programs, ws}}(); }
    void rhs(double* ws) const { interpret<V>(programs.rhs, ws); }
    void outputs(double* ws) const { interpret<V>(programs.outputs, ws); }
    void stages(double* ws) const { Step<V, Method>{{programs, ws}}.stages(); }
    void reverse(double* ws) const { ReverseStep<V, Method>{{programs, ws}}(); }
    void outputs_vjp(double* ws) const { interpret<V>(programs.outputs_vjp, ws); }
    void tangent(double* ws) const { TangentStep<V, Method>{{programs, ws}}(); }
};

// Machine code addresses slots from region scalar on.
struct Compiled {
    MachineCode code;
    std::ptrdiff_t origin;  // doubles before that region
    void step(double* ws) const { code.step(ws + origin); }
    void rhs(double* ws) const { code.rhs(ws + origin); }
    void outputs(double* ws) const { code.outputs(ws + origin); }
    void stages(double* ws) const { code.stages(ws + origin); }
    void reverse(double* ws) const { code.reverse(ws + origin); }
    void outputs_vjp(double* ws) const { code.outputs_vjp(ws + origin); }
    void tangent(double* ws) const { code.tangent(ws + origin); }
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

constexpr int interpreter_width = 2 * register_width;

template <class V, class Method, class Executor>
void integrate(const Programs& programs, const Batch& batch, Executor executor, Run& run,
               double* workspace, KeptTapes* kept) {
    const std::int64_t size = std::int64_t{programs.at.slots} * Pack<V>::width;
    PatientQueue queue{run};
    const auto solve = [&](auto record) {
        using Record = std::remove_pointer_t<decltype(record)>;
        Group<V, Method, Executor, PatientQueue, Record>(programs, batch, executor, queue,
                                                         workspace, workspace + size,
                                                         workspace + 2 * size, *record)
            .run();
    };
    NoTape nothing;
    if (kept == nullptr) return solve(&nothing);
    Tape tape(programs.at, *kept, batch.reductions.count);
    solve(&tape);
}

template <class V, class Method, class Executor>
void run_all(const Programs& programs, const Batch& batch, const Derivatives& derivatives,
             Executor executor, Run& run, double* workspace) {
    auto* kept = static_cast<KeptTapes*>(derivatives.kept);
    if (derivatives.gradient != nullptr)
        pull_back<V, Method>(programs, batch, *derivatives.gradient, executor, run, workspace,
                             kept);
    else if (derivatives.tangents != nullptr)
        push_forward<V, Method>(programs, batch, *derivatives.tangents, executor, run, workspace);
    else
        integrate<V, Method>(programs, batch, executor, run, workspace, kept);
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
    const Compiled compiled{code, std::ptrdiff_t{programs.at.scalar} * register_width};
    run_all<Lanes<register_width>, Method>(programs, batch, derivatives, compiled, run, workspace);
    return true;
}

bool work(const Programs& programs, const Batch& batch, const Derivatives& derivatives,
          const char* method, const MachineCode& code, Run& run, double* workspace) {
    const StandardFloatingPoint guard;
    return Methods::for_method(method, [&](auto chosen) {
        using Method = decltype(chosen);
        return work_with<Method>(programs, batch, derivatives, code, run, workspace);
    });
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
    if (width != register_width) return false;
    return Methods::for_method(method, [&](auto chosen) {
        Step<Lanes<register_width>, decltype(chosen)>{{programs, workspace}}();
        return true;
    });
}

}  // namespace

#define TEORELL_TEXT(name) #name
#define TEORELL_NAME(name) TEORELL_TEXT(name)

extern const Kernel kernel;
const Kernel kernel{TEORELL_NAME(TEORELL_ISA),
                    register_width,
                    interpreter_width,
                    has_fma,
                    work,
                    map_program,
                    project_program,
                    column_memory,
                    interpret_program,
                    one_step,
                    new_kept,
                    free_kept,
                    prepare_kept,
                    rewind_kept};

TEORELL_END
