/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cpu_linear_kernels - what the files of the linear kernels with vectors share.
 */
#ifndef LLS_CPU_CPU_LINEAR_KERNELS_H
#define LLS_CPU_CPU_LINEAR_KERNELS_H

#include <string.h>

#include "base/num.h"
#include "cpu/cpu_linear.h"

/* Kernels take their shape as constants: they must be inlined, and their short loops unrolled.
 * Where a sanitizer checks every load that takes minutes to compile, so there the shape is a
 * variable. */
#define INLINE static inline __attribute__((always_inline))
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SMALL_KERNELS 1
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SMALL_KERNELS 1
#endif
#if defined(SMALL_KERNELS)
#define UNROLL
#elif defined(__clang__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

INLINE void lls_fill_f32_rows(const float *x, uint32_t n, uint32_t mr, uint32_t m, uint8_t *dst)
{
    uint32_t k = 0;

    dst += 8 * (size_t)m;
    for (; k + 2 <= n; k += 2, dst += 8 * (size_t)mr)
        memcpy(dst, x + k, 8);
    if (k < n) {
        float pair[2] = { x[k], 0.0f };

        memcpy(dst, pair, 8);
    }
}

/* A kernel for each number of rows, which it gets as a constant. */
#if defined(SMALL_KERNELS)
#define SWITCH(LIST, kernel, kind) kernel(kind, mr, acts, w, n, first, tile);
#else
#define CASE(rows, kernel, kind) \
    case rows: kernel(kind, rows, acts, w, n, first, tile); break;
#define SWITCH(LIST, kernel, kind) \
    switch (mr) { LIST(CASE, kernel, kind) default: lls_assert(!"rows"); }
#endif
#define KERNEL(name, kernel, kind, LIST)                                                          \
    static void name(const uint8_t *acts, const uint8_t *w, uint32_t n, uint32_t mr, bool first,  \
                     float *tile)                                                                 \
    {                                                                                             \
        SWITCH(LIST, kernel, kind)                                                                \
    }
#define ROWS_4(X, kernel, kind) \
    X(1, kernel, kind) X(2, kernel, kind) X(3, kernel, kind) X(4, kernel, kind)
#define ROWS_6(X, kernel, kind) ROWS_4(X, kernel, kind) X(5, kernel, kind) X(6, kernel, kind)
#define ROWS_8(X, kernel, kind) ROWS_6(X, kernel, kind) X(7, kernel, kind) X(8, kernel, kind)
#define ROWS_12(X, kernel, kind)                                                                  \
    ROWS_8(X, kernel, kind) X(9, kernel, kind) X(10, kernel, kind) X(11, kernel, kind)            \
    X(12, kernel, kind)
#define ROWS_14(X, kernel, kind) ROWS_12(X, kernel, kind) X(13, kernel, kind) X(14, kernel, kind)

/* How a kernel reads a block kind: 4 bits or bytes; zero = 1 << zero_shift, or minima; of a
 * kind in parts the small scales of 32 values, 0, 1 or 2. */
typedef struct form {
    bool     nibbles, min;
    uint32_t zero_shift, n_small;
} form_t;

INLINE uint32_t form_value_bytes(form_t f) { return f.nibbles ? 512 : 1024; }
INLINE uint32_t form_step_bytes(form_t f) { return form_value_bytes(f) + (f.min ? 128 : 64); }
INLINE uint32_t form_head_bytes(form_t f) { return f.min ? 128 : 64; }
INLINE uint32_t form_part_bytes(form_t f)
{
    if (f.n_small == 0)
        return form_value_bytes(f);
    return form_value_bytes(f) + (f.min && f.n_small == 2 ? 128 : 64);
}
INLINE uint32_t form_parts(form_t f) { return f.n_small == 0 ? 4 : 8; }
/* Sums that a part makes. */
INLINE uint32_t form_sums(form_t f) { return f.n_small == 2 ? 2 : 1; }
/* Words of a row of activations in 32 values of k, and which of them is the sum. */
INLINE uint32_t form_acts(form_t f) { return f.n_small == 2 ? 13 : 11; }
INLINE uint32_t form_acts_sum(form_t f, uint32_t h) { return f.n_small == 2 ? 11 + h : 10; }

#define FORM(nibbles, min, zero_shift) ((form_t){ nibbles, min, zero_shift, 0 })
#define FORM_K(nibbles, min, zero_shift, n_small) ((form_t){ nibbles, min, zero_shift, n_small })
#define FORM_Q2_K FORM_K(true, true, 0, 2)
#define FORM_Q3_K FORM_K(true, false, 2, 2)
#define FORM_Q4_K FORM_K(true, true, 0, 1)
#define FORM_Q5_K FORM_K(false, true, 0, 1)
#define FORM_Q6_K FORM_K(false, false, 5, 2)
#define FORM_IQ4_XS FORM_K(false, false, 7, 1)
#define FORM_INT4_G128 FORM_K(true, true, 0, 0)
#define FORM_Q4_0 FORM(true, false, 3)
#define FORM_Q4_1 FORM(true, true, 0)
#define FORM_Q5_0 FORM(false, false, 4)
#define FORM_Q5_1 FORM(false, true, 0)
#define FORM_Q8_0 FORM(false, false, 7)
#define FORM_W4_0 FORM(false, false, 3)     /* Q4_0 widened; Q4_1 widened is as Q5_1 */

#endif
