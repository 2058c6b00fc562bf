/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cpu_int - what the files of the CPU backend share: the backend itself and the ops' prototypes.
 */
#ifndef LLS_CPU_CPU_INT_H
#define LLS_CPU_CPU_INT_H

#include "base/num.h"
#include "cpu/cpu.h"

struct lls_cpu {
    lls_mem_t  *mem;
    lls_pool_t *pool;
    uint32_t    isa;                /* enum lls_isa */
    uint32_t    n_threads;
};

#define LLS_CPU_PROTO(name, args) void lls_cpu_##name args;
LLS_OPS(LLS_CPU_PROTO)
LLS_FUSED_OPS(LLS_CPU_PROTO)
#undef LLS_CPU_PROTO
size_t      lls_cpu_pack_size(const lls_wspec_t *spec);
lls_wmat_t *lls_cpu_pack(void *backend, const lls_wspec_t *spec, void *dst);
void        lls_cpu_place(void *backend, void *at, size_t n, lls_mat_bytes_fn bytes_of,
                          const void *user);
/* Its two ways: members have the pages of their shares near; pages come quickly. */
void        lls_cpu_place_shares(lls_cpu_t *cpu, void *at, size_t n, lls_mat_bytes_fn bytes_of,
                                 const void *user);
void        lls_cpu_touch(lls_cpu_t *cpu, void *at, size_t bytes);
void        lls_cpu_run(void *backend, uint32_t n, lls_pool_fn fn, void *arg);
size_t      lls_cpu_page_bytes(uint32_t dtype, uint32_t block_tokens, uint32_t n_heads,
                               uint32_t head_dim);

/* Items that n panels of weights are dealt out in: enough that a thread which is held up in one of
 * them is not missed for long. */
static inline uint32_t lls_cpu_n_panel_items(const lls_cpu_t *cpu, uint32_t n)
{
    return lls_min_u32(n, 16 * cpu->n_threads);
}

static inline bool lls_isa_has_tiles(uint32_t isa)
{
    return isa == LLS_ISA_AMXINT8 || isa == LLS_ISA_AMX;
}

static inline const lls_cpu_t *lls_cpu_of(const lls_exec_t *x) { return x->backend; }
static inline float *lls_row_f32(const lls_tensor_t *t, uint32_t row)
{
    return (float *)t->data + row * t->stride[0];
}

#endif
