// launch: grid 1, block 64
// The total is read before all have added to it.
extern "C" __global__ void planted(const unsigned* a, unsigned* b) {
    if (threadIdx.x == 0) b[0] = 0;
    __syncthreads();
    atomicAdd(&b[0], a[threadIdx.x]);  // here: race
    if (threadIdx.x == 63) b[1] = b[0];  // here: race
}
