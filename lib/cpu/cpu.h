/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cpu - the CPU backend: a thread pool, an instruction set chosen once, and the op table.
 *
 * Kernels exist in plain C (the reference and documentation of every op) and for the instruction
 * sets below; results are bit-equal within one of them whatever the batch, the chunks and the
 * threads.  AMX comes twice: with weights in blocks as bfloat16, which many rows make up for, and
 * as the int8 that all others multiply, which suits few.
 */
#ifndef LLS_CPU_CPU_H
#define LLS_CPU_CPU_H

#include "base/pool.h"
#include "tensor/ops.h"

/* ORDER isa: of each processor from the least to the most. */
enum lls_isa {
    LLS_ISA_PLAIN,
    LLS_ISA_AVX2, LLS_ISA_AVXVNNI, LLS_ISA_AVX512, LLS_ISA_AVX512BF16,
    LLS_ISA_AMXINT8, LLS_ISA_AMX,
    LLS_ISA_NEON, LLS_ISA_NEONDOTPROD, LLS_ISA_NEONI8MM,
    LLS_N_ISAS
};

typedef struct lls_cpu lls_cpu_t;

/* isa: "auto" (or NULL), or a name of isa_names in cpu.c.  LLM_ERR_UNSUPPORTED if this CPU lacks
 * it.  n_threads 0 = the CPUs of this process. */
llm_status_t     lls_cpu_create(lls_mem_t *mem, uint32_t n_threads, const char *isa,
                                lls_cpu_t **out, llm_error_t *err);
void             lls_cpu_destroy(lls_cpu_t *cpu);
uint32_t         lls_cpu_isa(const lls_cpu_t *cpu);
bool             lls_cpu_has_isa(uint32_t isa);
const char      *lls_cpu_isa_name(uint32_t isa);    /* "avx512"; static */
lls_pool_t      *lls_cpu_pool(const lls_cpu_t *cpu);
/* Memory that any thread may read is touched first by all in turn, in pieces: no node has more of
 * it than the others.  What is in it gets lost. */
void             lls_cpu_place_in_turn(lls_cpu_t *cpu, void *at, size_t bytes);
/* The op table for a backend pointer of type lls_cpu_t. */
const lls_ops_t *lls_cpu_ops(const lls_cpu_t *cpu);

#endif
