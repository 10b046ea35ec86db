// launch: grid 1, block 32
extern "C" __global__ void planted(const unsigned* a, unsigned* b) {
    b[threadIdx.x] = __shfl_sync(0xffffu, a[threadIdx.x], 0);  // here: divergent collective
}
