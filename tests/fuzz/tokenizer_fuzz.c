/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tokenizer_fuzz [files [seed]] - mutated tokenizers of every kind of file through the loaders.
 *
 * Whatever the bytes: a status and a message of one line of UTF-8, or a tokenizer that encodes,
 * decodes and streams without harm; all memory is given back, and a small file cannot ask for much.
 * Without arguments the files of the corpus and a number of mutations that fits a test run.  Built
 * with -DLLS_LIBFUZZER, and what the input is to be called in FUZZ_AS, it is a target of libFuzzer.
 */
#include "fuzz/target.h"
#include "text/detok.h"
#include "text/tokenizer.h"

#define MOST_MEMORY (64u << 20)         /* of a tokenizer whose file has at most FUZZ_CAP bytes */

/* ---- One file ---- */

static const char short_text[] =
    "the of ab\xc3\xa9 A!\xe6\x97\xa5\xe6\x9c\xac <sep> 11 \xf0\x9f\x99\x82"
    "\n\t of the</s>[SEP]un aa";

/* Ids, which may be of no token where a post-processor names one, as with Hugging Face; what they
 * decode to is text. */
static void encode(const lls_tokenizer_t *t, lls_mem_t *mem, const char *text, size_t len)
{
    int32_t    *ids = NULL;
    size_t      n = 0, back_len;
    char       *back = NULL;
    llm_error_t err;

    if (!fuzz_went_well(lls_tokenizer_encode(t, mem, text, len, 0, &ids, &n, &err), &err))
        return;
    for (size_t i = 0; i < n; i++)
        fuzz_check(ids[i] >= 0, "a negative id");
    fuzz_check(lls_tokenizer_decode(t, mem, ids, n, 0, &back, &back_len, &err) == LLM_OK,
               "no decode");
    fuzz_check(lls_utf8_valid(back, back_len) == back_len, "text that is not UTF-8");
    lls_free(mem, back);
    lls_free(mem, ids);
}

static void stream(const lls_tokenizer_t *t, lls_mem_t *mem, mutator_t *m)
{
    int32_t     some[24];
    lls_detok_t d;
    llm_error_t err;

    for (size_t i = 0; i < 24; i++)
        some[i] = (int32_t)mut_below(m, (size_t)lls_tokenizer_n_vocab(t) + 2) - 1;
    fuzz_check(lls_detok_init(&d, t, mem, some, 4, true, &err) == LLM_OK, "no stream");
    for (size_t i = 4; i < 24; i++)
        fuzz_check(lls_detok_push(&d, some[i], &err) == LLM_OK, "no push");
    fuzz_check(lls_utf8_valid(d.text, d.len) == d.len, "text that is not UTF-8");
    lls_detok_deinit(&d);
}

static void use(const lls_tokenizer_t *t, lls_mem_t *mem, mutator_t *m)
{
    char long_text[4096];

    for (size_t i = 0; i < sizeof long_text; i++)
        long_text[i] = "aa b"[i % 3];
    encode(t, mem, short_text, sizeof short_text - 1);
    encode(t, mem, long_text, sizeof long_text);
    stream(t, mem, m);
}

static void run_file(const char *path, mutator_t *m)
{
    fuzz_count_t     c;
    lls_mem_t        mem;
    lls_tokenizer_t *t;
    llm_error_t      err;

    fuzz_begin(&c, &mem);
    if (fuzz_went_well(lls_tokenizer_open(&mem, path, &t, &err), &err))
        use(t, &mem, m);
    else
        fuzz_check(t == NULL, "a tokenizer beside an error");
    lls_tokenizer_close(t);
    fuzz_end(&c);
    fuzz_check(c.peak < MOST_MEMORY, "a small file took much memory");
}

static void write_file(const char *path, const void *data, size_t n)
{
    FILE *f = fopen(path, "wb");

    fuzz_check(f != NULL && fwrite(data, 1, n, f) == n && fclose(f) == 0, "cannot write a file");
}

static char dir[] = "/tmp/tokenizer_fuzz.XXXXXX";

static void run_bytes(const char *as, const void *data, size_t n, mutator_t *m)
{
    char path[512];

    snprintf(path, sizeof path, "%s/%s", dir, as);
    write_file(path, data, n);
    run_file(path, m);
    unlink(path);
}

#ifdef LLS_LIBFUZZER

static void remove_dir(void)
{
    rmdir(dir);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static bool made;
    mutator_t   m = {.state = (n + 1) * 0x9e3779b97f4a7c15u | 1};

    if (!made)
        fuzz_check(mkdtemp(dir) != NULL && atexit(remove_dir) == 0, "cannot make a directory");
    made = true;
    run_bytes(FUZZ_AS, data, n, &m);
    return 0;
}

#else

/* ---- The run ---- */

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

/* What libFuzzer once found; corpus/<kind>/ holds files of one kind. */
static const char *const corpora[][2] = {
    {"tokenizer_json", "tokenizer.json"}, {"sentencepiece", "tokenizer.model"},
    {"tiktoken", "small.tiktoken"}, {"tekken", "tekken.json"}, {"gguf", "m.gguf"},
};
static const char *corpus_as;

static void try_input(const uint8_t *data, size_t n)
{
    mutator_t m = {.state = (n + 1) * 0x9e3779b97f4a7c15u | 1};

    run_bytes(corpus_as, data, n, &m);
}

static void run_mutations(uint64_t n, uint64_t seed)
{
    static uint8_t room[FUZZ_CAP];
    static char    what[64];
    char          *seeds[N_SEEDS], path[512];
    size_t         lens[N_SEEDS];
    lls_mem_t      mem;
    llm_error_t    err;

    lls_mem_init(&mem, NULL);
    for (size_t i = 0; i < N_SEEDS; i++) {
        snprintf(path, sizeof path, TEST_DIR "/golden/text/%s", seed_files[i].name);
        fuzz_check(lls_read_file(&mem, path, FUZZ_CAP, &seeds[i], &lens[i], &err) == LLM_OK,
                   "no seed file");
    }
    fuzz_input = what;
    for (uint64_t i = seed; i < seed + n; i++) {  /* one seed a file, so that it can be repeated */
        mutator_t m = {.data = room, .cap = sizeof room};
        size_t    k;

        snprintf(what, sizeof what, "tokenizer_fuzz 1 %llu", (unsigned long long)i);
        m.state = (i + 1) * 0x9e3779b97f4a7c15u | 1;
        mut_next(&m), mut_next(&m);
        k = mut_below(&m, N_SEEDS);
        mutate(&m, (const uint8_t *)seeds[k], lens[k]);
        run_bytes(seed_files[k].as, m.data, m.n, &m);
    }
    for (size_t i = 0; i < N_SEEDS; i++)
        lls_free(&mem, seeds[i]);
}

int main(int argc, char **argv)
{
    uint64_t n = argc > 1 ? strtoull(argv[1], NULL, 0) : 6000;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;

    fuzz_check(mkdtemp(dir) != NULL, "cannot make a directory");
    for (size_t i = 0; argc == 1 && i < sizeof corpora / sizeof *corpora; i++) {
        corpus_as = corpora[i][1];
        fuzz_run_corpus(corpora[i][0], 20, try_input);
    }
    run_mutations(n, seed);
    rmdir(dir);
    printf("tokenizer_fuzz: %llu files: %llu good, %llu refused\n", (unsigned long long)n,
           (unsigned long long)fuzz_n_good, (unsigned long long)fuzz_n_refused);
    return 0;
}

#endif
