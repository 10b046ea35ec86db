// copy: each stream into its target (stored streams of Blosc, gathered extents).
//
// layout     source, target: addresses of `count` streams; size: bytes of each; first_tile:
//            prefix sum of ceil(size / 16384), or of more: tiles behind the end of their stream
//            do nothing, so sizes known to the device alone may be less than those that the host
//            made tiles of
// alignment  any; 16-byte accesses for all but the first and last 15 bytes of a tile
// limits     targets do not overlap sources or each other; fewer than 2^32 tiles
// reference  copy
// bytes      reads 1 and writes 1 per byte: 0.47 ms per GB on an H200
#include "gpuzarr.cuh"

extern "C" __global__ void __launch_bounds__(GZ_THREADS)
copy(const u64* source, const u64* target, const u64* size, const u32* first_tile, u32 count) {
    Tile tile = tiles_of_block(first_tile, count);
    while (take(tile, first_tile)) {
        const u64 bytes = size[tile.stream], start = (u64)tile.index * GZ_TILE;
        if (start < bytes)
            copy_bytes((const u8*)source[tile.stream], (u8*)target[tile.stream], start,
                       lesser(bytes, start + GZ_TILE), bytes);
    }
}
