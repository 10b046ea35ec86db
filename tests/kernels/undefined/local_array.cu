// An array of the thread's own, which the check mode does not watch.
extern "C" __global__ void planted(const unsigned* a, unsigned* b) {
    unsigned local[16];
    for (unsigned k = 0; k < 16; k++) local[k] = a[k];
    b[threadIdx.x] = local[a[threadIdx.x]];  // here: undefined behaviour
}
