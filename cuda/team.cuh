// A team: the threads of a warp that work on one patient together. Its leader runs the time loop;
// the others attend, and all run the parts of it that are worth sharing. What a team works on lies
// in a row, in shared memory where there is room.
#pragma once

#include "team_reverse.cuh"
#include "thread.cuh"

TEORELL_BEGIN

// What a leader tells its team.
enum TeamPart : int {
    leave,
    fetch,
    keep,
    of_rhs,
    of_outputs,
    of_step,
    of_stages,
    of_reverse,
    of_outputs_vjp
};

// derivatives: does the kernel go back along the steps? Else it has no code for that.
template <class Method_, bool shared, bool derivatives>
struct Team {
    using Method = Method_;
    const Programs& programs;
    TeamCode<shared> code;
    double* ws;
    double* kept;  // of the workspace, between launches

    TEORELL_HD double& told() const { return ws[code.slots() - 1]; }

    // By the leader.
    TEORELL_HD void tell(TeamPart part) const {
        told() = part;
        attend();
    }

    // By all of the team; false: there is nothing more. All wait here, and go on side by side.
    TEORELL_HD TEORELL_APART bool attend() const {
        await_team();
        const int part = static_cast<int>(told());
        if (part == fetch) copy(kept, ws);
        if (part == keep) copy(ws, kept);
        if (part == of_rhs) code.run(team_rhs, ws);
        if (part == of_outputs) code.run(team_outputs, ws);
        const TeamStep<Method, shared> step{{programs, ws}, code};
        if (part == of_step) step();
        if constexpr (derivatives) {
            if (part == of_stages) step.stages();
            if (part == of_reverse) TeamReverse<Method, shared>{{{programs, ws}}, code}();
            if (part == of_outputs_vjp) code.run(team_outputs_vjp, ws);
        }
        await_team();
        return part != leave;
    }

  private:
    TEORELL_HD void copy(const double* from, double* to) const {
        for (int k = team_lane(); k + 1 < code.slots(); k += warp) to[k] = from[k];
    }
};

// The executor of a leader.
template <class Team>
struct ByTeam {
    using Method = typename Team::Method;
    using V = TeamLane;
    Team team;
    TEORELL_HD void step(double*) const { team.tell(of_step); }
    TEORELL_HD void rhs(double*) const { team.tell(of_rhs); }
    TEORELL_HD void outputs(double*) const { team.tell(of_outputs); }
    TEORELL_HD void stages(double*) const { team.tell(of_stages); }
    TEORELL_HD void reverse(double*) const { team.tell(of_reverse); }
    TEORELL_HD void outputs_vjp(double*) const { team.tell(of_outputs_vjp); }
};

// The workspace of a team before its first use, what lies behind a model's own slots with it.
TEORELL_HD inline void clear_team(const Programs& m, const Batch& b, double* ws,
                                  std::int64_t slots) {
    clear_workspace<TeamLane>(m, b, ws);
    for (std::int64_t k = m.at.slots; k < slots; ++k) ws[k] = 0.0;
}

// The memory of a block that is a team.
TEORELL_HD inline MemoryEvery<1> memory_of_team(const Launch& launch) {
    return {launch.memory + team_number() * launch.slots, 0};
}

TEORELL_END
