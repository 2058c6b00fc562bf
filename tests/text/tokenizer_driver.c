/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tokenizer_driver TOKENIZER IN OUT: does what the records of IN ask for, for oracle_fuzz.py.
 *
 * A record is a byte of kind, u32 length, payload: 'E' encode, 'N' without special tokens, 'P' a
 * pair (u32 length of the first text, both), 'D' decode ids, 'K' with special tokens kept, 'S' a
 * stream (u32 number of prompt ids, ids), 'T' the same with special tokens kept.  An answer is i32
 * status, u32 length, payload; for a pair ids and then types, for a stream u32 length of the text
 * after each id, then the text.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "text/detok.h"
#include "text/tokenizer.h"

static lls_mem_t mem;
static FILE     *out;

static void answer(llm_status_t st, const void *a, size_t a_len, const void *b, size_t b_len)
{
    int32_t  status = st;
    uint32_t len = (uint32_t)(a_len + b_len);

    fwrite(&status, 4, 1, out);
    fwrite(&len, 4, 1, out);
    if (a_len != 0)
        fwrite(a, 1, a_len, out);
    if (b_len != 0)
        fwrite(b, 1, b_len, out);
}

static void encode(const lls_tokenizer_t *t, char kind, const char *p, uint32_t len)
{
    int32_t     *ids = NULL, *types = NULL;
    size_t       n = 0;
    uint32_t     first = 0;
    llm_error_t  err;
    llm_status_t st;

    if (kind == 'P') {
        memcpy(&first, p, 4);
        st = lls_tokenizer_encode_pair(t, &mem, p + 4, first, p + 4 + first, len - 4 - first, 0,
                                       &ids, &types, &n, &err);
    } else {
        st = lls_tokenizer_encode(t, &mem, p, len, kind == 'N' ? LLM_ENCODE_NO_SPECIAL : 0, &ids,
                                  &n, &err);
    }
    answer(st, ids, n * 4, types, types != NULL ? n * 4 : 0);
    lls_free(&mem, ids);
    lls_free(&mem, types);
}

static void decode(const lls_tokenizer_t *t, char kind, const int32_t *ids, uint32_t n)
{
    char        *text = NULL;
    size_t       len = 0;
    llm_error_t  err;
    llm_status_t st = lls_tokenizer_decode(t, &mem, ids, n,
                                           kind == 'K' ? LLM_DECODE_KEEP_SPECIAL : 0, &text, &len,
                                           &err);

    answer(st, text, len, NULL, 0);
    lls_free(&mem, text);
}

static void stream(const lls_tokenizer_t *t, char kind, const int32_t *ids, uint32_t n)
{
    uint32_t     n_prompt = (uint32_t)ids[0], *lens = calloc(n, sizeof *lens);
    lls_detok_t  d;
    llm_error_t  err;
    llm_status_t st = lls_detok_init(&d, t, &mem, ids + 1, n_prompt, kind == 'S', &err);

    for (uint32_t i = 1 + n_prompt; st == LLM_OK && i < n; i++) {
        st = lls_detok_push(&d, ids[i], &err);
        lens[i - 1 - n_prompt] = (uint32_t)d.len;
    }
    answer(st, lens, (n - 1 - n_prompt) * sizeof *lens, d.text, d.len);
    lls_detok_deinit(&d);
    free(lens);
}

int main(int argc, char **argv)
{
    lls_tokenizer_t *t;
    char            *in;
    size_t           len;
    llm_error_t      err;

    lls_mem_init(&mem, NULL);
    if (argc != 4)
        return 2;
    if (lls_tokenizer_open(&mem, argv[1], &t, &err) != LLM_OK ||
        lls_read_file(&mem, argv[2], 1u << 30, &in, &len, &err) != LLM_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    out = fopen(argv[3], "wb");
    if (out == NULL)
        return 1;
    for (size_t at = 0; at + 5 <= len;) {
        char     kind = in[at];
        uint32_t n;
        int32_t *ids;

        memcpy(&n, in + at + 1, 4);
        at += 5;
        if (kind == 'E' || kind == 'N' || kind == 'P') {
            encode(t, kind, in + at, n);
        } else {
            ids = malloc(n + 4);                        /* aligned */
            memcpy(ids, in + at, n);
            if (kind == 'D' || kind == 'K')
                decode(t, kind, ids, n / 4);
            else
                stream(t, kind, ids, n / 4);
            free(ids);
        }
        at += n;
    }
    lls_tokenizer_close(t);
    lls_free(&mem, in);
    return fclose(out) == 0 && mem.held == 0 ? 0 : 1;
}
