// The extension module `_core`: NumPy arrays in, views of them to the engine, nothing copied but
// the programs. python/teorell/_core.pyi describes it to type checkers; python/teorell/solve.py is
// its only caller.
#include <pybind11/functional.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstring>
#include <memory>
#include <mutex>
#include <new>
#include <stdexcept>

#include "../src/engine.hpp"
#include "teorell/interpreter.hpp"
#include "teorell/status.hpp"
#include "teorell/tableau.hpp"

namespace py = pybind11;
using namespace teorell;

namespace {

template <class T>
using Array = py::array_t<T, py::array::c_style>;
using Code = Array<std::int32_t>;

// The programs of a model, owned: what Programs points into.
class Model {
  public:
    Model(const Array<std::int32_t>& layout, const Array<double>& constants,
          const py::dict& programs, const Array<std::int32_t>& ft_rows,
          const Array<std::int32_t>& output_states, const Array<std::uint8_t>& controlled,
          const Array<std::uint8_t>& is_signed, const Array<double>& switch_before,
          const Array<std::int32_t>& entries, const Array<std::int32_t>& output_coefs,
          const Array<std::int32_t>& sampled_states)
        : constants_(constants.data(), constants.data() + constants.size()),
          ft_rows_(ft_rows.data(), ft_rows.data() + ft_rows.size()),
          output_states_(output_states.data(), output_states.data() + output_states.size()),
          controlled_(controlled.data(), controlled.data() + controlled.size()),
          signed_(is_signed.data(), is_signed.data() + is_signed.size()),
          switch_before_(switch_before.data(), switch_before.data() + switch_before.size()),
          entries_(entries.data(), entries.data() + entries.size()),
          output_coefs_(output_coefs.data(), output_coefs.data() + output_coefs.size()),
          sampled_states_(sampled_states.data(), sampled_states.data() + sampled_states.size()) {
        if (layout.size() * sizeof(std::int32_t) != sizeof(Layout))
            throw std::invalid_argument("the layout has another length than this core's");
        std::memcpy(&view_.at, layout.data(), sizeof(Layout));
        if (view_.at.stages > max_stages) throw std::invalid_argument("too many stages");
        view_.constants = constants_.data();
        view_.prepare = keep(programs["prepare"]);
        view_.initial = keep(programs["initial"]);
        view_.rhs = keep(programs["rhs"]);
        view_.df_dt = keep(programs["df_dt"]);
        view_.jacobian_lu = keep(programs["jacobian_lu"]);
        view_.outputs = keep(programs["outputs"]);
        const Layout& at = view_.at;
        for (int i = 0; i < at.stages; ++i) {
            view_.stage_rhs[i] = moved(programs["rhs"], at.f, at.n, at.u + i * at.n);
            view_.stage_solve[i] = moved(programs["solve"], at.f, at.n, at.u + i * at.n);
            const std::int32_t block = at.block + 3 * i * at.n, udot = at.udot + i * at.n;
            view_.stage_transposed[i] =
                moved(programs["solve_transposed"], at.block, 3 * at.n, block);
            view_.stage_vjp[i] =
                moved_again(at.u, at.n, at.u + i * at.n,
                            moved(programs["stage_vjp"], at.block, 3 * at.n, block));
            view_.stage_jvp[i] = moved(programs["stage_jvp"], at.f, at.n, udot);
            view_.stage_solve_dot[i] = moved(programs["solve"], at.f, at.n, udot);
        }
        view_.second_vjp = keep(programs["second_vjp"]);
        view_.outputs_vjp = keep(programs["outputs_vjp"]);
        view_.initial_vjp = keep(programs["initial_vjp"]);
        view_.prepare_vjp = keep(programs["prepare_vjp"]);
        view_.second_jvp = keep(programs["second_jvp"]);
        view_.outputs_jvp = keep(programs["outputs_jvp"]);
        view_.initial_jvp = keep(programs["initial_jvp"]);
        view_.prepare_jvp = keep(programs["prepare_jvp"]);
        view_.entries = entries_.data();
        view_.output_coefs = output_coefs_.data();
        view_.sampled_states = sampled_states_.data();
        view_.n_sampled_states = static_cast<std::int32_t>(sampled_states_.size());
        view_.ft_rows = ft_rows_.data();
        view_.output_states = output_states_.data();
        view_.n_output_states = static_cast<std::int32_t>(output_states_.size());
        view_.controlled = controlled_.data();
        view_.is_signed = signed_.data();
        int count = 0;
        for (const auto c : controlled_) count += c;
        view_.inverse_n_controlled = count > 0 ? 1.0 / count : 0.0;
        view_.switch_before = switch_before_.data();
    }
    Model(const Model&) = delete;
    Model& operator=(const Model&) = delete;

    const Programs& view() const { return view_; }

  private:
    std::vector<std::vector<std::int32_t>> code_;
    std::vector<double> constants_;
    std::vector<std::int32_t> ft_rows_, output_states_;
    std::vector<std::uint8_t> controlled_, signed_;
    std::vector<double> switch_before_;
    std::vector<std::int32_t> entries_, output_coefs_, sampled_states_;
    Programs view_{};

    const std::int32_t* keep(const py::handle& program) {
        const auto code = program.cast<Code>();
        return code_.emplace_back(code.data(), code.data() + code.size()).data();
    }
    const std::int32_t* moved(const py::handle& program, std::int32_t from, std::int32_t count,
                              std::int32_t to) {
        const auto code = program.cast<Code>();
        auto& copy = code_.emplace_back(static_cast<std::size_t>(code.size()));
        relocate(code.data(), from, count, to, copy.data());
        return copy.data();
    }
    // The program moved last, another region of it moved too.
    const std::int32_t* moved_again(std::int32_t from, std::int32_t count, std::int32_t to,
                                    const std::int32_t* code) {
        auto& copy = code_.emplace_back(code_.back().size());
        relocate(code, from, count, to, copy.data());
        return copy.data();
    }
};

MachineCode machine_code(const py::object& code) {
    MachineCode result;
    if (code.is_none()) return result;
    const auto parts = code.cast<py::tuple>();
    const auto function = [&](int i) {
        return reinterpret_cast<void (*)(double*)>(parts[i].cast<std::uintptr_t>());
    };
    result.step = function(0);
    result.rhs = function(1);
    result.outputs = function(2);
    result.stages = function(3);
    result.reverse = function(4);
    result.outputs_vjp = function(5);
    result.tangent = function(6);
    result.width = parts[7].cast<int>();
    return result;
}

// The arrays of a gradient (a dict, see solve.py), and the user's loss, called with the lock of the
// interpreter held.
class GradientArrays {
  public:
    // The first exception of the loss goes into `error`.
    const Gradient* view(const py::object& given, const Batch& batch, const Layout& at,
                         std::exception_ptr& error) {
        const auto out = [&](const char* name) {
            return given[name].cast<Array<double>>().mutable_data();
        };
        if (given["cotangent"].is_none()) {
            loss_ = given["loss"];
            n_times_ = batch.n_times, n_out_ = at.n_out, sample_offsets_ = batch.sample_offsets,
            status_ = batch.status, error_ = &error;
            view_.loss = &GradientArrays::call;
            view_.context = this;
        } else {
            cotangent_ = given["cotangent"].cast<py::array_t<double>>();
            view_.cotangent = cotangent_.data();
            const auto missing = static_cast<int>(
                3 - cotangent_.ndim());  // of rows, no stride from patient to patient
            for (int k = missing; k < 3; ++k)
                view_.strides[k] =
                    cotangent_.strides(k - missing) / static_cast<py::ssize_t>(sizeof(double));
        }
        view_.parameters = out("parameters");
        view_.initial = out("initial");
        view_.event_value = out("event_value");
        view_.event_time = given["event_time"].is_none() ? nullptr : out("event_time");
        view_.shared_rows = batch.event_offset_stride == 0 ? batch.event_offsets[1] : 0;
        view_.recorded_steps = given["recorded_steps"].cast<std::int64_t>();
        view_.reduced = given["reduced"].is_none() ? nullptr : out("reduced");
        return &view_;
    }

  private:
    Gradient view_{};
    py::array_t<double> cotangent_;
    py::object loss_;
    std::int64_t n_times_ = 0, n_out_ = 0;
    const std::int64_t* sample_offsets_ = nullptr;
    const std::int32_t* status_ = nullptr;
    std::exception_ptr* error_ = nullptr;
    std::mutex mutex_;

    static bool call(void* context, std::int64_t first, std::int64_t count, const double* values,
                     double* slopes) {
        auto& self = *static_cast<GradientArrays*>(context);
        const std::lock_guard<std::mutex> one_at_a_time(
            self.mutex_);  // before the interpreter's lock, never after it
        const py::gil_scoped_acquire gil;
        try {
            std::vector<py::ssize_t> shape{count, self.n_times_, self.n_out_};
            if (const auto* offsets = self.sample_offsets_)
                shape = {offsets[first + count] - offsets[first], self.n_out_};
            const Array<double> copy(shape, values);
            const Array<std::int32_t> status(static_cast<py::ssize_t>(count), self.status_ + first);
            const auto slope = self.loss_(copy, status, first).cast<Array<double>>();
            if (slope.size() != copy.size())
                throw std::invalid_argument("the loss gave slopes of another size");
            std::memcpy(slopes, slope.data(),
                        static_cast<std::size_t>(slope.size()) * sizeof(double));
            return true;
        } catch (...) {
            if (!*self.error_) *self.error_ = std::current_exception();
            return false;
        }
    }
};

// The arrays of reductions (a dict, see solve.py), or none.
Reductions reductions_of(const py::object& given) {
    if (given.is_none()) return {};
    const auto kinds = given["kinds"].cast<Array<std::int32_t>>();
    const auto windows = given["windows"].cast<Array<double>>();
    return {static_cast<std::int32_t>(kinds.size()),
            kinds.data(),
            given["outputs"].cast<Array<std::int32_t>>().data(),
            given["linear"].cast<Array<std::uint8_t>>().data(),
            windows.data(),
            windows.shape(1),
            given["values"].cast<Array<double>>().mutable_data(),
            given["times"].cast<Array<double>>().mutable_data()};
}

// The arrays of forward sensitivities (a dict, see solve.py).
class TangentArrays {
  public:
    const Tangents* view(const py::object& given) {
        const auto array = [&](const char* name, std::int64_t* strides) -> const double* {
            if (given[name].is_none()) return nullptr;
            const auto a = kept_.emplace_back(given[name].cast<py::array_t<double>>());
            for (int k = 0; k < 2; ++k)
                strides[k] = k < a.ndim() - 1 && a.shape(k) > 1
                                 ? a.strides(k) / static_cast<py::ssize_t>(sizeof(double))
                                 : 0;
            return a.data();
        };
        view_.parameters = array("parameters", view_.parameter_strides);
        view_.event_value = array("event_value", view_.event_strides);
        view_.event_time = array("event_time", view_.event_strides);
        auto values = given["values"].cast<Array<double>>();
        view_.directions = values.shape(values.ndim() - 1);
        view_.values = values.mutable_data();
        view_.reduced = given["reduced"].cast<Array<double>>().mutable_data();
        return &view_;
    }

  private:
    Tangents view_{};
    std::vector<py::array_t<double>> kept_;
};

// Where the columns of parameters begin, and their steps from patient to patient.
struct ColumnViews {
    std::vector<const double*> starts;
    std::vector<std::int64_t> strides;

    explicit ColumnViews(const std::vector<py::array_t<double>>& columns) {
        const auto size = static_cast<py::ssize_t>(sizeof(double));
        for (const auto& column : columns) {
            if (column.ndim() > 0 && column.strides(0) % size != 0)
                throw std::invalid_argument(
                    "a parameter column does not step by whole float64 numbers; give an aligned "
                    "array");
            starts.push_back(column.data());
            strides.push_back(
                column.ndim() == 0 ? 0 : static_cast<std::int64_t>(column.strides(0) / size));
        }
    }
};

// Ctrl-C, checked from the calling thread while others work; raised once they have stopped.
class Interruption {
  public:
    bool go_on() {
        const py::gil_scoped_acquire gil;
        try {
            if (!error_ && PyErr_CheckSignals() != 0) throw py::error_already_set();
        } catch (...) {
            error_ = std::current_exception();
        }
        return !error_;
    }
    void rethrow() const {
        if (error_) std::rethrow_exception(error_);
    }

  private:
    std::exception_ptr error_;
};

// A program of columns (a dict, see column_programs.py).
ColumnProgram column_program(const py::dict& given) {
    const auto number = [&](const char* name) { return given[name].cast<std::int32_t>(); };
    const auto constants = given["constants"].cast<Array<double>>();
    return {given["code"].cast<Code>().data(),
            reinterpret_cast<void (*)(double*)>(given["address"].cast<std::uintptr_t>()),
            number("width"),
            number("slots"),
            number("const"),
            number("params"),
            number("out"),
            static_cast<std::int32_t>(constants.size()),
            number("n_params"),
            number("n_out"),
            constants.data()};
}

void map_columns(const py::dict& program, const std::string& isa, int threads,
                 const std::vector<py::array_t<double>>& columns, Array<double>& outputs) {
    const ColumnViews views(columns);
    const ColumnProgram view = column_program(program);
    if (static_cast<std::size_t>(view.n_inputs) != columns.size() ||
        outputs.shape(0) != view.n_outputs)
        throw std::invalid_argument("other columns than the program has");
    const Columns of{outputs.shape(1), views.starts.data(), views.strides.data(),
                     outputs.mutable_data()};
    Interruption interruption;
    {
        const py::gil_scoped_release release;
        map(kernel_named(isa), view, of, threads,
            [&](std::int64_t) { return interruption.go_on(); });
    }
    interruption.rethrow();
}

// constraints: a dict, see constraints/projection.py.
void project_columns(const py::dict& program, const std::string& isa, int threads,
                     const std::vector<py::array_t<double>>& columns, const py::dict& given,
                     const std::vector<py::array_t<double>>& scales, Array<double>& values,
                     Array<double>& multipliers, Array<std::int32_t>& steps) {
    const ColumnViews views(columns), metric(scales);
    const ColumnProgram view = column_program(program);
    const auto free_inputs = given["free"].cast<Code>(), starts = given["starts"].cast<Code>(),
               entries = given["columns"].cast<Code>();
    const auto equality = given["equality"].cast<Array<std::uint8_t>>();
    const Constraints constraints{static_cast<std::int32_t>(free_inputs.size()),
                                  static_cast<std::int32_t>(equality.size()),
                                  free_inputs.data(),
                                  equality.data(),
                                  starts.data(),
                                  entries.data(),
                                  given["tolerance"].cast<double>(),
                                  given["most_steps"].cast<std::int32_t>()};
    const Columns of{steps.size(), views.starts.data(), views.strides.data(), nullptr};
    const Projected projected{metric.starts.data(), metric.strides.data(), values.mutable_data(),
                              multipliers.mutable_data(), steps.mutable_data()};
    Interruption interruption;
    {
        const py::gil_scoped_release release;
        project(kernel_named(isa), view, of, constraints, projected, threads,
                [&](std::int64_t) { return interruption.go_on(); });
    }
    interruption.rethrow();
}

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

    // A Python error in the progress callback, or Ctrl-C, cancels the run and is raised once the
    // threads have stopped.
    std::exception_ptr error;
    GradientArrays arrays;
    TangentArrays directions;
    Derivatives wanted;
    if (!gradient.is_none()) wanted.gradient = arrays.view(gradient, batch, model.view().at, error);
    if (!tangents.is_none()) wanted.tangents = directions.view(tangents);
    std::int64_t reported = -1;
    const auto watch = [&](std::int64_t finished) {
        const py::gil_scoped_acquire gil;
        try {
            if (error) return false;
            if (PyErr_CheckSignals() != 0) throw py::error_already_set();
            if (!progress.is_none() && finished != reported) progress(finished, patients);
            reported = finished;
        } catch (...) {
            error = std::current_exception();
        }
        return !error;
    };
    {
        const py::gil_scoped_release release;
        solve(kernel, model.view(), batch, wanted, method, machine, threads, watch);
    }
    if (error) std::rethrow_exception(error);
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
    module.def("solve", &solve_batch, py::arg("model"), py::arg("isa"), py::arg("method"),
               py::arg("code"), py::arg("threads"), py::arg("columns"), py::arg("patients"),
               py::arg("event_times"), py::arg("event_kinds"), py::arg("event_targets"),
               py::arg("event_values"), py::arg("event_offsets"), py::arg("times"),
               py::arg("sample_offsets"), py::arg("sample_events"), py::arg("rtol"),
               py::arg("atol"), py::arg("max_steps"), py::arg("before"),
               py::arg("values").noconvert(), py::arg("status").noconvert(),
               py::arg("failure_time").noconvert(), py::arg("steps").noconvert(),
               py::arg("rejected").noconvert(), py::arg("reductions"), py::arg("progress"),
               py::arg("gradient"), py::arg("tangents"));
    module.def("map", &map_columns, py::arg("program"), py::arg("isa"), py::arg("threads"),
               py::arg("columns"), py::arg("outputs").noconvert());
    module.def("project", &project_columns, py::arg("program"), py::arg("isa"), py::arg("threads"),
               py::arg("columns"), py::arg("constraints"), py::arg("scales"),
               py::arg("values").noconvert(), py::arg("multipliers").noconvert(),
               py::arg("steps").noconvert());
    module.def("run_program", &run_program, py::arg("isa"), py::arg("code"),
               py::arg("workspace").noconvert(), py::arg("width"));
    module.def("run_step", &run_step, py::arg("model"), py::arg("isa"), py::arg("method"),
               py::arg("code"), py::arg("workspace").noconvert(), py::arg("width"));
    module.def("methods", [] { return std::vector<std::string>{Rodas5P::name, Rodas4P2::name}; });
    module.def("tableau", [](const std::string& method) {
        if (method == Rodas5P::name) return describe_method<Rodas5P>();
        if (method == Rodas4P2::name) return describe_method<Rodas4P2>();
        throw std::invalid_argument("unknown method '" + method + "'");
    });
    module.def("instruction_sets", &instruction_sets);
    module.def("available_threads", &available_threads);
    module.def("status_sentences", [] {
        std::vector<std::string> result;
        for (int i = 0; i < n_status; ++i) result.emplace_back(status_sentence(i));
        return result;
    });
    module.attr("layout_fields") = py::make_tuple(
        "const", "coef", "scalar", "y", "f", "lu", "yn", "ynew", "top", "atol", "u", "ft", "out",
        "params", "block", "ukept", "ubar", "lam", "ynbar", "coefbar", "paramsbar", "outbar",
        "ysbar", "outcoef", "z", "ydot", "yndot", "udot", "coefdot", "paramsdot", "outdot",
        "entries", "entries_ft", "temp", "slots", "n_const", "n_coef", "n", "n_ft", "n_out",
        "n_params", "n_switches", "rates", "n_rates", "stages", "n_entries", "n_outcoef");
}
