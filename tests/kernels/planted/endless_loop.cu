// launch: grid 1, block 32
extern "C" __global__ void planted(const unsigned* a, unsigned* b) {
    unsigned i = 0;
    while (a[i] < 1000) i = a[i] & 31u;  // here: endless loop
    b[threadIdx.x] = i;
}
