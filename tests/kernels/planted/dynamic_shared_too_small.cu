// launch: grid 1, block 64, shared 128
#include "shared.cuh"
extern "C" __global__ void planted(const unsigned* a, unsigned* b) {
    DYNAMIC_SHARED(unsigned, s);
    s[threadIdx.x] = a[threadIdx.x];  // here: out of bounds
    __syncthreads();
    b[threadIdx.x] = s[threadIdx.x];
}
