/* SPDX-License-Identifier: Apache-2.0 */
#include "text_test.h"

#include "text/jinja.h"

static const lls_jinja_const_t consts[] = { { "bos_token", "<s>", 3 }, { "eos_token", "</s>", 4 } };

static llm_status_t render(lls_mem_t *mem, const char *template, size_t len, const json_t *vars,
                           lls_jinja_text_t *out, llm_error_t *err)
{
    lls_jinja_t *j;
    llm_status_t st = lls_jinja_compile(mem, template, len, &j, err);

    memset(out, 0, sizeof *out);
    if (st == LLM_OK)
        st = lls_jinja_render(j, mem, vars, consts, 2, out, err);
    lls_jinja_free(j);
    return st;
}

static void check_case(const char *template, const json_t *vars, const json_t *want)
{
    lls_jinja_text_t out;
    llm_error_t      err;
    llm_status_t     st = render(plain_mem(), template, strlen(template), vars, &out, &err);

    if (json_is_null(want)) {
        if (st == LLM_OK)
            fail_msg("\"%s\" gave \"%s\", an error was expected", template, out.text);
        assert_non_null(strstr(err.message, "line "));
        return;
    }
    if (st != LLM_OK)
        fail_msg("\"%s\": %s", template, err.message);
    if (out.len != json_string_length(want) ||
        memcmp(out.text, json_string_value(want), out.len) != 0)
        fail_msg("\"%s\" gave \"%s\", expected \"%s\"", template, out.text,
                 json_string_value(want));
    lls_jinja_text_free(plain_mem(), &out);
}

static void templates_equal_jinja2(void **state)
{
    json_t *golden = json_golden("templates.json"), *cases = json_object_get(golden, "cases");

    (void)state;
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *c = json_array_get(cases, i);
        size_t        t = (size_t)json_integer_value(json_array_get(c, 0)),
               d = (size_t)json_integer_value(json_array_get(c, 1));

        check_case(json_string_value(json_array_get(json_object_get(golden, "templates"), t)),
                   json_array_get(json_object_get(golden, "data"), d), json_array_get(c, 2));
    }
    json_decref(golden);
    assert_int_equal(plain_mem()->held, 0);
}

static void errors_name_line_and_thing(void **state)
{
    static const struct wrong {
        const char  *template;
        llm_status_t st;
        const char  *says;
    } wrong[] = {
        {"a\n{% macro f() %}{% endmacro %}", LLM_ERR_UNSUPPORTED, "line 2: the statement 'macro'"},
        {"\n\n{{ 1 | nofilter }}", LLM_ERR_UNSUPPORTED, "line 3: the filter 'nofilter'"},
        {"{{ 1 is notest }}", LLM_ERR_UNSUPPORTED, "line 1: the test 'notest'"},
        {"{{ 2 ** 3 }}", LLM_ERR_UNSUPPORTED, "**"},
        {"x\n{{ raise_exception('no way') }}", LLM_ERR_INVALID,
         "line 2: the template refuses: no way"},
        {"{{ missing.x }}", LLM_ERR_INVALID, "undefined"},
        {"{% if 1 %}", LLM_ERR_FORMAT, "line 1"},
        {"{{ 'x' * 100000 * 2000 }}", LLM_ERR_INVALID, "256 MiB"},
        {"{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
         LLM_ERR_INVALID, ""},
        {"{% set x = 'abcdefghijklmnopqrstuvwxyz' * 40000 %}{% for i in range(100) %}{{ x }}{% "
         "endfor %}",
         LLM_ERR_INVALID, "64 MiB"},
        {"{{ 9223372036854775807 }}", LLM_ERR_UNSUPPORTED, "digits"},
    };
    json_t *none = json_object();

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        lls_jinja_text_t out;
        llm_error_t      err;

        assert_int_equal(
            render(plain_mem(), wrong[i].template, strlen(wrong[i].template), none, &out, &err),
            wrong[i].st);
        if (strstr(err.message, wrong[i].says) == NULL)
            fail_msg("\"%s\" does not say \"%s\"", err.message, wrong[i].says);
    }
    json_decref(none);
    assert_int_equal(plain_mem()->held, 0);
}

static void deep_nesting_is_refused(void **state)
{
    static const char *const        open[] = {"{{ (", "{{ [",       "{{ not ",
                                              "{{ -", "{% if 1 %}", "{{ 1 + (1 + "},
                             *const more[] = {"(", "[", "not ", "-", "{% if 1 %}", "(1 + "};
    json_t *none = json_object();
    char   *text = malloc(200000);

    (void)state;
    for (size_t i = 0; i < sizeof open / sizeof *open; i++) {
        lls_jinja_text_t out;
        llm_error_t      err;
        size_t           n = (size_t)sprintf(text, "%s", open[i]);

        for (int k = 0; k < 15000; k++)
            n += (size_t)sprintf(text + n, "%s", more[i]);
        assert_int_not_equal(render(plain_mem(), text, n, none, &out, &err), LLM_OK);
    }
    free(text);
    json_decref(none);
}

static void bytes_know_where_they_came_from(void **state)
{
    static const char template[] = "A{{ u }}B{{ bos_token + u ~ 'x' }}{{ u | upper }}{{ d | tojson "
                                   "}}{{ u[0] }}{{ u.replace('s', 'T') }}";
    json_t           *vars = json_pack("{s:s,s:{s:i}}", "u", "us", "d", "k", 1);
    lls_jinja_text_t  out;
    llm_error_t       err;

    (void)state;
    assert_int_equal(render(plain_mem(), template, sizeof template - 1, vars, &out, &err), LLM_OK);
    assert_string_equal(out.text, "AusB<s>usxUS{\"k\": 1}uuT");
    static const uint8_t marks[] = {0, 1, 1, 0, 0, 0, 0, 1, 1, 0, 1, 1,
                                    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0};
    assert_memory_equal(out.mark, marks, sizeof marks);
    lls_jinja_text_free(plain_mem(), &out);
    json_decref(vars);
}

static void mutated_templates_do_no_harm(void **state)
{
    json_t *golden = json_golden("templates.json"),
           *templates = json_object_get(golden, "templates");
    json_t  *data = json_object_get(golden, "data");
    uint64_t rng = 5;

    (void)state;
    for (int round = 0; round < 20000; round++) {
        const json_t *t = json_array_get(templates, next_random(&rng) % json_array_size(templates));
        size_t           len = json_string_length(t);
        char            *text = malloc(len + 1);
        lls_jinja_text_t out;
        llm_error_t      err;

        memcpy(text, json_string_value(t), len + 1);
        for (uint64_t k = next_random(&rng) % 4 + 1; len > 0 && k > 0; k--) {
            size_t at = next_random(&rng) % len, from = next_random(&rng) % len,
                   span = next_random(&rng) % 10;

            if (next_random(&rng) % 3 == 0)
                text[at] = (char)next_random(&rng);
            else if (at + span < len && from + span < len)
                memmove(text + at, text + from, span);
        }
        if (render(plain_mem(), text, len,
                   json_array_get(data, next_random(&rng) % json_array_size(data)), &out,
                   &err) == LLM_OK)
            lls_jinja_text_free(plain_mem(), &out);
        free(text);
    }
    json_decref(golden);
    assert_int_equal(plain_mem()->held, 0);
}

static void failed_allocations_lose_nothing(void **state)
{
    json_t *golden = json_golden("templates.json"),
           *templates = json_object_get(golden, "templates");
    json_t *data = json_object_get(golden, "data");

    (void)state;
    for (size_t i = 0; i < json_array_size(templates); i += 3) {
        const json_t *t = json_array_get(templates, i);
        llm_status_t  st = LLM_ERR_NO_MEMORY;

        for (uint64_t n = 1; st == LLM_ERR_NO_MEMORY; n++) {
            test_alloc_t     a = { .fail_at = n };
            llm_allocator_t  hook = test_allocator(&a);
            lls_mem_t        mem;
            lls_jinja_text_t out;
            llm_error_t      err;

            lls_mem_init(&mem, &hook);
            st = render(&mem, json_string_value(t), json_string_length(t),
                        json_array_get(data, i < 7 ? 3 : 6), &out, &err);
            lls_jinja_text_free(&mem, &out);
            assert_int_equal(a.live_bytes, 0);
        }
    }
    json_decref(golden);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(templates_equal_jinja2),
        cmocka_unit_test(errors_name_line_and_thing),
        cmocka_unit_test(deep_nesting_is_refused),
        cmocka_unit_test(bytes_know_where_they_came_from),
        cmocka_unit_test(mutated_templates_do_no_harm),
        cmocka_unit_test(failed_allocations_lose_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
