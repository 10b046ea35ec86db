// crc32: zlib's CRC-32 (RFC 1952) of each stream.
//
// layout     two launches. crc32_tiles leaves in remainder[] a word for each of all tiles;
//            crc32_streams, a warp per stream, makes the checksums of them. first_tile: prefix
//            sum of ceil(size / 32768), the same for both
// alignment  any; 16-byte loads but for up to 15 bytes at each end of 128
// limits     256 threads a block for crc32_tiles, a multiple of 32 for crc32_streams; fewer
//            than 2^32 tiles
// reference  crc32
// bytes      reads 1 per byte: 0.24 ms per GB of bandwidth on an H200, but a look-up in shared
//            memory per byte: about 0.5 ms
#include "crc.cuh"

using Code = Crc<0xedb88320u>;
static __device__ const Code::Tables tables = Code::tables();

extern "C" __global__ void __launch_bounds__(GZ_THREADS)
crc32_tiles(const u64* source, const u64* size, const u32* first_tile, u32 count,
            u32* remainder) {
    __shared__ u32 table[4][256];
    __shared__ u32 found[GZ_THREADS / 32];
    Code::of_tiles(tables, source, size, first_tile, count, remainder, table, found);
}

extern "C" __global__ void __launch_bounds__(GZ_THREADS)
crc32_streams(const u64* size, const u32* first_tile, u32 count, const u32* remainder,
              u32* checksum) {
    Code::of_streams(tables, size, first_tile, count, remainder, checksum);
}
