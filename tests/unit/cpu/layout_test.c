/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes that pack writes belong to LLS_CPU_LAYOUT: files of packed weights (model/packed.h) are
 * read again by it.  If this test fails, raise LLS_CPU_LAYOUT and put both numbers here. */
#include "unit/test.h"

#include <stdio.h>

#include "base/hash.h"
#include "cpu/cpu.h"
#include "cpu/cpu_wmat.h"
#include "tensor/quantise.h"

#define LAYOUT  2u
#define SUM     0x0201744ca0148229u
#define OUT     40u                 /* more than a panel, less than two */
#define IN      512u

static uint64_t sum_of(lls_cpu_t *cpu, uint32_t scheme, uint32_t dtype, uint32_t quant,
                       uint64_t before)
{
    static uint8_t  from[OUT * IN * 4];
    const lls_ops_t *ops = lls_cpu_ops(cpu);
    lls_wpart_t     part = { .scheme = scheme, .out = OUT, .in = IN, .data = from };
    lls_wspec_t     spec = { .parts = &part, .n_parts = 1, .use = LLS_USE_LINEAR, .dtype = dtype,
                             .quant = quant };
    size_t          n = ops->pack_size(&spec);
    uint64_t        key[2] = { before, scheme };
    uint8_t        *to = aligned_alloc(64, (n + 63) / 64 * 64);
    uint64_t        sum;

    for (uint32_t i = 0; i < sizeof from; i++)      /* no float of any kind is infinite by it */
        from[i] = (uint8_t)(i * 2654435761u >> 16) & 0x3b;
    memset(to, 0, n);
    ops->pack(cpu, &spec, to);
    sum = lls_hash64(key, to, n);
    free(to);
    return sum;
}

static void the_bytes_belong_to_the_number(void **state)
{
    lls_mem_t   mem;
    llm_error_t err;

    lls_mem_init(&mem, NULL);
    assert_int_equal(LLS_CPU_LAYOUT, LAYOUT);
    for (uint32_t i = 0; i < LLS_N_ISAS; i++) {
        lls_cpu_t *cpu;
        uint64_t   sum = 0;

        if (lls_cpu_create(&mem, 1, lls_cpu_isa_name(i), &cpu, &err) != LLM_OK)
            continue;
        assert_int_equal(lls_cpu_ops(cpu)->layout, LAYOUT);
        for (uint32_t s = 0; s < LLS_N_SCHEMES; s++)
            sum = sum_of(cpu, s, s == LLS_W_F32 ? LLS_F32 : LLS_BF16, LLS_QUANT_NONE, sum);
        for (uint32_t q = LLS_QUANT_INT8; q <= LLS_QUANT_INT4_G128; q++)
            sum = sum_of(cpu, LLS_W_BF16, LLS_BF16, q, sum);
        lls_cpu_destroy(cpu);
        if (sum != SUM)
            fail_msg("%s: layout %u has the sum 0x%llx", lls_cpu_isa_name(i), LAYOUT,
                     (unsigned long long)sum);
    }
}

/* ---- Rows that are given up ------------------------------------------------------------------ */

static _Atomic uint64_t n_given, given, least_given;

static void give_up(const void *data, size_t n)
{
    atomic_fetch_add(&n_given, 1);
    atomic_fetch_add(&given, n);
    if (n < atomic_load(&least_given))
        atomic_store(&least_given, n);
}

static void pack_and_give_up(lls_cpu_t *cpu, uint32_t out)
{
    lls_wpart_t part = { .scheme = LLS_W_Q8_0, .out = out, .in = IN };
    lls_wspec_t spec = { .parts = &part, .n_parts = 1, .use = LLS_USE_LINEAR, .dtype = LLS_BF16,
                         .release = give_up };
    size_t      n = lls_cpu_ops(cpu)->pack_size(&spec);
    void       *from = calloc(out, lls_scheme_row_bytes(LLS_W_Q8_0, IN));
    void       *to = aligned_alloc(64, (n + 63) / 64 * 64);

    n_given = given = 0;
    least_given = UINT64_MAX;
    part.data = from;
    lls_cpu_ops(cpu)->pack(cpu, &spec, to);
    free(from);
    free(to);
}

/* Each call stops every thread for a moment: few are made, and yet most rows are given up. */
static void rows_are_given_up_in_large_pieces(void **state)
{
    const uint64_t bytes = lls_scheme_row_bytes(LLS_W_Q8_0, IN);
    lls_mem_t      mem;
    lls_cpu_t     *cpu;

    lls_mem_init(&mem, NULL);
    assert_int_equal(lls_cpu_create(&mem, 2, "auto", &cpu, NULL), LLM_OK);
    pack_and_give_up(cpu, 1024);
    assert_int_equal(n_given, 0);
    pack_and_give_up(cpu, 65536);
    assert_true(least_given >= 1u << 16);
    assert_true(n_given <= 65536 * bytes >> 18);
    assert_true(given > 65536 * bytes * 9 / 10 && given <= 65536 * bytes);
    lls_cpu_destroy(cpu);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(the_bytes_belong_to_the_number),
                                        cmocka_unit_test(rows_are_given_up_in_large_pieces) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
