/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The demonstration model in each block format of GGUF, and as bfloat16 quantised at load: how far
 * the packed path is from float32, and what loading takes.  Skipped where the model is not on this
 * machine.
 *
 * Rows of 576 values are no K-quants: for these 576 becomes 768 by zeros and 9 heads over 3 become
 * 12 over 4; the mean of the norms is then over 768 values, which their weights and epsilon make
 * good, so the model computes what it did.
 */
#include "golden/closeness.h"
#include "golden/quantise.h"
#include "unit/model_files.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "model/weights.h"

enum { N = 2000, WIDTH = 576, PADDED = 768, HEAD = 64 };

static char     path[] = "/tmp/lls_formats.XXXXXX.gguf";
static int32_t *ids;

/* ---- Writing --------------------------------------------------------------------------------- */

typedef struct job {
    const lls_weights_t *from;
    uint32_t             scheme;    /* of the matrices in layers */
    bool                 pad;
    buf_t                out;
    uint64_t             offset;
} job_t;

static uint32_t width_of(const job_t *j, uint64_t n)
{
    return !j->pad ? (uint32_t)n : n == WIDTH ? PADDED : n == 3 * HEAD ? 4 * HEAD : (uint32_t)n;
}

/* As the files that people use: where blocks are of 2 to 6 bits the embedding, here the head too, is
 * of 6, and beside blocks of 2 bits what writes into the residual stream is of 3. */
static uint32_t scheme_of(const job_t *j, const lls_weight_t *t)
{
    if (t->n_dims == 1)
        return LLS_W_F32;
    if (lls_scheme_is_k(j->scheme) && strcmp(t->name, "token_embd.weight") == 0)
        return LLS_W_Q6_K;
    if (j->scheme == LLS_W_Q2_K &&
        (strstr(t->name, "attn_v.") != NULL || strstr(t->name, "attn_output.") != NULL ||
         strstr(t->name, "ffn_down.") != NULL))
        return LLS_W_Q3_K;
    return j->scheme;
}

/* ORDER scheme: numbers of the file format. */
static const uint32_t ggml_types[LLS_N_GGUF_SCHEMES] = {
    0, 1, 30, 2, 3, 6, 7, 8, 20, 10, 11, 12, 13, 14, 23
};

static void put_info(job_t *j, const lls_weight_t *t)
{
    uint32_t in = width_of(j, t->shape[t->n_dims - 1]), scheme = scheme_of(j, t);
    uint32_t rows = t->n_dims == 1 ? 1 : width_of(j, t->shape[0]);

    gguf_tensor(&j->out, t->name, t->n_dims, in, rows, ggml_types[scheme], j->offset);
    j->offset = lls_align_up(j->offset + rows * lls_scheme_row_bytes(scheme, in), 32);
}

/* A row at a time; how far it is from what it was goes to error and norm. */
static void put_tensor(job_t *j, const lls_weight_t *t, double *error, double *norm)
{
    uint32_t old_in = (uint32_t)t->shape[t->n_dims - 1], in = width_of(j, old_in);
    uint32_t old_rows = t->n_dims == 1 ? 1 : (uint32_t)t->shape[0];
    uint32_t rows = t->n_dims == 1 ? 1 : width_of(j, old_rows), scheme = scheme_of(j, t);
    size_t   bytes = lls_scheme_row_bytes(scheme, in);
    float   *x = malloc(in * sizeof *x), *y = malloc(in * sizeof *y);
    uint8_t *row = malloc(bytes);

    put_pad(&j->out, 32);
    for (uint32_t r = 0; r < rows; r++) {
        memset(x, 0, in * sizeof *x);
        if (r < old_rows)
            lls_dequantise(t->scheme, t->data + r * lls_scheme_row_bytes(t->scheme, old_in), 0,
                           old_in, x);
        for (uint32_t i = 0; t->n_dims == 1 && j->pad && i < in; i++)
            x[i] *= sqrtf((float)WIDTH / PADDED);
        quantise(scheme, x, in, row);
        buf_put(&j->out, row, bytes);
        lls_dequantise(scheme, row, 0, in, y);
        for (uint32_t i = 0; i < in; i++) {
            *error += (double)(x[i] - y[i]) * (x[i] - y[i]);
            *norm += (double)x[i] * x[i];
        }
    }
    free(x);
    free(y);
    free(row);
}

static void put_u32_key(job_t *j, const char *key, uint64_t value)
{
    gguf_key(&j->out, key, 4, value, 4);
}

static void put_f32_key(job_t *j, const char *key, float value)
{
    uint32_t u;

    memcpy(&u, &value, 4);
    gguf_key(&j->out, key, 6, u, 4);
}

static void put_keys(job_t *j)
{
    const lls_gguf_t *g = lls_weights_gguf(j->from);
    double            theta = 0, eps = 0;
    uint64_t          layers = 0;

    assert_true(lls_gguf_get_f64(g, "llama.rope.freq_base", &theta));
    assert_true(lls_gguf_get_f64(g, "llama.attention.layer_norm_rms_epsilon", &eps));
    assert_true(lls_gguf_get_u64(g, "llama.block_count", &layers));
    gguf_key_str(&j->out, "general.architecture", "llama");
    put_u32_key(j, "llama.block_count", layers);
    put_u32_key(j, "llama.context_length", N);
    put_u32_key(j, "llama.embedding_length", j->pad ? PADDED : WIDTH);
    put_u32_key(j, "llama.feed_forward_length", 1536);
    put_u32_key(j, "llama.attention.head_count", j->pad ? 12 : 9);
    put_u32_key(j, "llama.attention.head_count_kv", j->pad ? 4 : 3);
    put_f32_key(j, "llama.rope.freq_base", (float)theta);
    put_f32_key(j, "llama.attention.layer_norm_rms_epsilon",
                (float)(j->pad ? eps * WIDTH / PADDED : eps));
}

/* Blocks are of so many bits that this share of the weights' norm is what they lose at most. */
static double loss_of(uint32_t scheme)
{
    switch (scheme) {
    case LLS_W_Q2_K: return 0.45;
    case LLS_W_Q3_K: return 0.25;
    case LLS_W_Q4_0:
    case LLS_W_Q4_1:
    case LLS_W_Q4_K:
    case LLS_W_IQ4_NL:
    case LLS_W_IQ4_XS: return 0.12;
    case LLS_W_Q8_0: return 0.01;
    default: return 0.06;
    }
}

static void write_model(const char *demo, uint32_t scheme, bool pad)
{
    job_t       j = { .scheme = scheme, .pad = pad };
    double      error = 0, norm = 0;
    size_t      written;
    lls_mem_t   mem;
    llm_error_t err;
    FILE       *f = fopen(path, "wb");
    lls_weights_t *from;

    lls_mem_init(&mem, NULL);
    assert_non_null(f);
    assert_int_equal(lls_weights_open(&mem, demo, "gguf", &from, &err), LLM_OK);
    j.from = from;
    gguf_header(&j.out, 3, lls_weights_n(from), 9);
    put_keys(&j);
    for (uint32_t i = 0; i < lls_weights_n(from); i++)
        put_info(&j, lls_weights_at(from, i));
    for (uint32_t i = 0; i < lls_weights_n(from); i++)
        put_tensor(&j, lls_weights_at(from, i), &error, &norm);
    written = j.out.n;
    assert_int_equal(fwrite(j.out.data, 1, written, f), written);
    fclose(f);
    buf_free(&j.out);
    lls_weights_close(from);
    print_message("%s: %.1f MB, %.4f of the weights' norm lost\n", lls_scheme_name(scheme),
                  (double)written * 1e-6, sqrt(error / norm));
    assert_true(sqrt(error / norm) <= loss_of(scheme));
}

/* ---- Memory ---------------------------------------------------------------------------------- */

typedef struct loaded {
    uint64_t bytes, ns;             /* of the packed weights; of packing them */
} loaded_t;

/* In a process of its own: loads the file and tells what that took. */
static int load_only(const char *file, const char *quantization, int answer)
{
    lls_model_options_t o = { .path = file, .quantization = quantization, .max_model_len = N };
    lls_mem_t           mem;
    lls_model_t        *model;
    lls_cpu_t          *cpu;
    llm_error_t         err;
    loaded_t            got;
    void               *arena;

    lls_mem_init(&mem, NULL);
    if (lls_model_open(&mem, NULL, &o, &model, &err) != LLM_OK ||
        lls_cpu_create(&mem, 0, "auto", &cpu, &err) != LLM_OK)
        return 1;
    got.bytes = lls_model_weight_bytes(model, lls_cpu_ops(cpu));
    arena = aligned_alloc(64, lls_align_up(got.bytes, 64));
    got.ns = lls_clock_ns();
    if (arena == NULL || lls_model_load(model, lls_cpu_ops(cpu), cpu, arena, NULL, NULL, &err) !=
                             LLM_OK)
        return 1;
    got.ns = lls_clock_ns() - got.ns;
    return write(answer, &got, sizeof got) != sizeof got;
}

/* The file's pages are given up while it is packed, so that at its peak a process has the packed
 * weights and little else. */
static void loading_takes_the_weights_and_little_more(const char *quantization)
{
    char          answer[16];
    loaded_t      got = { 0 };
    int           ends[2], status;
    struct rusage used;
    pid_t         child;

    assert_int_equal(pipe(ends), 0);
    snprintf(answer, sizeof answer, "%d", ends[1]);
    child = fork();
    if (child == 0) {
        execl("/proc/self/exe", "formats_test", "load", path, quantization, answer, NULL);
        _exit(127);
    }
    assert_int_equal(wait4(child, &status, 0, &used), child);
    assert_int_equal(status, 0);
    assert_int_equal(read(ends[0], &got, sizeof got), sizeof got);
    close(ends[0]);
    close(ends[1]);
    print_message("loaded as %s: %.1f MB of weights, %.1f MB at the peak, %.3f s\n", quantization,
                  (double)got.bytes * 1e-6, (double)used.ru_maxrss * 1024e-6,
                  (double)got.ns * 1e-9);
    assert_true((uint64_t)used.ru_maxrss * 1024 <= got.bytes + (16u << 20));
}

/* ---- Comparing ------------------------------------------------------------------------------- */

static void open_model(drive_t *d, const char *dtype, const char *quantization)
{
    lls_model_options_t o = { .path = path, .dtype = dtype, .quantization = quantization,
                              .max_model_len = N };

    drive_open(d, &o, N, "auto", 0);
}

static closeness_t measure(const char *quick_dtype, const char *quantization, const char *what)
{
    drive_t     exact, quick;
    closeness_t c;

    open_model(&exact, "float32", "none");
    open_model(&quick, quick_dtype, quantization);
    c = closeness_of(&exact, &quick, ids, N, what);
    drive_close(&exact);
    drive_close(&quick);
    return c;
}

static const char *demo_or_skip(void)
{
    static char demo[1024];

#if !defined(NDEBUG)
    print_message("skipped: minutes, and a sanitizer's memory beside ours; the release build has "
                  "it\n");
    skip();
#endif
    if (demo_model_path(demo, sizeof demo))
        return demo;
    print_message("skipped: %s is not there; LLM_DEMO_MODEL may name it\n", demo);
    skip();
    return NULL;
}

/* 97 of 100 first choices agree.  2,000 tokens tell that share to 0.4, so it is asked of all formats
 * together, and of each with this slack.  LLM_FORMAT names one format for a run by hand. */
static void every_format_is_close_to_what_it_means(void **state)
{
    const char *demo = demo_or_skip(), *only = getenv("LLM_FORMAT");
    double      same = 0;
    uint32_t    n = 0;

    for (uint32_t scheme = LLS_W_Q4_0; scheme < LLS_N_GGUF_SCHEMES; scheme++) {
        closeness_t c;

        if (only != NULL && strcmp(only, lls_scheme_name(scheme)) != 0)
            continue;
        write_model(demo, scheme, lls_scheme_is_k(scheme));
        loading_takes_the_weights_and_little_more("none");
        c = measure("auto", "none", lls_scheme_name(scheme));
        assert_true(c.kl <= 0.01 && c.same >= 0.966);
        if (lls_cpu_has_isa(LLS_ISA_AMX))       /* activations of bfloat16 */
            assert_true(c.kl <= 0.001 && c.same >= 0.98);
        same += c.same;
        n++;
    }
    print_message("top-1 agreement of %u formats: %.2f %%\n", n, 100 * same / n);
    assert_true(n > 0 && same / n >= 0.97);
}

/* The file's weights are Q4_1, which int4 finds again; int4_g128 loses what so small a model
 * notices. */
static void quantising_at_load_is_close_to_bfloat16(void **state)
{
    const char *demo = demo_or_skip();

    write_model(demo, LLS_W_BF16, true);        /* rows that 128 divides */
    loading_takes_the_weights_and_little_more("int4_g128");
    assert_true(measure("auto", "int4_g128", "bfloat16 as int4_g128").kl <= 0.5);
    write_model(demo, LLS_W_BF16, false);
    loading_takes_the_weights_and_little_more("none");
    loading_takes_the_weights_and_little_more("int8");
    loading_takes_the_weights_and_little_more("int4");
    assert_true(measure("auto", "int8", "bfloat16 as int8").kl <= 0.02);
    assert_true(measure("auto", "int4", "bfloat16 as int4").kl <= 0.1);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_format_is_close_to_what_it_means),
        cmocka_unit_test(quantising_at_load_is_close_to_bfloat16),
    };
    int         fd, failed;
    lls_mem_t   mem;
    llm_error_t err;
    json_t     *data, *text;

    if (argc == 5 && strcmp(argv[1], "load") == 0)
        return load_only(argv[2], argv[3], atoi(argv[4]));
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    lls_mem_init(&mem, NULL);
    fd = mkstemps(path, 5);
    if (fd < 0 || lls_json_load(&mem, TEST_DIR "/golden/smollm2.json", 1 << 20, &data, &err) !=
                      LLM_OK)
        return 1;
    close(fd);
    text = json_object_get(data, "text");
    ids = calloc(N, sizeof *ids);
    for (uint32_t i = 0; i < N; i++)
        ids[i] = (int32_t)json_integer_value(json_array_get(text, i));
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    json_decref(data);
    free(ids);
    unlink(path);
    return failed;
}
