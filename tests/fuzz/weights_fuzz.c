/* SPDX-License-Identifier: Apache-2.0 */
/*
 * weights_fuzz [files [seed]] - mutated model files through every reader of containers.
 *
 * Whatever the bytes: a status, a message of one line of UTF-8, all memory given back, and never
 * more memory than some times the file.  Without arguments a number of files that fits a test run.
 * Built with -DLLS_LIBFUZZER it is a target of libFuzzer instead.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/gguf.h"
#include "base/utf8.h"
#include "fuzz/count.h"
#include "fuzz/mutate.h"
#include "model/safetensors.h"
#include "model/weights.h"
#include "unit/model_files.h"

#define CAP 4096u

static uint64_t case_seed, n_opened, n_refused;

static void check(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "weights_fuzz: %s; repeat with: weights_fuzz 1 %llu\n", what,
            (unsigned long long)case_seed);
    abort();
}

static void finish(const fuzz_count_t *c, size_t n, llm_status_t st, const llm_error_t *err)
{
    size_t len = strlen(err->message);

    check(c->live == 0, "memory is lost");
    check(c->peak <= 64 * n + 4096, "too much memory for the size of the file");
    n_opened += st == LLM_OK;
    n_refused += st != LLM_OK;
    if (st == LLM_OK)
        return;
    check(st < 0 && err->status == st && len > 0, "no message");
    check(lls_utf8_valid(err->message, len) == len, "the message is not UTF-8");
    for (size_t i = 0; i < len; i++)
        check((unsigned char)err->message[i] >= ' ', "the message has several lines");
}

/* ---- Readers ---- */

static uint64_t sum_bytes(const void *data, uint64_t n)
{
    const uint8_t *p = data;
    uint64_t       sum = 0;

    for (uint64_t i = 0; i < n; i++)
        sum += p[i];
    return sum;
}

static void check_apart(const uint8_t *a, uint64_t a_bytes, const uint8_t *b, uint64_t b_bytes)
{
    check(a_bytes == 0 || b_bytes == 0 || a + a_bytes <= b || b + b_bytes <= a, "tensors overlap");
}

static uint64_t walk_tensors(const lls_gguf_t *g)
{
    uint64_t sum = 0;

    for (uint64_t i = 0; i < lls_gguf_n_tensors(g); i++) {
        const lls_gguf_tensor_t *t = lls_gguf_tensor(g, i);

        sum += sum_bytes(t->data, t->bytes);
        for (uint64_t k = 0; k < i; k++)
            check_apart(t->data, t->bytes, lls_gguf_tensor(g, k)->data,
                        lls_gguf_tensor(g, k)->bytes);
    }
    return sum;
}

static uint64_t walk_gguf(const lls_gguf_t *g)
{
    uint64_t sum = 0, u;

    for (uint64_t i = 0; i < lls_gguf_n_keys(g); i++) {
        const lls_gguf_value_t *v;
        lls_gguf_str_t          key = lls_gguf_key(g, i, &v), s;
        size_t                  cursor = 0, n = 0;
        double                  f;
        char                   *name = strndup(key.text, key.len);

        check(name != NULL && strlen(name) == key.len && lls_gguf_find(g, name) == v,
              "a key is not found");
        sum += lls_gguf_get_u64(g, name, &u) ? u : 0;
        for (; lls_gguf_next_str(v, &cursor, &s); n++)
            sum += sum_bytes(s.text, s.len);
        check(v->elem_type != LLS_GGUF_STRING || n == v->n, "an array of strings ends early");
        for (uint64_t k = 0; lls_gguf_elem_f64(v, k, &f); k++)
            sum += f > 0;
        free(name);
    }
    return sum + walk_tensors(g);
}

static uint64_t walk_weight(const lls_weight_t *t)
{
    uint64_t n = 1;

    for (uint32_t d = 0; d < 4; d++)
        n *= t->shape[d];
    check(t->n_dims <= 4 && lls_scheme_row_bytes(t->scheme, n) == t->bytes,
          "shape and bytes differ");
    return sum_bytes(t->data, t->bytes);
}

static uint64_t try_gguf(const uint8_t *data, size_t n)
{
    fuzz_count_t c;
    lls_mem_t    mem;
    lls_gguf_t  *g;
    llm_error_t  err;
    llm_status_t st;
    uint64_t     sum;

    fuzz_count(&c, &mem);
    st = lls_gguf_open_bytes(&mem, data, n, "f.gguf", &g, &err);
    sum = st == LLM_OK ? walk_gguf(g) : 0;
    lls_gguf_close(g);
    finish(&c, n, st, &err);
    return sum;
}

static uint64_t try_safetensors(const uint8_t *data, size_t n)
{
    fuzz_count_t      c;
    lls_mem_t         mem;
    lls_safetensors_t file;
    llm_error_t       err;
    llm_status_t      st;
    uint64_t          sum = 0;

    fuzz_count(&c, &mem);
    st = lls_safetensors_init(&mem, &file, data, n, "f.safetensors", &err);
    for (uint32_t i = 0; i < file.n; i++)
        sum += walk_weight(&file.items[i]);
    for (uint32_t i = 1; i < file.n; i++)
        check_apart(file.items[i].data, file.items[i].bytes, file.items[i - 1].data,
                    file.items[i - 1].bytes);
    lls_safetensors_deinit(&mem, &file);
    finish(&c, n, st, &err);
    return sum;
}

#ifdef LLS_LIBFUZZER

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    return (int)((try_gguf(data, n) + try_safetensors(data, n)) & 0);
}

#else

/* ---- Through the file system ---- */

static char dir[64];

static const char *in_dir(const char *file)
{
    static char path[128];

    snprintf(path, sizeof path, "%s/%s", dir, file);
    return path;
}

static void write_file(const char *file, const void *data, size_t n)
{
    FILE *f = fopen(in_dir(file), "wb");

    check(f != NULL && fwrite(data, 1, n, f) == n && fclose(f) == 0, "cannot write");
}

static uint64_t try_weights(const char *path, size_t n)
{
    fuzz_count_t   c;
    lls_mem_t      mem;
    lls_weights_t *w;
    llm_error_t    err;
    llm_status_t   st;
    uint64_t       sum = 0;

    fuzz_count(&c, &mem);
    st = lls_weights_open(&mem, path, "auto", &w, &err);
    for (uint32_t i = 0; st == LLM_OK && i < lls_weights_n(w); i++) {
        const lls_weight_t *t = lls_weights_at(w, i);

        check(lls_weights_find(w, t->name) == t, "a tensor is not found");
        sum += walk_weight(t);
        lls_weights_done_with(t);
    }
    lls_weights_close(w);
    finish(&c, n, st, &err);
    return sum;
}

static const char shard[] = "{\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
                            "\"y\":{\"dtype\":\"F16\",\"shape\":[2,1],\"data_offsets\":[8,12]}}";
static const char other[] = "{\"z\":{\"dtype\":\"BF16\",\"shape\":[4],\"data_offsets\":[0,8]}}";
static const char index_json[] =
    "{\"metadata\":{\"total_size\":20},\"weight_map\":{\"x\":\"1.safetensors\","
    "\"z\":\"2.safetensors\",\"y\":\"1.safetensors\"}}";

static void write_shards(void)
{
    buf_t a = safetensors(shard, 12), b = safetensors(other, 8);

    write_file("1.safetensors", a.data, a.n);
    write_file("2.safetensors", b.data, b.n);
    buf_free(&a);
    buf_free(&b);
}

/* ---- The run ---- */

typedef struct seeds {
    buf_t gguf2, gguf3, single, split;
} seeds_t;

static uint64_t run_one(mutator_t *m, const seeds_t *s)
{
    size_t       kind = mut_below(m, 16);
    const buf_t *from = kind < 4    ? &s->gguf3
                        : kind < 7  ? &s->gguf2
                        : kind < 12 ? &s->single
                                    : &s->split;
    uint8_t     *copy;
    uint64_t     sum = 0;

    if (kind == 15) {               /* the index of two right shards */
        mutate(m, (const uint8_t *)index_json, sizeof index_json - 1);
        write_file("model.safetensors.index.json", m->data, m->n);
        return try_weights(dir, m->n + 400);
    }
    mutate(m, from->data, from->n);
    if (kind == 0) {                /* types become schemes in the table */
        write_file("f.gguf", m->data, m->n);
        return try_weights(in_dir("f.gguf"), m->n);
    }
    copy = exact_copy(m->data, m->n);
    sum = kind < 7 ? try_gguf(copy, m->n) : try_safetensors(copy, m->n);
    free(copy);
    return sum;
}

static void clean_up(void)
{
    static const char *const files[] = { "f.gguf", "1.safetensors", "2.safetensors",
                                         "model.safetensors.index.json" };

    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        unlink(in_dir(files[i]));
    rmdir(dir);
}

int main(int argc, char **argv)
{
    uint64_t n = argc > 1 ? strtoull(argv[1], NULL, 0) : 30000;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : 1, sum = 0;
    seeds_t  s = { sample_gguf(2), sample_gguf(3), safetensors(SAMPLE_HEADER, SAMPLE_DATA),
                   safetensors(shard, 12) };
    uint8_t  room[CAP];

    strcpy(dir, "/tmp/weights_fuzz.XXXXXX");
    check(mkdtemp(dir) != NULL, "cannot make a directory");
    write_shards();
    for (uint64_t i = 0; i < n; i++) {
        mutator_t m = { .data = room, .cap = sizeof room };

        case_seed = seed + i;       /* one for each file, so that it can be repeated alone */
        m.state = (case_seed + 1) * 0x9e3779b97f4a7c15u | 1;
        mut_next(&m), mut_next(&m);
        sum += run_one(&m, &s);
    }
    clean_up();
    buf_free(&s.gguf2), buf_free(&s.gguf3), buf_free(&s.single), buf_free(&s.split);
    printf("weights_fuzz: %llu files, %llu opened, %llu refused, sum %llx\n", (unsigned long long)n,
           (unsigned long long)n_opened, (unsigned long long)n_refused, (unsigned long long)sum);
    return 0;
}

#endif
