extern "C" __global__ void planted(const unsigned* a, unsigned* b) {
    const int big = 0x7fffffff - (int)a[0];
    b[threadIdx.x] = (unsigned)(big + (int)a[threadIdx.x]);  // here: undefined behaviour
}
