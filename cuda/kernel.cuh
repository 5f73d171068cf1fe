// The kernels. Each takes plain views by value, all of whose pointers are of the device, and is
// launched again and again until the call is over (Counters and Launch in device.hpp):
//
//     solve_patients<Executor>(Programs, Batch, Launch)
//     pull_patients_back<Executor>(Programs, Batch, Gradient, Launch)
//     push_patients_forward<Executor>(Programs, Batch, Tangents, Launch)
//     map_patients<>(ColumnProgram, Columns, Launch)
//     project_patients<>(ColumnProgram, Columns, Constraints, Projected, Launch)
//
// Any grid will do, of blocks of whole warps. Executor: DeviceInterpreter<OnDevice<Rodas5P>>, or
// another with its calls (thread.cuh), made from Programs. Shorter: Interpreted<Rodas5P>.
// _core.device_slots gives Launch::slots. No kernel synchronises, shares memory or allocates;
// those of teams (teams.cuh) do the former two.
#pragma once

#include "columns.cuh"
#include "gradient.cuh"
#include "solve.cuh"
#include "tangents.cuh"

TEORELL_BEGIN

template <class Method>
using Interpreted = DeviceInterpreter<OnDevice<Method>>;

TEORELL_END
