// The thread queue over the instruction-set builds.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "caller.hpp"
#include "kernel.hpp"

namespace teorell {

// The builds that this processor can run, best first.
const std::vector<const Kernel*>& kernels();
const Kernel& kernel_named(
    const std::string& name);  // empty: the best; throws std::invalid_argument

// Processors this process may use.
int available_threads();

// Runs the batch on `threads` threads; `watch(finished)` is called from the calling thread every 50
// ms and returns false to cancel. Throws std::invalid_argument for an unknown method or a machine
// code width that is not the kernel's.
void solve(const Kernel& kernel, const Programs& programs, const Batch& batch,
           const Derivatives& derivatives, const std::string& method, const MachineCode& code,
           int threads, const std::function<bool(std::int64_t)>& watch, Caller& caller);

// The program for all patients, on `threads` threads; `watch` as above. Throws
// std::invalid_argument for a width that is not the kernel's.
void map(const Kernel& kernel, const ColumnProgram& program, const Columns& columns, int threads,
         const std::function<bool(std::int64_t)>& watch);

// The nearest points that satisfy constraints, which are the outputs of the program; as above.
void project(const Kernel& kernel, const ColumnProgram& program, const Columns& columns,
             const Constraints& constraints, const Projected& projected, int threads,
             const std::function<bool(std::int64_t)>& watch);

}  // namespace teorell
