// Collectives of a warp and of a block: each completes when the last thread it needs has come.
#include <stdio.h>

#include "checker.hpp"
#include "scheduler.hpp"

namespace gzemu {

static const char* name_of(Operation operation) {
    static const char* const names[] = {
        "__syncwarp",       "__shfl_sync",       "__shfl_up_sync",    "__shfl_down_sync",
        "__shfl_xor_sync",  "__ballot_sync",     "__any_sync",        "__all_sync",
        "__match_any_sync", "__reduce_add_sync", "__reduce_min_sync", "__reduce_max_sync",
        "__reduce_min_sync", "__reduce_max_sync", "__reduce_and_sync", "__reduce_or_sync",
        "__reduce_xor_sync"};
    return names[(int)operation];
}

template <class Visit>
static inline void each_bit(uint32_t bits, Visit visit) {
    for (; bits; bits &= bits - 1) visit((uint32_t)__builtin_ctz(bits));
}

// The lane that `reader` takes its value from.
static uint32_t source_lane(const Lane& reader) {
    const int lane = (int)(reader.index % WARP), width = reader.width;
    const int base = lane & ~(width - 1), argument = reader.argument;
    switch (reader.operation) {
    case Operation::shfl: return (uint32_t)(base + (argument & (width - 1)));
    case Operation::shfl_up: return (uint32_t)(lane - argument < base ? lane : lane - argument);
    case Operation::shfl_down:
        return (uint32_t)(lane + argument >= base + width ? lane : lane + argument);
    default: {
        const int other = lane ^ argument;
        return (uint32_t)(other >= base + width ? lane : other);
    }
    }
}

static void shuffle(Lane* lanes, uint32_t mask) {
    each_bit(mask, [&](uint32_t i) {
        Lane& lane = lanes[i];
        const uint32_t source = source_lane(lane);
        if (source >= WARP || !(mask >> source & 1)) {
            fail(lane.pc, "partial collective",
                 "%s of lane %u reads lane %u, which takes no part (mask 0x%08x)",
                 name_of(lane.operation), i, source, mask);
            return;
        }
        lane.result = lanes[source].value;
    });
}

static uint64_t combined(const Lane* lanes, uint32_t mask) {
    const Operation operation = lanes[__builtin_ctz(mask)].operation;
    uint64_t result = lanes[__builtin_ctz(mask)].value;
    uint32_t votes = 0;
    each_bit(mask, [&](uint32_t i) { votes |= (uint32_t)(lanes[i].value != 0) << i; });
    if (operation == Operation::ballot) return votes;
    if (operation == Operation::any) return votes != 0;
    if (operation == Operation::all) return votes == mask;
    each_bit(mask & (mask - 1), [&](uint32_t i) {
        const uint64_t value = lanes[i].value;
        switch (operation) {
        case Operation::reduce_add: result += value; break;
        case Operation::reduce_min: result = value < result ? value : result; break;
        case Operation::reduce_max: result = value > result ? value : result; break;
        case Operation::reduce_min_signed:
            result = (int32_t)value < (int32_t)result ? value : result;
            break;
        case Operation::reduce_max_signed:
            result = (int32_t)value > (int32_t)result ? value : result;
            break;
        case Operation::reduce_and: result &= value; break;
        case Operation::reduce_or: result |= value; break;
        case Operation::reduce_xor: result ^= value; break;
        default: break;
        }
    });
    return result;
}

static void match(Lane* lanes, uint32_t mask) {
    each_bit(mask, [&](uint32_t i) {
        uint32_t equal = 0;
        each_bit(mask, [&](uint32_t j) {
            equal |= (uint32_t)(lanes[j].value == lanes[i].value) << j;
        });
        lanes[i].result = equal;
    });
}

// Lanes that are named by one mask must wait in the same operation with the same mask.
static bool agree(const Lane* lanes, uint32_t arrived, const Lane& first) {
    bool same = true;
    each_bit(arrived, [&](uint32_t i) {
        const Lane& lane = lanes[i];
        if (lane.operation == first.operation && lane.mask == first.mask) return;
        if (same)
            fail(lane.pc, "divergent collective",
                 "lane %u is in %s with mask 0x%08x, lane %u in %s with mask 0x%08x",
                 first.index % WARP, name_of(first.operation), first.mask, i,
                 name_of(lane.operation), lane.mask);
        same = false;
    });
    return same;
}

// Completes the collective that `lane` waits in, if nobody is missing.
static bool complete(const Lane& lane) {
    const uint32_t warp = lane.warp();
    const uint32_t needed = lane.mask & ~block.exited[warp];
    Lane* lanes = &block.lanes[warp * WARP];
    const uint32_t arrived = block.waiting[warp] & needed;
    if (arrived != needed) return false;
    if (!agree(lanes, arrived, lane)) return false;
    switch (lane.operation) {
    case Operation::syncwarp: checker_sync_warp(warp, needed); break;
    case Operation::shfl:
    case Operation::shfl_up:
    case Operation::shfl_down:
    case Operation::shfl_xor: shuffle(lanes, needed); break;
    case Operation::match_any: match(lanes, needed); break;
    default: {
        const uint64_t result = combined(lanes, needed);
        each_bit(needed, [&](uint32_t i) { lanes[i].result = result; });
    }
    }
    each_bit(needed, [&](uint32_t i) { lanes[i].state = State::started; });
    block.runnable[warp] |= needed;
    block.waiting[warp] &= ~needed;
    return true;
}

uint64_t warp_collective(Operation operation, unsigned mask, uint64_t value, int argument,
                         int width) {
    Lane& lane = *current;
    const uint32_t warp = lane.warp();
    lane.pc = (uintptr_t)__builtin_return_address(0);
    spend_step(lane.pc);
    if (!(mask & lane.bit())) {
        fail(lane.pc, "divergent collective", "%s by lane %u, which its mask 0x%08x does not name",
             name_of(operation), lane.index % WARP, mask);
        abandon();
    }
    const uint32_t lanes = block.thread_count - warp * WARP;
    if (lanes < WARP) mask &= (1u << lanes) - 1;  // the last warp of an odd block is not whole
    lane.operation = operation;
    lane.mask = mask;
    lane.value = value;
    lane.argument = argument;
    lane.width = width;
    lane.state = State::in_warp;
    block.waiting[warp] |= lane.bit();
    block.runnable[warp] &= ~lane.bit();
    const bool is_complete = complete(lane);
    if (launch.has_failed) abandon();
    // in random order the last to come is not always the first to go
    if (!is_complete || launch.is_random) suspend();
    return lane.result;
}

void warp_exit(Lane& lane) {
    const uint32_t warp = lane.warp();
    block.exited[warp] |= lane.bit();
    for (uint32_t left = block.waiting[warp]; left && !launch.has_failed;) {
        const Lane& other = block.lanes[warp * WARP + (uint32_t)__builtin_ctz(left)];
        left &= ~other.mask;
        complete(other);
    }
    if (block.barrier_count && !launch.has_failed) {
        for (uint32_t i = 0; i < block.thread_count; i++)
            if (block.lanes[i].state == State::in_block)
                fail(block.lanes[i].pc, "partial barrier",
                     "a thread exits while %u of %u threads wait in __syncthreads",
                     block.barrier_count, block.thread_count);
    }
}

int block_barrier(Vote vote, bool predicate) {
    static uint32_t votes;
    Lane& lane = *current;
    lane.pc = (uintptr_t)__builtin_return_address(0);
    spend_step(lane.pc);
    if (block.done_count) {
        fail(lane.pc, "partial barrier", "__syncthreads after %u of %u threads have exited",
             block.done_count, block.thread_count);
        abandon();
    }
    if (!block.barrier_count) votes = 0;
    votes += predicate;
    lane.vote = vote;
    lane.state = State::in_block;
    block.runnable[lane.warp()] &= ~lane.bit();
    if (++block.barrier_count == block.thread_count) {
        checker_sync_block();
        block.barrier_count = 0;
        for (uint32_t i = 0; i < block.thread_count; i++) {
            Lane& other = block.lanes[i];
            other.result = other.vote == Vote::count ? votes
                           : other.vote == Vote::all ? votes == block.thread_count
                                                     : votes != 0;
            wake(other);
        }
        if (!launch.is_random) return (int)lane.result;
    }
    suspend();
    return (int)lane.result;
}

unsigned active_mask() {
    return current->bit();  // the weakest legal answer: code may not rely on more
}

void explain_deadlock() {
    for (uint32_t i = 0; i < block.thread_count; i++) {
        Lane& lane = block.lanes[i];
        current = &lane;
        if (lane.state == State::in_warp)
            fail(lane.pc, "deadlock",
                 "lane %u waits in %s with mask 0x%08x for lanes 0x%08x, which wait elsewhere",
                 lane.index % WARP, name_of(lane.operation), lane.mask,
                 lane.mask & ~block.exited[lane.warp()] & ~block.waiting[lane.warp()]);
        if (lane.state == State::in_block)
            fail(lane.pc, "deadlock", "%u of %u threads wait in __syncthreads, the others elsewhere",
                 block.barrier_count, block.thread_count);
    }
}

}  // namespace gzemu
