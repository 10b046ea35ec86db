// launch: grid 1, block 64
extern "C" __global__ void planted(const unsigned* a, unsigned* b) {
    b[threadIdx.x] += a[threadIdx.x];  // here: uninitialised read
}
