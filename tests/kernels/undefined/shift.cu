extern "C" __global__ void planted(const unsigned* a, unsigned* b) {
    b[threadIdx.x] = 1u << (a[threadIdx.x] + 1);  // here: undefined behaviour
}
