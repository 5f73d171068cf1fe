// cpp/src/engine.hpp over the kernel source of cuda/ run on the host: linked with
// cpp/bindings/module.cpp it makes an extension with the interface of _core, so that the tests put
// whole models through the code that a GPU would run.
#include <algorithm>
#include <stdexcept>
#include <vector>

#include "../cpp/src/steady.hpp"
#include "kernel.cuh"

namespace teorell {

namespace {

bool not_here(const Programs&, const Batch&, const Derivatives&, const char*, const MachineCode&,
              Run&, double*) {
    return false;
}
bool no_program(const std::int32_t*, double*, int) { return false; }
bool no_step(const Programs&, const char*, double*, int) { return false; }
bool no_map(const ColumnProgram&, const Columns&, Run&, double*) { return false; }
bool no_projection(const ColumnProgram&, const Columns&, const Constraints&, const Projected&, Run&,
                   double*) {
    return false;
}
std::int64_t no_memory(const ColumnProgram&, const Constraints*) { return 0; }

const Kernel shim{"cuda-shim",   1,         1,          has_fma, not_here, no_map,
                  no_projection, no_memory, no_program, no_step};

}  // namespace

const std::vector<const Kernel*>& kernels() {
    static const std::vector<const Kernel*> list{&shim};
    return list;
}

const Kernel& kernel_named(const std::string&) { return shim; }

int available_threads() { return 1; }

void solve(const Kernel&, const Programs& programs, const Batch& batch,
           const Derivatives& derivatives, const std::string& method, const MachineCode& code, int,
           const std::function<bool(std::int64_t)>& watch, Caller&) {
    if (method != Rodas5P::name || code.step != nullptr || derivatives.gradient ||
        derivatives.tangents)
        throw std::invalid_argument("the shim interprets rodas5p alone, without derivatives");
    // The first thread finds all patients in the queue, the others none.
    constexpr unsigned blocks = 3, threads = 4;
    std::vector<double> workspaces(blocks * threads *
                                   static_cast<std::size_t>(workspace_size(programs.at)));
    Counters counters{static_cast<unsigned long long>(batch.patients), 0, 0, 0};
    launch(solve_patients<Rodas5P>, blocks, threads, programs, batch, workspaces.data(), &counters);
    watch(static_cast<std::int64_t>(counters.finished));
}

void find_attractors(const Kernel&, const IntervalFlows&, const Search&, const std::string&, int,
                     const std::function<bool(std::int64_t)>&, Caller&) {
    throw std::invalid_argument("the shim solves alone");
}

void map(const Kernel&, const ColumnProgram&, const Columns&, int,
         const std::function<bool(std::int64_t)>&) {
    throw std::invalid_argument("the shim solves alone");
}

void project(const Kernel&, const ColumnProgram&, const Columns&, const Constraints&,
             const Projected&, int, const std::function<bool(std::int64_t)>&) {
    throw std::invalid_argument("the shim solves alone");
}

}  // namespace teorell
