// bit_unpack: one byte, 0 or 1, per bit: what packbits of numcodecs and of zarr decode.
//
// layout     size: elements of each stream. padding: where the number of padding bits stands, 0
//            nowhere, 1 in the first byte (numcodecs), 2 in the last; it must be what the sizes
//            say, else status[s] is STATUS_BAD_SIZE and the target undefined. msb: 1 where the
//            first element is a byte's most significant bit (numcodecs), 0 the least. first_tile:
//            prefix sum of max(1, ceil(size / 16384)): also an empty stream is checked
// alignment  any; 16-byte stores where the target is 16-aligned
// limits     fewer than 2^32 tiles
// reference  bit_unpack
// bytes      reads 1 / 8 and writes 1 per element: 0.26 ms per GB written on an H200
#include "gpuzarr.cuh"

extern "C" __global__ void __launch_bounds__(GZ_THREADS)
bit_unpack(const u64* sources, const u64* source_sizes, const u64* targets, const u64* sizes,
           const u32* first_tile, u32 count, u32 padding, u32 msb, u32* status) {
    Tile tile = tiles_of_block(first_tile, count);
    while (take(tile, first_tile)) {
        const u8* source = (const u8*)sources[tile.stream];
        u8* target = (u8*)targets[tile.stream];
        const u64 size = sizes[tile.stream], bytes = (size + 7) / 8;
        const u64 found = source_sizes[tile.stream], start = (u64)tile.index * GZ_TILE;
        bool good = found == bytes + (padding ? 1 : 0);
        if (good && padding)
            good = source[padding == 1 ? 0 : found - 1] == (u8)(8 * bytes - size);
        if (tile.index == 0 && threadIdx.x == 0)
            status[tile.stream] = good ? STATUS_OK : STATUS_BAD_SIZE;
        if (!good) continue;
        const u8* packed = source + (padding == 1 ? 1 : 0);
        const u64 stop = lesser(size, start + GZ_TILE);
        for (u64 i = start + 16 * threadIdx.x; i < stop; i += 16 * blockDim.x) {
            u32 bits = packed[i / 8];
            if (i / 8 + 1 < bytes) bits |= (u32)packed[i / 8 + 1] << 8;
            if (msb) bits = __byte_perm(__brev(bits), 0, 0x0123) & 0xffff;
            uint4 out;                // 4 bits to the lowest bits of 4 bytes
            out.x = (bits & 15) * 0x00204081u & 0x01010101u;
            out.y = (bits >> 4 & 15) * 0x00204081u & 0x01010101u;
            out.z = (bits >> 8 & 15) * 0x00204081u & 0x01010101u;
            out.w = (bits >> 12 & 15) * 0x00204081u & 0x01010101u;
            if (i + 16 <= stop) {
                store_16(target + i, out);
            } else {
                for (u32 k = 0; i + k < stop; k++)
                    target[i + k] = msb ? packed[(i + k) / 8] >> (7 - (i + k) % 8) & 1
                                        : packed[(i + k) / 8] >> ((i + k) % 8) & 1;
            }
        }
    }
}
