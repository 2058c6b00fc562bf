/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small random llama in GGUF, its matrices in one block type or each in another: in float32 it
 * has the bits of the same file with the values written out; with blocks kept it is close to that,
 * the same whatever the chunks, and takes the memory that was planned.
 */
#include "golden/block_model.h"
#include "golden/drive.h"

#include <unistd.h>


enum { VOCAB = BLOCK_MODEL_VOCAB, N = 256 };

static char path[] = "/tmp/lls_block_types.XXXXXX.gguf";

/* ---- Running --------------------------------------------------------------------------------- */

/* Logits of n tokens; chunk: how many at a time. */
static float *run(const char *dtype, const char *isa, uint32_t n, uint32_t chunk)
{
    lls_model_options_t o = { .path = path, .dtype = dtype, .max_model_len = N };
    int32_t             ids[N];
    float              *out = malloc((size_t)n * VOCAB * sizeof *out);
    drive_t             d;

    for (uint32_t i = 0; i < N; i++)
        ids[i] = (int32_t)(lls_mix64(7, i) % VOCAB);
    drive_open(&d, &o, N, isa, 2);
    assert_int_equal(d.n_vocab, VOCAB);
    drive_run(&d, ids, 0, n, chunk, n, out);
    drive_close(&d);
    return out;
}

/* How far the best of a row of log-probabilities is ahead. */
static float lead_of(const float *row)
{
    int32_t best = drive_argmax(row, VOCAB);
    float   next = -INFINITY;

    for (int32_t i = 0; i < VOCAB; i++)
        next = i != best && row[i] > next ? row[i] : next;
    return row[best] - next;
}

/* The best of random weights often leads by little, so only a clear lead must stay. */
static void check_close(const char *what, float *exact, float *quick, uint32_t n)
{
    uint32_t clear = 0;
    double   kl;

    for (uint32_t i = 0; i < n; i++) {
        float *p = exact + (size_t)i * VOCAB, *q = quick + (size_t)i * VOCAB;

        drive_logprobs(p, VOCAB);
        drive_logprobs(q, VOCAB);
        if (lead_of(p) >= 0.25f) {
            assert_int_equal(drive_argmax(p, VOCAB), drive_argmax(q, VOCAB));
            clear++;
        }
    }
    kl = drive_kl(exact, quick, n, VOCAB) / n;
    print_message("%s: mean KL to float32 %.6f, %u of %u leads are clear\n", what, kl, clear, n);
    assert_true(kl <= 0.002);
    assert_true(clear >= n / 3);
}

static void check_scheme(uint32_t scheme)
{
    const char *name = scheme < LLS_N_SCHEMES ? lls_scheme_name(scheme) : "all";
    size_t      bytes = (size_t)N * VOCAB * sizeof(float);
    float      *exact, *blocks, *quick, *chunks, *plain, *few;

    block_model_write(path, scheme, true);
    exact = run("float32", "auto", N, N);
    block_model_write(path, scheme, false);
    blocks = run("float32", "auto", N, N);
    assert_memory_equal(exact, blocks, bytes);
    quick = run("bfloat16", "auto", N, N);
    chunks = run("bfloat16", "auto", N, 37);
    assert_memory_equal(quick, chunks, bytes);
    plain = run("bfloat16", "plain", 32, 32);
    few = memcpy(malloc(bytes), exact, bytes);
    check_close(name, exact, quick, N);
    check_close(name, few, plain, 32);
    free(exact);
    free(blocks);
    free(quick);
    free(chunks);
    free(plain);
    free(few);
}

static void blocks_are_close_to_what_they_mean(void **state)
{
    (void)state;
    for (uint32_t scheme = LLS_W_Q4_0; scheme < LLS_N_GGUF_SCHEMES; scheme++)
        check_scheme(scheme);
}

static void a_file_may_mix_types(void **state)
{
    (void)state;
    check_scheme(BLOCK_MODEL_MIXED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_close_to_what_they_mean),
        cmocka_unit_test(a_file_may_mix_types),
    };
    int fd = mkstemps(path, 5), failed;

    if (fd < 0)
        return 1;
    close(fd);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    return failed;
}
