// The programs of a model, and its machine code.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <string>
#include <vector>

#include "../src/kernel.hpp"
#include "arrays.hpp"
#include "program_checks.hpp"

namespace teorell::bindings {

// The fields of Layout, in their order.
inline py::tuple layout_fields() {
    return py::make_tuple(
        "const", "coef", "scalar", "y", "f", "lu", "yn", "ynew", "top", "atol", "u", "ft", "temp",
        "out", "params", "block", "ukept", "ubar", "lam", "ynbar", "coefbar", "paramsbar", "outbar",
        "ysbar", "outcoef", "z", "ydot", "yndot", "udot", "coefdot", "paramsdot", "outdot",
        "entries", "entries_ft", "g", "gnodes", "grate", "gtol", "band", "push", "gside", "gf",
        "gbar", "gybar", "gcoefbar", "gdot", "when", "was", "act", "actrate", "actbar", "aybar",
        "acoefbar", "actdot", "slots", "n_const", "n_coef", "n", "n_ft", "n_out", "n_params",
        "n_switches", "n_surfaces", "n_events", "n_actions", "rates", "n_rates", "stages",
        "n_entries", "n_outcoef");
}

// Owns what Programs points into.
class Model {
  public:
    Model(const py::object& layout, const py::object& constants, const py::object& programs,
          const py::object& ft_rows, const py::object& output_states, const py::object& controlled,
          const py::object& is_signed, const py::object& switch_before, const py::object& steep,
          const py::object& entries, const py::object& output_coefs,
          const py::object& sampled_states, const py::object& surface_states,
          const py::object& surface_kinds, const py::object& action_events,
          const py::object& action_states, const py::object& event_surfaces) {
        constexpr std::int64_t fields = sizeof(Layout) / sizeof(std::int32_t);
        std::memcpy(&view_.at, array_of<std::int32_t>(layout, "layout", {fields}).data(),
                    sizeof(Layout));
        const Layout& at = view_.at;
        check_layout(at);
        constants_ = copy_of<double>(constants, "constants", at.n_const);
        switch_before_ = copy_of<double>(switch_before, "switch_before", at.n_switches);
        steep_ = copy_of<std::uint8_t>(steep, "steep", at.n_switches);
        ft_rows_ = numbers_of(ft_rows, "ft_rows", at.n_ft, at.n);
        output_states_ = numbers_of(output_states, "output_states", -1, at.n);
        sampled_states_ = numbers_of(sampled_states, "sampled_states", -1, at.n);
        surface_states_ = numbers_of(surface_states, "surface_states", -1, at.n);
        surface_kinds_ = copy_of<std::uint8_t>(surface_kinds, "surface_kinds", at.n_surfaces);
        action_events_ = numbers_of(action_events, "action_events", at.n_actions, at.n_events);
        action_states_ = numbers_of(action_states, "action_states", at.n_actions, at.n);
        event_surfaces_ = copy_of<std::int32_t>(event_surfaces, "event_surfaces", at.n_events);
        output_coefs_ = numbers_of(output_coefs, "output_coefs", at.n_outcoef, at.n_coef);
        entries_ = numbers_of(entries, "entries", std::int64_t{3} * at.n_entries, most_slots);
        controlled_ = copy_of<std::uint8_t>(controlled, "controlled", at.n);
        signed_ = copy_of<std::uint8_t>(is_signed, "is_signed", at.n);
        check_entries();
        show_arrays();
        const Given by_name(programs, "programs");
        keep_programs(by_name);
        for (int i = 0; i < at.stages; ++i) move_to_stage(by_name, i);
    }
    Model(const Model&) = delete;
    Model& operator=(const Model&) = delete;

    const Programs& view() const { return view_; }
    bool has_adjoint() const { return adjoint_; }
    bool has_tangents() const { return tangents_; }

    // act(where in the view a pointer stands, its array, how long that is) for all of them.
    template <class Act>
    void each_array(Act act) const {
        const auto show = [&](const auto& pointer, const auto& kept) {
            act(&pointer, kept.data(), static_cast<std::int64_t>(kept.size()));
        };
        show(view_.constants, constants_), show(view_.switch_before, switch_before_);
        show(view_.steep, steep_), show(view_.ft_rows, ft_rows_);
        show(view_.output_states, output_states_), show(view_.sampled_states, sampled_states_);
        show(view_.entries, entries_), show(view_.output_coefs, output_coefs_);
        show(view_.surface_states, surface_states_), show(view_.surface_kinds, surface_kinds_);
        show(view_.action_events, action_events_), show(view_.action_states, action_states_);
        show(view_.event_surfaces, event_surfaces_);
        show(view_.controlled, controlled_), show(view_.is_signed, signed_);
        const auto* bytes = reinterpret_cast<const char*>(&view_);
        for (std::size_t at = offsetof(Programs, constants); at < sizeof view_;
             at += sizeof(void*)) {
            const std::int32_t* word = nullptr;
            std::memcpy(&word, bytes + at, sizeof word);
            for (const auto& code : code_)
                if (word == code.data())
                    act(bytes + at, word, static_cast<std::int64_t>(code.size()));
        }
    }

  private:
    std::vector<std::vector<std::int32_t>> code_;
    std::vector<double> constants_, switch_before_;
    std::vector<std::int32_t> ft_rows_, output_states_, entries_, output_coefs_, sampled_states_,
        surface_states_, action_events_, action_states_, event_surfaces_;
    std::vector<std::uint8_t> controlled_, signed_, surface_kinds_, steep_;
    Programs view_{};
    bool adjoint_ = false, tangents_ = false;  // are there regions for derivatives?

    template <class T>
    static std::vector<T> copy_of(const py::object& given, const char* name, std::int64_t size) {
        const auto array = array_of<T>(given, name, {size});
        return {array.data(), array.data() + array.size()};
    }
    static std::vector<std::int32_t> numbers_of(const py::object& given, const char* name,
                                                std::int64_t size, std::int64_t end) {
        check_range(array_of<std::int32_t>(given, name, {size}), name, end);
        return copy_of<std::int32_t>(given, name, size);
    }

    // Rows and columns of the Jacobian, and what follows from the numbers of columns.
    void check_entries() {
        const Layout& at = view_.at;
        std::int64_t columns = 0;
        for (std::size_t i = 0; i < entries_.size(); i += 3) {
            require(entries_[i] < at.n && entries_[i + 1] < at.n, "entries",
                    "has a state that is not there (it counts from 0)");
            columns = std::max(columns, std::int64_t{entries_[i + 2]} + 1);
        }
        adjoint_ =
            teorell::bindings::has_adjoint(at, static_cast<int>(output_states_.size()), columns);
        tangents_ = teorell::bindings::has_tangents(at);
    }

    void show_arrays() {
        view_.constants = constants_.data();
        view_.switch_before = switch_before_.data();
        view_.steep = steep_.data();
        view_.ft_rows = ft_rows_.data();
        view_.output_states = output_states_.data();
        view_.n_output_states = static_cast<std::int32_t>(output_states_.size());
        view_.entries = entries_.data();
        view_.output_coefs = output_coefs_.data();
        view_.sampled_states = sampled_states_.data();
        view_.n_sampled_states = static_cast<std::int32_t>(sampled_states_.size());
        view_.surface_states = surface_states_.data();
        view_.n_surface_states = static_cast<std::int32_t>(surface_states_.size());
        view_.surface_kinds = surface_kinds_.data();
        view_.action_events = action_events_.data();
        view_.action_states = action_states_.data();
        view_.event_surfaces = event_surfaces_.data();
        view_.controlled = controlled_.data();
        view_.is_signed = signed_.data();
        int count = 0;
        for (const auto c : controlled_) count += c;
        view_.inverse_n_controlled = count > 0 ? 1.0 / count : 0.0;
    }

    void keep_programs(const Given& programs) {
        view_.prepare = keep(programs, "prepare");
        view_.initial = keep(programs, "initial");
        view_.rhs = keep(programs, "rhs");
        view_.df_dt = keep(programs, "df_dt");
        view_.jacobian_lu = keep(programs, "jacobian_lu");
        view_.outputs = keep(programs, "outputs");
        view_.surfaces = keep(programs, "surfaces");
        view_.surface_rates = keep(programs, "surface_rates");
        view_.conditions = keep(programs, "event_conditions");
        view_.actions = keep(programs, "actions");
        view_.action_rates = keep(programs, "action_rates");
        view_.actions_vjp = keep(programs, "actions_vjp");
        view_.actions_jvp = keep(programs, "actions_jvp");
        view_.surfaces_vjp = keep(programs, "surfaces_vjp");
        view_.surfaces_jvp = keep(programs, "surfaces_jvp");
        view_.second_vjp = keep(programs, "second_vjp");
        view_.outputs_vjp = keep(programs, "outputs_vjp");
        view_.initial_vjp = keep(programs, "initial_vjp");
        view_.prepare_vjp = keep(programs, "prepare_vjp");
        view_.second_jvp = keep(programs, "second_jvp");
        view_.outputs_jvp = keep(programs, "outputs_jvp");
        view_.initial_jvp = keep(programs, "initial_jvp");
        view_.prepare_jvp = keep(programs, "prepare_jvp");
    }

    // What each stage runs, on the regions of that stage.
    void move_to_stage(const Given& programs, int i) {
        const Layout& at = view_.at;
        const std::int32_t u = at.u + i * at.n;
        view_.stage_rhs[i] = moved(keep(programs, "rhs"), at.f, at.n, u);
        view_.stage_solve[i] = moved(keep(programs, "solve"), at.f, at.n, u);
        if (adjoint_) {
            const std::int32_t block = at.block + 3 * i * at.n;
            view_.stage_transposed[i] =
                moved(keep(programs, "solve_transposed"), at.block, 3 * at.n, block);
            view_.stage_vjp[i] =
                moved(moved(keep(programs, "stage_vjp"), at.block, 3 * at.n, block), at.u, at.n, u);
        }
        if (tangents_) {
            const std::int32_t udot = at.udot + i * at.n;
            view_.stage_jvp[i] = moved(keep(programs, "stage_jvp"), at.f, at.n, udot);
            view_.stage_solve_dot[i] = moved(keep(programs, "solve"), at.f, at.n, udot);
        }
    }

    const std::int32_t* keep(const Given& programs, const char* name) {
        const auto code = array_of<std::int32_t>(programs[name], name, {-1});
        check_program(code, name, view_.at.slots);
        return code_.emplace_back(code.data(), code.data() + code.size()).data();
    }
    // The program kept last, with the slots of one region in another place.
    const std::int32_t* moved(const std::int32_t* code, std::int32_t from, std::int32_t count,
                              std::int32_t to) {
        auto& last = code_.back();
        relocate(code, from, count, to, last.data());
        return last.data();
    }
};

// From the addresses of its functions and its width, in the order of MachineCode; None: interpret.
inline MachineCode machine_code(const py::object& code) {
    MachineCode result;
    if (code.is_none()) return result;
    if (!py::isinstance<py::tuple>(code) || py::len(code) != 8)
        throw py::type_error(
            "code is no tuple of 8 numbers (seven addresses and a width). Give that of a compiled "
            "model, or None.");
    const auto parts = py::reinterpret_borrow<py::tuple>(code);
    const auto function = [&](int i) {
        return reinterpret_cast<void (*)(double*)>(
            Given::number_of<std::uintptr_t>(parts[i], "code"));
    };
    result.step = function(0);
    result.rhs = function(1);
    result.outputs = function(2);
    result.stages = function(3);
    result.reverse = function(4);
    result.outputs_vjp = function(5);
    result.tangent = function(6);
    result.width = Given::number_of<int>(parts[7], "code");
    require(result.step && result.rhs && result.outputs && result.stages && result.width > 0,
            "code", "has no address (of a function that every model has)");
    return result;
}

// Has the machine code the functions that derivatives call?
inline void check_functions(const MachineCode& code, const Derivatives& wanted) {
    const bool backward = code.reverse != nullptr && code.outputs_vjp != nullptr;
    require(code.step == nullptr || ((backward || wanted.gradient == nullptr) &&
                                     (code.tangent != nullptr || wanted.tangents == nullptr)),
            "code", "has no address (of a function for derivatives)");
}

// The method must fit the workspace that the model was lowered for.
inline void check_method(const Model& model, const std::string& method) {
    require(stages_of(method) <= model.view().at.stages, "model",
            "has fewer stages than the method (its workspace is too small)");
}

}  // namespace teorell::bindings
