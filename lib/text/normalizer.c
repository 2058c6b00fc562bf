/* SPDX-License-Identifier: Apache-2.0 */
#include "text/normalizer.h"

#include "base/utf8.h"
#include "text/vocab.h"

#define NOTHING 0xffu                   /* in lls_norm_t.ascii */

void lls_norm_deinit(lls_norm_t *s, lls_mem_t *mem)
{
    lls_pattern_deinit(&s->pattern, mem);
    lls_charsmap_deinit(&s->charsmap, mem);
    lls_free(mem, s->text);
}

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

lls_normed_t lls_normed(const char *text, const uint8_t *mark, size_t len)
{
    uint32_t cp;

    return (lls_normed_t){ text, mark, len, lls_utf8_decode(text, len, &cp), 0 };
}

bool lls_norm_emit(lls_buf_t *text, lls_buf_t *mark, const lls_normed_t *from, const char *p,
                   size_t n, uint8_t flag)
{
    if (!lls_buf_put(text, p, n))
        return false;
    if (from->mark == NULL || n == 0)
        return true;
    if (!lls_buf_room(mark, n))
        return false;
    memset(mark->data + mark->len, flag, n);
    mark->len += n;
    return true;
}

bool lls_norm_copy(lls_buf_t *text, lls_buf_t *mark, const lls_normed_t *from, size_t begin,
                   size_t end)
{
    if (!lls_buf_put(text, from->text + begin, end - begin))
        return false;
    return from->mark == NULL || lls_buf_put(mark, from->mark + begin, end - begin);
}

/* ---- Steps on the whole text ----------------------------------------------------------------- */

/* How much of the source [begin, end) is in its lead. */
static size_t lead_of(const lls_normed_t *in, size_t begin, size_t end)
{
    return in->lead <= begin ? 0 : in->lead < end ? in->lead - begin : end - begin;
}

/* HF ties what is put in to the last character of the match. */
static bool last_leads(const lls_normed_t *in, size_t begin, size_t end)
{
    do
        end--;
    while (end > begin && ((uint8_t)in->text[end] & 0xc0) == 0x80);
    return end < in->lead;
}

/* 1, 0 without memory, or a negative status */
static int replace(const lls_norm_t *s, const lls_pattern_ctx_t *ctx, lls_normed_t *in,
                   lls_buf_t *text, lls_buf_t *mark)
{
    size_t done = 0, from = 0, lead = 0, begin, end;

    while (from <= in->len) {
        int rc = lls_pattern_find(&s->pattern, ctx, in->text, in->len, from, &begin, &end);

        if (rc < 0)
            return rc;
        if (rc == 0)
            break;
        lead += lead_of(in, done, begin);
        if (end > begin && last_leads(in, begin, end))
            lead += s->len;
        if (!lls_norm_copy(text, mark, in, done, begin) ||
            !lls_norm_emit(text, mark, in, s->text, s->len, lls_norm_mark(in, begin)))
            return 0;
        done = from = end;
        if (begin == end) {
            from++;
            while (from < in->len && ((uint8_t)in->text[from] & 0xc0) == 0x80)
                from++;
        }
    }
    in->next_lead = lead + lead_of(in, done, in->len);
    return lls_norm_copy(text, mark, in, done, in->len);
}

static bool strip(const lls_norm_t *s, const lls_pattern_ctx_t *ctx, lls_normed_t *in,
                  lls_buf_t *text, lls_buf_t *mark)
{
    size_t   begin = 0, end = in->len, n;
    uint32_t cp;

    while (s->left && begin < end) {
        n = lls_utf8_decode(in->text + begin, end - begin, &cp);
        if ((lls_uniclass(ctx->classes, cp) & LLS_UC_SPACE) == 0)
            break;
        begin += n;
    }
    while (s->right && end > begin) {
        for (n = 1; n < 4 && ((uint8_t)in->text[end - n] & 0xc0) == 0x80;)
            n++;
        lls_utf8_decode(in->text + end - n, n, &cp);
        if ((lls_uniclass(ctx->classes, cp) & LLS_UC_SPACE) == 0)
            break;
        end -= n;
    }
    in->next_lead = lead_of(in, begin, end);
    return lls_norm_copy(text, mark, in, begin, end);
}

static bool prepend(const lls_norm_t *s, lls_normed_t *in, lls_buf_t *text, lls_buf_t *mark)
{
    in->next_lead = in->lead == 0 ? 0 : in->lead + s->len;
    if (in->len != 0 && !lls_norm_emit(text, mark, in, s->text, s->len, lls_norm_mark(in, 0)))
        return false;
    return lls_norm_copy(text, mark, in, 0, in->len);
}

/* ---- Steps on one character ------------------------------------------------------------------ */

static bool is_chinese(uint32_t cp)         /* as BERT's code has it, 0x2b920 included */
{
    static const lls_cp_range_t ranges[] = {
        { 0x4e00, 0x9fff }, { 0x3400, 0x4dbf }, { 0xf900, 0xfaff }, { 0x20000, 0x2a6df },
        { 0x2a700, 0x2b73f }, { 0x2b740, 0x2b81f }, { 0x2b920, 0x2ceaf }, { 0x2f800, 0x2fa1f },
    };

    for (size_t i = 0; cp >= 0x3400 && i < LLS_ARRAY_LEN(ranges); i++)
        if (cp >= ranges[i].from && cp <= ranges[i].to)
            return true;
    return false;
}

static bool nmt_drops(uint32_t cp)
{
    return (cp >= 1 && cp <= 8) || cp == 0xb || (cp >= 0xe && cp <= 0x1f) || cp == 0x7f ||
           cp == 0x8f || cp == 0x9f;
}

static bool nmt_is_blank(uint32_t cp)
{
    return cp == 9 || cp == 0xa || cp == 0xc || cp == 0xd || cp == 0x1680 ||
           (cp >= 0x200b && cp <= 0x200f) || cp == 0x2028 || cp == 0x2029 || cp == 0x2581 ||
           cp == 0xfeff || cp == 0xfffd;
}

/* What becomes of cp: 0 to 3 characters. */
static size_t map_char(uint8_t kind, const lls_pattern_ctx_t *ctx, uint32_t cp, uint32_t out[3])
{
    out[0] = cp;
    switch (kind) {
    case LLS_NORM_LOWER:
        return lls_lower(cp, out);
    case LLS_NORM_STRIP_ACCENTS:
        return (lls_unicat(ctx->cats, cp) & LLS_CAT_ACCENT) == 0;
    case LLS_NORM_BERT_ACCENTS:
        return (lls_unicat(ctx->cats, cp) & LLS_CAT_NONSPACING) == 0;
    case LLS_NORM_BERT_CLEAN:
        if ((lls_unicat(ctx->cats, cp) & LLS_CAT_OTHER) != 0)
            return 0;
        if ((lls_uniclass(ctx->classes, cp) & LLS_UC_SPACE) != 0)
            out[0] = ' ';
        return 1;
    case LLS_NORM_NMT:
        if (nmt_is_blank(cp))
            out[0] = ' ';
        return !nmt_drops(cp);
    default:
        if (!is_chinese(cp))
            return 1;
        out[0] = out[2] = ' ';
        out[1] = cp;
        return 3;
    }
}

void lls_norm_seal(lls_norm_t *s, const lls_pattern_ctx_t *ctx)
{
    for (uint32_t cp = 0; cp < 128; cp++) {
        uint32_t out[3];

        s->ascii[cp] = map_char(s->kind, ctx, cp, out) != 0 ? (uint8_t)out[0] : NOTHING;
    }
}

/* Appends what the ASCII at *i becomes. */
static bool map_ascii(const lls_norm_t *s, const lls_normed_t *in, size_t *i, lls_buf_t *text)
{
    const uint8_t *p = (const uint8_t *)in->text;
    char          *to;
    size_t         at = *i;

    if (!lls_buf_room(text, in->len - at))
        return false;
    for (to = text->data + text->len; at < in->len && p[at] < 0x80; at++) {
        *to = (char)s->ascii[p[at]];
        to += s->ascii[p[at]] != NOTHING;
    }
    text->len = (size_t)(to - text->data);
    *i = at;
    return true;
}

static bool map_chars(const lls_norm_t *s, const lls_pattern_ctx_t *ctx, lls_normed_t *in,
                      lls_buf_t *text, lls_buf_t *mark)
{
    for (size_t i = 0, n; i < in->len; i += n) {
        uint32_t cp, out[3];
        size_t   n_out, len = 0;
        char     bytes[12];

        if (in->mark == NULL && i >= in->lead && !map_ascii(s, in, &i, text))
            return false;
        if (i == in->len)
            break;
        n = lls_utf8_decode(in->text + i, in->len - i, &cp);
        n_out = map_char(s->kind, ctx, cp, out);
        for (size_t k = 0; k < n_out; k++)
            len += lls_utf8_encode(out[k], bytes + len);
        if (!lls_norm_emit(text, mark, in, bytes, len, lls_norm_mark(in, i)))
            return false;
        if (i < in->lead)
            in->next_lead = text->len;
    }
    return true;
}

/* Every byte as its character of GPT-2's alphabet. */
static bool map_bytes(lls_normed_t *in, lls_buf_t *text, lls_buf_t *mark)
{
    for (size_t i = 0; i < in->len; i++) {
        char   bytes[4];
        size_t n = lls_utf8_encode(lls_byte_to_char((uint8_t)in->text[i]), bytes);

        if (!lls_norm_emit(text, mark, in, bytes, n, lls_norm_mark(in, i)))
            return false;
        if (i < in->lead)
            in->next_lead = text->len;
    }
    return true;
}

/* ---- Running --------------------------------------------------------------------------------- */

static int run_step(const lls_norm_t *s, const lls_pattern_ctx_t *ctx, lls_norm_work_t *w,
                    lls_normed_t *in, lls_buf_t *text, lls_buf_t *mark)
{
    switch (s->kind) {
    case LLS_NORM_NFC: case LLS_NORM_NFD: case LLS_NORM_NFKC: case LLS_NORM_NFKD:
        return lls_unorm(w, s->kind, in, text, mark);
    case LLS_NORM_REPLACE:
        return replace(s, ctx, in, text, mark);
    case LLS_NORM_PREPEND:
        return prepend(s, in, text, mark);
    case LLS_NORM_STRIP:
        return strip(s, ctx, in, text, mark);
    case LLS_NORM_PRECOMPILED:
        return lls_norm_precompiled(&s->charsmap, ctx->cats, in, text, mark);
    case LLS_NORM_SENTENCEPIECE:
        return lls_norm_sentence(s, in, text, mark);
    case LLS_NORM_BYTES:
        return map_bytes(in, text, mark);
    default:
        return map_chars(s, ctx, in, text, mark);
    }
}

static bool is_idle(const lls_norm_t *s, const lls_normed_t *t)
{
    return s->kind <= LLS_NORM_NFKD && lls_unorm_is_quick(s->kind, t->text, t->len);
}

llm_status_t lls_norm_run(const lls_norm_t *steps, size_t n_steps, const lls_pattern_ctx_t *ctx,
                          lls_norm_work_t *w, lls_normed_t *t)
{
    uint32_t to = 0;

    for (size_t i = 0; i < n_steps; i++) {
        lls_buf_t *text = &w->text[to], *mark = &w->mark[to];
        int        rc;

        if (is_idle(&steps[i], t))
            continue;
        text->len = mark->len = 0;
        t->next_lead = 0;
        rc = run_step(&steps[i], ctx, w, t, text, mark);
        if (rc < 0)
            return (llm_status_t)rc;
        if (rc == 0 || !lls_buf_room(text, 1) || !lls_buf_room(mark, 1))
            return lls_fail(ctx->err, LLM_ERR_NO_MEMORY, "no memory to normalize a text");
        if (text->len > UINT32_MAX / 2)
            return lls_fail(ctx->err, LLM_ERR_TOO_LONG, "a text of %zu bytes", text->len);
        t->text = text->data;
        t->mark = t->mark != NULL ? (uint8_t *)mark->data : NULL;
        t->len = text->len;
        t->lead = t->next_lead;
        to ^= 1;
    }
    return LLM_OK;
}
