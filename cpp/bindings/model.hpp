// The programs of a model, and its machine code.
#pragma once

#include <cstring>
#include <stdexcept>
#include <vector>

#include "../src/kernel.hpp"
#include "arrays.hpp"

namespace teorell::bindings {

// The fields of Layout, in their order.
inline py::tuple layout_fields() {
    return py::make_tuple(
        "const", "coef", "scalar", "y", "f", "lu", "yn", "ynew", "top", "atol", "u", "ft", "out",
        "params", "block", "ukept", "ubar", "lam", "ynbar", "coefbar", "paramsbar", "outbar",
        "ysbar", "outcoef", "z", "ydot", "yndot", "udot", "coefdot", "paramsdot", "outdot",
        "entries", "entries_ft", "temp", "slots", "n_const", "n_coef", "n", "n_ft", "n_out",
        "n_params", "n_switches", "rates", "n_rates", "stages", "n_entries", "n_outcoef");
}

// Owns what Programs points into.
class Model {
  public:
    Model(const Array<std::int32_t>& layout, const Array<double>& constants,
          const py::dict& programs, const Array<std::int32_t>& ft_rows,
          const Array<std::int32_t>& output_states, const Array<std::uint8_t>& controlled,
          const Array<std::uint8_t>& is_signed, const Array<double>& switch_before,
          const Array<std::int32_t>& entries, const Array<std::int32_t>& output_coefs,
          const Array<std::int32_t>& sampled_states)
        : constants_(copy_of(constants)),
          switch_before_(copy_of(switch_before)),
          ft_rows_(copy_of(ft_rows)),
          output_states_(copy_of(output_states)),
          entries_(copy_of(entries)),
          output_coefs_(copy_of(output_coefs)),
          sampled_states_(copy_of(sampled_states)),
          controlled_(copy_of(controlled)),
          signed_(copy_of(is_signed)) {
        if (layout.size() * sizeof(std::int32_t) != sizeof(Layout))
            throw std::invalid_argument("the layout has another length than this core's");
        std::memcpy(&view_.at, layout.data(), sizeof(Layout));
        if (view_.at.stages > max_stages) throw std::invalid_argument("too many stages");
        show_arrays();
        keep_programs(programs);
        for (int i = 0; i < view_.at.stages; ++i) move_to_stage(programs, i);
    }
    Model(const Model&) = delete;
    Model& operator=(const Model&) = delete;

    const Programs& view() const { return view_; }

  private:
    std::vector<std::vector<std::int32_t>> code_;
    std::vector<double> constants_, switch_before_;
    std::vector<std::int32_t> ft_rows_, output_states_, entries_, output_coefs_, sampled_states_;
    std::vector<std::uint8_t> controlled_, signed_;
    Programs view_{};

    template <class T>
    static std::vector<T> copy_of(const Array<T>& array) {
        return {array.data(), array.data() + array.size()};
    }

    void show_arrays() {
        view_.constants = constants_.data();
        view_.switch_before = switch_before_.data();
        view_.ft_rows = ft_rows_.data();
        view_.output_states = output_states_.data();
        view_.n_output_states = static_cast<std::int32_t>(output_states_.size());
        view_.entries = entries_.data();
        view_.output_coefs = output_coefs_.data();
        view_.sampled_states = sampled_states_.data();
        view_.n_sampled_states = static_cast<std::int32_t>(sampled_states_.size());
        view_.controlled = controlled_.data();
        view_.is_signed = signed_.data();
        int count = 0;
        for (const auto c : controlled_) count += c;
        view_.inverse_n_controlled = count > 0 ? 1.0 / count : 0.0;
    }

    void keep_programs(const py::dict& programs) {
        view_.prepare = keep(programs["prepare"]);
        view_.initial = keep(programs["initial"]);
        view_.rhs = keep(programs["rhs"]);
        view_.df_dt = keep(programs["df_dt"]);
        view_.jacobian_lu = keep(programs["jacobian_lu"]);
        view_.outputs = keep(programs["outputs"]);
        view_.second_vjp = keep(programs["second_vjp"]);
        view_.outputs_vjp = keep(programs["outputs_vjp"]);
        view_.initial_vjp = keep(programs["initial_vjp"]);
        view_.prepare_vjp = keep(programs["prepare_vjp"]);
        view_.second_jvp = keep(programs["second_jvp"]);
        view_.outputs_jvp = keep(programs["outputs_jvp"]);
        view_.initial_jvp = keep(programs["initial_jvp"]);
        view_.prepare_jvp = keep(programs["prepare_jvp"]);
    }

    // What each stage runs, on the regions of that stage.
    void move_to_stage(const py::dict& programs, int i) {
        const Layout& at = view_.at;
        const std::int32_t u = at.u + i * at.n, block = at.block + 3 * i * at.n,
                           udot = at.udot + i * at.n;
        view_.stage_rhs[i] = moved(programs["rhs"], at.f, at.n, u);
        view_.stage_solve[i] = moved(programs["solve"], at.f, at.n, u);
        view_.stage_transposed[i] = moved(programs["solve_transposed"], at.block, 3 * at.n, block);
        view_.stage_vjp[i] =
            moved_again(at.u, at.n, u, moved(programs["stage_vjp"], at.block, 3 * at.n, block));
        view_.stage_jvp[i] = moved(programs["stage_jvp"], at.f, at.n, udot);
        view_.stage_solve_dot[i] = moved(programs["solve"], at.f, at.n, udot);
    }

    const std::int32_t* keep(const py::handle& program) {
        return code_.emplace_back(copy_of(program.cast<Code>())).data();
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

// From the addresses of its functions and its width, in the order of MachineCode; None: interpret.
inline MachineCode machine_code(const py::object& code) {
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

}  // namespace teorell::bindings
