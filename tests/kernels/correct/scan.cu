// Inclusive sums per block: shuffles within a warp, shared memory between warps, an odd last warp.
template <unsigned WARPS>
__device__ unsigned before_warp(unsigned warp, unsigned sum, bool is_last) {
    __shared__ unsigned sums[WARPS];  // in a template, so an own one for each instance
    if (is_last) sums[warp] = sum;
    __syncthreads();
    unsigned before = 0;
    for (unsigned w = 0; w < warp; w++) before += sums[w];
    __syncthreads();
    return before;
}

template <unsigned WARPS>
__device__ void scan(const unsigned* a, unsigned* b, unsigned count) {
    const unsigned i = threadIdx.x, lane = i % 32, at = blockIdx.x * blockDim.x + i;
    unsigned v = at < count ? a[at] : 0;
    for (unsigned o = 1; o < 32; o <<= 1) {
        const unsigned u = __shfl_up_sync(0xffffffffu, v, o);
        if (lane >= o) v += u;
    }
    v += before_warp<WARPS>(i / 32, v, lane == 31 || i == blockDim.x - 1);
    if (at < count) b[at] = v;
}

extern "C" __global__ void __launch_bounds__(2 * 32) scan_2(const unsigned* a, unsigned* b,
                                                           unsigned count) {
    scan<2>(a, b, count);
}
extern "C" __global__ __launch_bounds__(1024) void scan_32(const unsigned* a, unsigned* b,
                                                          unsigned count) {
    scan<32>(a, b, count);
}
