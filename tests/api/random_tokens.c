/* SPDX-License-Identifier: Apache-2.0 */
#include "api/random_world.h"

void random_tokenizer_comes_or_goes(world_t *w)
{
    static const char *const paths[] = { TEST_DIR "/simengine/tokenizer",
                                         TEST_DIR "/engine/letters", TEST_DIR "/nowhere",
                                         TEST_DIR "/api/CMakeLists.txt" };
    llm_allocator_t          hook_up = test_allocator(&w->tokenizer_mem);
    uint32_t                 which = roll(&w->d, 4);
    llm_error_t              err = { .status = LLM_OK };
    llm_status_t             st;

    llm_tokenizer_destroy(w->tokenizer);
    CHECK(w->tokenizer_mem.live_bytes == 0 && w->tokenizer_mem.live_blocks == 0);
    w->tokenizer_mem.n_calls = 0;
    w->tokenizer_mem.fail_at = one_in(&w->d, 4) ? 1 + roll(&w->d, 200) : 0;
    st = llm_tokenizer_create(paths[which], &hook_up, &w->tokenizer, &err);
    CHECK((st == LLM_OK) == (w->tokenizer != NULL));
    CHECK(which < 2 ? st == LLM_OK || st == LLM_ERR_NO_MEMORY : st != LLM_OK);
    if (st != LLM_OK)
        random_check_error(&err, st);
    w->tokenizer_mem.fail_at = 0;
}

static const llm_tokenizer_t *any_tokenizer(world_t *w)
{
    slot_t *s = any_slot(w);

    return s->e != NULL && one_in(&w->d, 2) ? llm_engine_tokenizer(s->e) : w->tokenizer;
}

/* Asks for the length, then for the ids, into a buffer of that many; and back again. */
void random_encode(world_t *w)
{
    const llm_tokenizer_t *t = any_tokenizer(w);
    bool                   valid = !one_in(&w->d, 5);
    uint32_t               flags = roll(&w->d, one_in(&w->d, 5) ? 4 : 2);
    char                   text[80];
    size_t                 len = random_text(&w->d, text, sizeof text, valid), n = 5, m = 5, less;
    int32_t               *ids;
    llm_error_t            err = { .status = LLM_OK };
    llm_status_t           st = llm_tokenizer_encode(t, text, len, flags, NULL, 0, &n, &err);

    CHECK((st == LLM_OK) == (t != NULL && valid && flags < 2));
    if (st != LLM_OK) {
        CHECK(n == 0);
        random_check_error(&err, st);
        return;
    }
    ids = malloc(n * sizeof *ids + 1);
    less = n > 0 ? roll(&w->d, (uint32_t)n) : 0;
    CHECK(llm_tokenizer_encode(t, text, one_in(&w->d, 2) ? len : LLM_CSTR, flags, ids, less, &m,
                               &err) == (less < n ? LLM_ERR_NO_SPACE : LLM_OK) && m == n);
    CHECK(llm_tokenizer_encode(t, text, len, flags, ids, n, &m, &err) == LLM_OK && m == n);
    for (size_t i = 0; i < n; i++)
        CHECK(ids[i] >= 0 && (size_t)ids[i] < llm_tokenizer_size(t));
    free(ids);
}

void random_decode(world_t *w)
{
    const llm_tokenizer_t *t = any_tokenizer(w);
    size_t                 n_ids = roll(&w->d, 30), n = 3, m = 3;
    uint32_t               flags = roll(&w->d, 3) & 2;
    int32_t                ids[30];
    char                  *text;
    llm_error_t            err = { .status = LLM_OK };
    llm_status_t           st;

    for (size_t i = 0; i < n_ids; i++)
        ids[i] = one_in(&w->d, 20) ? (int32_t)(roll(&w->d, 9) - 4u) * 500000000
                                   : (int32_t)roll(&w->d, 100);
    st = llm_tokenizer_decode(t, ids, n_ids, flags, NULL, 0, &n, &err);
    CHECK((st == LLM_OK) == (t != NULL));
    CHECK(llm_tokenizer_decode(t, NULL, SIZE_MAX, flags, NULL, 0, &m, NULL) == LLM_ERR_INVALID);
    if (st != LLM_OK)
        return;
    text = malloc(n + 1);
    CHECK(llm_tokenizer_decode(t, ids, n_ids, flags, text, n + 1, &m, &err) == LLM_OK && m == n);
    CHECK(text[n] == '\0');
    text[n] = '#';
    CHECK(llm_tokenizer_decode(t, ids, n_ids, flags, text, n, &m, &err) == LLM_OK && m == n);
    CHECK(text[n] == '#');
    free(text);
}

void random_chat(world_t *w)
{
    static const char *const chats[] = {
        "{", "[]", "{}", "null", "{\"messages\": 3}", "{\"messages\": []}",
        "{\"messages\": [{\"content\": \"a\"}], \"chat_template\": \"{{ messages[0].content }}\"}",
        "{\"messages\": [{}], \"chat_template\": \"{{ raise_exception('no') }}\"}",
        "{\"messages\": [{}], \"chat_template\": \"{{ messages[0].a.b.c }}{% if\"}",
    };
    const llm_tokenizer_t *t = any_tokenizer(w);
    const char            *c = chats[roll(&w->d, 9)];
    size_t                 cap = roll(&w->d, 12), n = 4;
    char                  *text = malloc(cap + 1);
    int32_t               *ids = malloc((cap + 1) * sizeof *ids);
    llm_error_t            err = { .status = LLM_OK };
    llm_status_t           st = llm_tokenizer_render_chat(t, c, LLM_CSTR, text, cap, &n, &err);

    CHECK(st != LLM_ERR_NO_SPACE || n > cap);
    CHECK(st == LLM_OK || st == LLM_ERR_NO_SPACE || n == 0);
    if (st != LLM_OK)
        random_check_error(&err, st);
    st = llm_tokenizer_encode_chat(t, c, strlen(c), ids, cap, &n, &err);
    CHECK(st != LLM_ERR_NO_SPACE || n > cap);
    free(text);
    free(ids);
}

void random_vocabulary(world_t *w)
{
    const llm_tokenizer_t *t = any_tokenizer(w);
    size_t                 size = llm_tokenizer_size(t), len = 9;
    int32_t                id = (int32_t)roll(&w->d, one_in(&w->d, 4) ? UINT32_MAX : 130);
    const char            *token = llm_tokenizer_token(t, id, one_in(&w->d, 4) ? NULL : &len);
    char                   text[20];

    CHECK(token == NULL || (id >= 0 && (size_t)id < size));
    CHECK(llm_tokenizer_special(t, (int32_t)roll(&w->d, 5) - 1) < (int32_t)size);
    len = random_text(&w->d, text, sizeof text, !one_in(&w->d, 5));
    CHECK(llm_tokenizer_find(t, text, one_in(&w->d, 2) ? len : LLM_CSTR) < (int32_t)size);
    CHECK(llm_tokenizer_find(t, NULL, SIZE_MAX) == -1);
}
