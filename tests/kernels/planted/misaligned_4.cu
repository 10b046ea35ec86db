// launch: grid 1, block 1
extern "C" __global__ void planted(const unsigned* a, unsigned* b) {
    b[0] = *(const unsigned*)((const char*)a + 1);  // here: misaligned access
}
