// What a kernel's module and the runtime of the emulated device know of each other.
//
// A module is one .cu file, compiled by g++ with dialect.hpp in front of it. The runtime is one
// shared object that all modules use: it owns the device memory, runs the threads and checks them.
#pragma once
#include <stddef.h>
#include <stdint.h>

struct uint3 {
    unsigned x, y, z;
};
struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

namespace gzemu {

// Where the running thread is: threadIdx, blockIdx, blockDim, gridDim. No member may have a
// constructor: kernels see this as a constant.
struct Coordinates {
    uint3 thread, block, block_size, grid_size;
};

enum class Operation {
    syncwarp,
    shfl,
    shfl_up,
    shfl_down,
    shfl_xor,
    ballot,
    any,
    all,
    match_any,
    reduce_add,
    reduce_min,
    reduce_max,
    reduce_min_signed,
    reduce_max_signed,
    reduce_and,
    reduce_or,
    reduce_xor,
};

enum class Vote { count, all, any };

// Kinds of parameters, as the loader in Python reads them.
enum ParameterKind : uint32_t { pointer = 'p', integer = 'i', floating = 'f', structure = 's' };

struct Parameter {
    uint32_t size;
    uint32_t kind;
};

struct Kernel {
    const char* name;
    void (*call)(void** arguments);
    const Parameter* parameters;
    uint32_t parameter_count;
    uint32_t most_threads;  // from __launch_bounds__, 0: none given
};

struct Module {
    const Kernel* kernels;
    uint32_t kernel_count;
    uint32_t is_checked;  // its memory accesses call the runtime
    char *shared_begin, *shared_end;
    const char *image_begin, *image_end;
};

#define GZEMU_EXPORT __attribute__((visibility("default")))

// Calls of a module into the runtime. `pc` is the return address: where in the kernel it happened.
GZEMU_EXPORT uint64_t warp_collective(Operation, unsigned mask, uint64_t value, int argument,
                                      int width);
GZEMU_EXPORT int block_barrier(Vote, bool predicate);
GZEMU_EXPORT void* dyn_shared();
GZEMU_EXPORT unsigned active_mask();
GZEMU_EXPORT void atomic_access(const volatile void* address, int size);
GZEMU_EXPORT void range_access(const void* address, size_t size, bool is_write);
[[noreturn]] GZEMU_EXPORT void trap();

}  // namespace gzemu
