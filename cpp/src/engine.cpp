#include "engine.hpp"

#include <stdexcept>
#include <thread>

#include "teorell/reductions.hpp"
#include "threads.hpp"

#if defined(__linux__)
#include <sched.h>
#endif

namespace teorell {

#if defined(__x86_64__)
inline namespace v2 {
extern const Kernel kernel;
}
inline namespace v3 {
extern const Kernel kernel;
}
inline namespace v4 {
extern const Kernel kernel;
}
#else
inline namespace baseline {
extern const Kernel kernel;
}
#endif

const std::vector<const Kernel*>& kernels() {
    static const std::vector<const Kernel*> list = [] {
        std::vector<const Kernel*> found;
#if defined(__x86_64__)
        __builtin_cpu_init();
        const bool level3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                            __builtin_cpu_supports("bmi2");
        const bool level4 =
            level3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
            __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
            __builtin_cpu_supports("avx512vl");
        if (level4) found.push_back(&v4::kernel);
        if (level3) found.push_back(&v3::kernel);
        found.push_back(&v2::kernel);
#else
        found.push_back(&baseline::kernel);
#endif
        return found;
    }();
    return list;
}

const Kernel& kernel_named(const std::string& name) {
    if (name.empty()) return *kernels().front();
    std::string known;
    for (const Kernel* k : kernels()) {
        if (name == k->name) return *k;
        known += std::string(known.empty() ? "" : ", ") + k->name;
    }
    throw std::invalid_argument("unknown instruction set '" + name +
                                "' (this processor and build offer " + known +
                                "). Choose one of these.");
}

int available_threads() {
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
#endif
    const unsigned n = std::thread::hardware_concurrency();
    return n > 0 ? static_cast<int>(n) : 1;
}

namespace {
// `work(run, workspace)` on threads; constraints are null for map.
template <class Work>
void over_columns(const Kernel& kernel, const ColumnProgram& program, const Columns& columns,
                  const Constraints* constraints, int threads, Work work,
                  const std::function<bool(std::int64_t)>& watch) {
    Run run;
    Caller caller;
    run.patients = columns.patients;
    const int width = program.machine ? program.width : kernel.interpreter_width;
    const auto size = static_cast<std::size_t>(kernel.column_memory(program, constraints));
    if (!on_threads(
            useful_threads(threads, columns.patients, 16 * width), size, run,
            [&](double* workspace) { return work(run, workspace); }, watch, caller))
        throw std::invalid_argument(
            "machine code of another width than this build's. Compile it for this build.");
    watch(run.finished);
}
}  // namespace

void solve(const Kernel& kernel, const Programs& programs, const Batch& batch,
           const Derivatives& derivatives, const std::string& method, const MachineCode& code,
           int threads, const std::function<bool(std::int64_t)>& watch, Caller& caller) {
    Run run;
    run.patients = batch.patients;
    const int width = code.step ? code.width : kernel.interpreter_width;
    const int nodes = batch.reductions.count > 0 ? (n_nodes + n_checks) * programs.at.n_out : 0;
    const std::size_t size =
        static_cast<std::size_t>((derivatives.gradient ? 3 : 2) * programs.at.slots + nodes) *
        static_cast<std::size_t>(width);
    const auto work = [&](double* workspace) {
        return kernel.work(programs, batch, derivatives, method.c_str(), code, run, workspace);
    };
    if (!on_threads(useful_threads(threads, batch.patients, width), size, run, work, watch, caller))
        throw std::invalid_argument(
            "unknown method '" + method +
            "' or machine code of another width. Choose a method that teorell lists.");
    watch(run.finished);
}

void map(const Kernel& kernel, const ColumnProgram& program, const Columns& columns, int threads,
         const std::function<bool(std::int64_t)>& watch) {
    const auto work = [&](Run& run, double* workspace) {
        return kernel.map(program, columns, run, workspace);
    };
    over_columns(kernel, program, columns, nullptr, threads, work, watch);
}

void project(const Kernel& kernel, const ColumnProgram& program, const Columns& columns,
             const Constraints& constraints, const Projected& projected, int threads,
             const std::function<bool(std::int64_t)>& watch) {
    const auto work = [&](Run& run, double* workspace) {
        return kernel.project(program, columns, constraints, projected, run, workspace);
    };
    over_columns(kernel, program, columns, &constraints, threads, work, watch);
}

}  // namespace teorell
