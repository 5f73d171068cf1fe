// What the calling thread does while others work.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <exception>
#include <new>
#include <stdexcept>
#include <utility>

namespace teorell::bindings {

namespace py = pybind11;

// Calls Python with numbers and arrays, which always become its objects unless there is no memory:
// pybind11 says that with errors of its own.
template <class Call>
auto with_memory(Call call) {
    try {
        return call();
    } catch (const py::cast_error&) {
        throw std::bad_alloc();
    } catch (const py::builtin_exception&) {
        throw;
    } catch (const std::runtime_error&) {
        throw std::bad_alloc();
    }
}

// Calls the user's progress(finished, patients), if there is one, and looks for Ctrl-C. A Python
// error in either, or elsewhere in the run, cancels the run and is raised once the threads have
// stopped.
class Watch {
  public:
    Watch() = default;
    Watch(py::object progress, std::int64_t patients)
        : progress_(std::move(progress)), patients_(patients) {}

    // False: stop.
    bool operator()(std::int64_t finished) {
        const py::gil_scoped_acquire gil;
        try {
            if (error) return false;
            if (PyErr_CheckSignals() != 0) throw py::error_already_set();
            if (!progress_.is_none() && finished != reported_)
                with_memory([&] { return progress_(finished, patients_); });
            reported_ = finished;
        } catch (...) {
            error = std::current_exception();
        }
        return !error;
    }
    void rethrow() const {
        if (error) std::rethrow_exception(error);
    }

    std::exception_ptr error;  // the first

  private:
    py::object progress_ = py::none();
    std::int64_t patients_ = 0, reported_ = -1;
};

// `work(watch)` without the lock of the interpreter; then raises what went wrong.
template <class Work>
void run_watched(Watch& watch, Work work) {
    {
        const py::gil_scoped_release release;
        work([&watch](std::int64_t finished) { return watch(finished); });
    }
    watch.rethrow();
}

}  // namespace teorell::bindings
