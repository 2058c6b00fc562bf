/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cpu_row_kernels - element-wise work and norms of one row, and how ops spread rows over threads.
 *
 * The kernels are one source in plain C (cpu_row_kernels_body.h), compiled once for each
 * instruction set; sums go into 16 fixed lanes, so that every build gives the same bits.
 */
#ifndef LLS_CPU_ROW_KERNELS_H
#define LLS_CPU_ROW_KERNELS_H

#include "cpu/cpu_int.h"

typedef struct lls_row_kernels {
    /* y may be x */
    void (*norm)(float *y, const float *x, const lls_norm_t *norm);
    /* x += in; y = norm(x) */
    void (*add_norm)(float *y, float *x, const float *in, const lls_norm_t *norm);
    void (*add)(float *y, const float *x, float scale, uint32_t n);
    void (*scale)(float *x, float factor, float softcap, uint32_t n);
    void (*act)(float *x, uint32_t kind, uint32_t n);
    /* y = act(gate) * up; y may be either */
    void (*act_mul)(float *y, const float *gate, const float *up, uint32_t kind, uint32_t n);
    /* one head; n_pairs pairs, cos and sin of each */
    void (*rotate)(float *x, const float *cos, const float *sin, uint32_t n_pairs,
                   bool interleaved);
    /* Largest of columns [0, n), n <= 32, that are alike mod 16, of rows of x, to as many rows of
     * 16 peaks: onto what is there unless first.  INFINITY where one is NaN. */
    void (*peaks)(const float *x, size_t stride, uint32_t n, uint32_t n_rows, bool first,
                  float *peaks, size_t peaks_stride);
} lls_row_kernels_t;

extern const lls_row_kernels_t lls_row_kernels_plain, lls_row_kernels_avx2, lls_row_kernels_avx512;
extern const lls_row_kernels_t lls_row_kernels_neon;
const lls_row_kernels_t *lls_row_kernels(uint32_t isa);

/* What rope does, and to one token: kv_write can do it on the way. */
typedef struct lls_rope_job {
    const lls_row_kernels_t *k;
    const lls_tensor_t      *qkv, *angles;
    const lls_rope_t        *rope;
} lls_rope_job_t;

void lls_cpu_rope_token(const lls_rope_job_t *job, uint32_t token);

/* Runs fn over rows [0, n): on all threads if the work is worth it, else on the caller's.  cost: of
 * a row, in elements added. */
typedef void (*lls_cpu_rows_fn)(const void *arg, uint32_t begin, uint32_t end);
void lls_cpu_each_rows(const lls_exec_t *x, uint32_t n, uint64_t cost, lls_cpu_rows_fn fn,
                       const void *arg);

#endif
