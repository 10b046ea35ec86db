// Two accesses to a byte, one of them a write, need an order. Threads are ordered by what orders
// memory on a GPU as well: __syncthreads within a block, __syncwarp within a warp; nothing orders
// two blocks of a launch, and launches follow each other. Shuffles and votes order nothing.
//
// Each thread has a vector of clocks over the lanes of its warp: how far it has seen each. One
// serial number counts the barriers of all blocks, so that threads of other warps, and other
// blocks, are told from it alone.
#include "checker.hpp"

#include <stdio.h>
#include <string.h>

#include "memory.hpp"
#include "scheduler.hpp"

namespace gzemu {

enum : uint32_t { CLOCK_BITS = 23, THREAD_BITS = 10, SERIAL_BITS = 30 };
enum : uint64_t { LAST_SERIAL = 1ull << SERIAL_BITS, LAST_CLOCK = 1ull << CLOCK_BITS };

static uint64_t launch_serial = 1, block_serial = 1, serial = 1;  // first of them, and present
static uint32_t clocks[MOST_THREADS][WARP];
static Allocation* last_used;
static Allocation static_shared, dynamic_shared;
static bool is_watching;

uint64_t steps_left = ~0ull;

static Epoch epoch_of(const Lane& lane, bool is_atomic) {
    const uint64_t clock = clocks[lane.index][lane.index % WARP];
    return serial << (CLOCK_BITS + THREAD_BITS + 1) | clock << (THREAD_BITS + 1) |
           (uint64_t)lane.index << 1 | is_atomic;
}
static uint64_t serial_of(Epoch e) { return e >> (CLOCK_BITS + THREAD_BITS + 1); }
static uint32_t clock_of(Epoch e) { return (uint32_t)(e >> (THREAD_BITS + 1) & (LAST_CLOCK - 1)); }
static uint32_t thread_of(Epoch e) { return (uint32_t)(e >> 1 & (MOST_THREADS - 1)); }
static bool is_atomic(Epoch e) { return e & 1; }

// Whether an earlier access may as well come after what the current lane does now.
static bool is_unordered(Epoch e, bool is_shared) {
    const uint64_t then = serial_of(e);
    if (then < launch_serial) return false;
    if (then < block_serial) return !is_shared;  // another block; shared memory is each block's own
    if (then < serial) return false;             // a barrier lies between
    const uint32_t other = thread_of(e), self = current->index;
    if (other == self) return false;
    if (other / WARP != self / WARP) return true;
    return clocks[self][other % WARP] < clock_of(e);
}

static const char* word(Access access) {
    return access == Access::read ? "read" : access == Access::write ? "write" : "atomic access";
}

// "byte 64 of an allocation of 64 bytes"
static const char* place(const Allocation& a, uintptr_t address) {
    static char text[160];
    const char* what = a.is_shared ? "shared memory" : "an allocation";
    if (address < a.begin)
        snprintf(text, sizeof text, "%zu bytes before %s of %zu bytes",
                 (size_t)(a.begin - address), what, a.size());
    else
        snprintf(text, sizeof text, "byte %zu of %s of %zu bytes", (size_t)(address - a.begin),
                 what, a.size());
    return text;
}

[[noreturn]] static void out_of_bounds(uintptr_t address, size_t size, Access access,
                                       uintptr_t pc) {
    const Allocation* near = nullptr;
    uintptr_t distance = ~(uintptr_t)0;
    for (const Allocation* a : {(const Allocation*)allocation_near(address),
                                (const Allocation*)&static_shared,
                                (const Allocation*)&dynamic_shared}) {
        if (!a || !a->size()) continue;
        const uintptr_t d = address < a->begin ? a->begin - address
                            : address < a->end ? 0
                                               : address - a->end;
        if (d < distance) near = a, distance = d;
    }
    if (near && distance < 1 << 24)
        fail(pc, "out of bounds", "%zu-byte %s at %s", size, word(access), place(*near, address));
    else
        fail(pc, "out of bounds", "%zu-byte %s at address %p, far from all device memory", size,
             word(access), (void*)address);
    abandon();
}

[[noreturn]] static void race(const Allocation& a, uintptr_t address, Access access, Epoch other,
                              const char* others, uintptr_t pc) {
    const bool is_own_block = serial_of(other) >= block_serial;
    fail(pc, "race", "%s of %s and %s by thread %u of %s, with no barrier in between", word(access),
         place(a, address), others, thread_of(other),
         is_own_block ? "the same block" : "another block");
    abandon();
}

static Allocation* find(uintptr_t address) {
    if (last_used && address >= last_used->begin && address < last_used->end) return last_used;
    for (Allocation* shared : {&static_shared, &dynamic_shared})
        if (address >= shared->begin && address < shared->end) return shared;
    Allocation* found = allocation_at(address);
    if (found) {
        found->make_shadow();
        last_used = found;
    }
    return found;
}

static bool is_equal(const Cell& a, const Cell& b) {
    return !((a.write ^ b.write) | (a.reads[0] ^ b.reads[0]) | (a.reads[1] ^ b.reads[1]));
}

static bool is_unset(const Allocation& a, const Cell& cell) {
    if (a.is_shared) return serial_of(cell.write) < block_serial;
    return cell.write == 0 && a.birth == unwatched_launches;
}

void check_device_access(uintptr_t address, size_t size, size_t alignment, Access access,
                         uintptr_t pc) {
    if (!current || launch.has_failed || !size) return;
    Allocation* a = find(address);
    if (!a) {
        const Module& module = *launch.module;  // tables of constants
        if (address >= (uintptr_t)module.image_begin && address < (uintptr_t)module.image_end &&
            access == Access::read)
            return;
        out_of_bounds(address, size, access, pc);
    }
    if (address + size > a->end) out_of_bounds(address, size, access, pc);
    if (address & (alignment - 1)) {
        fail(pc, "misaligned access", "%zu-byte %s at %s, whose address is not a multiple of %zu",
             size, word(access), place(*a, address), alignment);
        abandon();
    }
    const bool is_write = access != Access::read;
    const bool atomic = access == Access::atomic;
    const Epoch me = epoch_of(*current, atomic);
    Cell* cell = a->shadow + (address - a->begin);
    Cell before, after;
    for (size_t i = 0; i < size; i++, cell++) {
        // neighbours mostly have the same past
        if (i && is_equal(*cell, before)) {
            *cell = after;
            continue;
        }
        before = *cell;
        if (access != Access::write && is_unset(*a, before)) {
            fail(pc, "uninitialised read", "%s of %s, which nobody has written", word(access),
                 place(*a, address + i));
            abandon();
        }
        if (!(atomic && is_atomic(before.write)) && is_unordered(before.write, a->is_shared))
            race(*a, address + i, access, before.write, "the write", pc);
        if (is_write) {
            for (Epoch read : before.reads)
                if (is_unordered(read, a->is_shared))
                    race(*a, address + i, access, read, "the read", pc);
            cell->write = me;
        } else {
            if (thread_of(before.reads[0]) != current->index) cell->reads[1] = before.reads[0];
            cell->reads[0] = me;
        }
        after = *cell;
    }
}

void range_access(const void* address, size_t size, bool is_write) {
    check_access((uintptr_t)address, size, 1, is_write ? Access::write : Access::read,
                 (uintptr_t)__builtin_return_address(0));
}

void atomic_access(const volatile void* address, int size) {
    check_access((uintptr_t)address, (size_t)size, (size_t)size, Access::atomic,
                 (uintptr_t)__builtin_return_address(0));
}

static void cover(Allocation& shared, const void* begin, const void* end) {
    shared.drop_shadow();
    shared = {(uintptr_t)begin, (uintptr_t)end, 0, false, true, nullptr};
    shared.make_shadow();
}

void checker_start_launch(bool is_watched) {
    is_watching = is_watched;
    if (!is_watched) {
        unwatched_launches++;
        return;
    }
    last_used = nullptr;
    if (serial > LAST_SERIAL / 2) {
        forget_shadows();
        serial = 1;
    }
    launch_serial = block_serial = ++serial;
    cover(static_shared, launch.module->shared_begin, launch.module->shared_end);
    cover(dynamic_shared, launch.dynamic, launch.dynamic + launch.dynamic_size);
}

static void reset_clocks() {
    memset(clocks, 0, block.thread_count * sizeof *clocks);
    for (uint32_t i = 0; i < block.thread_count; i++) clocks[i][i % WARP] = 1;
}

void checker_start_block() {
    if (!is_watching) return;
    block_serial = ++serial;
    reset_clocks();
}

void checker_sync_block() {
    if (!is_watching) return;
    serial++;
    reset_clocks();
}

void checker_sync_warp(uint32_t warp, uint32_t mask) {
    if (!is_watching) return;
    uint32_t(*rows)[WARP] = clocks + warp * WARP;
    uint32_t latest[WARP] = {};
    for (uint32_t left = mask; left; left &= left - 1) {
        const uint32_t* row = rows[__builtin_ctz(left)];
        for (uint32_t i = 0; i < WARP; i++) latest[i] = row[i] > latest[i] ? row[i] : latest[i];
    }
    for (uint32_t left = mask; left; left &= left - 1) {
        const uint32_t lane = (uint32_t)__builtin_ctz(left);
        memcpy(rows[lane], latest, sizeof latest);
        if (++rows[lane][lane] == LAST_CLOCK) out_of_steps(block.lanes[warp * WARP + lane].pc);
    }
}

void out_of_steps(uintptr_t pc) {
    steps_left = ~0ull;
    if (!current) return;
    fail(pc, "endless loop", "the launch ran out of its budget of steps");
    abandon();
}

}  // namespace gzemu
