/* SPDX-License-Identifier: Apache-2.0 */
#include "cpu/cpu_int.h"

#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "base/cpus.h"
#include "base/num.h"

/* ORDER isa */
static const char *const isa_names[] = {
    "plain", "avx2", "avxvnni", "avx512", "avx512bf16", "amxint8", "amx", "neon", "neondotprod",
    "neoni8mm"
};

const char *lls_cpu_isa_name(uint32_t isa) { return isa < LLS_N_ISAS ? isa_names[isa] : "?"; }

#if defined(__x86_64__)
/* clang 14 does not know the name for __builtin_cpu_supports. */
static bool has_f16c(void)
{
    unsigned a, b, c, d;

    return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
}

static bool has_avx_vnni(void)
{
    unsigned a, b, c, d;

    return __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a & 1u << 4) != 0;
}

static bool has_tiles(void)
{
    /* AMX-BF16, AVX512-FP16, AMX-TILE, AMX-INT8 */
    const unsigned all = 1u << 22 | 1u << 23 | 1u << 24 | 1u << 25;
    unsigned       a, b, c, d;

    return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (d & all) == all;
}

/* A process asks Linux for the tiles' state once; asking again costs nothing.  It is refused where
 * a thread's alternate stack for signals is too small for that state. */
static bool may_use_tiles(void)
{
#if defined(__linux__)
    const long request_permission = 0x1023, tile_data = 18;

    return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
#else
    return false;
#endif
}
#endif

#if defined(__aarch64__)
/* As Linux numbers them; its headers may be older. */
#define HAS_DOTPROD (1ul << 20)     /* of AT_HWCAP */
#define HAS_I8MM (1ul << 13)        /* of AT_HWCAP2 */
#endif

bool lls_cpu_has_isa(uint32_t isa)
{
    bool avx2 = false, vnni = false, avx512 = false, bf16 = false, amx = false;
    bool neon = false, dotprod = false, i8mm = false;

#if defined(__x86_64__)
    avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
    vnni = avx2 && has_avx_vnni();
    avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
             __builtin_cpu_supports("avx512vnni");
    bf16 = avx512 && __builtin_cpu_supports("avx512bf16");
    amx = bf16 && __builtin_cpu_supports("avx512vbmi") && has_tiles() && may_use_tiles();
#elif defined(__aarch64__)
    neon = true;
    dotprod = (getauxval(AT_HWCAP) & HAS_DOTPROD) != 0;
    i8mm = dotprod && (getauxval(AT_HWCAP2) & HAS_I8MM) != 0;
#endif
    switch (isa) {
    case LLS_ISA_PLAIN:       return true;
    case LLS_ISA_AVX2:        return avx2;
    case LLS_ISA_AVXVNNI:     return vnni;
    case LLS_ISA_AVX512:      return avx512;
    case LLS_ISA_AVX512BF16:  return bf16;
    case LLS_ISA_AMXINT8:
    case LLS_ISA_AMX:         return amx;
    case LLS_ISA_NEON:        return neon;
    case LLS_ISA_NEONDOTPROD: return dotprod;
    case LLS_ISA_NEONI8MM:    return i8mm;
    default:                  return false;
    }
}

/* Intel's cores do half as many products a cycle with pairs of bfloat16 as with FMA on float32,
 * which is more exact too. */
static bool is_worth_it(uint32_t isa)
{
#if defined(__x86_64__)
    if (isa == LLS_ISA_AVX512BF16)
        return __builtin_cpu_is("amd");
#endif
    return true;
}

static llm_status_t choose_isa(const char *name, uint32_t *isa, llm_error_t *err)
{
    if (name == NULL || strcmp(name, "auto") == 0) {
        for (*isa = LLS_N_ISAS - 1; !lls_cpu_has_isa(*isa) || !is_worth_it(*isa);)
            --*isa;
        return LLM_OK;
    }
    for (*isa = 0; *isa < LLS_N_ISAS; ++*isa)
        if (strcmp(name, isa_names[*isa]) == 0)
            break;
    if (*isa == LLS_N_ISAS)
        return lls_fail_param(err, LLM_ERR_INVALID, "cpu-isa",
                              "cpu-isa is \"%s\"; use auto, plain, avx2, avxvnni, avx512, "
                              "avx512bf16, amxint8, amx, neon, neondotprod or neoni8mm", name);
    if (!lls_cpu_has_isa(*isa))
        return lls_fail_param(err, LLM_ERR_UNSUPPORTED, "cpu-isa",
                              "this CPU has no %s; use cpu-isa auto", name);
    return LLM_OK;
}

llm_status_t lls_cpu_create(lls_mem_t *mem, uint32_t n_threads, const char *isa, lls_cpu_t **out,
                            llm_error_t *err)
{
    lls_cpu_t   *cpu = lls_zalloc(mem, sizeof *cpu);
    llm_status_t st;

    *out = NULL;
    if (cpu == NULL)
        return lls_fail(err, LLM_ERR_NO_MEMORY, "CPU backend");
    cpu->mem = mem;
    cpu->n_threads = n_threads > 0 ? n_threads : lls_n_cpus(&lls_cgroup_fs);
    st = choose_isa(isa, &cpu->isa, err);
    if (st == LLM_OK)
        st = lls_pool_create(mem, cpu->n_threads, &cpu->pool, err);
    if (st == LLM_OK)
        *out = cpu;
    else
        lls_cpu_destroy(cpu);
    return st;
}

void lls_cpu_destroy(lls_cpu_t *cpu)
{
    if (cpu == NULL)
        return;
    lls_pool_destroy(cpu->pool);
    lls_free(cpu->mem, cpu);
}

uint32_t    lls_cpu_isa(const lls_cpu_t *cpu) { return cpu->isa; }
lls_pool_t *lls_cpu_pool(const lls_cpu_t *cpu) { return cpu->pool; }
