// launch: grid 1, block 32
extern "C" __global__ void planted(const unsigned* a, unsigned* b) {
    while (__any_sync(0xffffffffu, a[threadIdx.x] < 1000)) {  // here: endless loop
    }
    b[threadIdx.x] = 0;
}
