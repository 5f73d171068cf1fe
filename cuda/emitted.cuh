// The executor of a model whose programs are code: what DeviceInterpreter is to its programs.
#pragma once

#include "fused_step.cuh"
#include "teorell/adjoint.hpp"
#include "teorell/tangent.hpp"

TEORELL_BEGIN

// A model's programs where everything lies in the workspace, as InterpretedModel has them. The code
// of a stage is there once, for all stages.
template <class V, class Model>
struct InSlots {
    using Slots = SlotsFrom<V>;
    TEORELL_HD static void factor(const Programs& m, double* ws) {
        Model::factor(Slots{ws}, Slots{ws}.at(m.at.y));
    }
    template <int i>
    TEORELL_HD static void stage(const Programs& m, double* ws) {
        any_stage(Slots{ws}, Slots{ws}.at(m.at.y), Slots{ws}.at(m.at.u + i * m.at.n));
    }
    template <int i>
    TEORELL_HD static void stage_reverse(const Programs& m, double* ws) {
        any_reverse(Slots{ws}, Slots{ws}.at(m.at.block + 3 * i * m.at.n),
                    Slots{ws}.at(m.at.u + i * m.at.n));
    }
    TEORELL_HD static void second_reverse(const Programs&, double* ws) {
        Model::second_vjp(Slots{ws});
    }
    template <int i>
    TEORELL_HD static void stage_dot(const Programs& m, double* ws) {
        any_dot(Slots{ws}, Slots{ws}.at(m.at.udot + i * m.at.n));
    }
    TEORELL_HD static void second_dot(const Programs&, double* ws) { Model::second_jvp(Slots{ws}); }

  private:
    TEORELL_HD TEORELL_NOINLINE static void any_stage(Slots w, Slots y, Slots u) {
        Model::stage(w, y, u);
    }
    TEORELL_HD TEORELL_NOINLINE static void any_reverse(Slots w, Slots block, Slots z) {
        Model::stage_reverse(w, block, z);
    }
    TEORELL_HD TEORELL_NOINLINE static void any_dot(Slots w, Slots udot) {
        Model::stage_dot(w, udot);
    }
};

// A step holds the stage value and the right-hand side of so many states in registers, two of 32
// bits for a double: 160 of the 255 that a thread may have. Larger models keep both in the
// workspace.
constexpr int most_states_held = 40;

// Every part is a function of its own, called from wherever the time loop needs it: compile time
// and code grow with the model once.
template <class V_, class Method_, class Model>
struct Emitted {
    using V = V_;
    using Method = Method_;
    using Programmed = InSlots<V, Model>;
    using Whole = Step<V, Method, Programmed>;
    static constexpr bool held = Model::n <= most_states_held;
    // As DeviceInterpreter has them: more than half of the states that can be held leave registers
    // for two blocks alone.
    static constexpr int blocks = held && Model::n > most_states_held / 2 ? 2 : 3;
    const Programs& programs;

    TEORELL_HD TEORELL_NOINLINE void step(double* ws) const {
        if constexpr (held)
            FusedStep<V, Method, Model>{{programs, ws}}();
        else
            Whole{{programs, ws}}();
    }
    TEORELL_HD TEORELL_NOINLINE void stages(double* ws) const {
        if constexpr (held)
            FusedStep<V, Method, Model>{{programs, ws}}.stages();
        else
            Whole{{programs, ws}}.stages();
    }
    TEORELL_HD TEORELL_NOINLINE void rhs(double* ws) const {
        const SlotsFrom<V> w{ws};
        Model::rhs(w, w.at(programs.at.y), w.at(programs.at.f));
    }
    TEORELL_HD TEORELL_NOINLINE void outputs(double* ws) const { Model::outputs(SlotsFrom<V>{ws}); }
    TEORELL_HD TEORELL_NOINLINE void reverse(double* ws) const {
        ReverseStep<V, Method, Programmed>{{programs, ws}}();
    }
    TEORELL_HD TEORELL_NOINLINE void outputs_vjp(double* ws) const {
        Model::outputs_vjp(SlotsFrom<V>{ws});
    }
    TEORELL_HD TEORELL_NOINLINE void tangent(double* ws) const {
        TangentStep<V, Method, Programmed>{{programs, ws}}();
    }
};

TEORELL_END
