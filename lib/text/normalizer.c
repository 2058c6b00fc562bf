/* SPDX-License-Identifier: Apache-2.0 */
#include "text/normalizer.h"

void lls_norm_work_init(lls_norm_work_t *w, lls_mem_t *mem)
{
    memset(w, 0, sizeof *w);
    w->mem = w->text[0].mem = w->text[1].mem = w->mark[0].mem = w->mark[1].mem = mem;
}

void lls_norm_work_deinit(lls_norm_work_t *w)
{
    if (w->mem == NULL)
        return;
    for (int i = 0; i < 2; i++) {
        lls_buf_deinit(&w->text[i]);
        lls_buf_deinit(&w->mark[i]);
    }
    lls_free(w->mem, w->chars);
    w->chars = NULL;
}

static bool emit(lls_buf_t *text, lls_buf_t *mark, const lls_normed_t *from, const char *p,
                 size_t n, uint8_t flag)
{
    if (!lls_buf_put(text, p, n))
        return false;
    if (from->mark == NULL)
        return true;
    if (!lls_buf_room(mark, n))
        return false;
    memset(mark->data + mark->len, flag, n);
    mark->len += n;
    return true;
}

static bool copy(lls_buf_t *text, lls_buf_t *mark, const lls_normed_t *from, size_t begin,
                 size_t end)
{
    if (!lls_buf_put(text, from->text + begin, end - begin))
        return false;
    return from->mark == NULL || lls_buf_put(mark, from->mark + begin, end - begin);
}

static uint8_t mark_at(const lls_normed_t *t, size_t i)
{
    return t->mark != NULL && i < t->len ? t->mark[i] : 0;
}

/* 1, 0 without memory, or a negative status */
static int replace(const lls_norm_t *s, const lls_pattern_ctx_t *ctx, const lls_normed_t *in,
                   lls_buf_t *text, lls_buf_t *mark)
{
    size_t done = 0, from = 0, begin, end;

    while (from <= in->len) {
        int rc = lls_pattern_find(&s->pattern, ctx, in->text, in->len, from, &begin, &end);

        if (rc < 0)
            return rc;
        if (rc == 0)
            break;
        if (!copy(text, mark, in, done, begin) ||
            !emit(text, mark, in, s->text, s->len, mark_at(in, begin)))
            return 0;
        done = from = end;
        if (begin == end) {
            from++;
            while (from < in->len && ((uint8_t)in->text[from] & 0xc0) == 0x80)
                from++;
        }
    }
    return copy(text, mark, in, done, in->len);
}

static int run_step(const lls_norm_t *s, const lls_pattern_ctx_t *ctx, lls_norm_work_t *w,
                    const lls_normed_t *in, lls_buf_t *text, lls_buf_t *mark)
{
    switch (s->kind) {
    case LLS_NORM_NFC:
        return lls_nfc(w, in, text, mark);
    case LLS_NORM_REPLACE:
        return replace(s, ctx, in, text, mark);
    default:
        if (in->len != 0 && !emit(text, mark, in, s->text, s->len, mark_at(in, 0)))
            return 0;
        return copy(text, mark, in, 0, in->len);
    }
}

llm_status_t lls_norm_run(const lls_norm_t *steps, size_t n_steps, const lls_pattern_ctx_t *ctx,
                          lls_norm_work_t *w, lls_normed_t *t)
{
    uint32_t to = 0;

    for (size_t i = 0; i < n_steps; i++) {
        lls_buf_t *text = &w->text[to], *mark = &w->mark[to];
        int        rc;

        if (steps[i].kind == LLS_NORM_NFC && lls_nfc_is_quick(t->text, t->len))
            continue;
        text->len = mark->len = 0;
        rc = run_step(&steps[i], ctx, w, t, text, mark);
        if (rc < 0)
            return (llm_status_t)rc;
        if (rc == 0 || !lls_buf_room(text, 1) || !lls_buf_room(mark, 1))
            return lls_fail(ctx->err, LLM_ERR_NO_MEMORY, "no memory to normalize a text");
        if (text->len > UINT32_MAX / 2)
            return lls_fail(ctx->err, LLM_ERR_TOO_LONG, "a text of %zu bytes", text->len);
        *t = (lls_normed_t){text->data, t->mark != NULL ? (uint8_t *)mark->data : NULL, text->len};
        to ^= 1;
    }
    return LLM_OK;
}
