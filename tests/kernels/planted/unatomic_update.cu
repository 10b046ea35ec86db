// launch: grid 1, block 64
extern "C" __global__ void planted(const unsigned* a, unsigned* b) {
    if (threadIdx.x == 0) b[0] = 0;
    __syncthreads();
    b[0] += a[threadIdx.x];  // here: race
}
