// What instrumented kernels call. -fsanitize=thread, =undefined and -fsanitize-coverage are used
// for these calls alone: the sanitizers' own libraries are never linked.
#include <stdio.h>

#include "checker.hpp"
#include "scheduler.hpp"

using namespace gzemu;

#define HOOK extern "C" GZEMU_EXPORT
#define PC ((uintptr_t)__builtin_return_address(0))

// --- -fsanitize=thread: every access to memory -------------------------------------------------

HOOK void __tsan_init() {}

#define ACCESS(size)                                                                         \
    HOOK void __tsan_read##size(void* p) {                                                   \
        check_access((uintptr_t)p, size, size, Access::read, PC);                            \
    }                                                                                        \
    HOOK void __tsan_write##size(void* p) {                                                  \
        check_access((uintptr_t)p, size, size, Access::write, PC);                           \
    }                                                                                        \
    /* of types that promise no alignment, which a GPU reads byte by byte */                 \
    HOOK void __tsan_unaligned_read##size(void* p) {                                         \
        check_access((uintptr_t)p, size, 1, Access::read, PC);                               \
    }                                                                                        \
    HOOK void __tsan_unaligned_write##size(void* p) {                                        \
        check_access((uintptr_t)p, size, 1, Access::write, PC);                              \
    }
ACCESS(1)
ACCESS(2)
ACCESS(4)
ACCESS(8)
ACCESS(16)

HOOK void __tsan_read_range(void* p, size_t size) {
    check_access((uintptr_t)p, size, 1, Access::read, PC);
}
HOOK void __tsan_write_range(void* p, size_t size) {
    check_access((uintptr_t)p, size, 1, Access::write, PC);
}

// --- -fsanitize-coverage=trace-pc: every basic block ---------------------------------------------

HOOK void __sanitizer_cov_trace_pc() { spend_step(PC); }

// --- -fsanitize=undefined ------------------------------------------------------------------------

struct SourceLocation {
    const char* file;
    uint32_t line, column;
};

[[noreturn]] static void undefined(const void* data, const char* what, uintptr_t pc) {
    const SourceLocation& at = *(const SourceLocation*)data;  // every handler's data begins with it
    if (!launch.has_failed) {
        fail(pc, "undefined behaviour", "%s", what);
        snprintf(launch.failure->file, sizeof launch.failure->file, "%s", at.file);
        launch.failure->line = at.line;
    }
    abandon();
}

#define UNDEFINED(name, what) \
    HOOK void __ubsan_handle_##name(const void* data, ...) { undefined(data, what, PC); }

UNDEFINED(add_overflow_abort, "a signed sum overflows")
UNDEFINED(sub_overflow_abort, "a signed difference overflows")
UNDEFINED(mul_overflow_abort, "a signed product overflows")
UNDEFINED(negate_overflow_abort, "a negation overflows")
UNDEFINED(divrem_overflow_abort, "a division by zero, or one that overflows")
UNDEFINED(shift_out_of_bounds_abort, "a shift by less than 0 or by more than the type's width")
UNDEFINED(out_of_bounds_abort, "an index outside its array")
UNDEFINED(pointer_overflow_abort, "pointer arithmetic overflows")
UNDEFINED(type_mismatch_v1_abort, "an access through a null or misaligned pointer")
UNDEFINED(alignment_assumption_abort, "a pointer without the alignment that is assumed of it")
UNDEFINED(float_cast_overflow_abort, "a floating-point number that the integer type cannot hold")
UNDEFINED(load_invalid_value_abort, "a value that a bool or an enumeration cannot have")
UNDEFINED(invalid_builtin_abort, "an argument that an intrinsic does not take")
UNDEFINED(nonnull_arg_abort, "a null pointer where none may be")
UNDEFINED(nonnull_return_v1_abort, "a null pointer returned where none may be")
UNDEFINED(vla_bound_not_positive_abort, "an array of no or negative length")
UNDEFINED(builtin_unreachable, "a place that is declared unreachable")
UNDEFINED(missing_return, "a function that returns no value")
