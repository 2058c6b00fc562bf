/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of a prompt on its way in, and what the engine's options say for all requests:
 * truncation, chat template, sampling defaults.  The tokenizer of letters/ has one token a letter
 * and puts <s> before and </s> behind a text. */
#include "engine/support.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define MODEL   TEST_DIR "/golden/llama"
#define LETTERS TEST_DIR "/engine/letters"
#define BOS     0
#define EOS     1

static llm_engine_t *engine;

static int set_up(void **state)
{
    engine = make_engine(MODEL, "float32",
                         OPTIONS("tokenizer", LETTERS, "max-model-len", "32", "cpu-threads", "1",
                                 "enable-prefix-caching", "false"), NULL);
    return 0;
}

static int tear_down(void **state)
{
    llm_engine_destroy(engine);
    return 0;
}

/* ---- Truncation ------------------------------------------------------------------------------ */

typedef struct cut {
    const char   *keep, *side;      /* values of options, or NULL */
    uint32_t      flags;
    const char   *want;             /* letters, < for <s>, > for </s> */
} cut_t;

static char name_of(int32_t token)
{
    return token == BOS ? '<' : token == EOS ? '>' : (char)('a' + token - 2);
}

/* The ids that a request began with, as letters. */
static void begin_with(const llm_request_t *r, char *out)
{
    const llm_output_t *o;
    llm_error_t         err;

    if (llm_engine_add_request(engine, r, NULL, &err) != LLM_OK)
        fail_msg("%s", err.message);
    while (llm_engine_unfinished(engine) > 0)
        step_engine(engine);
    o = llm_engine_next_output(engine);
    assert_non_null(o);
    for (uint32_t i = 0; i < o->prompt_tokens; i++)
        out[i] = name_of(o->prompt_ids[i]);
    out[o->prompt_tokens] = '\0';
}

static llm_request_t request(const cut_t *c, llm_option_t options[2])
{
    llm_request_t r = LLM_INIT(llm_request_t);

    r.flags = LLM_REQUEST_ECHO | c->flags;
    r.options = options;
    if (c->keep != NULL)
        options[r.n_options++] = (llm_option_t){ "truncate_prompt_tokens", c->keep };
    if (c->side != NULL)
        options[r.n_options++] = (llm_option_t){ "truncation_side", c->side };
    r.output_kind = LLM_OUTPUT_FINAL;
    return r;
}

/* transformers gives the same for padding-free text with truncation and max_length. */
static void a_text_keeps_the_tokens_around_it(void **state)
{
    static const cut_t cuts[] = {
        { NULL, NULL, 0, "<abcdefgh>" }, { "none", "left", 0, "<abcdefgh>" },
        { "5", NULL, 0, "<fgh>" }, { "5", "left", 0, "<fgh>" }, { "5", "right", 0, "<abc>" },
        { "2", "right", 0, "<>" }, { "10", NULL, 0, "<abcdefgh>" }, { "9", NULL, 0, "<bcdefgh>" },
        { "1000", NULL, 0, "<abcdefgh>" }, { "-1", NULL, 0, "<abcdefgh>" },
        { "3", NULL, LLM_REQUEST_NO_SPECIAL, "fgh" },
        { "3", "right", LLM_REQUEST_NO_SPECIAL, "abc" },
        { "1", "right", LLM_REQUEST_NO_SPECIAL, "a" },
        { "5", "right", LLM_REQUEST_PREFILL_ONLY, "<abc>" },
    };

    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        llm_option_t  options[2];
        llm_request_t r = request(&cuts[i], options);
        char          got[64];
        r.text = "abcdefgh";
        r.text_len = LLM_CSTR;
        begin_with(&r, got);
        assert_string_equal(got, cuts[i].want);
    }
}

static void tokens_are_cut_as_they_are(void **state)
{
    static const int32_t tokens[] = { 0, 2, 3, 4, 5, 6, 1 };
    static const cut_t   cuts[] = { { "3", NULL, 0, "de>" }, { "3", "right", 0, "<ab" },
                                    { "7", NULL, 0, "<abcde>" } };

    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        llm_option_t  options[2];
        llm_request_t r = request(&cuts[i], options);
        char          got[64];
        r.tokens = tokens;
        r.n_tokens = 7;
        begin_with(&r, got);
        assert_string_equal(got, cuts[i].want);
    }
}

/* -1: as much as leaves room for one token, or all of the context where nothing is generated. */
static void minus_one_is_what_fits(void **state)
{
    static const cut_t cuts[] = { { "-1", NULL, 0, NULL }, { "-1", "right", 0, NULL },
                                  { "-1", NULL, LLM_REQUEST_PREFILL_ONLY, NULL } };
    char               text[64], got[64];
    llm_error_t        err;

    for (int i = 0; i < 60; i++)
        text[i] = (char)('a' + i % 26);
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        llm_option_t  options[2];
        llm_request_t r = request(&cuts[i], options);
        size_t        n = i == 2 ? 32 : 31;
        r.text = text;
        r.text_len = 60;
        begin_with(&r, got);
        assert_int_equal(strlen(got), n);
        assert_true(got[0] == '<' && got[n - 1] == '>');
        assert_memory_equal(got + 1, i == 1 ? text : text + 60 - (n - 2), n - 2);
        r.n_options = 0;
        assert_int_equal(llm_engine_add_request(engine, &r, NULL, &err), LLM_ERR_TOO_LONG);
    }
}

static void what_cannot_be_cut_so_is_refused(void **state)
{
    static const struct { const char *name, *value; } bad[] = {
        { "truncate_prompt_tokens", "0" }, { "truncate_prompt_tokens", "-2" },
        { "truncate_prompt_tokens", "1" }, { "truncation_side", "middle" },
    };
    llm_error_t err;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        llm_option_t  option = { bad[i].name, bad[i].value };
        llm_request_t r = LLM_INIT(llm_request_t);
        r.text = "abcdefgh";
        r.text_len = LLM_CSTR;
        r.options = &option;
        r.n_options = 1;
        assert_int_equal(llm_engine_add_request(engine, &r, NULL, &err), LLM_ERR_INVALID);
        assert_string_equal(err.param, bad[i].name);
    }
}

static void what_is_pythons_changes_nothing(void **state)
{
    static const llm_option_t options[] = { { "spaces_between_special_tokens", "false" },
                                            { "flat_logprobs", "true" } };
    llm_sampling_params_t     greedy = LLM_INIT(llm_sampling_params_t);
    llm_request_t             r = LLM_INIT(llm_request_t);
    char                      text[2][256];

    for (int i = 0; i < 2; i++) {
        const llm_output_t *o;
        r.text = "abc";
        r.text_len = LLM_CSTR;
        r.sampling = &greedy;
        r.options = options;
        r.n_options = i == 0 ? 0 : 2;
        r.output_kind = LLM_OUTPUT_FINAL;
        assert_int_equal(llm_engine_add_request(engine, &r, NULL, NULL), LLM_OK);
        while (llm_engine_unfinished(engine) > 0)
            step_engine(engine);
        o = llm_engine_next_output(engine);
        snprintf(text[i], sizeof text[i], "%s", o->text);
    }
    assert_string_equal(text[0], text[1]);
}

/* ---- Chat template --------------------------------------------------------------------------- */

#define TEMPLATE "{% for m in messages %}{{ m.role[0] }}{{ m.content }}{% endfor %}z"
#define CHAT     "{\"messages\": [{\"role\": \"user\", \"content\": \"abc\"}]}"

static llm_status_t with_template(const char *template, llm_engine_t **e, llm_error_t *err)
{
    return try_engine(MODEL, "float32",
                      OPTIONS("tokenizer", LETTERS, "max-model-len", "32", "cpu-threads", "1",
                              "chat-template", template), NULL, e, err);
}

static void must_chat(llm_engine_t *e)
{
    llm_request_t       r = LLM_INIT(llm_request_t);
    const llm_output_t *o;
    char                text[64];
    size_t              n;

    r.chat = CHAT;
    r.chat_len = LLM_CSTR;
    r.flags = LLM_REQUEST_ECHO;
    assert_int_equal(llm_engine_add_request(e, &r, NULL, NULL), LLM_OK);
    step_engine(e);
    o = llm_engine_next_output(e);
    assert_non_null(o);
    assert_string_equal(o->prompt, "uabcz");
    assert_int_equal(llm_tokenizer_render_chat(llm_engine_tokenizer(e), CHAT, strlen(CHAT), text,
                                               sizeof text, &n, NULL), LLM_OK);
    assert_string_equal(text, "uabcz");
    llm_engine_destroy(e);
}

/* strftime_now() is the only thing in a chat that another second could change. */
static void the_time_of_templates_is_given(void **state)
{
    char          text[64];
    size_t        n;
    llm_engine_t *e;
    llm_error_t   err;

    (void)state;
    assert_int_equal(try_engine(MODEL, "float32",
                                OPTIONS("tokenizer", LETTERS, "max-model-len", "32", "cpu-threads",
                                        "1", "chat-template", "{{ strftime_now('%Y %j %H:%M') }}",
                                        "template-time", "1718454896"), NULL, &e, &err),
                     LLM_OK);
    assert_int_equal(llm_tokenizer_render_chat(llm_engine_tokenizer(e), CHAT, strlen(CHAT), text,
                                               sizeof text, &n, NULL), LLM_OK);
    assert_string_equal(text, "2024 167 12:34");
    llm_engine_destroy(e);
    assert_int_equal(try_engine(MODEL, "float32", OPTIONS("tokenizer", LETTERS, "template-time",
                                                          "-2"), NULL, &e, &err),
                     LLM_ERR_INVALID);
}

static void a_chat_template_is_a_text_or_a_file(void **state)
{
    char          path[] = "/tmp/llm_template_XXXXXX";
    int           fd = mkstemp(path);
    llm_engine_t *e;
    llm_error_t   err;
    llm_request_t r = LLM_INIT(llm_request_t);

    r.chat = CHAT;
    r.chat_len = LLM_CSTR;
    assert_int_equal(llm_engine_add_request(engine, &r, NULL, &err), LLM_ERR_INVALID);
    assert_string_equal(err.param, "chat_template");        /* the model has none */
    assert_int_equal(with_template(TEMPLATE, &e, &err), LLM_OK);
    must_chat(e);
    assert_true(fd >= 0 && write(fd, TEMPLATE, strlen(TEMPLATE)) == (ssize_t)strlen(TEMPLATE));
    close(fd);
    assert_int_equal(with_template(path, &e, &err), LLM_OK);
    must_chat(e);
    unlink(path);
    assert_int_equal(with_template(path, &e, &err), LLM_ERR_INVALID);
    assert_string_equal(err.param, "chat-template");
    assert_int_equal(with_template("{% for %}", &e, &err), LLM_ERR_FORMAT);
    assert_int_equal(try_engine(MODEL, "float32",
                                OPTIONS("skip-tokenizer-init", "true", "chat-template", TEMPLATE),
                                NULL, &e, &err), LLM_ERR_INVALID);
    assert_string_equal(err.param, "chat-template");
}

/* ---- Sampling defaults ----------------------------------------------------------------------- */

static llm_status_t defaults_of(const char *folder, const char *override,
                                llm_sampling_params_t *p, llm_error_t *err)
{
    llm_engine_t *e;
    llm_status_t  st = try_engine(MODEL, "float32",
                                  OPTIONS("skip-tokenizer-init", "true", "cpu-threads", "1",
                                          "generation-config", folder,
                                          "override-generation-config", override), NULL, &e, err);

    if (st != LLM_OK)
        return st;
    *p = (llm_sampling_params_t)LLM_INIT(llm_sampling_params_t);
    assert_int_equal(llm_sampling_defaults(e, p), LLM_OK);
    llm_engine_destroy(e);
    return st;
}

static void options_lie_over_the_generation_config(void **state)
{
    char                  folder[] = "/tmp/llm_generation_XXXXXX", path[64];
    llm_sampling_params_t p;
    llm_error_t           err;
    FILE                 *f;

    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/generation_config.json", folder);
    f = fopen(path, "w");
    assert_non_null(f);
    fputs("{\"temperature\": 0.5, \"top_p\": 0.75, \"top_k\": 30, \"max_new_tokens\": null,"
          "\"repetition_penalty\": \"high\"}", f);
    fclose(f);
    assert_int_equal(defaults_of(folder, "{}", &p, &err), LLM_OK);
    assert_true(p.temperature == 0.5f && p.top_p == 0.75f && p.top_k == 30 && p.max_tokens == 16);
    assert_true(p.repetition_penalty == 1);
    if (defaults_of(folder, "{\"temperature\": 0, \"min_p\": 0.25, \"max_new_tokens\": 99, "
                    "\"top_k\": null, \"do_sample\": true}", &p, &err) != LLM_OK)
        fail_msg("%s", err.message);
    assert_true(p.temperature == 0 && p.top_p == 0.75f && p.min_p == 0.25f && p.top_k == 30);
    assert_int_equal(p.max_tokens, 99);
    assert_int_equal(defaults_of(folder, "{\"top_k\": -1}", &p, &err), LLM_OK);
    assert_int_equal(p.top_k, 0);
    assert_int_equal(defaults_of("vllm", "{\"top_p\": 0.5}", &p, &err), LLM_OK);
    assert_true(p.temperature == 1 && p.top_p == 0.5f);
    unlink(path);
    rmdir(folder);
}

static void overrides_have_the_ranges_of_requests(void **state)
{
    static const char *const bad[] = { "[]", "{\"top_p\": \"x\"}", "{\"top_p\": 1.5}",
                                       "{\"temperature\": -1}", "{\"max_new_tokens\": 0}",
                                       "{\"top_k\": 1.5}", "{\"top_k\": -2}",
                                       "{\"max_new_tokens\": -1}", "{" };
    llm_sampling_params_t    p;
    llm_error_t              err;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(defaults_of("vllm", bad[i], &p, &err), LLM_ERR_INVALID);
        assert_string_equal(err.param, "override-generation-config");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_keeps_the_tokens_around_it),
        cmocka_unit_test(tokens_are_cut_as_they_are),
        cmocka_unit_test(minus_one_is_what_fits),
        cmocka_unit_test(what_cannot_be_cut_so_is_refused),
        cmocka_unit_test(what_is_pythons_changes_nothing),
        cmocka_unit_test(a_chat_template_is_a_text_or_a_file),
        cmocka_unit_test(the_time_of_templates_is_given),
        cmocka_unit_test(options_lie_over_the_generation_config),
        cmocka_unit_test(overrides_have_the_ranges_of_requests),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
