// launch: grid 1, block 64
extern "C" __global__ void planted(const unsigned* a, unsigned* b) {
    const unsigned i = threadIdx.x;
    unsigned v = a[i];
    if (i % 32 < 16)
        v = __shfl_sync(0xffffffffu, v, i % 32);  // here: divergent collective
    __syncwarp();  // here: divergent collective
    b[i] = v;
}
