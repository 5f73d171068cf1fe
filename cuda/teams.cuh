// The kernels of teams: those of kernel.cuh for models that a thread cannot hold, where patients
// are few. Blocks are warps; each takes the words of teorell/device/team_programs.py before Launch:
//
//     solve_patients_by_teams<Method, shared>(Programs, Batch, TeamWords, Launch)
//     pull_patients_back_by_teams<Method, shared>(Programs, Batch, Gradient, TeamWords, Launch)
//
// Method: OnDevice<Rodas5P>. shared: workspaces lie in the shared memory of their blocks.
#pragma once

#include "team_gradient.cuh"
#include "team_solve.cuh"
