// launch: grid 1, block 64
// Shared memory of a template is watched as any other.
template <unsigned N>
__device__ unsigned mirrored(unsigned value) {
    __shared__ unsigned s[N];
    s[threadIdx.x] = 0;
    __syncthreads();
    s[threadIdx.x] = value;           // here: race
    return s[N - 1 - threadIdx.x];    // here: race
}
extern "C" __global__ void planted(const unsigned* a, unsigned* b) {
    b[threadIdx.x] = mirrored<64>(a[threadIdx.x]);
}
