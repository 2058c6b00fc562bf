/* SPDX-License-Identifier: Apache-2.0 */
/* Structural tags: a tag of any dialect, filled with calls, is read as the same calls. */
#include "unit/text/text_test.h"

#include "text/buf.h"
#include "text/dialect.h"

static const char chat[] =
    "{\"tools\": [{\"function\": {\"name\": \"get_weather\", \"parameters\": {\"properties\": {"
    "\"city\": {\"type\": \"string\"}, \"days\": {\"type\": \"integer\"},"
    "\"where\": {\"type\": \"object\"}}}}}]}";

typedef struct arg {
    const char *key, *type, *json, *python, *bare;
} arg_t;

static const arg_t args[] = {
    { "city", "string", "Rome, <b>", "\"Rome, <b>\"", NULL },
    { "days", "number", "3", "3", "3" },
    { "where", "object", "{\"a\": [1, true]}", "{'a': [1, True]}", "{a:[1,true]}" },
};
static const char all[] =
    "{\"city\": \"Rome, <b>\", \"days\": 3, \"where\": {\"a\": [1, true]}}";

static void put(lls_buf_t *b, const char *text) { lls_buf_put(b, text, strlen(text)); }

/* With # and @ filled in. */
static void put_tag(lls_buf_t *b, const char *text, uint32_t number, const char *type)
{
    char digits[12];

    snprintf(digits, sizeof digits, "%u", number);
    for (; *text != '\0'; text++) {
        if (*text == '#')
            put(b, digits);
        else if (*text == '@')
            put(b, type);
        else
            lls_buf_put(b, text, 1);
    }
}

static const char *quote_of(const lls_dialect_t *d)
{
    for (size_t i = 0; i < LLS_DIALECT_MARKS; i++)
        if (d->marks[i].mark == LLS_MARK_QUOTE && d->marks[i].text != NULL)
            return d->marks[i].text;
    fail_msg("%s has no quotation mark", d->name);
    return NULL;
}

static void put_value(lls_buf_t *b, const lls_dialect_t *d, const arg_t *a)
{
    if (d->reader == LLS_READ_PYTHON) {
        put(b, a->python);
    } else if (d->reader == LLS_READ_BARE_KEYS && a->bare == NULL) {
        put(b, quote_of(d));
        put(b, a->json);
        put(b, quote_of(d));
    } else {
        put(b, d->reader == LLS_READ_BARE_KEYS ? a->bare : a->json);
    }
}

static void put_args(lls_buf_t *b, const lls_dialect_t *d, size_t n)
{
    const lls_structural_tag_t *tag = d->tag;

    if (tag->key == NULL) {
        put(b, n == 0 ? "{}" : all);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        bool text = strcmp(args[i].type, "string") == 0 || tag->json_value == NULL;

        put(b, i == 0 ? "" : tag->next);
        put(b, tag->key);
        put(b, args[i].key);
        put_tag(b, text ? tag->value : tag->json_value, 0, args[i].type);
        put_value(b, d, &args[i]);
        put(b, tag->value_end);
    }
}

static void put_call(lls_buf_t *b, const lls_dialect_t *d, const char *name, uint32_t number,
                     size_t n_args)
{
    put_tag(b, d->tag->begin, number, NULL);
    put(b, name);
    put_tag(b, d->tag->args, number, NULL);
    put_args(b, d, n_args);
    put(b, d->tag->end);
}

/* Content, names and arguments as lines. */
static void read_back(lls_tokenizer_t *t, const lls_dialect_t *d, const lls_buf_t *text,
                      size_t piece, lls_buf_t *out)
{
    lls_dparse_config_t c = { .tools = d, .chat = chat, .chat_len = strlen(chat),
                              .whole = true };
    const llm_event_t  *e;
    lls_dparse_t       *p;
    llm_error_t         err;

    out->len = 0;
    assert_int_equal(lls_dparse_create(plain_mem(), t, &c, &p, &err), LLM_OK);
    for (size_t at = 0; at < text->len; at += piece) {
        size_t n = text->len - at < piece ? text->len - at : piece;

        assert_int_equal(lls_dparse_feed(p, text->data + at, n, NULL, 0, at + n == text->len, &err),
                         LLM_OK);
    }
    while ((e = lls_dparse_next(p)) != NULL) {
        if (e->kind == LLM_EVENT_TOOL_END)
            continue;
        lls_buf_put(out, e->text, e->text_len);
        put(out, e->kind == LLM_EVENT_TOOL_START ? " " : "\n");
    }
    lls_buf_end(out);
    lls_dparse_destroy(p);
}

static void check(lls_tokenizer_t *t, const lls_dialect_t *d, const lls_buf_t *text,
                  const char *want)
{
    lls_buf_t out = { .mem = plain_mem() };

    for (size_t piece = 1; piece <= text->len; piece *= 7) {
        read_back(t, d, text, piece, &out);
        if (strcmp(out.data, want) != 0)
            fail_msg("%s, pieces of %zu: %.*s\nis read as: %s\ninstead of: %s", d->name, piece,
                     (int)text->len, text->data, out.data, want);
    }
    lls_buf_deinit(&out);
}

/* As for tool_choice "required" and a function's name: nothing but calls. */
static void calls_alone(lls_tokenizer_t *t, const lls_dialect_t *d)
{
    const lls_structural_tag_t *tag = d->tag;
    lls_buf_t                   text = { .mem = plain_mem() };
    char                        want[300];

    put(&text, tag->open);
    put_call(&text, d, "get_weather", 0, 3);
    if (tag->between != NULL) {
        put(&text, tag->between);
        put_call(&text, d, "g", 1, 0);
    }
    put(&text, tag->close);
    snprintf(want, sizeof want, "get_weather %s\n%s", all, tag->between != NULL ? "g {}\n" : "");
    check(t, d, &text, want);
    lls_buf_deinit(&text);
}

static const char *text_before(const lls_dialect_t *d)
{
    if (d->reader == LLS_READ_HARMONY)
        return "<|channel|>commentary<|message|>I look.<|end|><|start|>assistant";
    if (d->marks[0].mark == LLS_MARK_HEAD)
        return "<|content_text|>I look.<|end_message|><|message_model|>";
    return "I look. ";
}

/* As for "auto": the trigger, and only that, tells the call from text before it. */
static void a_call_behind_text(lls_tokenizer_t *t, const lls_dialect_t *d)
{
    const lls_structural_tag_t *tag = d->tag;
    lls_buf_t                   text = { .mem = plain_mem() };
    char                        want[300];
    size_t                      from;

    put(&text, text_before(d));
    from = text.len;
    put(&text, tag->open);
    put_call(&text, d, "get_weather", 0, 3);
    put(&text, tag->close);
    assert_memory_equal(text.data + from, tag->trigger, strlen(tag->trigger));
    snprintf(want, sizeof want, "I look.\nget_weather %s\n", all);
    if (!(d->flags & LLS_DIALECT_UNMARKED) || tag->trigger[0] == '<')
        check(t, d, &text, want);
    lls_buf_deinit(&text);
}

static void every_tag_is_read_as_the_calls_in_it(void **state)
{
    lls_tokenizer_t     *t;
    const lls_dialect_t *d;
    llm_error_t          err;

    if (lls_tokenizer_open(plain_mem(), TEST_DIR "/golden/dialect/tokenizer.json", &t, &err) !=
        LLM_OK)
        fail_msg("%s", err.message);
    for (size_t i = 0; (d = lls_dialect_at(i)) != NULL; i++) {
        assert_non_null(d->tag);
        calls_alone(t, d);
        if (d->tag->trigger != NULL)
            a_call_behind_text(t, d);
    }
    lls_tokenizer_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_tag_is_read_as_the_calls_in_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
