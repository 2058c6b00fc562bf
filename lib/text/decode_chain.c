/* SPDX-License-Identifier: Apache-2.0 */
#include "text/decode_chain.h"

#include "base/utf8.h"
#include "text/decoder.h"
#include "text/vocab.h"

void lls_dec_step_deinit(lls_dec_step_t *s, lls_mem_t *mem)
{
    lls_pattern_deinit(&s->pattern, mem);
    lls_free(mem, s->a);
    lls_free(mem, s->b);
}

void lls_chain_init(lls_chain_t *c, lls_mem_t *mem)
{
    memset(c, 0, sizeof *c);
    for (int i = 0; i < 2; i++)
        c->text[i].mem = c->list[i].mem = mem;
}

void lls_chain_deinit(lls_chain_t *c)
{
    for (int i = 0; i < 2; i++) {
        lls_buf_deinit(&c->text[i]);
        lls_free(c->list[i].mem, c->list[i].data);
    }
}

void lls_chain_clear(lls_chain_t *c)
{
    c->at = 0;
    c->text[0].len = 0;
    c->list[0].n = 0;
}

static bool add(lls_chain_t *c, uint32_t to, const char *text, size_t len)
{
    size_t begin = c->text[to].len;

    return len <= UINT32_MAX / 2 - begin && lls_buf_put(&c->text[to], text, len) &&
           lls_spans_put(&c->list[to], begin, begin + len);
}

bool lls_chain_add(lls_chain_t *c, const char *text, size_t len)
{
    return add(c, c->at, text, len);
}

/* ---- Texts one by one ------------------------------------------------------------------------ */

/* Appends text with every `from` replaced. */
static bool put_replaced(lls_buf_t *out, const char *text, size_t len, const char *from,
                         size_t from_len, const char *to, size_t to_len)
{
    for (size_t i = 0; i < len;) {
        const char *at = from_len != 0 ? memmem(text + i, len - i, from, from_len) : NULL;
        size_t      n = at != NULL ? (size_t)(at - text) - i : len - i;

        if (!lls_buf_put(out, text + i, n) || (at != NULL && !lls_buf_put(out, to, to_len)))
            return false;
        i += n + (at != NULL ? from_len : 0);
    }
    return true;
}

/* The same for the end of out, in place: the replacement is never longer. */
static void shrink(lls_buf_t *out, size_t begin, const char *from, const char *to)
{
    size_t from_len = strlen(from), to_len = strlen(to), n = begin;

    for (size_t i = begin; i < out->len;) {
        if (out->len - i >= from_len && memcmp(out->data + i, from, from_len) == 0) {
            memcpy(out->data + n, to, to_len);
            n += to_len;
            i += from_len;
        } else {
            out->data[n++] = out->data[i++];
        }
    }
    out->len = n;
}

static void clean_up(lls_buf_t *out, size_t begin)
{
    static const char *const rules[][2] = {
        { " .", "." }, { " ?", "?" }, { " !", "!" }, { " ,", "," }, { " ' ", "'" },
        { " n't", "n't" }, { " 'm", "'m" }, { " do not", " don't" }, { " 's", "'s" },
        { " 've", "'ve" }, { " 're", "'re" },
    };

    for (size_t i = 0; i < LLS_ARRAY_LEN(rules); i++)
        shrink(out, begin, rules[i][0], rules[i][1]);
}

static bool word_piece(const lls_dec_step_t *s, lls_buf_t *out, const char *text, size_t len,
                       bool first)
{
    size_t begin = out->len;

    if (!first) {
        if (len >= s->a_len && memcmp(text, s->a, s->a_len) == 0) {
            text += s->a_len;
            len -= s->a_len;
        } else if (!lls_buf_put(out, " ", 1)) {
            return false;
        }
    }
    if (!lls_buf_put(out, text, len))
        return false;
    if (s->flag)
        clean_up(out, begin);
    return true;
}

static bool strip_text(const lls_dec_step_t *s, lls_buf_t *out, const char *text, size_t len)
{
    for (uint32_t i = 0;
         i < s->start && len >= s->a_len && memcmp(text, s->a, s->a_len) == 0; i++) {
        text += s->a_len;
        len -= s->a_len;
    }
    for (uint32_t i = 0; i < s->stop && len >= s->a_len &&
                         memcmp(text + len - s->a_len, s->a, s->a_len) == 0; i++)
        len -= s->a_len;
    return lls_buf_put(out, text, len);
}

/* 1, 0 without memory, or a negative status */
static int replace_text(const lls_dec_step_t *s, const lls_pattern_ctx_t *ctx, lls_buf_t *out,
                        const char *text, size_t len)
{
    size_t done = 0, from = 0, begin, end;

    while (from <= len) {
        int rc = lls_pattern_find(&s->pattern, ctx, text, len, from, &begin, &end);

        if (rc < 0)
            return rc;
        if (rc == 0)
            break;
        if (!lls_buf_put(out, text + done, begin - done) || !lls_buf_put(out, s->a, s->a_len))
            return 0;
        done = from = end;
        if (begin == end) {
            from++;
            while (from < len && ((uint8_t)text[from] & 0xc0) == 0x80)
                from++;
        }
    }
    return lls_buf_put(out, text + done, len - done);
}

static bool ctc_text(const lls_dec_step_t *s, lls_buf_t *out, const char *text, size_t len)
{
    size_t    begin = out->len, end;
    lls_buf_t spare = { out->mem, NULL, 0, 0 };
    bool      ok = put_replaced(out, text, len, s->a, s->a_len, "", 0);

    if (!ok || !s->flag)
        return ok;
    clean_up(out, begin);
    end = out->len;
    ok = put_replaced(&spare, out->data + begin, end - begin, s->b, s->b_len, " ", 1);
    out->len = begin;
    ok = ok && lls_buf_put(out, spare.data, spare.len);
    lls_buf_deinit(&spare);
    return ok;
}

/* Text i of the list, rewritten to the end of out. */
static int rewrite(const lls_dec_step_t *s, const lls_pattern_ctx_t *ctx, lls_buf_t *out,
                   const char *text, size_t len, size_t i, size_t n)
{
    bool keep;

    switch (s->kind) {
    case LLS_DSTEP_REPLACE:
        return replace_text(s, ctx, out, text, len);
    case LLS_DSTEP_STRIP:
        return strip_text(s, out, text, len);
    case LLS_DSTEP_METASPACE:
        keep = i != 0 || !s->flag;
        return put_replaced(out, text, len, s->a, s->a_len, " ", keep ? 1 : 0);
    case LLS_DSTEP_WORDPIECE:
        return word_piece(s, out, text, len, i == 0);
    case LLS_DSTEP_BPE:
        return put_replaced(out, text, len, s->a, s->a_len, " ", i + 1 == n ? 0 : 1);
    default:
        return ctc_text(s, out, text, len);
    }
}

static bool same_as_before(const lls_chain_t *c, size_t i)
{
    const char *text = c->text[c->at].data;
    lls_span_t  a, b;

    if (i == 0)
        return false;
    a = c->list[c->at].data[i - 1];
    b = c->list[c->at].data[i];
    return a.end - a.begin == b.end - b.begin &&
           (a.end == a.begin || memcmp(text + a.begin, text + b.begin, a.end - a.begin) == 0);
}

static int each(lls_chain_t *c, const lls_dec_step_t *s, const lls_pattern_ctx_t *ctx, uint32_t to)
{
    lls_buf_t *out = &c->text[to];
    size_t     n = c->list[c->at].n;

    for (size_t i = 0; i < n; i++) {
        lls_span_t t = c->list[c->at].data[i];
        size_t     begin = out->len;
        int        rc;

        if (s->kind == LLS_DSTEP_CTC && same_as_before(c, i))
            continue;
        rc = rewrite(s, ctx, out, c->text[c->at].data + t.begin, t.end - t.begin, i, n);
        if (rc <= 0)
            return rc;
        if (s->kind == LLS_DSTEP_CTC && out->len == begin)
            continue;
        if (out->len > UINT32_MAX / 2 || !lls_spans_put(&c->list[to], begin, out->len))
            return 0;
    }
    return 1;
}

/* ---- Steps on the whole list ----------------------------------------------------------------- */

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 32);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int lls_byte_of_token(const char *text, size_t len)
{
    if (len != 6 || memcmp(text, "<0x", 3) != 0 || text[5] != '>' || hex_value(text[4]) < 0)
        return -1;
    if (text[3] == '+')                     /* Rust's numbers may have a sign */
        return hex_value(text[4]);
    return hex_value(text[3]) < 0 ? -1 : hex_value(text[3]) * 16 + hex_value(text[4]);
}

/* The byte tokens from `begin` of the new text: their text, or U+FFFD for each. */
static bool end_run(lls_chain_t *c, uint32_t to, size_t begin)
{
    lls_buf_t *out = &c->text[to];
    size_t     n = out->len - begin;

    if (n == 0)
        return true;
    if (lls_utf8_valid(out->data + begin, n) == n)
        return lls_spans_put(&c->list[to], begin, out->len);
    out->len = begin;
    for (size_t i = 0; i < n; i++)
        if (!add(c, to, LLS_REPLACEMENT, 3))
            return false;
    return true;
}

static bool byte_fallback(lls_chain_t *c, uint32_t to)
{
    size_t run = 0;

    for (size_t i = 0; i < c->list[c->at].n; i++) {
        lls_span_t  t = c->list[c->at].data[i];
        const char *text = c->text[c->at].data + t.begin;
        int         byte = lls_byte_of_token(text, t.end - t.begin);
        char        b = (char)byte;

        if (byte >= 0) {
            if (!lls_buf_put(&c->text[to], &b, 1))
                return false;
            continue;
        }
        if (!end_run(c, to, run) || !add(c, to, text, t.end - t.begin))
            return false;
        run = c->text[to].len;
    }
    return end_run(c, to, run);
}

static bool byte_level(lls_chain_t *c, uint32_t to)
{
    lls_buf_t raw = { c->text[to].mem, NULL, 0, 0 };
    bool      ok = true;

    for (size_t i = 0; ok && i < c->list[c->at].n; i++) {
        lls_span_t  t = c->list[c->at].data[i];
        const char *text = c->text[c->at].data + t.begin;
        size_t      len = t.end - t.begin, n;

        ok = lls_buf_room(&raw, len);
        if (ok && !lls_bytes_of_spelling(text, len, raw.data + raw.len, &n)) {
            memcpy(raw.data + raw.len, text, len);
            n = len;
        }
        raw.len += ok ? n : 0;
    }
    ok = ok && lls_put_lossy(&c->text[to], raw.data, raw.len) &&
         c->text[to].len <= UINT32_MAX / 2 && lls_spans_put(&c->list[to], 0, c->text[to].len);
    lls_buf_deinit(&raw);
    return ok;
}

static bool fuse(lls_chain_t *c, uint32_t to)
{
    return add(c, to, c->text[c->at].data, c->text[c->at].len);
}

llm_status_t lls_chain_run(lls_chain_t *c, const lls_dec_step_t *steps, size_t n,
                           const lls_pattern_ctx_t *ctx)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t to = c->at ^ 1;
        int      rc;

        c->text[to].len = 0;
        c->list[to].n = 0;
        if (!lls_buf_room(&c->text[c->at], 1) || !lls_buf_room(&c->text[to], 1))
            rc = 0;
        else if (steps[i].kind == LLS_DSTEP_BYTE_LEVEL)
            rc = byte_level(c, to);
        else if (steps[i].kind == LLS_DSTEP_BYTE_FALLBACK)
            rc = byte_fallback(c, to);
        else if (steps[i].kind == LLS_DSTEP_FUSE)
            rc = fuse(c, to);
        else
            rc = each(c, &steps[i], ctx, to);
        if (rc < 0)
            return (llm_status_t)rc;
        if (rc == 0)
            return lls_fail(ctx->err, LLM_ERR_NO_MEMORY, "no memory to decode tokens");
        c->at = to;
    }
    return LLM_OK;
}
