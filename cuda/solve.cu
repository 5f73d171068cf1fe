// All kernels compiled ahead of time by nvcc, for the interpreter and teams: that they compile, and
// with how many registers. At run time they are compiled by NVRTC. The speed is not measured: no
// GPU was at hand.
#include "kernel.cuh"
#include "teams.cuh"

TEORELL_BEGIN

template __global__ void solve_patients<Interpreted<Rodas5P>>(const __grid_constant__ Programs,
                                                              const __grid_constant__ Batch,
                                                              const __grid_constant__ Launch);
template __global__ void pull_patients_back<Interpreted<Rodas5P>>(const __grid_constant__ Programs,
                                                                  const __grid_constant__ Batch,
                                                                  const __grid_constant__ Gradient,
                                                                  const __grid_constant__ Launch);
template __global__ void push_patients_forward<Interpreted<Rodas5P>>(
    const __grid_constant__ Programs, const __grid_constant__ Batch,
    const __grid_constant__ Tangents, const __grid_constant__ Launch);
template __global__ void solve_patients_by_teams<OnDevice<Rodas5P>, true>(
    const __grid_constant__ Programs, const __grid_constant__ Batch,
    const __grid_constant__ TeamWords, const __grid_constant__ Launch);
template __global__ void pull_patients_back_by_teams<OnDevice<Rodas5P>, true>(
    const __grid_constant__ Programs, const __grid_constant__ Batch,
    const __grid_constant__ Gradient, const __grid_constant__ TeamWords,
    const __grid_constant__ Launch);
template __global__ void map_patients<ColumnInterpreter>(const __grid_constant__ ColumnProgram,
                                                         const __grid_constant__ Columns,
                                                         const __grid_constant__ Launch);
template __global__ void project_patients<ColumnInterpreter>(const __grid_constant__ ColumnProgram,
                                                             const __grid_constant__ Columns,
                                                             const __grid_constant__ Constraints,
                                                             const __grid_constant__ Projected,
                                                             const __grid_constant__ Launch);

TEORELL_END
