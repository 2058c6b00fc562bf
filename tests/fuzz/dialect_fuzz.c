/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dialect_fuzz [n [seed]] - mutated outputs of models through every dialect of tool calls; with
 * -DLLS_LIBFUZZER a target of libFuzzer.
 *
 * Whatever the bytes: the pieces in which they arrive change nothing; events are whole UTF-8 and in
 * order; arguments of tags and Python are JSON however they end; an output without a call is
 * content and reasoning and loses no text; where an output is accepted as a whole, the calls of
 * the stream are the same; work is linear and held-back text small.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/json.h"
#include "base/utf8.h"
#include "fuzz/target.h"
#include "text/dialect_int.h"

#define CAP 4096u

static const char *case_tools = "", *case_text = "";
static size_t   case_len;
static uint64_t case_seed, n_calls, n_whole, n_broken;

static void check(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "dialect_fuzz: %s (%s); repeat with: dialect_fuzz 1 %llu\n%.*s\n", what,
            case_tools, (unsigned long long)case_seed, (int)case_len, case_text);
    abort();
}

static lls_mem_t        mem;
static lls_tokenizer_t *tokenizer;
static json_t          *golden;
static char            *chat;
static size_t           n_dialects;

/* ---- Messages ---- */

#define MAX_CALLS 1400           /* f() takes three bytes of CAP */

typedef struct message {
    lls_buf_t content, reasoning, both, names, args[MAX_CALLS];
    uint32_t  n_calls;
    bool      open;
} message_t;

static void message_init(message_t *m)
{
    memset(m, 0, sizeof *m);
    m->content.mem = m->reasoning.mem = m->both.mem = m->names.mem = &mem;
    for (size_t i = 0; i < MAX_CALLS; i++)
        m->args[i].mem = &mem;
}

static void message_deinit(message_t *m)
{
    lls_buf_deinit(&m->content);
    lls_buf_deinit(&m->reasoning);
    lls_buf_deinit(&m->both);
    lls_buf_deinit(&m->names);
    for (size_t i = 0; i < MAX_CALLS; i++)
        lls_buf_deinit(&m->args[i]);
}

static void put(lls_buf_t *b, const char *text, size_t n)
{
    check(lls_buf_put(b, text, n), "memory");
}

static void take(message_t *m, const llm_event_t *e)
{
    check(e->text[e->text_len] == '\0', "text without a NUL");
    check(lls_utf8_valid(e->text, e->text_len) == e->text_len, "text that is not UTF-8");
    if (e->kind == LLM_EVENT_TOOL_START) {
        check(!m->open && e->index == m->n_calls && e->id != NULL && *e->id != '\0', "a start");
        check(e->text_len > 0, "a call without a name");
        put(&m->names, e->text, e->text_len + 1);
        m->n_calls++;
        check(m->n_calls < MAX_CALLS, "more calls than text");
        m->open = true;
    } else if (e->kind == LLM_EVENT_ARGUMENTS) {
        check(m->open && e->index == m->n_calls - 1, "arguments of no call");
        put(&m->args[e->index], e->text, e->text_len);
    } else if (e->kind == LLM_EVENT_TOOL_END) {
        check(m->open, "an end of no call");
        m->open = false;
    } else {
        check(e->text_len > 0 && !m->open, "text inside a call");
        put(e->kind == LLM_EVENT_CONTENT ? &m->content : &m->reasoning, e->text, e->text_len);
        put(&m->both, e->text, e->text_len);
    }
}

static bool same(const lls_buf_t *a, const lls_buf_t *b)
{
    return a->len == b->len && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}

/* ---- Text that is lost ---- */

/* Where in `out` a reading of the text may be that stands at a byte of it. */
typedef struct places { uint32_t n; size_t at[16]; } places_t;

#define LONGEST_MARK 128

static places_t places[LONGEST_MARK];
static bool     too_many;

static void may_be(size_t text_at, size_t out_at)
{
    places_t *s = &places[text_at % LONGEST_MARK];

    for (uint32_t i = 0; i < s->n; i++)
        if (s->at[i] == out_at)
            return;
    if (s->n == sizeof s->at / sizeof *s->at)
        too_many = true;
    else
        s->at[s->n++] = out_at;
}

/* Whether out is the text but for markers and blank space. */
static bool is_kept(const lls_dparse_t *p, const char *text, size_t n, const lls_buf_t *out)
{
    bool kept = false;

    memset(places, 0, sizeof places);
    too_many = false;
    may_be(0, 0);
    for (size_t i = 0; i < n; i++) {
        places_t here = places[i % LONGEST_MARK];

        places[i % LONGEST_MARK].n = 0;
        for (uint32_t k = 0; k < here.n; k++) {
            if (here.at[k] < out->len && out->data[here.at[k]] == text[i])
                may_be(i + 1, here.at[k] + 1);
            if (lls_dp_is_blank(text[i]))
                may_be(i + 1, here.at[k]);
            for (uint32_t m = 0; m < p->n_marks; m++)
                if (p->marks[m].len <= n - i &&
                    memcmp(p->marks[m].text, text + i, p->marks[m].len) == 0)
                    may_be(i + p->marks[m].len, here.at[k]);
        }
    }
    for (uint32_t k = 0; k < places[n % LONGEST_MARK].n; k++)
        kept |= places[n % LONGEST_MARK].at[k] == out->len;
    return kept || too_many;
}

/* Headers are no text, append_think has its own marker, and what is not UTF-8 changes. */
static bool may_be_compared(const lls_dparse_t *p, const char *text, size_t n)
{
    return (p->tools == NULL || p->tools->reader != LLS_READ_HARMONY) &&
           !lls_dp_has_mark(p, LLS_MARK_HEAD) &&
           (p->thinking == NULL || !(p->thinking->flags & LLS_THINK_APPEND)) &&
           lls_utf8_valid(text, n) == n;
}

/* most: the longest piece, 0 = all at once */
static void parse(message_t *m, const lls_dparse_config_t *c, const char *text, size_t n,
                  mutator_t *r, size_t most)
{
    const llm_event_t *e;
    lls_dparse_t      *p;
    llm_error_t        err;
    size_t             at = 0, piece;

    message_init(m);
    check(lls_dparse_create(&mem, tokenizer, c, &p, &err) == LLM_OK, "create");
    do {
        piece = most == 0 ? n : 1 + mut_below(r, most);
        piece = piece < n - at ? piece : n - at;
        check(lls_dparse_feed(p, text + at, piece, NULL, 0, at + piece == n, &err) == LLM_OK,
              "feed");
        while ((e = lls_dparse_next(p)) != NULL)
            take(m, e);
        at += piece;
        check(p->in.len - p->at < 64, "more is held back than a marker");
    } while (at < n);
    check(!m->open, "a call without an end");
    check(lls_dparse_steps(p) <= 16 * (uint64_t)n + 64, "more steps than text");
    if (m->n_calls == 0 && may_be_compared(p, text, n))
        check(is_kept(p, text, n, &m->both), "text is lost");
    lls_dparse_destroy(p);
}

/* ---- One output ---- */

static void same_message(const message_t *a, const message_t *b)
{
    check(same(&a->content, &b->content), "content depends on the pieces");
    check(same(&a->reasoning, &b->reasoning), "reasoning depends on the pieces");
    check(same(&a->names, &b->names), "calls depend on the pieces");
    for (uint32_t i = 0; i < a->n_calls; i++)
        check(same(&a->args[i], &b->args[i]), "arguments depend on the pieces");
}

static bool is_json(const lls_buf_t *b, lls_buf_t *out)
{
    out->len = 0;
    return b->len > 0 && lls_dp_normalize(out, b->data, b->len);
}

static void as_a_whole(const lls_dparse_config_t *c, const message_t *stream, const char *text,
                       size_t n, mutator_t *r)
{
    lls_dparse_config_t whole = *c;
    lls_buf_t           out = { .mem = &mem };
    message_t           m;

    whole.whole = true;
    parse(&m, &whole, text, n, r, 30);
    if (m.n_calls > 0) {
        n_whole++;
        check(same(&m.names, &stream->names), "the whole has other calls than the stream");
        check(same(&m.content, &stream->content), "the whole has other content");
        for (uint32_t i = 0; i < m.n_calls; i++)
            check(is_json(&stream->args[i], &out) && same(&out, &m.args[i]),
                  "the whole has other arguments");
    } else {
        n_broken += stream->n_calls > 0;
    }
    lls_buf_deinit(&out);
    message_deinit(&m);
}

static void one(const lls_dparse_config_t *c, const char *text, size_t n, mutator_t *r)
{
    bool      closes = c->tools != NULL && c->tools->reader >= LLS_READ_TAGS &&
                  c->tools->reader <= LLS_READ_BARE_KEYS;
    lls_buf_t out = { .mem = &mem };
    message_t a, b;

    parse(&a, c, text, n, r, 0);
    parse(&b, c, text, n, r, 1);
    same_message(&a, &b);
    message_deinit(&b);
    parse(&b, c, text, n, r, 40);
    same_message(&a, &b);
    message_deinit(&b);
    for (uint32_t i = 0; i < a.n_calls && closes; i++)
        check(is_json(&a.args[i], &out), "arguments that are no JSON");
    as_a_whole(c, &a, text, n, r);
    n_calls += a.n_calls;
    lls_buf_deinit(&out);
    message_deinit(&a);
}

#ifndef LLS_LIBFUZZER
static void round_of(mutator_t *m)
{
    const json_t       *cases = json_object_get(golden, "cases");
    const json_t       *at = json_array_get(cases, mut_below(m, json_array_size(cases)));
    const char         *text = json_string_value(json_object_get(at, "text"));
    const char         *tools = json_string_value(json_object_get(at, "tools"));
    const char         *think = json_string_value(json_object_get(at, "thinking"));
    lls_dparse_config_t c = { .chat = mut_below(m, 2) ? chat : NULL, .seed = case_seed };

    c.chat_len = c.chat == NULL ? 0 : strlen(c.chat);
    lls_dialect_find(tokenizer, tools, &c.tools, NULL);
    lls_thinking_find(tokenizer, think, &c.thinking, NULL);
    if (mut_below(m, 8) == 0)
        c.tools = lls_dialect_at(mut_below(m, n_dialects));
    m->n = strlen(text);
    memcpy(m->data, text, m->n);
    if (mut_below(m, 3) == 0)       /* cut anywhere */
        m->n = mut_below(m, m->n + 1);
    else
        for (size_t k = 1 + mut_below(m, 4); k > 0; k--)
            mut_once(m);
    case_tools = c.tools == NULL ? "none" : c.tools->name;
    case_text = (const char *)m->data;
    case_len = m->n;
    one(&c, case_text, m->n, m);
}
#endif

static void open_all(void)
{
    static const char dir[] = TEST_DIR "/golden/dialect/";
    char              path[512], *text;
    size_t            len;
    llm_error_t       err;

    lls_mem_init(&mem, NULL);
    snprintf(path, sizeof path, "%stokenizer.json", dir);
    check(lls_tokenizer_open(&mem, path, &tokenizer, &err) == LLM_OK, "tokenizer");
    snprintf(path, sizeof path, "%scases.json", dir);
    check(lls_read_file(&mem, path, 1 << 24, &text, &len, &err) == LLM_OK, "cases");
    check(lls_json_parse("cases.json", text, len, &golden, &err) == LLM_OK, "cases");
    lls_free(&mem, text);
    chat = json_dumps(json_object_get(golden, "chat"), 0);
    while (lls_dialect_at(n_dialects) != NULL)
        n_dialects++;
}

/* The first two bytes choose the dialect and the kind of reasoning. */
static void try_input(const uint8_t *data, size_t n)
{
    lls_dparse_config_t c = { .seed = 1 };
    mutator_t           m = { .state = 1 };

    if (n < 2 || n > CAP)
        return;
    c.tools = lls_dialect_at(data[0] % 64);
    c.thinking = lls_thinking_at(data[1] % 64);
    c.chat = data[1] & 64 ? chat : NULL;
    c.chat_len = c.chat == NULL ? 0 : strlen(c.chat);
    case_tools = c.tools == NULL ? "none" : c.tools->name;
    case_text = (const char *)data + 2;
    case_len = n - 2;
    one(&c, case_text, case_len, &m);
}

#ifdef LLS_LIBFUZZER
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (tokenizer == NULL)
        open_all();
    try_input(data, n);
    return 0;
}
#else
int main(int argc, char **argv)
{
    static uint8_t data[CAP];
    uint64_t       n = argc > 1 ? strtoull(argv[1], NULL, 10) : 6000;
    uint64_t       seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;

    open_all();
    if (argc == 1)
        fuzz_run_corpus("dialect", 20, try_input);
    for (uint64_t i = 0; i < n; i++) {
        mutator_t m = { .data = data, .cap = CAP };

        case_seed = seed + i;
        m.state = lls_mix64(case_seed, 17) | 1;
        round_of(&m);
    }
    printf("%llu outputs, %llu calls, %llu accepted as a whole, %llu not\n", (unsigned long long)n,
           (unsigned long long)n_calls, (unsigned long long)n_whole, (unsigned long long)n_broken);
    free(chat);
    json_decref(golden);
    lls_tokenizer_close(tokenizer);
    check(mem.held == 0, "memory is not given back");
    return 0;
}
#endif
