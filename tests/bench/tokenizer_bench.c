/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tokenizer_bench TOKENIZER TEXT_FILE: time to open, MB/s of encode and decode in pieces of 4 KB
 * and whole, and the worst cases: 1 MB of one character; all in CPU time.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/io.h"
#include "text/tokenizer.h"

#define PIECE 4096u
#define WORST (1u << 20)

static lls_mem_t mem;

static void quit(const llm_error_t *err)
{
    fprintf(stderr, "%s\n", err->message);
    exit(1);
}

/* CPU time of this thread, so that what else runs matters less. */
static uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static double seconds(uint64_t since)
{
    return (double)(now_ns() - since) / 1e9;
}

static size_t encode(const lls_tokenizer_t *t, const char *text, size_t len, double *decode_s)
{
    int32_t    *ids;
    char       *back;
    size_t      n, n_back;
    uint64_t    start;
    llm_error_t err;

    if (lls_tokenizer_encode(t, &mem, text, len, 0, &ids, &n, &err) != LLM_OK)
        quit(&err);
    start = now_ns();
    if (decode_s != NULL) {
        if (lls_tokenizer_decode(t, &mem, ids, n, 0, &back, &n_back, &err) != LLM_OK)
            quit(&err);
        *decode_s += seconds(start);
        lls_free(&mem, back);
    }
    lls_free(&mem, ids);
    return n;
}

/* The end of the piece at `at`: after about PIECE bytes, not inside a character. */
static size_t piece_end(const char *text, size_t len, size_t at)
{
    size_t end = len - at > PIECE ? at + PIECE : len;

    while (end < len && ((unsigned char)text[end] & 0xc0) == 0x80)
        end++;
    return end;
}

static void pieces(const lls_tokenizer_t *t, const char *text, size_t len)
{
    double   best = 1e9, decode_s = 0;
    size_t   n_tokens = 0;

    for (int round = 0; round < 5; round++) {
        double   d = 0;
        uint64_t start = now_ns();

        n_tokens = 0;
        for (size_t at = 0; at < len; at = piece_end(text, len, at))
            n_tokens += encode(t, text + at, piece_end(text, len, at) - at, &d);
        if (seconds(start) - d < best) {
            best = seconds(start) - d;
            decode_s = d;
        }
    }
    printf("4 KB pieces: encode %.1f MB/s, %.2f M tokens/s; decode %.1f MB/s\n",
           (double)len / best / 1e6, (double)n_tokens / best / 1e6, (double)len / decode_s / 1e6);
}

static void worst(const lls_tokenizer_t *t, const char *what, const char *unit)
{
    char    *text = malloc(WORST);
    size_t   k = strlen(unit), n = WORST / k;
    uint64_t start;

    for (size_t i = 0; i < n; i++)
        memcpy(text + i * k, unit, k);
    start = now_ns();
    encode(t, text, n * k, NULL);
    printf("1 MB of %s: %.0f ms\n", what, seconds(start) * 1e3);
    free(text);
}

int main(int argc, char **argv)
{
    lls_tokenizer_t *t;
    char            *text;
    size_t           len;
    uint64_t         start = now_ns();
    llm_error_t      err;

    if (argc != 3) {
        fprintf(stderr, "usage: %s TOKENIZER TEXT_FILE\n", argv[0]);
        return 2;
    }
    lls_mem_init(&mem, NULL);
    if (lls_tokenizer_open(&mem, argv[1], &t, &err) != LLM_OK)
        quit(&err);
    printf("open: %.1f ms, %.1f MB held\n", seconds(start) * 1e3, (double)mem.held / 1e6);
    if (lls_read_file(&mem, argv[2], 1u << 30, &text, &len, &err) != LLM_OK)
        quit(&err);
    pieces(t, text, len);
    worst(t, "a", "a");
    worst(t, "spaces", " ");
    worst(t, "one CJK character", "\xe4\xb8\x80");
    worst(t, "marks", "\xcc\x81");
    lls_free(&mem, text);
    lls_tokenizer_close(t);
    return 0;
}
