// One Rosenbrock-Wanner step by a team: the model's programs in rounds, the loops over states in
// strides of the team. The bits are those of rosenbrock.hpp. State k is always the same lane's, so
// that its stage vectors need no waiting; rhs and solve work on region f for every stage.
#pragma once

#include "device_method.hpp"
#include "team_program.cuh"
#include "teorell/rosenbrock.hpp"

TEORELL_BEGIN

template <class Method, bool shared>
struct TeamStep : Slots<double> {
    TeamCode<shared> code;
    static constexpr int s = Method::stages;

    // Reads and writes what Step does, but for regions y and f. The team waits before and after.
    TEORELL_HD void operator()() const {
        stages();
        finish();
    }

    // What Step::stages does.
    TEORELL_HD void stages() const {
        const double h = scalar(s_h), tn = scalar(s_tn), hinv = 1.0 / h;
        leader_puts(s_hinv, hinv);
        leader_puts(s_ghinv, 1.0 / Method::gamma * hinv);
        leader_puts(s_t, tn);
        for_states([this](int k) {
            const double y = get(m.at.yn + k);
            put(m.at.y + k, y);
            put(m.at.f + k, 0.0);
            if (!m.is_signed[k]) put(m.at.top + k, max(get(m.at.top + k), abs(y)));
        });
        await_team();
        code.run(team_jacobian_lu, ws);
        if (m.at.n_ft > 0) code.run(team_df_dt, ws);
        stages_from<0>(h, tn, hinv);
    }

  private:
    template <class Act>
    TEORELL_HD TEORELL_INLINE void for_states(Act act) const {
        for (int k = team_lane(); k < m.at.n; k += warp) act(k);
    }
    TEORELL_HD TEORELL_INLINE void leader_puts(Scalar which, double value) const {
        if (team_lane() == 0) put(m.at.scalar + which, value);
    }

    template <int i>
    TEORELL_HD void stages_from(double h, double tn, double hinv) const {
        if constexpr (i > 0) {
            leader_puts(s_t, fma(Method::c[i], h, tn));
            combine<i>(hinv);
        }
        if (Method::d[i] != 0.0)
            for (int e = 0; e < m.at.n_ft; ++e)
                if (m.ft_rows[e] % warp == team_lane()) {
                    const std::int32_t f = m.at.f + m.ft_rows[e];
                    put(f, fma(h * Method::d[i], get(m.at.ft + e), get(f)));
                }
        await_team();
        code.run(team_rhs, ws);
        code.run(team_solve, ws);
        for_states([this](int k) { put(m.at.u + i * m.at.n + k, get(m.at.f + k)); });
        if constexpr (i + 1 < s) stages_from<i + 1>(h, tn, hinv);
    }

    template <int i>
    TEORELL_HD void combine(double hinv) const {
        const auto a = Method::a;
        const auto C = Method::C;
        for_states([&](int k) {
            double y = get(m.at.yn + k), f = 0.0;
            for (int j = 0; j < i; ++j) {
                const double u = get(m.at.u + j * m.at.n + k), c = C[i][j] * hinv;
                f = j == 0 ? c * u : fma(c, u, f);
                if (!adds_previous_stage<Method>(i)) y = fma(a[i][j], u, y);
            }
            if (adds_previous_stage<Method>(i))
                y = get(m.at.y + k) + get(m.at.u + (i - 1) * m.at.n + k);
            put(m.at.y + k, y);
            put(m.at.f + k, f);
        });
    }

    // The terms of the error norm take the place of y; their sums are the leader's.
    TEORELL_HD void finish() const {
        const double rtol = scalar(s_rtol), ten_rtol = 10.0 * rtol;
        bool finite = true, negative = false;
        for_states([&](int k) {
            const double error = get(m.at.u + (s - 1) * m.at.n + k), y = get(m.at.yn + k),
                         ynew = get(m.at.y + k) + error, atol = get(m.at.atol + k);
            put(m.at.ynew + k, ynew);
            put(m.at.y + k, error / fma(rtol, max(abs(y), abs(ynew)), atol));
            finite = finite && ynew * 0.0 == 0.0;
            negative = negative || (!m.is_signed[k] &&
                                    fma(100.0, atol, fma(ten_rtol, get(m.at.top + k), ynew)) < 0.0);
        });
        const bool all_finite = !any_of_team(!finite), any_negative = any_of_team(negative);
        leader_puts(s_valid, !all_finite ? 0.0 : any_negative ? -1.0 : 1.0);
        await_team();
        if (team_lane() != 0) return;
        double sum[4] = {0.0, 0.0, 0.0, 0.0};
        for (int k = 0, turn = 0; k < m.at.n; ++k)
            if (m.controlled[k]) {
                const double q = get(m.at.y + k);
                sum[turn] = fma(q, q, sum[turn]);
                turn = (turn + 1) & 3;
            }
        put(m.at.scalar + s_err2, ((sum[0] + sum[1]) + (sum[2] + sum[3])) * m.inverse_n_controlled);
    }
};

TEORELL_END
