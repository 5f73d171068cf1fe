// The reverse of a step by a team: see team_step.cuh. The bits are those of adjoint.hpp. The
// programs of a stage work on regions of their own behind all others, where the stage's y, w, Y and
// z = y + u are copied to and from.
#pragma once

#include "team_step.cuh"
#include "teorell/adjoint.hpp"

TEORELL_BEGIN

template <class Method, bool shared>
struct TeamReverse : ReverseStep<double, Method> {
    using Places = ReverseStep<double, Method>;
    using Places::m, Places::ws, Places::get, Places::put, Places::scalar;
    using Places::s, Places::y, Places::z, Places::w, Places::Y, Places::kept;
    TeamCode<shared> code;

    // The team waits before and after.
    TEORELL_HD void operator()() const {
        stage_values();
        stages_down_from<s - 1>();
        finish();
    }

  private:
    // Where the programs have y, w, Y and z.
    enum Region { at_y, at_w, at_Y, at_z };
    TEORELL_HD TEORELL_INLINE int here(Region region, int k) const {
        return m.at.slots + region * m.at.n + k;
    }
    template <class Act>
    TEORELL_HD TEORELL_INLINE static void deal(int count, Act act) {
        for (int k = team_lane(); k < count; k += warp) act(k);
    }
    TEORELL_HD TEORELL_INLINE void leader_puts(Scalar which, double value) const {
        if (team_lane() == 0) put(m.at.scalar + which, value);
    }

    TEORELL_HD void stage_values() const {
        deal(m.at.n_entries, [this](int e) {
            for (int i = 0; i < s; ++i)
                put(kept(i, e), get(z(i, m.entries[std::int64_t{3} * e + 1])));
        });
        await_team();
        deal(m.at.n, [this](int k) {
            double u[s];
            for (int i = 0; i < s; ++i) u[i] = get(z(i, k));
            this->template values_from<0>(k, u, get(m.at.yn + k));
        });
    }

    template <int i>
    TEORELL_HD void stages_down_from() const {
        leader_puts(s_t, i > 0 ? fma(Method::c[i], scalar(s_h), scalar(s_tn)) : scalar(s_tn));
        deal(m.at.n, [this](int k) { gather<i>(k); });
        for (int o = 0; o < m.n_output_states; ++o)
            if (m.output_states[o] % warp == team_lane()) add_moments<i>(o);
        deal(m.at.n, [this](int k) {
            put(here(at_y, k), get(y(i, k)));
            put(here(at_w, k), get(w(i, k)));
            put(here(at_z, k), get(z(i, k)));
        });
        await_team();
        code.run(team_solve_transposed, ws);
        code.run(team_stage_vjp, ws);
        deal(m.at.n, [this](int k) {
            put(w(i, k), get(here(at_w, k)));
            double sum = get(here(at_Y, k));
            if constexpr (i + 1 == s)
                sum = sum + get(m.at.lam + k);
            else if constexpr (adds_previous_stage<Method>(i + 1))
                sum = sum + get(Y(i + 1, k));
            put(Y(i, k), sum);
        });
        if constexpr (i > 0) stages_down_from<i - 1>();
    }

    // The right-hand side of w_i, but for what samples add to it.
    template <int i>
    TEORELL_HD TEORELL_INLINE void gather(int k) const {
        const auto C = Method::C;
        const auto a = Method::a;
        double r;
        if constexpr (i + 1 == s)
            r = get(m.at.lam + k);
        else if constexpr (adds_previous_stage<Method>(i + 1))
            r = get(Y(i + 1, k));
        else
            r = a[i + 1][i] * get(Y(i + 1, k));
        for (int j = i + 2; j < s; ++j)
            if (!adds_previous_stage<Method>(j)) r = fma(a[j][i], get(Y(j, k)), r);
        for (int j = i + 1; j < s; ++j) r = fma(C[j][i] * scalar(s_hinv), get(w(j, k)), r);
        put(w(i, k), r);
    }
    template <int i>
    TEORELL_HD TEORELL_INLINE void add_moments(int o) const {
        const auto H = Method::H;
        const std::int32_t slot = w(i, m.output_states[o]);
        double sum = get(slot);
        for (int r = 0; r < Method::dense; ++r)
            sum = fma(H[r][i], get(m.at.ubar + r * m.n_output_states + o), sum);
        put(slot, sum);
    }

    TEORELL_HD void finish() const {
        const auto& L = m.at;
        const auto d = Method::d;
        await_team();
        deal(L.n_entries, [&](int e) {
            const std::int32_t row = m.entries[std::int64_t{3} * e];
            double sum = get(w(s - 1, row)) * get(kept(s - 1, e));
            for (int i = s - 2; i >= 0; --i) sum = fma(get(w(i, row)), get(kept(i, e)), sum);
            put(L.entries + e, sum);
        });
        deal(L.n_ft, [&](int e) {
            double sum = 0.0;
            for (int i = 0; i < s; ++i)
                if (d[i] != 0.0) sum = fma(scalar(s_h) * d[i], get(w(i, m.ft_rows[e])), sum);
            put(L.entries_ft + e, sum);
        });
        leader_puts(s_t, scalar(s_tn));
        await_team();
        code.run(team_second_vjp, ws);
        deal(L.n, [&](int k) {
            double sum = get(L.ynbar + k);
            for (int i = s - 1; i >= 0; --i)
                if (!adds_previous_stage<Method>(i)) sum = sum + get(Y(i, k));
            put(L.lam + k, sum);
        });
    }
};

TEORELL_END
