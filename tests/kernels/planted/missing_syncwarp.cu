// launch: grid 1, block 32
// Lanes read what their neighbours wrote, with nothing in between.
extern "C" __global__ void planted(const unsigned* a, unsigned* b) {
    __shared__ unsigned s[32];
    const unsigned i = threadIdx.x;
    s[i] = 0;
    __syncthreads();
    s[i] = a[i];       // here: race
    b[i] = s[i ^ 1u];  // here: race
}
