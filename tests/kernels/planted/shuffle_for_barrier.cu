// launch: grid 1, block 32
// A shuffle brings lanes together, and orders no memory.
extern "C" __global__ void planted(const unsigned* a, unsigned* b) {
    __shared__ unsigned s[32];
    const unsigned i = threadIdx.x;
    s[i] = 0;
    __syncwarp();
    s[i] = a[i];  // here: race
    const unsigned zero = __shfl_sync(0xffffffffu, 0u, 0);
    b[i] = s[i ^ 1u] + zero;  // here: race
}
