#include "scheduler.hpp"

#include <stdio.h>
#include <sys/mman.h>

extern "C" {
GZEMU_EXPORT gzemu::Coordinates gzemu_here;
}

namespace gzemu {

// A stack holds a kernel's local arrays; the page below it faults. Their tops are staggered, since
// equal distances would put them all into one set of the cache.
enum : size_t { STACK = 128 << 10, GUARD = 16 << 10, STAGGER = 192, STAGGERS = 61 };

Block block;
Launch launch;
Lane* current;
char* stacks;
size_t stacks_size;

static Context main_context;
static Fiber fibers[MOST_THREADS];
static uint32_t fiber_count;
static std::vector<Fiber*> idle;

uint32_t random_below(uint32_t n) {
    uint64_t& x = launch.random;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return (uint32_t)((x >> 32) * n >> 32);
}

void fail(uintptr_t pc, const char* kind, const char* format, ...) {
    if (launch.has_failed) return;
    launch.has_failed = true;
    Failure& failure = *launch.failure;
    snprintf(failure.kind, sizeof failure.kind, "%s", kind);
    va_list values;
    va_start(values, format);
    vsnprintf(failure.text, sizeof failure.text, format, values);
    va_end(values);
    const Module* module = launch.module;
    const bool is_inside =
        pc >= (uintptr_t)module->image_begin && pc < (uintptr_t)module->image_end;
    failure.pc = is_inside ? pc - (uintptr_t)module->image_begin : 0;
    failure.has_thread = current != nullptr;
    if (current) {
        const uint3 b = gzemu_here.block, t = current->thread;
        const uint32_t at[] = {b.x, b.y, b.z, t.x, t.y, t.z};
        memcpy(failure.block, at, sizeof failure.block);
        memcpy(failure.thread, at + 3, sizeof failure.thread);
    }
}

static uint32_t nth_bit(uint32_t bits, uint32_t n) {
    while (n--) bits &= bits - 1;
    return (uint32_t)__builtin_ctz(bits);
}

// The lane to run now, or null if none can. In order: lane after lane, warp after warp.
static Lane* next_lane() {
    const uint32_t* runnable = block.runnable;
    uint32_t warp = block.warp;
    if (launch.is_random && random_below(4) == 0) warp = random_below(block.warp_count);
    for (uint32_t tried = 0; !runnable[warp]; tried++) {
        if (tried == block.warp_count) return nullptr;
        warp = warp + 1 == block.warp_count ? 0 : warp + 1;
    }
    const uint32_t bits = runnable[warp];
    uint32_t lane;
    if (launch.is_random) {
        lane = nth_bit(bits, random_below((uint32_t)__builtin_popcount(bits)));
    } else {
        const uint32_t from = warp == block.warp && current ? current->index % WARP : 0;
        const uint32_t after = bits & ~0u << from;
        lane = (uint32_t)__builtin_ctz(after ? after : bits);
    }
    block.warp = warp;
    return &block.lanes[warp * WARP + lane];
}

static void make_current(Lane* lane) {
    current = lane;
    gzemu_here.thread = lane->thread;
}

static void start_on(Lane* lane, Fiber* fiber) {
    lane->state = State::started;
    lane->fiber = fiber;
    make_current(lane);
}

// Runs lane after lane; a lane that waits takes the fiber with it until it is done.
static void fiber_main() {
    for (;;) {
        launch.kernel->call(launch.arguments);
        Lane& lane = *current;
        Fiber* fiber = lane.fiber;
        lane.state = State::done;
        block.runnable[lane.warp()] &= ~lane.bit();
        block.done_count++;
        warp_exit(lane);
        Lane* next = launch.has_failed ? nullptr : next_lane();
        if (next && next->state == State::fresh) {
            start_on(next, fiber);
            continue;
        }
        idle.push_back(fiber);
        if (next) make_current(next);
        fiber->context.leave_for(next ? next->fiber->context : main_context);
    }
}

static Fiber* take_fiber() {
    if (idle.empty()) {
        Fiber& fiber = fibers[fiber_count];
        fiber.stack = stacks + fiber_count * STACK;
        mprotect(fiber.stack, GUARD, PROT_NONE);
        fiber.context.make(fiber.stack, STACK - fiber_count % STAGGERS * STAGGER, fiber_main);
        fiber_count++;
        return &fiber;
    }
    Fiber* fiber = idle.back();
    idle.pop_back();
    return fiber;
}

void forget_fibers() {
    fiber_count = 0;
    idle.clear();
}

static void resume(Context& from, Lane* lane) {
    if (!lane) {
        from.leave_for(main_context);
        return;
    }
    if (lane->state == State::fresh) start_on(lane, take_fiber());
    else make_current(lane);
    from.leave_for(lane->fiber->context);
}

void suspend() {
    Lane* lane = current;
    Lane* next = next_lane();
    if (next != lane) resume(lane->fiber->context, next);
}

void abandon() {
    Context nowhere;
    for (;;) nowhere.leave_for(main_context);
}

void prepare_lanes(dim3 size) {
    if (!stacks) {
        stacks_size = STACK * MOST_THREADS;
        stacks = (char*)mmap(nullptr, stacks_size, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    }
    block.thread_count = size.x * size.y * size.z;
    block.warp_count = (block.thread_count + WARP - 1) / WARP;
    for (uint32_t i = 0; i < block.thread_count; i++) {
        block.lanes[i].index = i;
        block.lanes[i].thread = {i % size.x, i / size.x % size.y, i / (size.x * size.y)};
    }
}

void run_block(uint3 index) {
    gzemu_here.block = index;
    block.done_count = block.barrier_count = block.warp = 0;
    for (uint32_t i = 0; i < block.thread_count; i++) block.lanes[i].state = State::fresh;
    for (uint32_t w = 0; w < block.warp_count; w++) {
        const uint32_t lanes = block.thread_count - w * WARP;
        block.runnable[w] = lanes >= WARP ? ~0u : (1u << lanes) - 1;
        block.waiting[w] = block.exited[w] = 0;
    }
    current = nullptr;
    resume(main_context, next_lane());
    if (!launch.has_failed && block.done_count < block.thread_count) explain_deadlock();
    current = nullptr;
}

}  // namespace gzemu
