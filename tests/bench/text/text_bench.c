/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Our half of text.py: obeys one command a line and answers each with a line of numbers.  Times are
 * CPU time of this thread in ns.
 *
 *   open PATH       ns, bytes held, growth of the resident set in bytes
 *   text PATH       ns of nothing; the text for encode, in pieces of 4 KB
 *   encode          ns, tokens: every piece once
 *   decode          ns, bytes: the tokens of encode, piece by piece
 *   template PATH   ns of compiling it; the tokenizer's chat template from now on
 *   chat PATH       ns of nothing; the request for render
 *   render TIMES    ns of one lls_chat_render (JSON text to prompt), its bytes
 *   values TIMES    ns of one lls_jinja_render (parsed JSON to prompt), its bytes
 *   worst UNIT      ns of encoding 1 MB of UNIT
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/io.h"
#include "base/json.h"
#include "text/chat.h"
#include "text/jinja.h"
#include "text/tokenizer.h"

#define PIECE 4096u
#define WORST (1u << 20)

typedef struct ids { /* the tokens of a piece */
    int32_t *data;
    size_t   n;
} ids_t;

typedef struct bench {
    lls_mem_t        mem;
    lls_tokenizer_t *tok;
    lls_jinja_t     *jinja;
    char            *text, *chat;
    size_t           len, chat_len;
    ids_t           *ids;
    size_t           n_pieces;
} bench_t;

static void check(llm_status_t st, const llm_error_t *err)
{
    if (st == LLM_OK)
        return;
    fprintf(stderr, "text_bench: %s\n", err->message);
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static unsigned long long resident(void)
{
    unsigned long long pages = 0;
    FILE              *f = fopen("/proc/self/statm", "r");

    if (f != NULL && fscanf(f, "%*u %llu", &pages) != 1)
        pages = 0;
    if (f != NULL)
        fclose(f);
    return pages * (unsigned long long)sysconf(_SC_PAGESIZE);
}

static void answer(uint64_t ns, unsigned long long number)
{
    printf("%llu %llu\n", (unsigned long long)ns, number);
}

static void read_text(bench_t *b, const char *path, char **text, size_t *len)
{
    llm_error_t err;

    lls_free(&b->mem, *text);
    check(lls_read_file(&b->mem, path, 1u << 30, text, len, &err), &err);
}

/* ---- Tokens ---------------------------------------------------------------------------------- */

static void do_open(bench_t *b, const char *path)
{
    unsigned long long before = resident();
    uint64_t           start = now_ns();
    llm_error_t        err;

    lls_tokenizer_close(b->tok);
    check(lls_tokenizer_open(&b->mem, path, &b->tok, &err), &err);
    start = now_ns() - start;
    printf("%llu %llu %llu\n", (unsigned long long)start, (unsigned long long)b->mem.held,
           resident() - before);
}

/* The end of the piece at `at`: after about PIECE bytes, not inside a character. */
static size_t piece_end(const char *text, size_t len, size_t at)
{
    size_t end = len - at > PIECE ? at + PIECE : len;

    while (end < len && ((unsigned char)text[end] & 0xc0) == 0x80)
        end++;
    return end;
}

static void drop_ids(bench_t *b)
{
    for (size_t i = 0; i < b->n_pieces; i++)
        lls_free(&b->mem, b->ids[i].data);
    free(b->ids);
    b->ids = NULL;
    b->n_pieces = 0;
}

static void do_text(bench_t *b, const char *path)
{
    drop_ids(b);
    read_text(b, path, &b->text, &b->len);
    b->ids = calloc(b->len / PIECE + 1, sizeof *b->ids);
    answer(0, b->len);
}

static void do_encode(bench_t *b)
{
    unsigned long long n_tokens = 0;
    uint64_t           start = now_ns();
    llm_error_t        err;
    size_t             k = 0;

    for (size_t at = 0, end; at < b->len; at = end, k++) {
        ids_t *ids = &b->ids[k];

        end = piece_end(b->text, b->len, at);
        lls_free(&b->mem, ids->data);
        check(lls_tokenizer_encode(b->tok, &b->mem, b->text + at, end - at, LLM_ENCODE_NO_SPECIAL,
                                   &ids->data, &ids->n, &err),
              &err);
        n_tokens += ids->n;
    }
    b->n_pieces = k;
    answer(now_ns() - start, n_tokens);
}

static void do_decode(bench_t *b)
{
    unsigned long long n_bytes = 0;
    uint64_t           start = now_ns();
    llm_error_t        err;

    for (size_t i = 0; i < b->n_pieces; i++) {
        char  *text;
        size_t len;

        check(lls_tokenizer_decode(b->tok, &b->mem, b->ids[i].data, b->ids[i].n, 0, &text, &len,
                                   &err),
              &err);
        n_bytes += len;
        lls_free(&b->mem, text);
    }
    answer(now_ns() - start, n_bytes);
}

static void do_worst(bench_t *b, const char *unit)
{
    size_t      k = strlen(unit), n = WORST / k, n_ids;
    char       *text = malloc(n * k);
    int32_t    *ids;
    uint64_t    start;
    llm_error_t err;

    for (size_t i = 0; i < n; i++)
        memcpy(text + i * k, unit, k);
    start = now_ns();
    check(lls_tokenizer_encode(b->tok, &b->mem, text, n * k, 0, &ids, &n_ids, &err), &err);
    answer(now_ns() - start, n_ids);
    lls_free(&b->mem, ids);
    free(text);
}

/* ---- Chats ----------------------------------------------------------------------------------- */

static void do_template(bench_t *b, const char *path)
{
    char       *text = NULL;
    size_t      len;
    uint64_t    start;
    llm_error_t err;

    read_text(b, path, &text, &len);
    lls_jinja_free(b->jinja);
    start = now_ns();
    check(lls_jinja_compile(&b->mem, text, len, &b->jinja, &err), &err);
    start = now_ns() - start;
    check(lls_chat_set_template(b->tok, text, len, &err), &err);
    lls_free(&b->mem, text);
    answer(start, len);
}

static void do_render(bench_t *b, size_t times)
{
    uint64_t    start = now_ns();
    size_t      n = 0;
    llm_error_t err;

    for (size_t i = 0; i < times; i++) {
        char *text;

        check(lls_chat_render(b->tok, &b->mem, b->chat, b->chat_len, &text, &n, &err), &err);
        lls_free(&b->mem, text);
    }
    answer((now_ns() - start) / times, n);
}

/* The request is what the template sees, as it is. */
static void do_values(bench_t *b, size_t times)
{
    lls_jinja_input_t in = { .now = 0 };
    lls_jinja_text_t  out = { 0 };
    size_t            n = 0;
    uint64_t          start;
    llm_error_t       err;
    lls_jdata_t      *vars;

    check(lls_jdata_read(&b->mem, "chat", b->chat, b->chat_len, &vars, &err), &err);
    in.vars = vars;
    start = now_ns();
    for (size_t i = 0; i < times; i++) {
        check(lls_jinja_render(b->jinja, &b->mem, &in, &out, &err), &err);
        n = out.len;
        lls_jinja_text_free(&b->mem, &out);
    }
    answer((now_ns() - start) / times, n);
    lls_jdata_free(vars);
}

static size_t times_of(const char *arg)
{
    size_t n = strtoul(arg, NULL, 10);

    return n > 0 ? n : 1;
}

static bool obey(bench_t *b, const char *what, const char *arg)
{
    if (strcmp(what, "open") == 0)
        do_open(b, arg);
    else if (strcmp(what, "text") == 0)
        do_text(b, arg);
    else if (strcmp(what, "encode") == 0)
        do_encode(b);
    else if (strcmp(what, "decode") == 0)
        do_decode(b);
    else if (strcmp(what, "template") == 0)
        do_template(b, arg);
    else if (strcmp(what, "chat") == 0) {
        read_text(b, arg, &b->chat, &b->chat_len);
        answer(0, b->chat_len);
    } else if (strcmp(what, "render") == 0)
        do_render(b, times_of(arg));
    else if (strcmp(what, "values") == 0)
        do_values(b, times_of(arg));
    else if (strcmp(what, "worst") == 0 && *arg != '\0')
        do_worst(b, arg);
    else
        return false;
    return fflush(stdout) == 0;
}

int main(void)
{
    bench_t b = { 0 };
    char    line[4096];

    lls_mem_init(&b.mem, NULL);
    while (fgets(line, sizeof line, stdin) != NULL) {
        char *arg = line + strcspn(line, " \n"), *rest = arg;

        if (*arg == ' ')
            rest = arg + 1;
        *arg = '\0';
        rest[strcspn(rest, "\n")] = '\0';
        if (!obey(&b, line, rest)) {
            fprintf(stderr, "text_bench: no command '%s'\n", line);
            return 2;
        }
    }
    drop_ids(&b);
    lls_free(&b.mem, b.text);
    lls_free(&b.mem, b.chat);
    lls_jinja_free(b.jinja);
    lls_tokenizer_close(b.tok);
    return b.mem.held != 0;
}
