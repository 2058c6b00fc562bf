/* SPDX-License-Identifier: Apache-2.0 */
/* huge-pages: each value gives the same tokens, or says why it cannot be had. */
#include "engine/support.h"

#include <stdbool.h>
#include <stdio.h>

#define N_TOKENS 8u

typedef struct lines {
    char   text[4096];
    size_t len;
} lines_t;

static void keep_line(void *user, int32_t level, const char *module, const char *line)
{
    lines_t *l = user;
    int      n = snprintf(l->text + l->len, sizeof l->text - l->len, "%s\n", line);

    assert_true(n > 0 && l->len + (size_t)n < sizeof l->text);
    l->len += (size_t)n;
}

static llm_status_t create(const char *huge_pages, lines_t *lines, llm_engine_t **e,
                           llm_error_t *err)
{
    llm_option_t        options[] = { { "skip-tokenizer-init", "true" }, { "cpu-threads", "2" },
                                      { "max-model-len", "256" }, { "max-num-seqs", "4" },
                                      { "huge-pages", huge_pages } };
    llm_engine_config_t cfg = LLM_INIT(llm_engine_config_t);

    cfg.model = TEST_DIR "/golden/llama";
    cfg.options = options;
    cfg.n_options = sizeof options / sizeof *options;
    cfg.log = keep_line;
    cfg.log_user = lines;
    cfg.log_level = LLM_LOG_INFO;
    *lines = (lines_t){ .len = 0 };
    return llm_engine_create(&cfg, e, err);
}

static void each_value_gives_the_same_tokens(void **state)
{
    static const char *const values[] = { "off", "transparent", "auto" };
    int32_t                  first[N_TOKENS], tokens[N_TOKENS];

    for (uint32_t i = 0; i < 3; i++) {
        llm_engine_t *e;
        lines_t       lines;
        llm_error_t   err;
        bool          told;

        if (create(values[i], &lines, &e, &err) != LLM_OK)
            fail_msg("%s: %s", values[i], err.message);
        told = strstr(lines.text, "explicit huge pages") != NULL;
        if (told != (i == 2))
            fail_msg("%s: %s", values[i], lines.text);
        run_tokens(e, N_TOKENS, i == 0 ? first : tokens);
        if (i > 0)
            assert_memory_equal(first, tokens, sizeof first);
        llm_engine_destroy(e);
    }
}

static void explicit_ones_are_there_or_an_error(void **state)
{
    llm_engine_t *e;
    lines_t       lines;
    llm_error_t   err;

    if (create("explicit", &lines, &e, &err) == LLM_OK) {
        assert_non_null(strstr(lines.text, "weights: "));
        assert_non_null(strstr(lines.text, "KV cache: "));
        assert_null(strstr(lines.text, "fewer"));
        llm_engine_destroy(e);
        return;
    }
    assert_int_equal(err.status, LLM_ERR_NO_DEVMEM);
    assert_string_equal(err.param, "huge-pages");
    assert_non_null(strstr(err.message, "/proc/sys/vm/nr_hugepages"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_value_gives_the_same_tokens),
        cmocka_unit_test(explicit_ones_are_there_or_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
