// What of a step is the model's own, interpreted. Step, ReverseStep and TangentStep call it; on a
// device they may be given the same as code of the model's (cuda/emitted.cuh).
#pragma once

#include "interpreter.hpp"

TEORELL_BEGIN

// i: the number of the stage, whose slots take the place of regions f, or block and u.
template <class V>
struct InterpretedModel {
    // The factors of ghinv I - J, and df/dt.
    TEORELL_HD TEORELL_INLINE static void factor(const Programs& m, double* ws) {
        interpret<V>(m.jacobian_lu, ws);
        if (m.at.n_ft > 0) interpret<V>(m.df_dt, ws);
    }
    template <int i>
    TEORELL_HD TEORELL_INLINE static void stage(const Programs& m, double* ws) {
        interpret<V>(m.stage_rhs[i], ws);
        interpret<V>(m.stage_solve[i], ws);
    }
    template <int i>
    TEORELL_HD TEORELL_INLINE static void stage_reverse(const Programs& m, double* ws) {
        interpret<V>(m.stage_transposed[i], ws);
        interpret<V>(m.stage_vjp[i], ws);
    }
    TEORELL_HD TEORELL_INLINE static void second_reverse(const Programs& m, double* ws) {
        interpret<V>(m.second_vjp, ws);
    }
    template <int i>
    TEORELL_HD TEORELL_INLINE static void stage_dot(const Programs& m, double* ws) {
        interpret<V>(m.stage_jvp[i], ws);
        interpret<V>(m.stage_solve_dot[i], ws);
    }
    TEORELL_HD TEORELL_INLINE static void second_dot(const Programs& m, double* ws) {
        interpret<V>(m.second_jvp, ws);
    }
};

TEORELL_END
