// Launches the forward solve on a device. Moving arrays there and back belongs to the extension
// module that will call this. The speed is not measured: no GPU was at hand.
#include "kernel.cuh"

TEORELL_BEGIN

constexpr unsigned threads_per_block = 128;

// `programs`, `batch`, `workspaces` [blocks * threads_per_block][workspace_size] and `counters`
// point into device memory.
cudaError_t launch_rodas5p(const Programs& programs, const Batch& batch, double* workspaces,
                           Counters* counters, unsigned blocks, cudaStream_t stream) {
    solve_patients<Rodas5P>
        <<<blocks, threads_per_block, 0, stream>>>(programs, batch, workspaces, counters);
    return cudaGetLastError();
}

TEORELL_END
