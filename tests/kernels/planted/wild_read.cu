// launch: grid 1, block 64
// 64 KiB behind the end: beyond what a zone around an allocation would cover.
extern "C" __global__ void planted(const unsigned* a, unsigned* b) {
    b[threadIdx.x] = a[threadIdx.x + 16384];  // here: out of bounds
}
