/* SPDX-License-Identifier: Apache-2.0 */
/* Tool calls and reasoning: every dialect, whole, by tokens, by bytes and in random pieces. */
#include "unit/text/text_test.h"

#include "base/utf8.h"
#include "text/buf.h"
#include "text/dialect.h"

#define DIALECTS TEST_DIR "/golden/dialect/"

static lls_tokenizer_t *tokenizer;
static json_t          *golden;
static size_t           n_failed;
static bool             failed;     /* one report a case is enough */

static int set_up(void **state)
{
    llm_error_t err;
    char       *text;
    size_t      len;

    if (lls_tokenizer_open(plain_mem(), DIALECTS "tokenizer.json", &tokenizer, &err) != LLM_OK ||
        lls_read_file(plain_mem(), DIALECTS "cases.json", 1 << 24, &text, &len, &err) != LLM_OK ||
        lls_json_parse("cases.json", text, len, &golden, &err) != LLM_OK) {
        print_error("%s\n", err.message);
        return -1;
    }
    lls_free(plain_mem(), text);
    return 0;
}

static int tear_down(void **state)
{
    lls_tokenizer_close(tokenizer);
    json_decref(golden);
    return 0;
}

/* ---- A message from events ---- */

typedef struct message {
    lls_buf_t content, reasoning;
    uint32_t  n_calls;
    struct { char name[300], id[600]; lls_buf_t args; bool ended; } calls[64];
    uint32_t  n_events;
} message_t;

static message_t *message_new(void)
{
    message_t *m = lls_zalloc(plain_mem(), sizeof *m);

    assert_non_null(m);
    m->content.mem = m->reasoning.mem = plain_mem();
    for (size_t i = 0; i < 64; i++)
        m->calls[i].args.mem = plain_mem();
    return m;
}

static void message_free(message_t *m)
{
    lls_buf_deinit(&m->content);
    lls_buf_deinit(&m->reasoning);
    for (size_t i = 0; i < 64; i++)
        lls_buf_deinit(&m->calls[i].args);
    lls_free(plain_mem(), m);
}

static void take(message_t *m, lls_dparse_t *p)
{
    const llm_event_t *e;

    while ((e = lls_dparse_next(p)) != NULL) {
        m->n_events++;
        assert_int_equal(lls_utf8_valid(e->text, e->text_len), e->text_len);
        assert_int_equal(e->text[e->text_len], 0);
        switch (e->kind) {
        case LLM_EVENT_CONTENT:   lls_buf_put(&m->content, e->text, e->text_len); break;
        case LLM_EVENT_REASONING: lls_buf_put(&m->reasoning, e->text, e->text_len); break;
        case LLM_EVENT_TOOL_START:
            assert_int_equal(e->index, m->n_calls);
            assert_true(e->text_len > 0 && e->text_len < sizeof m->calls[0].name);
            assert_true(m->n_calls == 0 || m->calls[m->n_calls - 1].ended);
            if (m->n_calls == 64)
                return;
            memcpy(m->calls[m->n_calls].name, e->text, e->text_len + 1);
            snprintf(m->calls[m->n_calls].id, sizeof m->calls[0].id, "%s", e->id);
            m->n_calls++;
            break;
        case LLM_EVENT_ARGUMENTS:
            assert_int_equal(e->index, m->n_calls - 1);
            assert_false(m->calls[e->index].ended);
            lls_buf_put(&m->calls[e->index].args, e->text, e->text_len);
            break;
        default:
            assert_int_equal(e->kind, LLM_EVENT_TOOL_END);
            assert_int_equal(e->index, m->n_calls - 1);
            m->calls[e->index].ended = true;
            break;
        }
    }
}

static bool buf_is(const lls_buf_t *b, const char *text, size_t n)
{
    return b->len == n && (n == 0 || memcmp(b->data, text, n) == 0);
}

/* ---- One case ---- */

typedef struct one {
    const json_t *json;
    const char   *text, *mode;
    size_t        len;
    char         *chat;
    lls_dparse_config_t config;
} one_t;

static void one_open(one_t *c, const json_t *json)
{
    const char   *tools = json_string_value(json_object_get(json, "tools"));
    const char   *think = json_string_value(json_object_get(json, "thinking"));
    const json_t *chat = json_object_get(json, "chat");
    llm_error_t   err;

    memset(c, 0, sizeof *c);
    c->json = json;
    c->text = json_string_value(json_object_get(json, "text"));
    c->len = strlen(c->text);
    c->chat = chat == NULL ? NULL : json_dumps(chat, 0);
    assert_int_equal(lls_dialect_find(tokenizer, tools, &c->config.tools, &err), LLM_OK);
    assert_int_equal(lls_thinking_find(tokenizer, think, &c->config.thinking, &err), LLM_OK);
    c->config.chat = c->chat;
    c->config.chat_len = c->chat == NULL ? 0 : strlen(c->chat);
    c->config.prompt = json_string_value(json_object_get(json, "prompt"));
    c->config.prompt_len = c->config.prompt == NULL ? 0 : strlen(c->config.prompt);
    c->config.seed = 7;
}

static lls_dparse_t *parser_of(const one_t *c)
{
    lls_dparse_t *p;
    llm_error_t   err;

    if (lls_dparse_create(plain_mem(), tokenizer, &c->config, &p, &err) != LLM_OK)
        fail_msg("%s", err.message);
    return p;
}

static void feed(lls_dparse_t *p, const char *text, size_t n, const int32_t *ids, size_t n_ids,
                 bool last)
{
    llm_error_t err;

    if (lls_dparse_feed(p, text, n, ids, n_ids, last, &err) != LLM_OK)
        fail_msg("%s", err.message);
}

static void fail_case(const one_t *c, const char *what, const message_t *m)
{
    n_failed += !failed;
    if (failed)
        return;
    failed = true;
    print_error("%s %s, %s\n  text      %s\n  content   %.*s\n  reasoning %.*s\n", c->config.tools ?
                c->config.tools->name : "", what, c->mode, c->text, (int)m->content.len,
                m->content.data, (int)m->reasoning.len, m->reasoning.data);
    for (uint32_t i = 0; i < m->n_calls; i++)
        print_error("  %s(%.*s) %s\n", m->calls[i].name, (int)m->calls[i].args.len,
                    m->calls[i].args.data, m->calls[i].id);
}

static void check_calls(const one_t *c, const message_t *m, const json_t *whole)
{
    const json_t *want = json_object_get(c->json, "calls"), *call;
    size_t        i;

    if (m->n_calls != (whole == NULL ? json_array_size(want) : json_array_size(whole)))
        fail_case(c, "number of calls", m);
    for (i = 0; i < m->n_calls && !failed; i++) {
        const char *args, *id;

        call = json_array_get(want, i);
        args = whole == NULL ? json_string_value(json_object_get(call, "arguments"))
                             : json_string_value(json_array_get(whole, i));
        id = json_string_value(json_object_get(call, "id"));
        if (strcmp(m->calls[i].name, json_string_value(json_object_get(call, "name"))) != 0)
            fail_case(c, "name", m);
        if (!m->calls[i].ended || !buf_is(&m->calls[i].args, args, strlen(args)))
            fail_case(c, args, m);
        if (id != NULL ? strcmp(id, m->calls[i].id) != 0
                       : c->config.tools->flags & LLS_DIALECT_SHORT_ID
                             ? strlen(m->calls[i].id) != 9
                             : strncmp(m->calls[i].id, "chatcmpl-tool-", 14) != 0 ||
                                   strlen(m->calls[i].id) != 46)
            fail_case(c, "id", m);
    }
}

static void check(const one_t *c, const message_t *m)
{
    const json_t *whole = c->config.whole ? json_object_get(c->json, "whole") : NULL;
    const char   *content = json_string_value(json_object_get(whole != NULL ? whole : c->json,
                                                              "content"));
    const char   *reasoning = json_string_value(json_object_get(c->json, "reasoning"));

    if (!buf_is(&m->content, content, strlen(content)))
        fail_case(c, "content", m);
    if (!buf_is(&m->reasoning, reasoning, strlen(reasoning)))
        fail_case(c, "reasoning", m);
    check_calls(c, m, whole == NULL ? NULL : json_object_get(whole, "calls"));
}

static void in_pieces(one_t *c, size_t most, uint64_t seed)
{
    message_t    *m = message_new();
    lls_dparse_t *p = parser_of(c);

    for (size_t at = 0; at < c->len;) {
        size_t n = most == 0 ? c->len : 1 + next_random(&seed) % most;

        n = n < c->len - at ? n : c->len - at;
        feed(p, c->text + at, n, NULL, 0, false);
        take(m, p);
        at += n;
    }
    feed(p, "", 0, NULL, 0, true);
    take(m, p);
    check(c, m);
    lls_dparse_destroy(p);
    message_free(m);
}

static void at_once(one_t *c)
{
    message_t    *m = message_new();
    lls_dparse_t *p = parser_of(c);

    feed(p, c->text, c->len, NULL, 0, true);
    take(m, p);
    check(c, m);
    lls_dparse_destroy(p);
    message_free(m);
}

/* Text lags `lag` tokens behind, as a detokenizer's may. */
static void by_tokens(one_t *c, size_t lag)
{
    message_t    *m = message_new();
    lls_dparse_t *p = parser_of(c);
    int32_t      *ids;
    size_t        n, len;
    llm_error_t   err;

    if (lls_tokenizer_encode(tokenizer, plain_mem(), c->text, c->len, 0, &ids, &n, &err) != LLM_OK)
        fail_msg("%s", err.message);
    for (size_t i = 0; i < n + lag; i++) {
        const char *text = i < lag ? "" : lls_tokenizer_token(tokenizer, ids[i - lag], &len);

        feed(p, text, i < lag ? 0 : len, i < n ? &ids[i] : NULL, i < n, false);
        take(m, p);
    }
    feed(p, NULL, 0, NULL, 0, true);
    take(m, p);
    check(c, m);
    lls_free(plain_mem(), ids);
    lls_dparse_destroy(p);
    message_free(m);
}

static void in_every_mode(one_t *c)
{
    c->mode = "at once";
    at_once(c);
    c->mode = "by bytes";
    in_pieces(c, 1, 1);
    c->mode = "by tokens";
    by_tokens(c, 0);
    c->mode = "by tokens, text behind";
    by_tokens(c, 3);
    c->mode = "tokens first";
    by_tokens(c, c->len);
    c->mode = "in random pieces";
    for (uint64_t seed = 1; seed <= 12; seed++)
        in_pieces(c, seed * 3, seed * 77);
    c->mode = "split once";
    for (size_t cut = 1; cut < c->len; cut++) {
        message_t    *m = message_new();
        lls_dparse_t *p = parser_of(c);

        feed(p, c->text, cut, NULL, 0, false);
        take(m, p);
        feed(p, c->text + cut, c->len - cut, NULL, 0, true);
        take(m, p);
        check(c, m);
        lls_dparse_destroy(p);
        message_free(m);
    }
}

static void the_same_message_in_every_mode(void **state)
{
    const json_t *cases = json_object_get(golden, "cases");
    one_t         c;

    for (size_t i = 0; i < json_array_size(cases); i++) {
        one_open(&c, json_array_get(cases, i));
        failed = false;
        in_every_mode(&c);
        c.config.whole = true;
        in_every_mode(&c);
        free(c.chat);
    }
    print_message("%zu outputs\n", json_array_size(cases));
    assert_int_equal(n_failed, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_message_in_every_mode),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
