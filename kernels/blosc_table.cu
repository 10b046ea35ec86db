// blosc_table: Blosc 1 chunks to a table of their streams, all that headers say checked.
//
// layout     blosc_counts, a thread per chunk, checks the headers: blocks[c], streams[c],
//            filter[c], blocksize[c] and status[c]; all but the status are 0 where that is not
//            STATUS_OK. filter is typesize | shuffle << 8 | route << 16: shuffle 0 none, 1 bytes,
//            2 bits (a header may say both; bytes go first, but for a typesize of 1, as in
//            c-blosc); route 1 for a chunk stored as it is, else 2 + the number of its codec.
//            first_block and first_stream[count + 1] are the prefix sums of blocks and streams.
//            blosc_table, a thread per block, writes for each stream where it lies, where it goes
//            (block b of a chunk at target[c] + b * blocksize), and its route: 0 none, 1 stored,
//            2 + the number of its codec. Streams of a block that breaks a rule have the route 0
//            and sizes of 0, and status[c] says why. blosc_select, a thread per stream, gives
//            what a library's decoder of batches takes: streams whose route is `wanted` as they
//            are, an empty one for every other (nothing: its address, nothing_size: its bytes,
//            capacity 0). Wanted 1 and nothing_size 0 give what copy takes
// alignment  any
// limits     expected sizes below 2^31; fewer than 2^32 streams
// reference  blosc_counts, blosc_table, blosc_select; the order of checks is that of the CPU's
//            header check, then c-blosc's
// bytes      reads 16 per chunk, 4 per block and 4 per stream, writes 36 per stream; blosc_select
//            reads 28 and writes 24 per stream: microseconds
#include "gpuzarr.cuh"

struct Header {
    u32 status, flags, typesize, nbytes, blocksize, cbytes, blocks, splits;
};

#define BLOSC_HEADER 16u
#define BLOSC_LARGEST_BLOCK ((2147483647u - 4 * 255) / 3)
#define BLOSC_STORED 2u

GZ_INLINE Header header_of(const u8* chunk, u64 size, u64 expected) {
    Header h = {STATUS_OK, 0, 0, 0, 0, 0, 0, 0};
    if (size < BLOSC_HEADER) {
        h.status = STATUS_INPUT_ENDS;
        return h;
    }
    h.flags = chunk[2];
    h.typesize = chunk[3];
    h.nbytes = load_u32_bytes(chunk + 4);
    h.blocksize = load_u32_bytes(chunk + 8);
    h.cbytes = load_u32_bytes(chunk + 12);
    if (chunk[0] != 2) {
        h.status = STATUS_BAD_VERSION;
    } else if (h.cbytes != size || h.cbytes >= 0x80000000u || h.nbytes != expected
               || h.nbytes >= 0x80000000u) {
        h.status = STATUS_BAD_SIZE;
    } else if (h.blocksize == 0 || h.blocksize > BLOSC_LARGEST_BLOCK || h.typesize == 0
               || chunk[1] != 1 || h.flags & 0x08 || (h.nbytes && h.blocksize > h.nbytes)) {
        h.status = STATUS_BAD_HEADER;
    } else if (h.nbytes == 0) {
        h.blocks = 0;
    } else if (h.flags & BLOSC_STORED) {
        if (h.cbytes != h.nbytes + BLOSC_HEADER) h.status = STATUS_BAD_SIZE;
        h.blocks = h.splits = 1;
    } else {
        h.blocks = (h.nbytes - 1) / h.blocksize + 1;
        const bool split = !(h.flags & 0x10) && h.typesize <= 16
                           && h.blocksize / h.typesize >= 128;
        h.splits = split ? h.typesize : 1;
        if (split && h.blocksize % h.typesize)
            h.status = STATUS_BAD_HEADER;
        if (h.flags >> 5 > 4) h.status = STATUS_BAD_HEADER;
        if (BLOSC_HEADER + 4 * (u64)h.blocks > h.cbytes) h.status = STATUS_BAD_BLOCK;
    }
    return h;
}

GZ_INLINE u32 streams_of(const Header& h) {
    if (h.blocks == 0 || h.flags & BLOSC_STORED) return h.blocks;
    return h.nbytes % h.blocksize ? (h.blocks - 1) * h.splits + 1 : h.blocks * h.splits;
}

extern "C" __global__ void __launch_bounds__(GZ_THREADS)
blosc_counts(const u64* source, const u64* size, const u64* expected, u32 count, u32* blocks,
             u32* streams, u32* filter, u32* blocksize, u32* status) {
    for (u32 c = blockIdx.x * blockDim.x + threadIdx.x; c < count; c += gridDim.x * blockDim.x) {
        const Header h = header_of((const u8*)source[c], size[c], expected[c]);
        const bool good = h.status == STATUS_OK, stored = h.flags & BLOSC_STORED;
        const u32 shuffle = stored                          ? 0
                            : h.flags & 1 && h.typesize > 1 ? 1
                            : h.flags & 4                   ? 2
                                                            : 0;
        status[c] = h.status;
        blocks[c] = good ? h.blocks : 0;
        streams[c] = good ? streams_of(h) : 0;
        const u32 route = stored ? 1 : 2 + (h.flags >> 5);
        filter[c] = good ? h.typesize | shuffle << 8 | route << 16 : 0;
        blocksize[c] = good ? (stored ? h.nbytes : h.blocksize) : 0;
    }
}

extern "C" __global__ void __launch_bounds__(GZ_THREADS)
blosc_table(const u64* sources, const u64* sizes, const u64* expected, const u64* targets,
            const u32* first_block, const u32* first_stream, u32 count, u64* source,
            u64* source_size, u64* target, u64* target_size, u32* route, u32* status) {
    const u32 total = count ? first_block[count] : 0;
    for (u32 i = blockIdx.x * blockDim.x + threadIdx.x; i < total; i += gridDim.x * blockDim.x) {
        u32 low = 0, high = count;    // the chunk is the last one that starts at or before i
        while (low + 1 < high) {
            const u32 middle = low + (high - low) / 2;
            if (first_block[middle] <= i) low = middle;
            else high = middle;
        }
        const u32 c = low, block = i - first_block[c];
        const u8* chunk = (const u8*)sources[c];
        const Header h = header_of(chunk, sizes[c], expected[c]);
        u32 first = first_stream[c], verdict = h.status, streams = 0;
        const u32 last = first_stream[c + 1];
        const bool known = verdict == STATUS_OK && first_block[c + 1] - first_block[c] == h.blocks
                           && last - first == streams_of(h);
        if (!known) {                 // the header is another than the one that was counted
            if (verdict == STATUS_OK) verdict = STATUS_BAD_SIZE;
            if (block == 0) streams = last - first;
        } else if (h.flags & BLOSC_STORED) {
            source[first] = (u64)(chunk + BLOSC_HEADER);
            source_size[first] = target_size[first] = h.nbytes;
            target[first] = targets[c];
            route[first] = 1;
        } else {
            const u32 left = h.nbytes - block * h.blocksize;
            const u32 bytes = left < h.blocksize ? left : h.blocksize;
            streams = left < h.blocksize ? 1 : h.splits;
            first += block * h.splits;
            const u32 part = bytes / streams, cbytes = h.cbytes;
            u32 at = load_u32_bytes(chunk + BLOSC_HEADER + 4 * block);
            for (u32 k = 0; k < streams && verdict == STATUS_OK; k++) {
                if (at >= 0x80000000u || at > cbytes - 4) {
                    verdict = STATUS_BAD_BLOCK;
                    break;
                }
                const u32 stored = load_u32_bytes(chunk + at);
                at += 4;
                if (stored > cbytes - at) {
                    verdict = STATUS_BAD_BLOCK;
                    break;
                }
                source[first + k] = (u64)(chunk + at);
                source_size[first + k] = stored;
                target[first + k] = targets[c] + (u64)block * h.blocksize + (u64)k * part;
                target_size[first + k] = part;
                route[first + k] = stored == part ? 1 : 2 + (h.flags >> 5);
                at += stored;
            }
        }
        if (verdict == STATUS_OK) continue;
        for (u32 k = 0; k < streams; k++) {
            source[first + k] = (u64)chunk;
            target[first + k] = targets[c];
            source_size[first + k] = target_size[first + k] = 0;
            route[first + k] = 0;
        }
        atomicMax(&status[c], verdict);
    }
}

extern "C" __global__ void __launch_bounds__(GZ_THREADS)
blosc_select(const u64* source, const u64* source_size, const u64* target_size, const u32* route,
             u32 wanted, u32 count, const u64 nothing, u64 nothing_size, u64* out_source,
             u64* out_size, u64* out_capacity) {
    const u32 step = gridDim.x * blockDim.x;
    for (u64 i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += step) {
        const bool chosen = route[i] == wanted;
        out_source[i] = chosen ? source[i] : nothing;
        out_size[i] = chosen ? source_size[i] : nothing_size;
        out_capacity[i] = chosen ? target_size[i] : 0;
    }
}
