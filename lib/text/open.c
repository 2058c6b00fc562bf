/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which loader reads a path: by what a file begins with and its name, and in a directory by the
 * order that vLLM has.
 */
#include "text/tokenizer_int.h"

#include <dirent.h>
#include <stdio.h>

#include "base/gguf.h"
#include "base/io.h"

static llm_status_t no_memory(llm_error_t *err)
{
    return lls_fail(err, LLM_ERR_NO_MEMORY, "no memory for a tokenizer");
}

/* ---- A file ---------------------------------------------------------------------------------- */

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash != NULL ? slash + 1 : path;
}

static int first_byte(const char *path)
{
    FILE *f = fopen(path, "rb");
    int   c = f != NULL ? fgetc(f) : EOF;

    if (f != NULL)
        fclose(f);
    return c;
}

static llm_status_t load_file(lls_tokenizer_t *t, const char *path, llm_error_t *err)
{
    const char *name = base_name(path);

    if (lls_gguf_probe(path))
        return lls_tokenizer_load_gguf(t, path, err);
    if (strstr(name, "tekken") != NULL)
        return lls_tokenizer_load_tekken(t, path, err);
    if (strstr(name, ".json") == NULL) {
        if (strstr(name, "tiktoken") != NULL)
            return lls_tokenizer_load_tiktoken(t, path, err);
        if (first_byte(path) == '\n')               /* the first field of the protobuf message */
            return lls_tokenizer_load_spm(t, path, err);
        if (strcmp(name, "tokenizer.model") == 0)   /* ranks in base64, as Llama-3 came */
            return lls_tokenizer_load_tiktoken(t, path, err);
    }
    if (strcmp(name, "vocab.txt") == 0)
        return lls_tokenizer_load_wordpiece(t, path, err);
    return lls_tokenizer_load_json(t, path, err);
}

/* ---- A directory ----------------------------------------------------------------------------- */

/* dir/name if it is there, else NULL; *st is LLM_ERR_NO_MEMORY if memory is out. */
static char *existing(lls_mem_t *mem, const char *dir, const char *name, llm_status_t *st)
{
    char *path = lls_path_join(mem, dir, name);

    if (path == NULL)
        *st = LLM_ERR_NO_MEMORY;
    if (path == NULL || lls_path_exists(path))
        return path;
    lls_free(mem, path);
    return NULL;
}

/* The first file, by name, that ends in .tiktoken. */
static char *tiktoken_in(lls_mem_t *mem, const char *dir, llm_status_t *st)
{
    DIR           *d = opendir(dir);
    struct dirent *e;
    char           best[256] = "";

    while (d != NULL && (e = readdir(d)) != NULL) {
        size_t n = strlen(e->d_name);

        if (n > 9 && n < sizeof best && strcmp(e->d_name + n - 9, ".tiktoken") == 0 &&
            (best[0] == '\0' || strcmp(e->d_name, best) < 0))
            memcpy(best, e->d_name, n + 1);
    }
    if (d != NULL)
        closedir(d);
    return best[0] != '\0' ? existing(mem, dir, best, st) : NULL;
}

static char *find_file(lls_mem_t *mem, const char *dir, llm_status_t *st)
{
    static const char *const names[] = { "tekken.json", "tokenizer.json", "tiktoken.model", NULL,
                                         "tokenizer.model", "spiece.model",
                                         "sentencepiece.bpe.model", "vocab.json", "vocab.txt" };
    char                    *path = NULL;

    for (size_t i = 0; *st == LLM_OK && path == NULL && i < LLS_ARRAY_LEN(names); i++)
        path = names[i] != NULL ? existing(mem, dir, names[i], st) : tiktoken_in(mem, dir, st);
    if (path == NULL && *st == LLM_OK)              /* whose absence is the error */
        path = lls_path_join(mem, dir, "tokenizer.json");
    return path;
}

static llm_status_t load_dir(lls_tokenizer_t *t, const char *dir, llm_error_t *err)
{
    llm_status_t st = LLM_OK;
    char        *path = find_file(t->mem, dir, &st);

    if (path == NULL)
        return no_memory(err);
    if (strcmp(base_name(path), "vocab.json") == 0)
        st = lls_tokenizer_load_vocab(t, dir, err);
    else
        st = load_file(t, path, err);
    if (st == LLM_OK)
        st = lls_tokenizer_load_added(t, dir, err);
    if (st == LLM_OK)
        st = lls_tokenizer_fill_reserved(t, err);
    if (st == LLM_OK)
        st = lls_tokenizer_seal(t, err);
    if (st == LLM_OK)
        st = lls_tokenizer_load_config(t, dir, err);
    lls_free(t->mem, path);
    return st;
}

llm_status_t lls_tokenizer_open(lls_mem_t *mem, const char *path, lls_tokenizer_t **out,
                                llm_error_t *err)
{
    lls_tokenizer_t *t = lls_tokenizer_alloc(mem);
    llm_status_t     st;

    *out = NULL;
    if (t == NULL)
        return no_memory(err);
    if (lls_path_is_dir(path)) {
        st = load_dir(t, path, err);
    } else {
        st = load_file(t, path, err);
        if (st == LLM_OK)
            st = lls_tokenizer_fill_reserved(t, err);
        if (st == LLM_OK)
            st = lls_tokenizer_seal(t, err);
    }
    if (st == LLM_OK) {
        *out = t;
        t = NULL;
    }
    lls_tokenizer_close(t);
    return st;
}
