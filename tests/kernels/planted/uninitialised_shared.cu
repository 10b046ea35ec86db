// launch: grid 1, block 64
extern "C" __global__ void planted(const unsigned* a, unsigned* b) {
    __shared__ unsigned s[64];
    const unsigned i = threadIdx.x;
    if (i) s[i] = a[i];
    __syncthreads();
    b[i] = s[i];  // here: uninitialised read
}
