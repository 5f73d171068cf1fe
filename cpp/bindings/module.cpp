// The extension module `_core`: NumPy arrays in, views of them to the engine, nothing copied but
// the programs. python/teorell/_core.pyi describes it to type checkers;
// the wing python/teorell/engine/ is its only caller.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "../src/engine.hpp"
#include "arrays.hpp"
#include "batch_views.hpp"
#include "columns.hpp"
#include "derivatives.hpp"
#include "model.hpp"
#include "steady.hpp"
#include "struct_layouts.hpp"
#include "teorell/status.hpp"
#include "teorell/tableau.hpp"
#include "watch.hpp"

using namespace teorell;
using namespace teorell::bindings;

namespace {

void solve_batch(const Model& model, const std::string& isa, const std::string& method,
                 const py::object& code, int threads, const py::list& columns,
                 std::int64_t patients, const py::object& event_times,
                 const py::object& event_kinds, const py::object& event_targets,
                 const py::object& event_values, const py::object& event_offsets,
                 const py::object& times, const py::object& sample_offsets,
                 const py::object& sample_events, double rtol, const py::object& atol,
                 double max_steps, double max_step, bool before, const py::object& values,
                 const py::object& status, const py::object& failure_time, const py::object& steps,
                 const py::object& rejected, const py::object& condition,
                 const py::object& reductions, const py::object& progress,
                 const py::object& gradient, const py::object& tangents, Kept* kept) {
    const Layout& at = model.view().at;
    require(patients >= 0 && patients <= most_patients, "patients",
            "is no number of patients (it is negative, or huge)");
    check_method(model, method);
    require(max_step > 0.0, "max_step", "is no length of a step (it must be positive)");
    const ColumnViews views(columns, "columns", at.n_params, patients);
    const EventArrays events(event_times, event_kinds, event_targets, event_values, event_offsets,
                             patients, at);
    const SampleArrays samples(times, sample_offsets, sample_events, patients, events);
    const auto tolerances = array_of<double>(atol, "atol", {at.n});
    // None is wanted where they are empty.
    auto curve = checked<Array<double>>(values, "values");
    if (curve.size() > 0)
        curve = output_of<double>(values, "values", samples.shape(patients, {at.n_out}));
    const auto of_patients = [&](auto number, const py::object& given, const char* name) {
        return output_of<decltype(number)>(given, name, {patients}).mutable_data();
    };
    std::optional<Given> summary;
    const Batch batch{patients,
                      views.starts.data(),
                      views.strides.data(),
                      events.times.data(),
                      events.kinds.data(),
                      events.targets.data(),
                      events.values.data(),
                      events.offsets.data(),
                      events.shared ? 0 : 1,
                      samples.times.data(),
                      samples.times.size(),
                      rtol,
                      tolerances.data(),
                      max_steps,
                      max_step,
                      before,
                      curve.size() > 0 ? curve.mutable_data() : nullptr,
                      0,
                      of_patients(std::int32_t{}, status, "status"),
                      of_patients(double{}, failure_time, "failure_time"),
                      of_patients(std::int64_t{}, steps, "steps"),
                      of_patients(std::int64_t{}, rejected, "rejected"),
                      of_patients(std::int32_t{}, condition, "condition"),
                      samples.offsets_or_null(),
                      samples.events_or_null(),
                      reductions_of(reductions, patients, at, summary)};
    const Kernel& kernel = kernel_named(isa);
    const MachineCode machine = machine_code(code);

    Watch watch(progress, patients);
    Caller caller;
    GradientArrays arrays;
    TangentArrays directions;
    Derivatives wanted;
    if (!gradient.is_none())
        wanted.gradient = arrays.view(gradient, batch, model, events, samples, caller, watch.error);
    if (!tangents.is_none())
        wanted.tangents = directions.view(tangents, batch, model, events, samples);
    if (kept != nullptr) {
        require(wanted.tangents == nullptr &&
                    (wanted.gradient == nullptr || wanted.gradient->cotangent != nullptr),
                "kept", "is for a solve, or a gradient by a cotangent (not for this call)");
        wanted.kept = kept->of(kernel, batch, at, wanted.gradient != nullptr);
    }
    check_functions(machine, wanted);
    run_watched(watch, [&](auto look) {
        solve(kernel, model.view(), batch, wanted, method, machine, threads, look, caller);
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

void run_program(const std::string& isa, const py::object& code, const py::object& workspace,
                 int width) {
    const auto program = array_of<std::int32_t>(code, "code", {-1});
    auto memory = checked<Array<double>>(workspace, "workspace");
    require(width > 0 && memory.writeable(), "workspace",
            "cannot be written, or has no lanes (it is changed in place)");
    check_program(program, "code", memory.size() / width);
    on_aligned_copy(
        memory, [&](double* ws) { return kernel_named(isa).interpret(program.data(), ws, width); });
}

void run_step(const Model& model, const std::string& isa, const std::string& method,
              const py::object& code, const py::object& workspace, int width) {
    const MachineCode machine = machine_code(code);
    check_method(model, method);
    auto memory = checked<Array<double>>(workspace, "workspace");
    require(memory.writeable() && width > 0 &&
                (machine.step == nullptr || machine.width == width) &&
                memory.size() >= std::int64_t{model.view().at.slots} * width,
            "workspace", "is smaller than that of the model (slots times lanes)");
    on_aligned_copy(memory, [&](double* ws) {
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
        .def(py::init<const py::object&, const py::object&, const py::object&, const py::object&,
                      const py::object&, const py::object&, const py::object&, const py::object&,
                      const py::object&, const py::object&, const py::object&, const py::object&,
                      const py::object&, const py::object&, const py::object&, const py::object&,
                      const py::object&>(),
             py::arg("layout"), py::arg("constants"), py::arg("programs"), py::arg("ft_rows"),
             py::arg("output_states"), py::arg("controlled"), py::arg("is_signed"),
             py::arg("switch_before"), py::arg("steep"), py::arg("entries"),
             py::arg("output_coefs"), py::arg("sampled_states"), py::arg("surface_states"),
             py::arg("surface_kinds"), py::arg("action_events"), py::arg("action_states"),
             py::arg("event_surfaces"));
    module.def("solve", &solve_batch, py::arg("model"), py::kw_only(), py::arg("isa"),
               py::arg("method"), py::arg("code"), py::arg("threads"), py::arg("columns"),
               py::arg("patients"), py::arg("event_times"), py::arg("event_kinds"),
               py::arg("event_targets"), py::arg("event_values"), py::arg("event_offsets"),
               py::arg("times"), py::arg("sample_offsets"), py::arg("sample_events"),
               py::arg("rtol"), py::arg("atol"), py::arg("max_steps"), py::arg("max_step"),
               py::arg("before"), py::arg("values"), py::arg("status"), py::arg("failure_time"),
               py::arg("steps"), py::arg("rejected"), py::arg("condition"), py::arg("reductions"),
               py::arg("progress"), py::arg("gradient"), py::arg("tangents"),
               py::arg("kept").none(true) = py::none());
    module.def("find_steady_states", &find_steady_states, py::arg("model"),
               py::arg("tangent_model"), py::kw_only(), py::arg("isa"), py::arg("method"),
               py::arg("code"), py::arg("tangent_code"), py::arg("threads"), py::arg("columns"),
               py::arg("patients"), py::arg("event_times"), py::arg("event_kinds"),
               py::arg("event_targets"), py::arg("event_values"), py::arg("event_offsets"),
               py::arg("times"), py::arg("rtol"), py::arg("atol"), py::arg("max_steps"),
               py::arg("max_step"), py::arg("search"));
    module.def("solve_matrices", &solve_matrices, py::arg("matrices"), py::arg("right"));
    module.def("find_eigenvalues", &find_eigenvalues, py::arg("matrices"), py::arg("real"),
               py::arg("imaginary"));
    module.def("orthogonalise_rows", &orthogonalise_rows, py::arg("matrix"));
    py::class_<Kept>(module, "Kept")
        .def(py::init<const std::string&>(), py::arg("isa"))
        .def("prepare", &Kept::prepare, py::arg("patients"), py::arg("bytes"))
        .def_property_readonly("there", &Kept::there);
    module.def("map", &map_columns, py::arg("program"), py::kw_only(), py::arg("isa"),
               py::arg("threads"), py::arg("columns"), py::arg("outputs"));
    module.def("project", &project_columns, py::arg("program"), py::kw_only(), py::arg("isa"),
               py::arg("threads"), py::arg("columns"), py::arg("constraints"), py::arg("scales"),
               py::arg("values"), py::arg("multipliers"), py::arg("steps"));
    module.def("run_program", &run_program, py::arg("isa"), py::arg("code"), py::arg("workspace"),
               py::arg("width"));
    module.def("run_step", &run_step, py::arg("model"), py::arg("isa"), py::arg("method"),
               py::arg("code"), py::arg("workspace"), py::arg("width"));
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
    module.attr("struct_layouts") = struct_layouts();
    module.def("programs_image", &programs_image, py::arg("model"));
    module.def("device_slots", &device_slots, py::arg("model"), py::kw_only(),
               py::arg("reductions"), py::arg("room"), py::arg("directions"));
    module.def("device_column_slots", &device_column_slots, py::arg("program"),
               py::arg("constraints"));
}
