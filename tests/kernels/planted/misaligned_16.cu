// launch: grid 1, block 1
extern "C" __global__ void planted(const unsigned* a, unsigned* b) {
    const uint4 v = *(const uint4*)(a + 1);  // here: misaligned access
    b[0] = v.x;
}
