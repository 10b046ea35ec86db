// launch: grid 1, block 32
extern "C" __global__ void planted(const unsigned* a, unsigned* b) {
    const unsigned i = threadIdx.x;
    unsigned v = a[i];
    if (i < 16) v = __shfl_sync(0xffffu, v, 20);  // here: partial collective
    b[i] = v;
}
