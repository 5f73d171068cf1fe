// A team: the threads of a warp that work on one patient together. Its leader runs the time loop;
// the others attend, and all run the parts of it that are worth sharing. What a team works on lies
// in a row, in shared memory where there is room.
#pragma once

#include "team_step.cuh"
#include "thread.cuh"

TEORELL_BEGIN

// What a leader tells its team.
enum TeamPart : int { leave, fetch, keep, of_rhs, of_outputs, of_step };

template <class Method, bool shared>
struct Team {
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
        if (part == of_step) TeamStep<Method, shared>{{programs, ws}, code}();
        await_team();
        return part != leave;
    }

  private:
    TEORELL_HD void copy(const double* from, double* to) const {
        for (int k = team_lane(); k + 1 < code.slots(); k += warp) to[k] = from[k];
    }
};

// The executor of a leader. Its pack is one double: a patient whose slots lie in a row.
template <class Method_, bool shared>
struct ByTeam {
    using Method = Method_;
    using V = double;
    Team<Method, shared> team;
    TEORELL_HD void step(double*) const { team.tell(of_step); }
    TEORELL_HD void rhs(double*) const { team.tell(of_rhs); }
    TEORELL_HD void outputs(double*) const { team.tell(of_outputs); }
};

TEORELL_END
