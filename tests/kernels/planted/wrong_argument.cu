// launch: grid 1, block 32
// The test hands over 8 bytes where 4 are expected.
extern "C" __global__ void planted(const unsigned* a, unsigned* b, unsigned count) {
    if (threadIdx.x < count) b[threadIdx.x] = a[threadIdx.x];
}
