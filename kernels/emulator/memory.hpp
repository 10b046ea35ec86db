// Device memory: allocations of exact size, each with the shadow that the checker keeps of it.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include <mutex>

namespace gzemu {

// Who touched a byte last, in one word: serial of block and barrier, clock of the thread within
// them, the thread, and whether it was atomic. Zero: nobody; HOST: before any launch.
using Epoch = uint64_t;
enum : Epoch { HOST = 1 };

struct Cell {
    Epoch write, reads[2];  // the last two readers that differ
};

struct Allocation {
    uintptr_t begin, end;
    uint64_t birth;    // in launches that no checker watched, up to then
    bool is_written;   // as a whole, by the host: what a shadow made later starts with
    bool is_shared;
    Cell* shadow;      // one cell a byte, made when the checker first needs it

    size_t size() const { return end - begin; }
    void make_shadow();
    void drop_shadow();
};

// Held while the table of allocations changes, and while the checker reads it.
extern std::mutex table_mutex;
extern uint64_t unwatched_launches;

Allocation* allocation_at(uintptr_t address);       // that contains it, or null
Allocation* allocation_near(uintptr_t address);     // the nearest, or null where there are none
void forget_shadows();

}  // namespace gzemu
