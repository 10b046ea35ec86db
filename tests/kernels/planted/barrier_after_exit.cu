// launch: grid 1, block 64
extern "C" __global__ void planted(const unsigned* a, unsigned* b) {
    if (threadIdx.x >= 40) return;
    __syncthreads();  // here: partial barrier
    b[threadIdx.x] = a[threadIdx.x];
}
