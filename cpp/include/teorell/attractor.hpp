// The fixed point x = flow(x) that a long train of doses leads to: what is decided for one flow.
//
// The train x, flow(x), flow(flow(x)), ... follows dx/dN = flow(x) - x by the number of doses. It
// is followed from the initial state by implicit Euler steps of h doses, (1/h + I - M) dx =
// flow(x) - x (pseudo-transient continuation: Kelley & Keyes, SIAM J. Numer. Anal. 35, 1998, 508),
// h as long as what the step leaves over, seen through the same matrix, is small beside the step
// (the natural monotonicity test: Deuflhard, Newton Methods for Nonlinear Problems, 2004, 3.3). An
// infinite h is Newton's step, which is tried first. M is the derivative of the flow.
//
// A coarse solver leads near the point. There Newton's steps go on with the solver that was asked
// for, and the step (I - M)^-1 (flow(x) - x) is the error of the state: a point is accepted by it,
// never by the residual alone, and only where it attracts and no state is negative.
#pragma once

#include "interval_matrix.hpp"
#include "status.hpp"

namespace teorell {

constexpr double near_enough = 1e-2;          // relative error at which the way ends
constexpr double too_far = 1e8;               // times the state after the first doses
constexpr double aim = 0.1, accepted = 10.0;  // error of a point, in rtol
constexpr double most_drift = 1e-5;           // part of a state by which a total may seem to move
constexpr std::int32_t searched = -1;         // the status of what is not found yet

// What all flows share.
struct SearchSettings {
    dense::Index m;                // states
    double rtol;                   // that was asked for
    const double* least;           // [m] below this size an error counts as absolute
    const std::uint8_t* positive;  // [m] 1: the state cannot be negative
};

// One flow; arrays of m numbers, or (m, m).
class Attractor {
  public:
    // Doubles of one, and of `work`.
    static std::int64_t memory(std::int64_t m) { return IntervalMatrix::memory(m) + 6 * m; }
    static std::int64_t work_memory(std::int64_t m) {
        return IntervalMatrix::work_memory(m) + 5 * m;
    }

    Attractor(const SearchSettings& s, const double* start, bool rhythmic, double* x,
              double* projection, double* memory)
        : x(x),
          next(memory),
          s(s),
          m(s.m),
          start(start),
          value(memory + m),
          step(memory + 2 * m),
          residual(memory + 3 * m),
          best_x(memory + 4 * m),
          last_x(memory + 5 * m),
          rhythmic(rhythmic),
          matrix(m, memory + 6 * m, projection) {
        for (int i = 0; i < m; ++i) x[i] = start[i];
    }

    std::int32_t status = success;  // once it is over; `searched` before
    double* x;                      // where the search is
    double* next;                   // where it tries to go
    bool stale = false;             // M is to be computed again
    bool examined = false;          // by `keep_totals`
    bool doubts = false;            // M is to be looked at more closely
    bool ended = false;             // `correct` was called often enough

    // Of a state, for errors.
    double size(int i) const { return std::fabs(x[i]) + s.least[i]; }
    bool searching() const { return status == searched; }
    bool found() const { return status == success; }
    bool known_in_part() const { return matrix.known_in_part(); }
    bool keeps_totals() const { return matrix.keeps_totals(); }

    // --- the first doses, followed one by one

    void dose(const double* reached, std::int32_t how, double* move) {
        status = how;
        for (int i = 0; i < m; ++i) {
            const double new_x = clipped(i, reached[i]);
            if (move != nullptr) move[i] = new_x - x[i];
            x[i] = new_x;
        }
    }

    void begin() {
        status = searched;
        double most = 0.0;
        for (int i = 0; i < m; ++i) most = larger(most, size(i));
        far = too_far * most;
    }

    // Orthonormal directions (d, m) that span the last moves (d, m), each state in its size.
    void span(const double* moves, double* directions, double* work) const {
        constexpr int d = most_directions;
        for (int k = 0; k < d; ++k) {
            const double* move = moves + (d - 1 - k) * m;  // the latest first
            double* part = work + k * m;
            for (int i = 0; i < m; ++i) part[i] = move[i] / size(i);
            const double length = std::sqrt(dense::dot(m, part, part));
            for (int i = 0; i < m && length > 0.0; ++i) part[i] /= length;
        }
        dense::orthonormal_rows(d, m, work, directions);
    }

    // What M makes of these, (d, m), each state in its size.
    void see_along(const double* directions, const double* seen, double* work) {
        double* sizes = work;
        for (int i = 0; i < m; ++i) sizes[i] = size(i);
        matrix.set_along(directions, seen, sizes);
        doubts = rhythmic || doubtful(work);
    }

    // --- M

    void see(const double* all, double* work) { matrix.set(all, work); }

    bool doubtful(double* work) const {
        double* sizes = work;
        for (int i = 0; i < m; ++i) sizes[i] = whole_size(i);
        return matrix.doubtful(sizes, rhythmic, work + m);
    }

    // Keeps the totals that nothing changes, by M (m, m) at a tight tolerance.
    void keep_totals(const double* all, double* work) {
        double *sizes = work, *totals = work + m, *rest = work + m + m * m;
        for (int i = 0; i < m; ++i) sizes[i] = whole_size(i);
        if (neutral_modes(m, all, sizes, totals, rest)) matrix.keep(totals, rest);
    }

    // Gives up where the dose moves one, by where a tight solver leads to.
    void check_totals(const double* reached, double* work) {
        if (!matrix.keeps_totals()) return;
        double *moved = work, *of_totals = work + m, most = 0.0;
        for (int i = 0; i < m; ++i) moved[i] = reached[i] - x[i];
        matrix.project(moved, of_totals);
        for (int i = 0; i < m; ++i) most = larger(most, std::fabs(of_totals[i] / whole_size(i)));
        if (!(most <= most_drift)) status = no_steady_state;
    }

    // What the first doses, coarsely solved, have moved of such totals goes back.
    void go_back(double* work) {
        if (!matrix.keeps_totals()) return;
        double *moved = work, *back = work + m;
        for (int i = 0; i < m; ++i) moved[i] = start[i] - x[i];
        matrix.project(moved, back);
        for (int i = 0; i < m; ++i) x[i] += back[i];
    }

    // --- the way, with a coarse solver

    void set_out(const double* reached, bool look_again) {
        for (int i = 0; i < m; ++i) value[i] = reached[i];
        h = infinity, last_h = 0.0;
        stale = look_again;
    }

    // The next point to try: by a step that leaves no state negative, as long as may be; where
    // there is none, the next dose alone is followed.
    void propose(double* work) {
        for (int i = 0; i < m; ++i) residual[i] = value[i] - x[i];
        matrix.keep_out(residual, work);
        for (; h > 0.0; h = shorter()) {
            solve(residual, step, work);
            for (int i = 0; i < m; ++i) next[i] = inside(i, x[i] + step[i], value[i]);
            if (dense::all_finite(m, step) && allowed(next)) break;
        }
        for (int i = 0; i < m; ++i) {
            if (h == 0.0) next[i] = clipped(i, value[i]);
            step[i] = next[i] - x[i];
        }
    }

    // Whether the step stands, and the next h, by where the next point leads to.
    void judge(const double* reached, std::int32_t how, double* work) {
        double *after = work, *over = work + m, *left_over = work + 2 * m, *rest = work + 3 * m;
        const bool one_dose = h == 0.0, newton = h == infinity;
        for (int i = 0; i < m; ++i) after[i] = reached[i] - next[i];
        matrix.keep_out(after, rest);
        for (int i = 0; i < m; ++i) over[i] = after[i] - step[i] / (one_dose ? infinity : h);
        solve(over, left_over, rest);
        const double left = worst(left_over, next),
                     // below near_enough a coarse solver's jumps are all that is left
            ratio = left / larger(worst(step, next), 4.0 * near_enough);
        const bool good = how == success && (ratio <= 0.5 || one_dose),
                   near = good && newton && left <= near_enough;
        stale = good && !(newton && ratio <= 0.25);
        if (good && newton && !stale) {
            double *sizes = over, *more = rest;
            for (int i = 0; i < m; ++i) sizes[i] = std::fabs(next[i]) + s.least[i];
            matrix.learn(step, residual, after, sizes, more);
        }
        if (good && h < infinity) last_h = h;
        h = good ? longer(ratio) : shorter();
        double most = 0.0;
        for (int i = 0; i < m; ++i) {
            if (good) x[i] = next[i], value[i] = reached[i];
            most = larger(most, std::fabs(x[i]));
        }
        if (near) status = success;
        if ((one_dose && how != success) || !(most <= far)) status = no_steady_state;
    }

    // --- the end, at the tolerance that was asked for

    void approach() {
        for (int i = 0; i < m; ++i) best_x[i] = last_x[i] = x[i];
        before = best = infinity;
        fresh = ended = false, slow = 0;
    }

    // One of Newton's steps, from x, by where x leads to.
    void correct(const double* reached, std::int32_t how, double* work) {
        double *now = work, *moved = work + m, *rest = work + 3 * m;
        for (int i = 0; i < m; ++i) now[i] = reached[i] - x[i];
        matrix.keep_out(now, rest);
        if (before < infinity) {
            double* sizes = work + 2 * m;
            for (int i = 0; i < m; ++i) moved[i] = x[i] - last_x[i], sizes[i] = size(i);
            matrix.learn(moved, residual, now, sizes, rest);
        }
        for (int i = 0; i < m; ++i) last_x[i] = x[i], residual[i] = now[i];
        matrix.solve(residual, step);
        double error = worst(step, x) / s.rtol;
        if (how != success || !std::isfinite(error)) error = infinity;
        // what is left after a step is to it as it is to the one before
        const double shrunk = error / before,
                     left = error <= 1.0 ? error * (shrunk < 1.0 ? shrunk : 1.0) : error;
        const bool worse = !(error < 0.3 * before), better = error < best;
        if (better) best = error;
        for (int i = 0; i < m; ++i) {
            const double new_x = inside(i, x[i] + step[i], reached[i]);
            // the step is the error of x: of an accepted point what is left is less
            if (better) best_x[i] = left <= aim ? new_x : x[i];
            if (std::isfinite(new_x)) x[i] = new_x;
        }
        ended = left <= aim || (worse && fresh && slow > 2) || how != success;
        slow += worse && fresh;
        before = error;
        stale = worse && !fresh && !ended;
        if (stale) fresh = !matrix.known_in_part(), before = infinity;
    }

    // Takes the best point, or searches on.
    void accept() {
        for (int i = 0; i < m; ++i) x[i] = best_x[i];
        if (status == success && !(best <= accepted && allowed(best_x))) status = searched;
    }

    // Is M (m, m), at a tight tolerance and used up, that of a point that attracts?
    bool stands(double* all, double* work) const {
        matrix.without_totals(all);
        return attracts(m, all, work);
    }

  private:
    static constexpr double infinity = std::numeric_limits<double>::infinity();
    const SearchSettings& s;
    dense::Index m;
    const double* start;
    // Where x leads to; the step from x, and the residual that it follows from.
    double *value, *step, *residual, *best_x, *last_x;
    double h = infinity, last_h = 0.0;          // doses of a step, and of the one before
    double far = 0.0;                           // a state this large leads nowhere
    double before = infinity, best = infinity;  // errors, in rtol
    int slow = 0;                               // steps with a fresh M that did little
    bool fresh = false;                         // has M been computed since the way?
    bool rhythmic;                              // may states oscillate by themselves?
    IntervalMatrix matrix;

    // NaN where one is.
    static double larger(double a, double b) { return b > a || b != b ? b : a; }

    // The step from a residual: as good as M is known where h is infinite, or 0.
    void solve(const double* right, double* result, double* work) const {
        if (h == 0.0 || h == infinity)
            matrix.solve(right, result);
        else
            matrix.solve(right, h, result, work);
    }

    double whole_size(int i) const { return size(i) + std::fabs(start[i]); }

    // How large a step is, of the state, in its worst component.
    double worst(const double* of, const double* at) const {
        double most = 0.0;
        for (int i = 0; i < m; ++i)
            most = larger(most, std::fabs(of[i]) / (std::fabs(at[i]) + s.least[i]));
        return most;
    }

    // What is negative by little as the flow has it: fast modes die out by themselves.
    double inside(int i, double new_x, double reached) const {
        const bool little = new_x < 0.0 && s.positive[i] != 0 && new_x > -1e-2 * size(i);
        return little ? (reached < 0.0 ? 0.0 : reached) : new_x;
    }

    // As a coarse solver leaves it, without what it leaves below zero.
    double clipped(int i, double reached) const {
        return s.positive[i] != 0 && reached < 0.0 ? 0.0 : reached;
    }

    // Is no state negative that cannot be?
    bool allowed(const double* at) const {
        bool all = true;
        for (int i = 0; i < m; ++i) all = all && !(at[i] < 0.0 && s.positive[i] != 0);
        return all;
    }

    // The next h after a step of which this part was left over.
    double longer(double ratio) const {
        if (h == 0.0) return 4.0;
        if (!(ratio <= 0.25)) return h;
        return ratio < 0.02 ? infinity : (ratio < 0.1 ? 30.0 : 4.0) * h;
    }

    // h after one that was too long; 0 once it is no longer than a dose.
    double shorter() const {
        if (h == infinity) return 16.0 * last_h > 256.0 ? 16.0 * last_h : 256.0;
        return h > 2.0 ? h / 8.0 : 0.0;
    }
};

}  // namespace teorell
