#include "memory.hpp"

#include <stdlib.h>
#include <string.h>

#include <map>

#include "interface.hpp"

namespace gzemu {

// As cudaMalloc aligns. The gap behind an allocation is never touched; it makes an index that is
// far off hit nothing, instead of the next allocation.
enum : size_t { ALIGNMENT = 256, GAP = 32 << 10 };
enum { POISON = 0xCD };

std::mutex table_mutex;
uint64_t unwatched_launches;
static std::map<uintptr_t, Allocation> table;  // by begin

void Allocation::make_shadow() {
    if (shadow || !size()) return;
    shadow = (Cell*)calloc(size(), sizeof(Cell));  // of the heap: fresh pages cost more than zeroing
    if (!shadow) abort();
    if (is_written)
        for (size_t i = 0; i < size(); i++) shadow[i].write = HOST;
}

void Allocation::drop_shadow() {
    free(shadow);
    shadow = nullptr;
}

Allocation* allocation_at(uintptr_t address) {
    auto after = table.upper_bound(address);
    if (after == table.begin()) return nullptr;
    Allocation& allocation = std::prev(after)->second;
    return address < allocation.end ? &allocation : nullptr;
}

Allocation* allocation_near(uintptr_t address) {
    if (table.empty()) return nullptr;
    auto after = table.upper_bound(address);
    if (after == table.begin()) return &after->second;
    Allocation& below = std::prev(after)->second;
    if (after == table.end() || address - below.end <= after->first - address) return &below;
    return &after->second;
}

void forget_shadows() {
    for (auto& [begin, allocation] : table) {
        if (!allocation.shadow) continue;
        for (size_t i = 0; i < allocation.size(); i++) {
            Cell& cell = allocation.shadow[i];
            cell = {cell.write ? (Epoch)HOST : 0, {0, 0}};
        }
    }
}

}  // namespace gzemu

using namespace gzemu;

// Memory of `size` bytes with undefined content, or null if there is none.
extern "C" GZEMU_EXPORT void* gzemu_allocate(size_t size) {
    void* memory = nullptr;
    if (posix_memalign(&memory, ALIGNMENT, size + GAP)) return nullptr;
    memset(memory, POISON, size);
    const std::lock_guard<std::mutex> lock(table_mutex);
    const uintptr_t begin = (uintptr_t)memory;
    table[begin] = {begin, begin + size, unwatched_launches, false, false, nullptr};
    return memory;
}

extern "C" GZEMU_EXPORT void gzemu_free(void* memory) {
    {
        const std::lock_guard<std::mutex> lock(table_mutex);
        auto found = table.find((uintptr_t)memory);
        if (found == table.end()) return;
        found->second.drop_shadow();
        table.erase(found);
    }
    free(memory);
}

// The host wrote these bytes, which lie within one allocation.
extern "C" GZEMU_EXPORT void gzemu_written(void* address, size_t size) {
    const std::lock_guard<std::mutex> lock(table_mutex);
    Allocation* allocation = allocation_at((uintptr_t)address);
    if (!allocation || !size) return;
    if (size == allocation->size()) {
        allocation->drop_shadow();
        allocation->is_written = true;
        return;
    }
    if (allocation->is_written && !allocation->shadow) return;
    allocation->make_shadow();
    Cell* cell = allocation->shadow + ((uintptr_t)address - allocation->begin);
    for (size_t i = 0; i < size; i++) cell[i] = {HOST, {0, 0}};
}
