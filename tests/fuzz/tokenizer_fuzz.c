/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tokenizer_fuzz [files [seed]] - mutated tokenizers of every kind of file through the loaders.
 *
 * Whatever the bytes: a status and a message of one line of UTF-8, or a tokenizer that encodes,
 * decodes and streams without harm; all memory is given back, and a small file cannot ask for much.
 * Without arguments a number of files that fits a test run.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/utf8.h"
#include "fuzz/mutate.h"
#include "text/detok.h"
#include "text/tokenizer.h"

#define CAP 65536u
#define MOST_MEMORY (64u << 20)         /* of a tokenizer whose file has at most CAP bytes */

static uint64_t case_seed, n_opened, n_refused;

static const struct seed_file {
    const char *name;
    const char *as;             /* what the mutated file is called, which decides who reads it */
} seed_files[] = {
    { "unk_fuse.json", "tokenizer.json" }, { "ctc.json", "tokenizer.json" },
    { "bert.json", "tokenizer.json" },     { "clip.json", "tokenizer.json" },
    { "rare.json", "tokenizer.json" },     { "t5.json", "tokenizer.json" },
    { "unigram_bytes.json", "tokenizer.json" }, { "spm_bpe.model", "tokenizer.model" },
    { "spm_unigram.model", "spiece.model" }, { "small.tiktoken", "small.tiktoken" },
    { "small_tekken.json", "tekken.json" }, { "gpt2.gguf", "m.gguf" }, { "llama.gguf", "m.gguf" },
    { "bert.gguf", "m.gguf" },             { "t5.gguf", "m.gguf" },
};
#define N_SEEDS (sizeof seed_files / sizeof *seed_files)

static void check(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "tokenizer_fuzz: %s; repeat with: tokenizer_fuzz 1 %llu\n", what,
            (unsigned long long)case_seed);
    abort();
}

/* ---- Memory that is counted ---- */

typedef struct count {
    size_t live, peak;
} count_t;

static void *counting(void *user, void *ptr, size_t old_size, size_t new_size)
{
    count_t *c = user;

    c->live += new_size - old_size;
    if (c->live > c->peak)
        c->peak = c->live;
    if (new_size > 0)
        return realloc(ptr, new_size);
    free(ptr);
    return NULL;
}

/* ---- One file ---- */

static void check_message(const llm_error_t *err)
{
    size_t n = strnlen(err->message, sizeof err->message);

    check(n > 0 && n < sizeof err->message, "an error without a message");
    check(memchr(err->message, '\n', n) == NULL, "a message of more than one line");
    check(lls_utf8_valid(err->message, n) == n, "a message that is not UTF-8");
}

static void use(const lls_tokenizer_t *t, lls_mem_t *mem, mutator_t *m)
{
    static const char text[] = "the of ab\xc3\xa9 A!\xe6\x97\xa5\xe6\x9c\xac <sep> 11 \xf0\x9f\x99\x82"
                               "\n\t of the</s>[SEP]un aa";
    int32_t     *ids = NULL, some[24];
    size_t       n = 0, len;
    char        *back = NULL;
    lls_detok_t  d;
    llm_error_t  err;

    if (lls_tokenizer_encode(t, mem, text, sizeof text - 1, 0, &ids, &n, &err) != LLM_OK)
        check_message(&err);
    else
        check(lls_tokenizer_decode(t, mem, ids, n, 0, &back, &len, &err) == LLM_OK, "no decode");
    lls_free(mem, back);
    lls_free(mem, ids);
    for (size_t i = 0; i < 24; i++)
        some[i] = (int32_t)mut_below(m, (size_t)lls_tokenizer_n_vocab(t) + 2) - 1;
    check(lls_detok_init(&d, t, mem, some, 4, true, &err) == LLM_OK, "no stream");
    for (size_t i = 4; i < 24; i++)
        check(lls_detok_push(&d, some[i], &err) == LLM_OK, "no push");
    check(lls_utf8_valid(d.text, d.len) == d.len, "text that is not UTF-8");
    lls_detok_deinit(&d);
}

static void run_file(const char *path, mutator_t *m)
{
    count_t               c = { 0 };
    const llm_allocator_t hook = { counting, &c };
    lls_mem_t             mem;
    lls_tokenizer_t      *t;
    llm_error_t           err;

    lls_mem_init(&mem, &hook);
    if (lls_tokenizer_open(&mem, path, &t, &err) == LLM_OK) {
        n_opened++;
        use(t, &mem, m);
        lls_tokenizer_close(t);
    } else {
        n_refused++;
        check(t == NULL, "a tokenizer beside an error");
        check_message(&err);
    }
    check(c.live == 0, "memory is lost");
    check(c.peak < MOST_MEMORY, "a small file took much memory");
}

static void write_file(const char *path, const void *data, size_t n)
{
    FILE *f = fopen(path, "wb");

    check(f != NULL && fwrite(data, 1, n, f) == n && fclose(f) == 0, "cannot write a file");
}

int main(int argc, char **argv)
{
    uint64_t  n = argc > 1 ? strtoull(argv[1], NULL, 0) : 6000;
    uint64_t  seed = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
    char     *seeds[N_SEEDS], dir[] = "/tmp/tokenizer_fuzz.XXXXXX", path[512];
    size_t    lens[N_SEEDS];
    uint8_t  *room = malloc(CAP);
    lls_mem_t mem;

    lls_mem_init(&mem, NULL);
    check(mkdtemp(dir) != NULL, "cannot make a directory");
    for (size_t i = 0; i < N_SEEDS; i++) {
        llm_error_t err;

        snprintf(path, sizeof path, TEST_DIR "/golden/text/%s", seed_files[i].name);
        check(lls_read_file(&mem, path, CAP, &seeds[i], &lens[i], &err) == LLM_OK, "no seed file");
    }
    for (uint64_t i = 0; i < n; i++) {
        mutator_t m = { .data = room, .cap = CAP };
        size_t    k;

        case_seed = seed + i;           /* one for each file, so that it can be repeated alone */
        m.state = (case_seed + 1) * 0x9e3779b97f4a7c15u | 1;
        mut_next(&m), mut_next(&m);
        k = mut_below(&m, N_SEEDS);
        mutate(&m, (const uint8_t *)seeds[k], lens[k]);
        snprintf(path, sizeof path, "%s/%s", dir, seed_files[k].as);
        write_file(path, m.data, m.n);
        run_file(path, &m);
        unlink(path);
    }
    rmdir(dir);
    for (size_t i = 0; i < N_SEEDS; i++)
        lls_free(&mem, seeds[i]);
    free(room);
    printf("tokenizer_fuzz: %llu files, %llu opened, %llu refused\n", (unsigned long long)n,
           (unsigned long long)n_opened, (unsigned long long)n_refused);
    return 0;
}
