// The C interface that the loader in Python calls. One launch runs at a time.
#include <stdio.h>

#include <mutex>
#include <numeric>
#include <vector>

#include "checker.hpp"
#include "memory.hpp"
#include "scheduler.hpp"

extern "C" GZEMU_EXPORT gzemu::Coordinates gzemu_here;

namespace gzemu {

static std::mutex launch_mutex;
static std::vector<char> dynamic_memory;

void* dyn_shared() { return launch.dynamic; }

void trap() {
    fail((uintptr_t)__builtin_return_address(0), "trap", "the kernel called __trap");
    abandon();
}

// Shared memory has no content to rely on when a block starts.
static void poison_shared() {
    const int value = launch.is_random ? (int)random_below(256) : 0xCD;
    const Module& module = *launch.module;
    memset(module.shared_begin, value, (size_t)(module.shared_end - module.shared_begin));
    memset(launch.dynamic, value, launch.dynamic_size);
}

// Blocks in order, or in a permutation that the seed picks: stride coprime to their number.
static void run_blocks(dim3 grid) {
    const uint64_t count = (uint64_t)grid.x * grid.y * grid.z;
    uint64_t stride = 1, at = 0;
    if (launch.is_random) {
        const uint32_t below = count > ~0u ? ~0u : (uint32_t)count;
        at = random_below(below);
        do stride = 1 + random_below(below);
        while (std::gcd(stride, count) != 1);
    }
    for (uint64_t i = 0; i < count && !launch.has_failed; i++, at = (at + stride) % count) {
        poison_shared();
        checker_start_block();
        run_block({(unsigned)(at % grid.x), (unsigned)(at / grid.x % grid.y),
                   (unsigned)(at / grid.x / grid.y)});
    }
}

}  // namespace gzemu

using namespace gzemu;

struct LaunchOptions {
    uint32_t grid[3], block[3];
    uint32_t dynamic_shared;
    uint64_t seed;   // 0: in order
    uint64_t steps;  // 0: no limit
};

// Runs a kernel of a module. `arguments` are addresses of values of the parameters' sizes.
// Returns 0, or 1 and the reason in `failure`.
extern "C" GZEMU_EXPORT int gzemu_launch(const Module* module, uint32_t kernel,
                                         const LaunchOptions* options, void** arguments,
                                         Failure* failure) {
    const std::lock_guard<std::mutex> one_launch(launch_mutex);
    std::unique_lock<std::mutex> table(table_mutex, std::defer_lock);
    if (module->is_checked) table.lock();  // else the kernel's accesses look nothing up

    const uint32_t *g = options->grid, *b = options->block;
    const dim3 grid(g[0], g[1], g[2]), size(b[0], b[1], b[2]);
    *failure = {};
    dynamic_memory.resize(options->dynamic_shared + 16);
    const uintptr_t start = ((uintptr_t)dynamic_memory.data() + 15) & ~(uintptr_t)15;
    launch = {module,
              &module->kernels[kernel],
              arguments,
              options->seed != 0,
              false,
              failure,
              options->seed * 0x9E3779B97F4A7C15ull | 1,
              (char*)start,
              options->dynamic_shared};
    current = nullptr;
    gzemu_here.block_size = {size.x, size.y, size.z};
    gzemu_here.grid_size = {grid.x, grid.y, grid.z};
    prepare_lanes(size);
    checker_start_launch(module->is_checked);
    steps_left = options->steps ? options->steps : ~0ull;
    run_blocks(grid);
    steps_left = ~0ull;
    current = nullptr;
    if (launch.has_failed) forget_fibers();
    return launch.has_failed;
}
