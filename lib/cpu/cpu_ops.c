/* SPDX-License-Identifier: Apache-2.0 */
#include "cpu/cpu_int.h"
#include "cpu/cpu_wmat.h"

#define LLS_CPU_FIELD(name, args) .name = lls_cpu_##name,
#define LLS_CPU_TABLE(isa)                                                                      \
    { .name = "cpu-" isa, LLS_OPS(LLS_CPU_FIELD) LLS_FUSED_OPS(LLS_CPU_FIELD)                   \
      .pack_size = lls_cpu_pack_size, .pack = lls_cpu_pack, .layout = LLS_CPU_LAYOUT,          \
      .place = lls_cpu_place, .run = lls_cpu_run, .page_bytes = lls_cpu_page_bytes }

/* ORDER isa: the ops ask the backend for its instruction set; the tables differ in name only. */
static const lls_ops_t tables[] = {
    LLS_CPU_TABLE("plain"), LLS_CPU_TABLE("avx2"), LLS_CPU_TABLE("avxvnni"),
    LLS_CPU_TABLE("avx512"), LLS_CPU_TABLE("avx512bf16"), LLS_CPU_TABLE("amxint8"),
    LLS_CPU_TABLE("amx"),
    LLS_CPU_TABLE("neon"), LLS_CPU_TABLE("neondotprod"), LLS_CPU_TABLE("neoni8mm"),
};

const lls_ops_t *lls_cpu_ops(const lls_cpu_t *cpu) { return &tables[cpu->isa]; }
