// The programs of a team, dealt out in rounds by teorell/device/team_programs.py, which has the
// format of the words.
#pragma once

#include "emitted_slots.cuh"
#include "team_threads.cuh"
#include "teorell/device.hpp"

TEORELL_BEGIN

// In the order of TEAM_PROGRAMS.
enum TeamProgram : int {
    team_rhs,
    team_solve,
    team_jacobian_lu,
    team_df_dt,
    team_outputs,
    team_solve_transposed,
    team_stage_vjp,
    team_second_vjp,
    team_outputs_vjp
};

// One lane's instruction of a round.
struct TeamInstruction {
    static constexpr int products = 4, pairs = (2 + products) / 2;
    unsigned word[2 * pairs];

    // As [pair][lane][2]: a team reads memory side by side.
    TEORELL_HD TEORELL_INLINE explicit TeamInstruction(const unsigned* round) {
        TEORELL_UNROLL
        for (int k = 0; k < pairs; ++k) {
            const unsigned* two = round + 2 * (k * warp + team_lane());
            word[2 * k] = two[0], word[2 * k + 1] = two[1];
        }
    }
    TEORELL_HD TEORELL_INLINE Op op() const { return static_cast<Op>(word[0] & 0xFF); }
    TEORELL_HD TEORELL_INLINE int plus() const { return word[0] >> 8 & 15; }
    TEORELL_HD TEORELL_INLINE int minus() const { return word[0] >> 12 & 15; }
    TEORELL_HD TEORELL_INLINE int result() const { return static_cast<int>(word[0] >> 16); }
    TEORELL_HD TEORELL_INLINE int low(int k) const { return word[k] & 0xFFFF; }
    TEORELL_HD TEORELL_INLINE int high(int k) const { return static_cast<int>(word[k] >> 16); }
};

// The view of them.
struct TeamWords {
    const unsigned* words;
};

// shared: that is where the workspaces lie.
template <bool shared>
struct TeamCode {
    const unsigned* words;

    TEORELL_HD int slots() const { return static_cast<int>(words[0]); }

    // By all of the team, which has waited for what the program reads; its results are there when
    // this returns.
    TEORELL_HD TEORELL_APART void run(TeamProgram program, double* ws) const {
        constexpr int length = 2 * TeamInstruction::pairs * warp;
        const unsigned* round = words + words[1 + 2 * program];
        TeamInstruction coming(round);
        for (unsigned left = words[2 + 2 * program]; left > 0; --left) {
            const TeamInstruction now = coming;
            coming = TeamInstruction(round += length);
            execute(now, ws);
            await_team();
        }
    }

  private:
    TEORELL_HD TEORELL_INLINE static double* at(double* ws, int slot) {
        double* place = ws + slot;
        if constexpr (shared)
            TEORELL_IN_SHARED_MEMORY(place);
        else
            TEORELL_IN_DEVICE_MEMORY(place);
        return place;
    }

    TEORELL_HD TEORELL_INLINE static void execute(const TeamInstruction& item, double* ws) {
        const auto get = [ws](int slot) { return *at(ws, slot); };
        const auto put = [&](double value) { *at(ws, item.result()) = value; };
        const auto a = [&] { return get(item.low(1)); };
        const auto b = [&] { return get(item.high(1)); };
        switch (item.op()) {
        case Op::sum: put(sum(item, ws)); break;
        case Op::div: put(a() / b()); break;
        case Op::sqrt: put(sqrt(a())); break;
        case Op::min: put(min(a(), b())); break;
        case Op::max: put(max(a(), b())); break;
        case Op::lt: put(a() < b() ? 1.0 : 0.0); break;
        case Op::le: put(a() <= b() ? 1.0 : 0.0); break;
        case Op::select: put(a() != 0.0 ? b() : get(item.low(2))); break;
        case Op::abs: put(abs(a())); break;
        case Op::round: put(round_to_integer(a())); break;
        case Op::exp2i: put(exp2_integer(a())); break;
        case Op::exponent: put(exponent(a())); break;
        case Op::mantissa: put(mantissa(a())); break;
        default: break;  // idle
        }
    }

    TEORELL_HD TEORELL_INLINE static double sum(const TeamInstruction& item, double* ws) {
        constexpr int none = 0xFFFF;
        const int plus = item.plus(), all = plus + item.minus(), start = item.low(1);
        double total = start == none ? 0.0 : *at(ws, start);
        TEORELL_UNROLL
        for (int j = 0; j < TeamInstruction::products; ++j) {
            if (j >= all) break;
            const double a = *at(ws, item.low(2 + j)), b = *at(ws, item.high(2 + j));
            if (j == 0 && start == none)
                total = plus > 0 ? a * b : -(a * b);
            else
                total = fma(j < plus ? a : -a, b, total);
        }
        return total;
    }
};

TEORELL_END
