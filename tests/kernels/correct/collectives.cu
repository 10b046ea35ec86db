// One row of results per collective, one column per lane.
extern "C" __global__ void collectives(const unsigned* a, unsigned* b) {
    const unsigned all = 0xffffffffu, lane = threadIdx.x, v = a[lane];
    b[0 * 32 + lane] = __shfl_sync(all, v, lane + 5);
    b[1 * 32 + lane] = __shfl_sync(all, v, 3, 8);
    b[2 * 32 + lane] = __shfl_up_sync(all, v, 3);
    b[3 * 32 + lane] = __shfl_down_sync(all, v, 3, 16);
    b[4 * 32 + lane] = __shfl_xor_sync(all, v, 9);
    b[5 * 32 + lane] = __ballot_sync(all, v & 1u);
    b[6 * 32 + lane] = __any_sync(all, v == a[3]);
    b[7 * 32 + lane] = __all_sync(all, v < 1000u);
    b[8 * 32 + lane] = __match_any_sync(all, v & 3u);
    b[9 * 32 + lane] = __reduce_add_sync(all, v);
    b[10 * 32 + lane] = (unsigned)__reduce_min_sync(all, (int)v - 50);
    b[11 * 32 + lane] = __reduce_xor_sync(all, v);
    b[12 * 32 + lane] = (unsigned)__syncthreads_count((int)(v & 1u));
    const double wide = __shfl_sync(all, (double)v + 0.5, 31 - lane);
    b[13 * 32 + lane] = (unsigned)(2 * wide);
    unsigned half = 0;
    if (lane % 2) half = __ballot_sync(0xaaaaaaaau, v & 2u);  // the odd lanes alone
    b[14 * 32 + lane] = half;
}
