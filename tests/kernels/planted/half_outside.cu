// launch: grid 1, block 1
// The access begins inside of the allocation and ends outside.
struct Pair { unsigned x, y; };
extern "C" __global__ void planted(const unsigned* a, unsigned* b) {
    const Pair pair = *(const Pair*)(a + 63);  // here: out of bounds
    b[0] = pair.x;
    b[1] = pair.y;
}
