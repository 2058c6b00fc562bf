/* SPDX-License-Identifier: Apache-2.0 */
#include "text_test.h"

#include "text/jinja.h"

static const lls_jinja_const_t consts[] = {{"bos_token", "<s>", 3}, {"eos_token", "</s>", 4}};

/* vars: an object, or JSON in a string: jansson reads no integers beyond 64 bits. */
static llm_status_t render(lls_mem_t *mem, const char *template, size_t len, const json_t *vars,
                           lls_jinja_text_t *out, llm_error_t *err)
{
    lls_jinja_input_t in = {NULL, consts, 2, 1718454896};
    char             *text = json_is_string(vars) ? strdup(json_string_value(vars))
                             : vars != NULL       ? json_dumps(vars, JSON_COMPACT)
                                                  : NULL;
    lls_jinja_t      *j;
    lls_jdata_t      *data = NULL;
    llm_status_t      st = lls_jinja_compile(mem, template, len, &j, err);

    memset(out, 0, sizeof *out);
    if (st == LLM_OK && text != NULL)
        st = lls_jdata_read(mem, "vars", text, strlen(text), &data, err);
    in.vars = data;
    if (st == LLM_OK)
        st = lls_jinja_render(j, mem, &in, out, err);
    lls_jinja_free(j);
    lls_jdata_free(data);
    free(text);
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

static void check_line(const char *template, const json_t *line, const char *message)
{
    char want[40];

    snprintf(want, sizeof want, "chat template, line %d:", (int)json_integer_value(line));
    if (json_is_integer(line) && strncmp(message, want, strlen(want)) != 0)
        fail_msg("%s: \"%s\", expected line %d", template, message, (int)json_integer_value(line));
}

/* 2,000 templates of the generator, with what Jinja2 makes of them or that it refuses them. */
static void random_templates_equal_jinja2(void **state)
{
    json_t *golden = json_golden("../chat/jinja.json"), *cases = json_object_get(golden, "cases");

    (void)state;
    assert_true(json_array_size(cases) >= 2000);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *template = json_array_get(json_array_get(cases, i), 0);
        const json_t    *want = json_array_get(json_array_get(cases, i), 1);
        lls_jinja_text_t out;
        llm_error_t      err;
        llm_status_t     st =
            render(plain_mem(), json_string_value(template), json_string_length(template),
                   json_object_get(golden, "data"), &out, &err);

        if (st == LLM_OK && json_is_null(want))
            fail_msg("%s gave \"%s\", an error was expected", json_string_value(template),
                     out.text);
        if (st == LLM_OK && (out.len != json_string_length(want) ||
                             memcmp(out.text, json_string_value(want), out.len) != 0))
            fail_msg("%s gave \"%s\", expected \"%s\"", json_string_value(template), out.text,
                     json_string_value(want));
        if (st != LLM_OK && !json_is_null(want))
            fail_msg("%s: %s", json_string_value(template), err.message);
        if (st != LLM_OK)
            check_line(json_string_value(template), json_array_get(json_array_get(cases, i), 3),
                       err.message);
        lls_jinja_text_free(plain_mem(), &out);
    }
    json_decref(golden);
    assert_int_equal(plain_mem()->held, 0);
}

static void errors_name_line_and_thing(void **state)
{
    static const struct wrong {
        const char *template;
        llm_status_t st;
        const char  *says;
    } wrong[] = {
        {"a\n{% include 'x' %}", LLM_ERR_UNSUPPORTED, "line 2: the statement 'include'"},
        {"a\n{% nope %}", LLM_ERR_FORMAT, "line 2: there is no statement 'nope'"},
        {"\n\n{{ 1 | nofilter }}", LLM_ERR_FORMAT, "line 3: there is no filter 'nofilter'"},
        {"{{ 1 is notest }}", LLM_ERR_FORMAT, "line 1: there is no test 'notest'"},
        {"{% if 1 %}\n{{ 1 | nofilter }}{% endif %}", LLM_ERR_FORMAT, "line 2"},
        {"x\n{{ raise_exception('no way') }}", LLM_ERR_INVALID,
         "line 2: the template refuses: no way"},
        {"\n{{ missing.x }}", LLM_ERR_INVALID, "line 2: 'missing' is undefined"},
        {"{{ missing + 1 }}", LLM_ERR_INVALID, "'missing' is undefined"},
        {"{{ [].append(1) }}", LLM_ERR_INVALID, "'append' is not allowed in the sandbox"},
        {"{{ {}.update({}) }}", LLM_ERR_INVALID, "sandbox"},
        {"{% set n = namespace(_x=1) %}", LLM_ERR_INVALID, "_x"},
        {"{{ ''.__class__.x }}", LLM_ERR_INVALID, "__class__"},
        {"{{ range(100001) }}", LLM_ERR_INVALID, "range"},
        {"{% if 1 %}", LLM_ERR_FORMAT, "line 1"},
        {"{{ (1] }}", LLM_ERR_FORMAT, "unexpected ']'"},
        {"{% for x in [1] %}{% set loop = 1 %}{% endfor %}", LLM_ERR_FORMAT, "loop"},
        {"{% break %}", LLM_ERR_FORMAT, "break"},
        {"{{ 'x' * 100000 * 20000 }}", LLM_ERR_INVALID, "256 MiB"},
        {"{{ ('x' * 100000) | replace('', 'y' * 10000) }}", LLM_ERR_INVALID, "256 MiB"},
        {"{{ 'x' | center(900000000) }}", LLM_ERR_INVALID, "256 MiB"},
        {"{{ [0] * 1000000000 }}", LLM_ERR_INVALID, "256 MiB"},
        {"{{ '%99999d' % 1 }}", LLM_ERR_UNSUPPORTED, "10000"},
        {"{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
         LLM_ERR_INVALID, "steps"},
        {"{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", LLM_ERR_INVALID, "100 deep"},
        {"{% set ns = namespace(g=[1]) %}{% for i in range(5000) %}{% set ns.g = ns.g | "
         "map('string') "
         "%}{% endfor %}{{ ns.g | list }}",
         LLM_ERR_INVALID, "deep"},
        {"{% set ns = namespace(g=[1]) %}{% for i in range(5000) %}{% set ns.g = [ns.g] %}{% "
         "endfor "
         "%}{{ ns.g }}",
         LLM_ERR_INVALID, "deep"},
        {"{% set x = 'abcdefghijklmnopqrstuvwxyz' * 40000 %}{% for i in range(100) %}{{ x }}{% "
         "endfor %}",
         LLM_ERR_INVALID, "64 MiB"},
        {"{{ 10 ** 4300 }}", LLM_ERR_INVALID, "4301 digits"},
        {"{{ 10 ** 30000 }}", LLM_ERR_UNSUPPORTED, "22500 digits"},
        {"{{ 10 ** 400 * 1.5 }}", LLM_ERR_INVALID, "too large for a float"},
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
    static const char *const open[] = {"{{ (",         "{{ [", "{{ not ", "{{ -",      "{% if 1 %}",
                                       "{{ 1 + (1 + ", "{{ 1", "{{ 1",    "{% if 1 %}"},
                             *const more[] = {"(",     "[",  "not ", "-",           "{% if 1 %}",
                                              "(1 + ", "|e", "+1",   "{% elif 1 %}"};
    json_t                         *none = json_object();
    char                           *text = malloc(200000);

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

static void indentions_of_nothing_are_empty(void **state)
{
    json_t *none = json_object(), *want = json_string("a\nb a\nb [\n1\n]");

    (void)state;
    check_case("{{ 'a\nb'|indent(0) }} {{ 'a\nb'|indent(-1, true) }} {{ [1]|tojson(indent=0) }}",
               none, want);
    json_decref(none);
    json_decref(want);
}

static void sorting_is_stable_either_way(void **state)
{
    json_t *none = json_object(), *want = json_string("AabB bBAa BbaA");

    (void)state;
    check_case(
        "{{ ['b', 'A', 'B', 'a']|sort|join }} {{ ['b', 'A', 'B', 'a']|sort(reverse=true)|join }}"
        " {{ ['B', 'b', 'a', 'A']|sort(reverse=true)|join }}",
        none, want);
    json_decref(none);
    json_decref(want);
}

static void the_clock_is_given(void **state)
{
    static const char template[] = "{{ strftime_now('%Y-%m-%d %H:%M:%S %b %A') }}";
    json_t          *none = json_object();
    lls_jinja_text_t out;
    llm_error_t      err;

    (void)state;
    assert_int_equal(render(plain_mem(), template, sizeof template - 1, none, &out, &err), LLM_OK);
    assert_string_equal(out.text, "2024-06-15 12:34:56 Jun Saturday");
    lls_jinja_text_free(plain_mem(), &out);
    json_decref(none);
}

static lls_jinja_t *compiled(const char *template)
{
    lls_jinja_t *j;
    llm_error_t  err;

    if (lls_jinja_compile(plain_mem(), template, strlen(template), &j, &err) != LLM_OK)
        fail_msg("%s", err.message);
    return j;
}

/* The cases of vLLM's own detection: loops over message content, through names, slices, filters. */
static void content_formats_are_found(void **state)
{
    static const struct format {
        const char *template;
        bool parts;
    } formats[] = {
        {"{% for m in messages %}{{ m.content }}{% endfor %}", false},
        {"{% for m in messages %}{% for p in m.content %}{% endfor %}{% endfor %}", true},
        {"{% for m in messages %}{% for p in m['content'] %}{% endfor %}{% endfor %}", true},
        {"{% for m in messages %}{% for p in m['other'] %}{% endfor %}{% endfor %}", false},
        {"{% set x = messages %}{% for m in x %}{% for p in m.content %}{% endfor %}{% endfor %}",
         true},
        {"{% set x = messages[1:] %}{% set y = x|list %}{% for m in y %}{% for p in m.content|list "
         "%}{% endfor %}{% endfor %}",
         true},
        {"{% for m in others %}{% for p in m.content %}{% endfor %}{% endfor %}", false},
        {"{% macro f(m) %}{% for p in m.content %}{% endfor %}{% endmacro %}{% for m in messages "
         "%}{{ f(m) }}{% endfor %}",
         true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        lls_jinja_t *j = compiled(formats[i].template);

        if (lls_jinja_wants_parts(j) != formats[i].parts)
            fail_msg("%s", formats[i].template);
        lls_jinja_free(j);
    }
}

static void undeclared_variables_are_found(void **state)
{
    lls_jinja_t *j = compiled("{% set a = x %}{{ a }}{% for b in messages %}{{ b ~ y ~ loop.index "
                              "}}{% endfor %}{% macro f(p, q=z) %}{{ p ~ g }}{% endmacro %}{{ "
                              "range(3) }}{% if 0 %}{% set c = 1 %}{% endif %}{{ c }}developer");
    static const char *const wanted[] = {"x", "messages", "y", "z", "g", "c"},
                             *const not [] = {"a",     "b",    "p", "q",
                                              "range", "loop", "f", "developer"};
    size_t n = 0, len;

    (void)state;
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        if (!lls_jinja_wants(j, wanted[i]))
            fail_msg("%s is not found", wanted[i]);
    for (size_t i = 0; i < sizeof not / sizeof *not ; i++)
        if (lls_jinja_wants(j, not [i]) && strcmp(not [i], "range") != 0)
            fail_msg("%s is found", not [i]);
    while (lls_jinja_wanted(j, n, &len) != NULL)
        n++;
    assert_int_equal(n, sizeof wanted / sizeof *wanted);
    assert_true(lls_jinja_mentions(j, "developer"));
    assert_false(lls_jinja_mentions(j, "system"));
    lls_jinja_free(j);
}

static bool has_name(const json_t *names, const char *name, size_t len)
{
    for (size_t i = 0; i < json_array_size(names); i++)
        if (json_string_length(json_array_get(names, i)) == len &&
            memcmp(json_string_value(json_array_get(names, i)), name, len) == 0)
            return true;
    return false;
}

/* find_undeclared_variables() of Jinja2 for each of the random templates. */
static void undeclared_variables_equal_jinja2(void **state)
{
    json_t *golden = json_golden("../chat/jinja.json"), *cases = json_object_get(golden, "cases");
    size_t  checked = 0;

    (void)state;
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *want = json_array_get(json_array_get(cases, i), 2);
        const char *text = json_string_value(json_array_get(json_array_get(cases, i), 0)), *name;
        lls_jinja_t *j;
        llm_error_t  err;
        size_t       n = 0, len;

        if (lls_jinja_compile(plain_mem(), text, strlen(text), &j, &err) != LLM_OK)
            continue;
        while ((name = lls_jinja_wanted(j, n, &len)) != NULL && has_name(want, name, len))
            n++;
        if (name != NULL || n != json_array_size(want))
            fail_msg("%s: %zu of %zu names%s%.*s", text, n, json_array_size(want),
                     name != NULL ? ", not " : "", name != NULL ? (int)len : 0,
                     name != NULL ? name : "");
        checked++;
        lls_jinja_free(j);
    }
    assert_true(checked > 1500);
    json_decref(golden);
    assert_int_equal(plain_mem()->held, 0);
}

static void bytes_know_where_they_came_from(void **state)
{
    static const char template[] = "A{{ u }}B{{ bos_token + u ~ 'x' }}{{ u | upper }}{{ d | tojson "
                                   "}}{{ u[0] }}{{ u.replace('s', 'T') }}";
    json_t          *vars = json_pack("{s:s,s:{s:i}}", "u", "us", "d", "k", 1);
    lls_jinja_text_t out;
    llm_error_t      err;

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
    json_t *golden = json_golden("templates.json"), *random = json_golden("../chat/jinja.json"),
           *templates = json_object_get(golden, "templates"),
           *data = json_object_get(golden, "data"), *cases = json_object_get(random, "cases");
    uint64_t rng = 5;

    (void)state;
    for (int round = 0; round < 20000; round++) {
        const json_t *from = round % 2 != 0 ? cases : templates;
        const json_t *t = json_array_get(from, next_random(&rng) % json_array_size(from));

        t = round % 2 != 0 ? json_array_get(t, 0) : t;
        size_t           len = json_string_length(t);
        char            *text = malloc(len + 1);
        lls_jinja_text_t out;
        llm_error_t      err;

        memcpy(text, json_string_value(t), len + 1);
        for (uint64_t k = next_random(&rng) % 4 + 1; len > 0 && k > 0; k--) {
            size_t at = next_random(&rng) % len, source = next_random(&rng) % len,
                   span = next_random(&rng) % 10;

            if (next_random(&rng) % 3 == 0)
                text[at] = (char)next_random(&rng);
            else if (at + span < len && source + span < len)
                memmove(text + at, text + source, span);
        }
        if (render(plain_mem(), text, len,
                   round % 4 == 1 ? json_object_get(random, "data")
                                  : json_array_get(data, next_random(&rng) % json_array_size(data)),
                   &out, &err) == LLM_OK)
            lls_jinja_text_free(plain_mem(), &out);
        free(text);
    }
    json_decref(random);
    json_decref(golden);
    assert_int_equal(plain_mem()->held, 0);
}

/* Renders with the n-th allocation failing, for n = 1, 2, ... until all is well or the template
 * itself is refused. */
static void walk_allocations(const json_t *template, const json_t *vars)
{
    llm_status_t st = LLM_ERR_NO_MEMORY;

    for (uint64_t n = 1; st == LLM_ERR_NO_MEMORY; n++) {
        test_alloc_t     a = {.fail_at = n};
        llm_allocator_t  hook = test_allocator(&a);
        lls_mem_t        mem;
        lls_jinja_text_t out;
        llm_error_t      err;

        lls_mem_init(&mem, &hook);
        st = render(&mem, json_string_value(template), json_string_length(template), vars, &out,
                    &err);
        lls_jinja_text_free(&mem, &out);
        assert_int_equal(a.live_bytes, 0);
    }
}

static void failed_allocations_of_random_templates_lose_nothing(void **state)
{
    json_t *golden = json_golden("../chat/jinja.json"), *cases = json_object_get(golden, "cases");

    (void)state;
    for (size_t i = 0; i < json_array_size(cases); i += 7)
        walk_allocations(json_array_get(json_array_get(cases, i), 0),
                         json_object_get(golden, "data"));
    json_decref(golden);
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
            test_alloc_t     a = {.fail_at = n};
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
        cmocka_unit_test(random_templates_equal_jinja2),
        cmocka_unit_test(errors_name_line_and_thing),
        cmocka_unit_test(indentions_of_nothing_are_empty),
        cmocka_unit_test(sorting_is_stable_either_way),
        cmocka_unit_test(the_clock_is_given),
        cmocka_unit_test(content_formats_are_found),
        cmocka_unit_test(undeclared_variables_are_found),
        cmocka_unit_test(undeclared_variables_equal_jinja2),
        cmocka_unit_test(deep_nesting_is_refused),
        cmocka_unit_test(bytes_know_where_they_came_from),
        cmocka_unit_test(mutated_templates_do_no_harm),
        cmocka_unit_test(failed_allocations_lose_nothing),
        cmocka_unit_test(failed_allocations_of_random_templates_lose_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
