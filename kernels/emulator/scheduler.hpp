// The threads of one block, and who of them runs.
//
// Threads run one at a time, in an order that a seed decides. A thread that waits in a collective
// leaves its stack for the next; a thread that never waits is a plain call, and all threads of a
// kernel without collectives are calls in a row on one stack.
#pragma once
#include <stdarg.h>

#include <vector>

#include "fiber.hpp"
#include "interface.hpp"

namespace gzemu {

enum : uint32_t { MOST_THREADS = 1024, WARP = 32, MOST_WARPS = MOST_THREADS / WARP };

enum class State : uint8_t { fresh, started, in_warp, in_block, done };

struct Fiber {
    Context context;
    char* stack;
};

struct Lane {
    uint3 thread;
    uint32_t index;  // within the block
    State state;
    Fiber* fiber;
    // what it waits for
    Operation operation;
    Vote vote;
    unsigned mask;
    int argument, width;
    uint64_t value, result;
    uintptr_t pc;

    uint32_t warp() const { return index / WARP; }
    uint32_t bit() const { return 1u << index % WARP; }
};

// What went wrong, for the loader in Python to put into words.
struct Failure {
    char kind[32];
    char text[480];
    char file[256];     // of the source, where known; else
    uint64_t pc;        // behind the call, relative to the module's image
    uint32_t line;
    uint32_t has_thread;
    uint32_t block[3], thread[3];
};

struct Block {
    Lane lanes[MOST_THREADS];
    uint32_t thread_count, warp_count;
    uint32_t done_count, barrier_count;    // threads that are done, that wait in __syncthreads
    uint32_t runnable[MOST_WARPS];         // one bit a lane
    uint32_t waiting[MOST_WARPS], exited[MOST_WARPS];
    uint32_t warp;                         // whose lanes run at present
};

struct Launch {
    const Module* module;
    const Kernel* kernel;
    void** arguments;
    bool is_random;
    bool has_failed;
    Failure* failure;
    uint64_t random;
    char* dynamic;
    size_t dynamic_size;
};

extern Block block;
extern Launch launch;
extern Lane* current;  // null outside of kernels
extern char* stacks;
extern size_t stacks_size;

uint32_t random_below(uint32_t n);
void suspend();                                      // the current lane waits; returns when it runs
void prepare_lanes(dim3 size);                       // once per launch
void run_block(uint3 index);
void forget_fibers();                                // after a failure: none may be resumed
inline void wake(Lane& lane) {
    lane.state = State::started;
    block.runnable[lane.warp()] |= lane.bit();
}

void warp_exit(Lane&);  // collectives.cpp: others may have waited for no one else
void explain_deadlock();

// The first failure of a launch is the one that is told.
void fail(uintptr_t pc, const char* kind, const char* format, ...)
    __attribute__((format(printf, 3, 4)));
[[noreturn]] void abandon();  // the current lane is never resumed

}  // namespace gzemu
