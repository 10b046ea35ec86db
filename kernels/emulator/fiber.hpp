// Stacks to switch between: one for each CUDA thread that has to wait for others.
//
// Switched by hand on x86-64 and aarch64, where it costs a few nanoseconds; ucontext elsewhere
// asks the kernel for the signal mask each time.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if (defined(__x86_64__) || defined(__aarch64__)) && !defined(GZEMU_UCONTEXT)
#define GZEMU_SWITCHED_BY_HAND

// Saves what a call must preserve on the present stack, and goes on with another.
extern "C" void gzemu_switch(void** save, void* to);

#if defined(__x86_64__)
enum { SAVED_WORDS = 8, RETURN_WORD = 6 };  // the last word keeps the stack aligned to 16
#else
enum { SAVED_WORDS = 20, RETURN_WORD = 11 };
#endif
static_assert(SAVED_WORDS % 2 == 0, "stacks stay aligned to 16 bytes");

struct Context {
    void* stack_pointer;

    void make(char* stack, size_t size, void (*entry)()) {
        uint64_t* frame = (uint64_t*)((uintptr_t)(stack + size) & ~(uintptr_t)15) - SAVED_WORDS;
        memset(frame, 0, SAVED_WORDS * sizeof *frame);
        frame[RETURN_WORD] = (uint64_t)entry;
        stack_pointer = frame;
    }
    void leave_for(Context& other) { gzemu_switch(&stack_pointer, other.stack_pointer); }
};

#else

#include <ucontext.h>

struct Context {
    ucontext_t state;

    void make(char* stack, size_t size, void (*entry)()) {
        getcontext(&state);
        state.uc_stack.ss_sp = stack;
        state.uc_stack.ss_size = size;
        state.uc_link = nullptr;
        makecontext(&state, entry, 0);
    }
    void leave_for(Context& other) { swapcontext(&state, &other.state); }
};

#endif
