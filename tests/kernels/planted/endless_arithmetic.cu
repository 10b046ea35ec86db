// launch: grid 1, block 32
// No memory and no collective in the loop.
extern "C" __global__ void planted(const unsigned* a, unsigned* b) {
    const unsigned factor = a[3];
    unsigned x = 1;
    while (x) x = x * factor;  // here: endless loop
    b[threadIdx.x] = x;
}
