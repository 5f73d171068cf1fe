#include "steady.hpp"

#include <algorithm>
#include <functional>

#include "interval_flows.hpp"

namespace teorell {
namespace {

constexpr int plain_doses = 2;  // that are followed one by one first
constexpr int few_states = 8;   // of more M is known first along the last moves alone
constexpr int most_on_the_way = 80, most_at_the_end = 20;       // flows
constexpr double coarsest = 1e-2, coarse = 1e-3, finer = 1e-5,  // tolerances of the solver
    tight = 1e-10;                                              // at which modes are told apart

// All flows, round by round: what one needs next, many do.
class Rounds {
  public:
    Rounds(FlowRunner& flows, const SearchSettings& settings, const Search& search,
           std::int64_t count)
        : flows_(flows),
          settings_(settings),
          m_(settings.m),
          count_(count),
          memory_(static_cast<std::size_t>(2 * m_ * m_ + Attractor::work_memory(m_))),
          many_(m_ > few_states && !search.totals),
          vectors_(new double[static_cast<std::size_t>(count * Attractor::memory(m_))]) {
        attractors_.reserve(static_cast<std::size_t>(count));
        for (std::int64_t k = 0; k < count; ++k)
            attractors_.emplace_back(settings_, search.start + k * m_, search.rhythmic[k] != 0,
                                     search.x + k * m_, search.projection + k * m_ * m_,
                                     vectors_.get() + k * Attractor::memory(m_));
    }

    void find() {
        begin();
        for (const auto [way, of_matrix] : {Way{coarse, coarsest}, Way{finer, finer}}) {
            const Numbers going = chosen(everyone(), &Attractor::searching);
            follow(going, larger(way), of_matrix);
            end(chosen(going, &Attractor::found));
        }
        for (Attractor& each : attractors_)
            if (each.searching()) each.status = no_steady_state;
        check_that_they_attract(chosen(everyone(), &Attractor::found));
    }

    const Attractor& result(std::int64_t k) const { return of(k); }

  private:
    struct Way {
        double way, of_matrix;  // tolerances
    };
    FlowRunner& flows_;
    const SearchSettings& settings_;
    std::int64_t m_, count_;
    std::size_t memory_;  // doubles of a thread
    bool many_;
    std::unique_ptr<double[]> vectors_;
    std::vector<Attractor> attractors_;

    const Attractor& of(std::int64_t k) const { return attractors_[static_cast<std::size_t>(k)]; }
    Attractor& of(std::int64_t k) { return attractors_[static_cast<std::size_t>(k)]; }

    double larger(double rtol) const { return rtol > settings_.rtol ? rtol : settings_.rtol; }
    double smaller(double rtol) const { return rtol < settings_.rtol ? rtol : settings_.rtol; }

    Numbers everyone() const {
        Numbers all(static_cast<std::size_t>(count_));
        for (std::int64_t k = 0; k < count_; ++k) all[static_cast<std::size_t>(k)] = k;
        return all;
    }
    template <class Condition>
    Numbers chosen(const Numbers& which, Condition condition) const {
        Numbers result;
        for (const std::int64_t k : which)
            if (std::invoke(condition, of(k))) result.push_back(k);
        return result;
    }

    // action(attractor, p, workspace), p its number among these.
    template <class Action>
    void each(const Numbers& which, Action action) {
        flows_.each(which, memory_,
                    [&](std::int64_t k, std::int64_t p, double* work) { action(of(k), p, work); });
    }
    // action(attractor, where it led to, how that went, workspace) after these were advanced.
    template <class Action>
    void each_reached(const Numbers& which, Action action) {
        each(which, [&](Attractor& one, std::int64_t p, double* work) {
            flows_.reached(p, work);
            action(one, work, flows_.status(p), work + m_);
        });
    }
    // action(attractor, M, workspace) after these were differentiated in all directions.
    template <class Action>
    void each_matrix(const Numbers& which, Action action) {
        each(which, [&](Attractor& one, std::int64_t p, double* work) {
            for (int i = 0; i < m_; ++i) {
                const double* row = flows_.derivatives(p, i);
                std::copy(row, row + m_, work + i * m_);
            }
            action(one, work, work + m_ * m_);
        });
    }

    void advance(const Numbers& which, double rtol) {
        flows_.advance(which, rtol, [this](std::int64_t k) { return of(k).x; });
    }
    void differentiate(const Numbers& which, double rtol) {
        for (const std::int64_t k : which)
            for (int d = 0; d < m_; ++d)
                for (int i = 0; i < m_; ++i) flows_.direction(k, d, i) = d == i ? 1.0 : 0.0;
        flows_.differentiate(which, rtol, [this](std::int64_t k) { return of(k).x; }, m_);
    }

    // The first doses one by one; a patient whom the solver fails says so.
    void begin() {
        const int doses = many_ ? most_directions : plain_doses;
        const std::int64_t all_moves = doses * m_;
        std::vector<double> moves(many_ ? static_cast<std::size_t>(count_ * all_moves) : 0);
        const auto moves_of = [&](std::int64_t k) { return moves.data() + k * all_moves; };
        Numbers active = everyone();
        for (int dose = 0; dose < doses; ++dose) {
            advance(active, larger(many_ ? coarsest : coarse));
            flows_.each_here(active, memory_, [&](std::int64_t k, std::int64_t p, double* work) {
                flows_.reached(p, work);
                of(k).dose(work, flows_.status(p), many_ ? moves_of(k) + dose * m_ : nullptr);
            });
            active = chosen(active, &Attractor::found);
        }
        for (const std::int64_t k : active) of(k).begin();
        if (many_) {
            look_along(active, moves_of);
            active = chosen(active, [](const Attractor& one) { return one.doubts; });
        }
        compute(active, coarsest);
        each(chosen(active, &Attractor::keeps_totals),
             [](Attractor& one, std::int64_t, double* work) { one.go_back(work); });
    }

    // M along the last moves of each flow: moves_of(k), (doses, m).
    template <class Moves>
    void look_along(const Numbers& which, Moves moves_of) {
        constexpr int d = most_directions;
        std::vector<double> directions(static_cast<std::size_t>(count_ * d * m_));
        const auto directions_of = [&](std::int64_t k) { return directions.data() + k * d * m_; };
        flows_.each(which, memory_, [&](std::int64_t k, std::int64_t, double* work) {
            of(k).span(moves_of(k), directions_of(k), work);
            for (int j = 0; j < d; ++j)
                for (int i = 0; i < m_; ++i)
                    flows_.direction(k, j, i) = directions_of(k)[j * m_ + i] * of(k).size(i);
        });
        flows_.differentiate(
            which, larger(coarsest), [this](std::int64_t k) { return of(k).x; }, d);
        flows_.each(which, memory_, [&](std::int64_t k, std::int64_t p, double* work) {
            for (int i = 0; i < m_; ++i)
                for (int j = 0; j < d; ++j)
                    work[j * m_ + i] = flows_.derivatives(p, i)[j] / of(k).size(i);
            of(k).see_along(directions_of(k), work, work + d * m_);
        });
    }

    // All of M at x; and when it is first known what keeps its value.
    void compute(const Numbers& which, double rtol) {
        differentiate(which, larger(rtol));
        each_matrix(which, [&](Attractor& one, const double* all, double* work) {
            one.see(all, work);
            one.doubts = !one.examined && one.doubtful(work);
            one.examined = true;
        });
        const Numbers some = chosen(which, [](const Attractor& one) { return one.doubts; });
        differentiate(some, smaller(tight));
        each_matrix(some, [](Attractor& one, const double* all, double* work) {
            one.keep_totals(all, work);
        });
        const Numbers keeping = chosen(some, &Attractor::keeps_totals);
        advance(keeping, smaller(tight));
        each_reached(keeping, [](Attractor& one, const double* reached, std::int32_t,
                                 double* work) { one.check_totals(reached, work); });
    }

    // The train, with a coarse solver, until the point is near.
    void follow(Numbers going, double rtol, double of_matrix) {
        advance(going, rtol);
        flows_.each_here(going, memory_, [&](std::int64_t k, std::int64_t p, double* work) {
            flows_.reached(p, work);
            of(k).set_out(work, of_matrix != coarsest);
        });
        for (int round = 0; round < most_on_the_way && !going.empty(); ++round) {
            compute(chosen(going, [](const Attractor& one) { return one.stale; }), of_matrix);
            going = chosen(going, &Attractor::searching);
            each(going, [](Attractor& one, std::int64_t, double* work) { one.propose(work); });
            flows_.advance(going, rtol, [this](std::int64_t k) { return of(k).next; });
            each_reached(going, [](Attractor& one, const double* reached, std::int32_t how,
                                   double* work) { one.judge(reached, how, work); });
            going = chosen(going, &Attractor::searching);
        }
    }

    // Newton's steps of those that are near, until the error is small. Where they do not get there
    // they are searched again.
    void end(const Numbers& near) {
        for (const std::int64_t k : near) of(k).approach();
        Numbers going = near;
        for (int round = 0; round < most_at_the_end && !going.empty(); ++round) {
            advance(going, settings_.rtol);
            each_reached(going, [](Attractor& one, const double* reached, std::int32_t how,
                                   double* work) { one.correct(reached, how, work); });
            going = chosen(going, [](const Attractor& one) { return !one.ended; });
            const auto stale = [&](bool in_part) {
                return chosen(going, [=](const Attractor& one) {
                    return one.stale && one.known_in_part() == in_part;
                });
            };
            const Numbers in_part = stale(true), whole = stale(false);
            compute(in_part, coarse);
            compute(whole, finer);
            going = chosen(going, &Attractor::found);
        }
        for (const std::int64_t k : near) of(k).accept();
    }

    void check_that_they_attract(const Numbers& found) {
        each(found,
             [](Attractor& one, std::int64_t, double* work) { one.doubts = one.doubtful(work); });
        const Numbers some = chosen(found, [](const Attractor& one) { return one.doubts; });
        differentiate(some, smaller(tight));
        each_matrix(some, [](Attractor& one, double* all, double* work) {
            if (!one.stands(all, work)) one.status = no_steady_state;
        });
    }
};

}  // namespace

void find_attractors(const Kernel& kernel, const IntervalFlows& flows, const Search& search,
                     const std::string& method, int threads,
                     const std::function<bool(std::int64_t)>& watch, Caller& caller) {
    const std::int64_t count = flows.batch.patients, m = flows.m;
    const SearchSettings settings{flows.m, flows.batch.rtol, search.least, search.positive};
    FlowRunner runner(kernel, flows, method, threads, watch, caller,
                      m > most_directions ? m : most_directions, search.attempts);
    Rounds rounds(runner, settings, search, count);
    bool whole = m > 0;
    try {
        if (m > 0) rounds.find();
    } catch (const Cancelled&) {
        whole = false;
    }
    for (std::int64_t k = 0; k < count; ++k) {
        search.status[k] = whole ? rounds.result(k).status : m > 0 ? cancelled : success;
        search.keeps[k] = rounds.result(k).keeps_totals();
        for (std::int64_t i = 0; i < m && search.status[k] != success; ++i)
            search.x[k * m + i] = std::numeric_limits<double>::quiet_NaN();
    }
}

}  // namespace teorell
