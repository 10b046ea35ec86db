// The check build's view of memory: bounds, alignment, initialisation, and the order of accesses.
#pragma once
#include <stddef.h>
#include <stdint.h>

namespace gzemu {

enum class Access { read, write, atomic };

// An access to anything but a kernel's own variables.
void check_device_access(uintptr_t address, size_t size, size_t alignment, Access, uintptr_t pc);

extern char* stacks;
extern size_t stacks_size;

inline void check_access(uintptr_t address, size_t size, size_t alignment, Access access,
                         uintptr_t pc) {
    if (address - (uintptr_t)stacks >= stacks_size)
        check_device_access(address, size, alignment, access, pc);
}

void checker_start_launch(bool is_watched);
void checker_start_block();
void checker_sync_block();                              // all threads are at a barrier
void checker_sync_warp(uint32_t warp, uint32_t mask);   // these lanes are

// Steps are basic blocks and collectives; an endless loop runs out of them.
extern uint64_t steps_left;
void out_of_steps(uintptr_t pc);
inline void spend_step(uintptr_t pc) {
    if (__builtin_expect(--steps_left == 0, 0)) out_of_steps(pc);
}

}  // namespace gzemu
