// launch: grid 1, block 1
extern "C" __global__ void planted(const unsigned* a, unsigned* b) {
    memcpy(b, a, 65 * sizeof(unsigned));  // here: out of bounds
}
