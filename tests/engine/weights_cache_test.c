/* SPDX-License-Identifier: Apache-2.0 */
/* weights-cache-dir: an engine that finds its packed weights gives the same tokens as the one that
 * packed them; what cannot be kept or read is no reason to refuse a model. */
#include "engine/support.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define N_TOKENS 8u

static char folder[64];

static int make_folder(void **state)
{
    snprintf(folder, sizeof folder, "/tmp/lls_weights_XXXXXX");
    return mkdtemp(folder) == NULL;
}

/* The path of the only file in the folder. */
static void kept_file(char path[512])
{
    DIR     *d = opendir(folder);
    uint32_t n = 0;

    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        if (e->d_name[0] != '.') {
            snprintf(path, 512, "%s/%.200s", folder, e->d_name);
            n++;
        }
    closedir(d);
    assert_int_equal(n, 1);
}

static int remove_folder(void **state)
{
    char path[512];

    kept_file(path);
    return unlink(path) != 0 || rmdir(folder) != 0;
}

static void tokens_of(const char *dir, int32_t tokens[N_TOKENS])
{
    llm_engine_t       *e = make_engine(TEST_DIR "/golden/llama", NULL,
                                        OPTIONS("skip-tokenizer-init", "true",
                                                dir == NULL ? NULL : "weights-cache-dir", dir),
                                        NULL);

    run_tokens(e, N_TOKENS, tokens);
    llm_engine_destroy(e);
}

static void kept_weights_give_the_same_tokens(void **state)
{
    int32_t     packed[N_TOKENS], kept[N_TOKENS];
    struct stat before, after;
    char        path[512];

    tokens_of(NULL, packed);
    tokens_of(folder, kept);
    assert_memory_equal(packed, kept, sizeof packed);
    kept_file(path);
    assert_int_equal(stat(path, &before), 0);
    tokens_of(folder, kept);
    assert_memory_equal(packed, kept, sizeof packed);
    assert_int_equal(stat(path, &after), 0);
    assert_true(before.st_ino == after.st_ino);     /* read, not written again */
    assert_int_equal(truncate(path, before.st_size / 2), 0);
    tokens_of(folder, kept);
    assert_memory_equal(packed, kept, sizeof packed);
    assert_int_equal(stat(path, &after), 0);
    assert_true(before.st_size == after.st_size);
}

static void a_folder_that_is_not_there_is_named(void **state)
{
    llm_engine_t *e;
    llm_error_t   err;

    assert_int_equal(try_engine(TEST_DIR "/golden/llama", NULL,
                                OPTIONS("weights-cache-dir", "/nowhere/at/all"), NULL, &e, &err),
                     LLM_ERR_IO);
    assert_null(e);
    assert_string_equal(err.param, "weights-cache-dir");
    assert_non_null(strstr(err.message, "/nowhere/at/all"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kept_weights_give_the_same_tokens),
        cmocka_unit_test(a_folder_that_is_not_there_is_named),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
