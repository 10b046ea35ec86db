// Counts of the values below 16: atomics in shared memory, then in device memory.
extern "C" __global__ void histogram(const unsigned* a, unsigned* counts, unsigned count) {
    __shared__ unsigned own[16];
    if (threadIdx.x < 16) own[threadIdx.x] = 0;
    __syncthreads();
    for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x)
        atomicAdd(&own[a[i]], 1u);
    __syncthreads();
    if (threadIdx.x < 16) atomicAdd(&counts[threadIdx.x], own[threadIdx.x]);
}

// Signed minimum, floating-point sum, and the number of threads that won a race they may run.
extern "C" __global__ void atomics(const int* a, int* least, float* sum, unsigned* winners) {
    atomicMin(least, a[threadIdx.x]);
    atomicAdd(sum, (float)a[threadIdx.x]);
    if (atomicCAS(&winners[0], 0u, 1u) == 0u) atomicAdd(&winners[1], 1u);
}
