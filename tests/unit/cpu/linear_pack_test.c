/* SPDX-License-Identifier: Apache-2.0 */
/* What packing does with the parts of a matrix, read back by linear and embed. */
#include "unit/test.h"

#include "tensor/quantise.h"
#include "unit/cpu/linear_bound.h"
#include "unit/cpu/linear_rig.h"

/* ---- Parts ----------------------------------------------------------------------------------- */

/* Rows by a permutation, as Llama's q and k in GGUF. */
static source_t permuted(uint32_t scheme, uint32_t out, uint32_t in, uint64_t seed)
{
    source_t  s = source_of(scheme, out, in, seed);
    uint32_t *row_of = malloc(out * sizeof *row_of);

    for (uint32_t i = 0; i < out; i++) {
        row_of[i] = i * 7 % out;                /* out is no multiple of 7 */
        lls_dequantise(scheme, s.block + 1 + row_of[i] * lls_scheme_row_bytes(scheme, in), 0, in,
                       s.values + (size_t)i * in);
    }
    s.part.row_of = row_of;
    return s;
}

/* Stored [in, out]. */
static source_t transposed(uint32_t scheme, uint32_t out, uint32_t in, uint64_t seed)
{
    source_t s = source_of(scheme, in, out, seed);
    float   *values = malloc((size_t)out * in * sizeof *values);

    for (uint32_t o = 0; o < out; o++)
        for (uint32_t k = 0; k < in; k++)
            values[(size_t)o * in + k] = s.values[(size_t)k * out + o];
    free(s.values);
    s.values = values;
    s.part.out = out;
    s.part.in = in;
    s.part.transposed = true;
    return s;
}

/* Parts of several kinds in one matrix, borders inside panels: the bits of each part alone. */
static void check_stack(fixture_t *f, source_t *parts, uint32_t n, uint32_t in)
{
    enum { M = 17 };
    lls_wpart_t  list[16];
    lls_wspec_t  spec = { .parts = list, .n_parts = n, .dtype = LLS_BF16 };
    lls_tensor_t x = random_rows(M, in, 21), y;
    uint32_t     out = 0, first = 0;
    packed_t     w;

    for (uint32_t i = 0; i < n; i++) {
        list[i] = parts[i].part;
        out += list[i].out;
    }
    w = packed_of(f->cpu, &spec);
    y = tensor_of(M, out, out);
    run_linear(f, &y, &x, &(lls_linear_t){ .w = w.w, .in = in, .out = out });
    for (uint32_t i = 0; i < n; first += list[i].out, i++) {
        lls_tensor_t part = lls_columns(&y, first, list[i].out);

        check_rows(&part, &x, parts[i].values,
                   bound_of(lls_cpu_isa(f->cpu), list[i].scheme, LLS_BF16));
    }
    free(x.data);
    free(y.data);
    free(w.block);
}

static void parts_are_stacked_permuted_and_transposed(void **state)
{
    for (uint32_t isa = 0; isa < LLS_N_ISAS; isa++) {
        fixture_t f;
        source_t  parts[] = {
            permuted(LLS_W_Q4_1, 40, 64, 1), source_of(LLS_W_Q4_1, 30, 64, 2),
            source_of(LLS_W_Q8_0, 10, 64, 3), permuted(LLS_W_Q5_0, 33, 64, 4),
            source_of(LLS_W_BF16, 20, 64, 5), transposed(LLS_W_F32, 37, 64, 6),
            permuted(LLS_W_F16, 33, 64, 7), source_of(LLS_W_IQ4_NL, 40, 64, 8),
            source_of(LLS_W_Q8_0, 50, 64, 9),
        };
        source_t  wide[] = {
            source_of(LLS_W_Q6_K, 40, 256, 1), permuted(LLS_W_Q4_K, 33, 256, 2),
            source_of(LLS_W_Q4_K, 20, 256, 3), source_of(LLS_W_Q5_0, 30, 256, 4),
            source_of(LLS_W_BF16, 20, 256, 5),
        };

        if (lls_cpu_has_isa(isa)) {
            f = fixture_of(isa, 2);
            check_stack(&f, parts, LLS_ARRAY_LEN(parts), 64);
            check_stack(&f, wide, LLS_ARRAY_LEN(wide), 256);
            close_fixture(&f);
        }
        for (uint32_t i = 0; i < LLS_ARRAY_LEN(wide); i++)
            free_source(&wide[i]);
        for (uint32_t i = 0; i < LLS_ARRAY_LEN(parts); i++)
            free_source(&parts[i]);
    }
}

/* ---- Quantised while packing ----------------------------------------------------------------- */

/* The values of a source as blocks. */
static source_t quantised(const source_t *s, uint32_t scheme)
{
    uint32_t n = lls_scheme_block(scheme), bytes = lls_scheme_block_bytes(scheme);
    uint32_t n_blocks = s->part.out * s->part.in / n;
    source_t q = { .part = { .scheme = scheme, .out = s->part.out, .in = s->part.in } };

    q.block = malloc(n_blocks * bytes);
    q.part.data = q.block;
    for (uint32_t i = 0; i < n_blocks; i++)
        lls_quantise_block(scheme, s->values + i * n, q.block + i * bytes);
    return q;
}

/* Plain parts of any type and order beside blocks: the bytes of a checkpoint of such blocks. */
static void check_quantised(fixture_t *f, uint32_t quant, uint32_t dtype)
{
    uint32_t    scheme = lls_quant_scheme(quant, LLS_W_F32, 128), in = 2 * lls_scheme_block(scheme);
    source_t    plain[] = { source_of(LLS_W_F32, 40, in, 1), permuted(LLS_W_BF16, 33, in, 2),
                            transposed(LLS_W_F16, 37, in, 3), source_of(scheme, 30, in, 4) };
    source_t    blocks[4];
    lls_wpart_t parts[2][4];
    packed_t    w[2];
    size_t      size[2];

    for (uint32_t i = 0; i < 4; i++) {
        blocks[i] = i < 3 ? quantised(&plain[i], scheme) : source_of(scheme, 30, in, 4);
        parts[0][i] = plain[i].part;
        parts[1][i] = blocks[i].part;
    }
    for (uint32_t i = 0; i < 2; i++) {
        /* with float32 blocks of the file are written out */
        lls_wspec_t spec = { .parts = parts[i], .n_parts = dtype == LLS_F32 ? 3 : 4,
                             .dtype = i == 0 ? dtype : LLS_BF16, .quant = i == 0 ? quant : 0 };

        size[i] = lls_cpu_pack_size(&spec);
        w[i] = packed_of(f->cpu, &spec);
    }
    assert_int_equal(size[0], size[1]);
    assert_memory_equal(w[0].w, w[1].w, size[0]);
    for (uint32_t i = 0; i < 4; i++) {
        free_source(&plain[i]);
        free_source(&blocks[i]);
    }
    free(w[0].block);
    free(w[1].block);
}

static void plain_parts_are_quantised_as_asked(void **state)
{
    fixture_t f = fixture_of(LLS_ISA_PLAIN, 2);
    source_t  odd = source_of(LLS_W_BF16, 20, 52, 1);

    for (uint32_t quant = LLS_QUANT_INT8; quant <= LLS_QUANT_INT4_G128; quant++) {
        lls_wspec_t spec = { .parts = &odd.part, .n_parts = 1, .dtype = LLS_BF16 };
        size_t      size = lls_cpu_pack_size(&spec);

        check_quantised(&f, quant, LLS_BF16);
        check_quantised(&f, quant, LLS_F32);
        spec.quant = quant;
        assert_int_equal(lls_cpu_pack_size(&spec), size);   /* rows of no whole blocks */
    }
    free_source(&odd);
    close_fixture(&f);
}

/* ---- Embeddings ------------------------------------------------------------------------------ */

static void check_embed(fixture_t *f, uint32_t scheme, uint32_t in)
{
    enum { OUT = 75, M = 5 };
    source_t     s = source_of(scheme, OUT, in, scheme + 40);
    packed_t     w = packed_one(f->cpu, &s, dtype_of(scheme));
    lls_tensor_t y = tensor_of(M, in, in + 2);
    int32_t      ids[M] = { 74, 0, 31, 32, 0 }, positions[M] = { 0, 1, 2, 72, 3 };
    lls_batch_t  b = { .n_tokens = M, .ids = ids, .positions = positions };

    lls_cpu_embed(&f->x, &y, &b, w.w, 3.0f);
    for (uint32_t r = 0; r < M; r++)
        for (uint32_t k = 0; k < in; k++)
            assert_true(lls_row_f32(&y, r)[k] == 3.0f * s.values[(size_t)ids[r] * in + k]);
    lls_cpu_embed_pos(&f->x, &y, &b, w.w, 2);
    for (uint32_t r = 0; r < M; r++)
        for (uint32_t k = 0; k < in; k++)
            assert_true(lls_row_f32(&y, r)[k] == 3.0f * s.values[(size_t)ids[r] * in + k] +
                                                     s.values[(size_t)(positions[r] + 2) * in + k]);
    free(y.data);
    free(w.block);
    free_source(&s);
}

static void embed_gives_the_values_of_the_file(void **state)
{
    fixture_t f = fixture_of(LLS_ISA_PLAIN, 2);

    for (uint32_t scheme = 0; scheme < LLS_N_SCHEMES; scheme++) {
        check_embed(&f, scheme, lls_scheme_block(scheme) > 32 ? 768 : 96);
        if (scheme < LLS_W_Q4_0)
            check_embed(&f, scheme, 51);
    }
    close_fixture(&f);
}

/* ---- Sizes ----------------------------------------------------------------------------------- */

/* What README says of bytes per weight: of 32 columns and 256 values of k. */
static void panels_have_the_sizes_of_the_table(void **state)
{
    /* ORDER scheme */
    static const uint32_t bytes[LLS_N_SCHEMES] = {
        32768, 16384, 16384, 4608, 5120, 8704, 9216, 8704, 8704, 5248, 4672, 4736, 8832, 8768, 8768,
        4352
    };

    for (uint32_t scheme = 0; scheme < LLS_N_SCHEMES; scheme++) {
        lls_wpart_t part = { .scheme = scheme, .out = 31, .in = 256 };
        lls_wspec_t spec = { .parts = &part, .n_parts = 1, .dtype = dtype_of(scheme) };
        size_t      header = lls_align_up(sizeof(lls_wmat_t) + sizeof(lls_wseg_t), 64);

        assert_int_equal(lls_cpu_pack_size(&spec), header + bytes[scheme]);
        print_message("%s: %.3f bytes per weight, %.3f in the file\n", lls_scheme_name(scheme),
                      bytes[scheme] / 8192.0, lls_scheme_row_bytes(scheme, 256) / 256.0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_are_stacked_permuted_and_transposed),
        cmocka_unit_test(plain_parts_are_quantised_as_asked),
        cmocka_unit_test(embed_gives_the_values_of_the_file),
        cmocka_unit_test(panels_have_the_sizes_of_the_table),
    };

    lls_mem_init(&mem, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
