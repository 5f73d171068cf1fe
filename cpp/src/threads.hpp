// Work on some threads, which take what there is to do from a Run.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include "caller.hpp"
#include "teorell/run.hpp"

namespace teorell {

// `work(workspace)` on each of some threads, with a workspace of its own of `size` doubles; false
// from any of them is false. `watch` as for `solve` (engine.hpp). Throws std::bad_alloc where one
// had no memory left.
bool on_threads(int threads, std::size_t size, Run& run, const std::function<bool(double*)>& work,
                const std::function<bool(std::int64_t)>& watch, Caller& caller);

// No more than there are groups of `width` patients.
int useful_threads(int threads, std::int64_t patients, int width);

}  // namespace teorell
