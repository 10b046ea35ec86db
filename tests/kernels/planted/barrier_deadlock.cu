// launch: grid 1, block 32
extern "C" __global__ void planted(const unsigned* a, unsigned* b) {
    if (threadIdx.x < 16)
        __syncthreads();  // here: deadlock
    else
        __syncwarp();  // here: deadlock
    b[threadIdx.x] = a[threadIdx.x];
}
