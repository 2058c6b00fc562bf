/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jinja_fuzz [mutations] - anything as a chat template: a status and a message, or a text within
 * the limits whose marks cover it.
 *
 * The template is compiled, asked what it reads, and rendered with the variables of a chat.  Built
 * with -DLLS_LIBFUZZER it is a target of libFuzzer instead.
 */
#include "fuzz/target.h"
#include "text/jinja.h"

static const char vars_json[] =
    "{\"messages\":[{\"role\":\"system\",\"content\":\"be \\u00e9\"},{\"role\":\"user\","
    "\"content\":[{\"type\":\"text\",\"text\":\"hi\"}]},{\"role\":\"assistant\",\"content\":null,"
    "\"tool_calls\":[{\"type\":\"function\",\"id\":\"x\",\"function\":{\"name\":\"f\","
    "\"arguments\":{\"a\":[1,2.5,true,null,{\"b\":\"c\"}]}}}]},{\"role\":\"tool\",\"content\":"
    "\"7\"}],\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":"
    "{\"type\":\"object\",\"properties\":{}}}}],\"documents\":null,\"add_generation_prompt\":true,"
    "\"n\":-3,\"big\":9223372036854775807,\"x\":0.1,\"s\":\"a,b c\\u0000\\ud83d\\ude42\"}";


static void ask(const lls_jinja_t *j)
{
    size_t      len, n = 0;
    const char *name;

    while ((name = lls_jinja_wanted(j, n, &len)) != NULL) {
        char *copy = strndup(name, len);

        fuzz_check(copy != NULL && lls_jinja_wants(j, copy), "a name is not wanted");
        free(copy);
        n++;
    }
    (void)lls_jinja_wants_parts(j);
    fuzz_check(lls_jinja_mentions(j, ""), "no answer");
}

static void render(const lls_jinja_t *j, lls_mem_t *mem)
{
    const lls_jinja_const_t bos = {"bos_token", "<s>", 3};
    lls_jinja_input_t       in = {.consts = &bos, .n_consts = 1, .now = 1700000000};
    lls_jinja_text_t        out = {0};
    lls_jdata_t            *vars;
    llm_error_t             err;

    if (!fuzz_went_well(lls_jdata_read(mem, "vars", vars_json, sizeof vars_json - 1, &vars, &err),
                        &err))
        return;
    in.vars = vars;
    if (fuzz_went_well(lls_jinja_render(j, mem, &in, &out, &err), &err)) {
        fuzz_check(out.len <= LLS_JINJA_OUTPUT, "more output than the limit");
        fuzz_check(out.text[out.len] == '\0', "no NUL behind the text");
        fuzz_check(lls_utf8_valid(out.text, out.len) == out.len, "a text that is not UTF-8");
        for (size_t i = 0; i < out.len; i++)
            fuzz_check(out.mark[i] <= 1, "a mark that is no flag");
    }
    lls_jinja_text_free(mem, &out);
    lls_jdata_free(vars);
}

static void try_input(const uint8_t *data, size_t n)
{
    fuzz_count_t c;
    lls_mem_t    mem;
    lls_jinja_t *j;
    llm_error_t  err;

    fuzz_begin(&c, &mem);
    if (fuzz_went_well(lls_jinja_compile(&mem, (const char *)data, n, &j, &err), &err)) {
        ask(j);
        render(j, &mem);
    }
    lls_jinja_free(j);
    fuzz_end(&c);
}

#ifdef LLS_LIBFUZZER

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    try_input(data, n);
    return 0;
}

#else

int main(int argc, char **argv)
{
    fuzz_run_corpus("jinja", argc > 1 ? strtoull(argv[1], NULL, 0) : 200, try_input);
    return 0;
}

#endif
