// fletcher32: Fletcher-32 of each stream, as HDF5 and numcodecs compute it.
//
// layout     two launches. fletcher32_tiles leaves in sums[] two words for each of all tiles;
//            fletcher32_streams, a warp per stream, makes the checksums of them. Words of 16 bits
//            are big-endian, an odd last byte is an upper half, and a sum that is a multiple of
//            65535, but not 0, is 65535. first_tile: prefix sum of ceil(size / 16384), the same
//            for both
// alignment  any; 16-byte loads where the source is 16-aligned
// limits     256 threads a block for fletcher32_tiles, a multiple of 32 for fletcher32_streams;
//            fewer than 2^32 tiles
// reference  fletcher32
// bytes      reads 1 per byte: 0.24 ms per GB on an H200
#include "sums.cuh"

extern "C" __global__ void __launch_bounds__(GZ_THREADS)
fletcher32_tiles(const u64* source, const u64* size, const u32* first_tile, u32 count,
                 u64* sums) {
    __shared__ u64 found[GZ_THREADS / 32];
    sums_of_tiles<2>(source, size, first_tile, count, sums, found);
}

extern "C" __global__ void __launch_bounds__(GZ_THREADS)
fletcher32_streams(const u64* size, const u32* first_tile, u32 count, const u64* sums,
                   u32* checksum) {
    const u32 warps = gridDim.x * (blockDim.x / 32);
    for (u32 s = (blockIdx.x * blockDim.x + threadIdx.x) / 32; s < count; s += warps) {
        const Sums all = sums_of_stream<2, 65535>(size[s], first_tile, s, sums);
        u32 a = (u32)(all.sum % 65535), b = (u32)(all.weighted % 65535);
        if (all.any && a == 0) a = 65535;
        if (all.any && b == 0) b = 65535;
        if (threadIdx.x % 32 == 0) checksum[s] = b << 16 | a;
    }
}
