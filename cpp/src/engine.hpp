// The thread queue over the instruction-set builds.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "kernel.hpp"

namespace teorell {

// The builds that this processor can run, best first.
const std::vector<const Kernel*>& kernels();
const Kernel& kernel_named(
    const std::string& name);  // empty: the best; throws std::invalid_argument

// Processors this process may use.
int available_threads();

// The thread that has called, and what the threads of a run leave to it, one errand at a time.
class Caller {
  public:
    // Of a thread of the run: `errand` on the calling thread, and its answer.
    bool run(const std::function<bool()>& errand);
    // Of the calling thread: does errands, and calls `watch` every 50 ms, until it is `over`.
    void serve(const std::function<bool()>& over, const std::function<void()>& watch);
    // What `over` looks at is changed by this alone.
    template <class Change>
    void tell(Change change) {
        const std::lock_guard<std::mutex> lock(mutex_);
        change();
        changed_.notify_all();
    }

  private:
    std::thread::id thread_ = std::this_thread::get_id();
    std::mutex mutex_;
    std::condition_variable changed_;
    const std::function<bool()>* errand_ = nullptr;
    bool* answer_ = nullptr;  // where its answer goes
};

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
