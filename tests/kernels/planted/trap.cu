// launch: grid 1, block 32
extern "C" __global__ void planted(const unsigned* a, unsigned* b) {
    if (a[threadIdx.x] == 7) __trap();  // here: trap
    b[threadIdx.x] = 0;
}
