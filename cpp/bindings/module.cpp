// The extension module `_core`: NumPy arrays in, views of them to the engine, nothing copied but
// the programs. python/teorell/_core.pyi describes it to type checkers;
// python/teorell/engine/solve.py and python/teorell/engine/columns.py are its two callers.
#include <pybind11/functional.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <new>
#include <stdexcept>

#include "../src/engine.hpp"
#include "arrays.hpp"
#include "columns.hpp"
#include "derivatives.hpp"
#include "model.hpp"
#include "teorell/status.hpp"
#include "teorell/tableau.hpp"
#include "watch.hpp"

using namespace teorell;
using namespace teorell::bindings;

namespace {

void solve_batch(const Model& model, const std::string& isa, const std::string& method,
                 const py::object& code, int threads,
                 const std::vector<py::array_t<double>>& columns, std::int64_t patients,
                 const Array<double>& event_times, const Array<std::int32_t>& event_kinds,
                 const Array<std::int32_t>& event_targets, const Array<double>& event_values,
                 const Array<std::int64_t>& event_offsets, const Array<double>& times,
                 const py::object& sample_offsets, const py::object& sample_events, double rtol,
                 const Array<double>& atol, double max_steps, bool before, Array<double>& values,
                 Array<std::int32_t>& status, Array<double>& failure_time,
                 Array<std::int64_t>& steps, Array<std::int64_t>& rejected,
                 const py::object& reductions, const py::object& progress,
                 const py::object& gradient, const py::object& tangents) {
    const ColumnViews views(columns);
    using Counts = Array<std::int64_t>;
    const Counts own_offsets = sample_offsets.is_none() ? Counts() : sample_offsets.cast<Counts>();
    const Counts own_events = sample_events.is_none() ? Counts() : sample_events.cast<Counts>();
    const bool shared_events = event_offsets.size() == 2 && patients != 1;
    const Batch batch{patients,
                      views.starts.data(),
                      views.strides.data(),
                      event_times.data(),
                      event_kinds.data(),
                      event_targets.data(),
                      event_values.data(),
                      event_offsets.data(),
                      shared_events ? 0 : 1,
                      times.data(),
                      times.size(),
                      rtol,
                      atol.data(),
                      max_steps,
                      before,
                      values.size() > 0 ? values.mutable_data() : nullptr,
                      0,
                      status.mutable_data(),
                      failure_time.mutable_data(),
                      steps.mutable_data(),
                      rejected.mutable_data(),
                      sample_offsets.is_none() ? nullptr : own_offsets.data(),
                      sample_events.is_none() ? nullptr : own_events.data(),
                      reductions_of(reductions)};
    const Kernel& kernel = kernel_named(isa);
    const MachineCode machine = machine_code(code);

    Watch watch(progress, patients);
    GradientArrays arrays;
    TangentArrays directions;
    Derivatives wanted;
    if (!gradient.is_none())
        wanted.gradient = arrays.view(gradient, batch, model.view().at, watch.error);
    if (!tangents.is_none()) wanted.tangents = directions.view(tangents);
    run_watched(watch, [&](auto look) {
        solve(kernel, model.view(), batch, wanted, method, machine, threads, look);
    });
}

// Programs and steps run on aligned memory; NumPy arrays need not be.
template <class Action>
void on_aligned_copy(Array<double>& workspace, Action action) {
    const auto bytes = static_cast<std::size_t>(workspace.size()) * sizeof(double);
    const std::unique_ptr<double, void (*)(double*)> copy(
        static_cast<double*>(::operator new(bytes, std::align_val_t{64})),
        [](double* p) { ::operator delete(p, std::align_val_t{64}); });
    std::memcpy(copy.get(), workspace.data(), bytes);
    const bool done = action(copy.get());
    if (!done) throw std::invalid_argument("no such method or lane width in this build");
    std::memcpy(workspace.mutable_data(), copy.get(), bytes);
}

void run_program(const std::string& isa, const Code& code, Array<double>& workspace, int width) {
    on_aligned_copy(
        workspace, [&](double* ws) { return kernel_named(isa).interpret(code.data(), ws, width); });
}

void run_step(const Model& model, const std::string& isa, const std::string& method,
              const py::object& code, Array<double>& workspace, int width) {
    const MachineCode machine = machine_code(code);
    on_aligned_copy(workspace, [&](double* ws) {
        if (machine.step == nullptr)
            return kernel_named(isa).step(model.view(), method.c_str(), ws, width);
        machine.step(ws);
        return true;
    });
}

template <class Method>
py::dict describe_method() {
    constexpr int s = Method::stages;
    const auto matrix = [](const double* first, py::ssize_t rows, py::ssize_t columns) {
        Array<double> result({rows, columns});
        std::copy(first, first + rows * columns, result.mutable_data());
        return result;
    };
    using namespace py::literals;
    return py::dict("name"_a = Method::name, "stages"_a = s, "order"_a = Method::order,
                    "error_order"_a = Method::error_order, "gamma"_a = Method::gamma,
                    "a"_a = matrix(&Method::a[0][0], s, s), "C"_a = matrix(&Method::C[0][0], s, s),
                    "c"_a = matrix(&Method::c[0], 1, s), "d"_a = matrix(&Method::d[0], 1, s),
                    "H"_a = matrix(&Method::H[0][0], Method::dense, s));
}

std::vector<std::string> method_names() {
    std::vector<std::string> names;
    Methods::for_each([&](auto method) { names.emplace_back(decltype(method)::name); });
    return names;
}

py::dict tableau(const std::string& method) {
    py::dict found;
    const bool known = Methods::for_method(method.c_str(), [&](auto chosen) {
        found = describe_method<decltype(chosen)>();
        return true;
    });
    if (!known) throw std::invalid_argument("unknown method '" + method + "'");
    return found;
}

py::list instruction_sets() {
    py::list result;
    using namespace py::literals;
    for (const Kernel* k : kernels())
        result.append(py::dict("name"_a = k->name, "register_width"_a = k->register_width,
                               "interpreter_width"_a = k->interpreter_width, "fma"_a = k->fma));
    return result;
}

}  // namespace

PYBIND11_MODULE(_core, module) {
    module.doc() = "Teorell's compiled core.";
    py::class_<Model>(module, "Model")
        .def(py::init<const Array<std::int32_t>&, const Array<double>&, const py::dict&,
                      const Array<std::int32_t>&, const Array<std::int32_t>&,
                      const Array<std::uint8_t>&, const Array<std::uint8_t>&, const Array<double>&,
                      const Array<std::int32_t>&, const Array<std::int32_t>&,
                      const Array<std::int32_t>&>(),
             py::arg("layout"), py::arg("constants"), py::arg("programs"), py::arg("ft_rows"),
             py::arg("output_states"), py::arg("controlled"), py::arg("is_signed"),
             py::arg("switch_before"), py::arg("entries"), py::arg("output_coefs"),
             py::arg("sampled_states"));
    module.def("solve", &solve_batch, py::arg("model"), py::kw_only(), py::arg("isa"),
               py::arg("method"), py::arg("code"), py::arg("threads"), py::arg("columns"),
               py::arg("patients"), py::arg("event_times"), py::arg("event_kinds"),
               py::arg("event_targets"), py::arg("event_values"), py::arg("event_offsets"),
               py::arg("times"), py::arg("sample_offsets"), py::arg("sample_events"),
               py::arg("rtol"), py::arg("atol"), py::arg("max_steps"), py::arg("before"),
               py::arg("values").noconvert(), py::arg("status").noconvert(),
               py::arg("failure_time").noconvert(), py::arg("steps").noconvert(),
               py::arg("rejected").noconvert(), py::arg("reductions"), py::arg("progress"),
               py::arg("gradient"), py::arg("tangents"));
    module.def("map", &map_columns, py::arg("program"), py::kw_only(), py::arg("isa"),
               py::arg("threads"), py::arg("columns"), py::arg("outputs").noconvert());
    module.def("project", &project_columns, py::arg("program"), py::kw_only(), py::arg("isa"),
               py::arg("threads"), py::arg("columns"), py::arg("constraints"), py::arg("scales"),
               py::arg("values").noconvert(), py::arg("multipliers").noconvert(),
               py::arg("steps").noconvert());
    module.def("run_program", &run_program, py::arg("isa"), py::arg("code"),
               py::arg("workspace").noconvert(), py::arg("width"));
    module.def("run_step", &run_step, py::arg("model"), py::arg("isa"), py::arg("method"),
               py::arg("code"), py::arg("workspace").noconvert(), py::arg("width"));
    module.def("methods", &method_names);
    module.def("tableau", &tableau);
    module.def("instruction_sets", &instruction_sets);
    module.def("available_threads", &available_threads);
    module.def("status_sentences", [] {
        std::vector<std::string> result;
        for (int i = 0; i < n_status; ++i) result.emplace_back(status_sentence(i));
        return result;
    });
    module.attr("layout_fields") = layout_fields();
}
