// launch: grid 1, block 64
// A warp reads what another wrote, behind a barrier of the warp only.
extern "C" __global__ void planted(const unsigned* a, unsigned* b) {
    __shared__ unsigned s[64];
    const unsigned i = threadIdx.x;
    s[i] = 0;
    __syncthreads();
    s[i] = a[i];       // here: race
    __syncwarp();
    b[i] = s[63 - i];  // here: race
}
