// All kernels compiled ahead of time by nvcc, for the interpreter: that they compile, and with how
// many registers. At run time they are compiled by NVRTC. The speed is not measured: no GPU was at
// hand.
#include "kernel.cuh"

TEORELL_BEGIN

template __global__ void solve_patients<Interpreted<Rodas5P>>(Programs, Batch, Launch);
template __global__ void pull_patients_back<Interpreted<Rodas5P>>(Programs, Batch, Gradient,
                                                                  Launch);
template __global__ void push_patients_forward<Interpreted<Rodas5P>>(Programs, Batch, Tangents,
                                                                     Launch);
template __global__ void map_patients<ColumnInterpreter>(ColumnProgram, Columns, Launch);
template __global__ void project_patients<ColumnInterpreter>(ColumnProgram, Columns, Constraints,
                                                             Projected, Launch);

TEORELL_END
