/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chat_fuzz [mutations] - anything as a chat request, through a template that puts out all of it.
 *
 * Rendered and encoded fail or succeed together, and decode to each other; no token that starts a
 * message comes from the request.  Built with -DLLS_LIBFUZZER it is a target of libFuzzer instead.
 */
#include "fuzz/target.h"
#include "text/chat.h"

static const char template_text[] =
    "{% for m in messages %}<|start_header_id|>{{ m.role }}\n{{ m.content }}{{ m.reasoning }}"
    "{% for c in m.tool_calls or [] %}{{ c.function.name }}{{ c.function.arguments | tojson }}"
    "{% endfor %}<|eot_id|>{% endfor %}{{ tools }}{{ documents | tojson }}{{ x }}"
    "{% if add_generation_prompt %}go{% endif %}";

static lls_tokenizer_t *tokenizer(void)
{
    static lls_tokenizer_t *t;
    static lls_mem_t        mem;
    llm_error_t             err;

    if (t != NULL)
        return t;
    lls_mem_init(&mem, NULL);
    fuzz_check(lls_tokenizer_open(&mem, TEST_DIR "/golden/text/llama3.json", &t, &err) == LLM_OK,
               "no tokenizer");
    fuzz_check(lls_chat_set_template(t, template_text, sizeof template_text - 1, &err) == LLM_OK,
               "no template");
    return t;
}

static size_t count_ids(const int32_t *ids, size_t n, int32_t id)
{
    size_t found = 0;

    for (size_t i = 0; i < n; i++)
        found += ids[i] == id;
    return found;
}

static void compare(const lls_tokenizer_t *t, lls_mem_t *mem, const char *text, size_t len,
                    const int32_t *ids, size_t n)
{
    int32_t     head = lls_tokenizer_find(t, "<|start_header_id|>", 19);
    int32_t     turn = lls_tokenizer_find(t, "<|eot_id|>", 10);
    char       *back;
    size_t      back_len;
    llm_error_t err;

    fuzz_check(head >= 0 && turn >= 0, "no special tokens");
    fuzz_check(count_ids(ids, n, head) == count_ids(ids, n, turn),
               "a request made a special token");
    fuzz_check(lls_tokenizer_decode(t, mem, ids, n, LLM_DECODE_KEEP_SPECIAL, &back, &back_len,
                                    &err) == LLM_OK,
               "no decode");
    fuzz_check(back_len == len && memcmp(back, text, len) == 0, "the tokens are another text");
    lls_free(mem, back);
}

/* The template is then another, or the last message has no end. */
static bool ends_otherwise(const uint8_t *data, size_t n)
{
    return memmem(data, n, "chat_template\"", 14) != NULL ||
           memmem(data, n, "continue_final_message", 22) != NULL || memchr(data, '\\', n) != NULL;
}

static void try_input(const uint8_t *data, size_t n)
{
    const lls_tokenizer_t *t = tokenizer();
    fuzz_count_t           c;
    lls_mem_t              mem;
    llm_error_t            err;
    llm_status_t           st;
    char                  *text;
    int32_t               *ids = NULL;
    size_t                 len, n_ids;

    fuzz_begin(&c, &mem);
    st = lls_chat_render(t, &mem, (const char *)data, n, &text, &len, &err);
    if (fuzz_went_well(st, &err)) {
        fuzz_check(lls_utf8_valid(text, len) == len, "a text that is not UTF-8");
        st = lls_chat_encode(t, &mem, (const char *)data, n, &ids, &n_ids, &err);
        fuzz_check(st == LLM_OK, "what is rendered does not encode");
        if (!ends_otherwise(data, n))
            compare(t, &mem, text, len, ids, n_ids);
    }
    lls_free(&mem, ids);
    lls_free(&mem, text);
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
    fuzz_run_corpus("chat", argc > 1 ? strtoull(argv[1], NULL, 0) : 300, try_input);
    lls_tokenizer_close(tokenizer());
    return 0;
}

#endif
