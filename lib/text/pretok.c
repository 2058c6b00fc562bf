/* SPDX-License-Identifier: Apache-2.0 */
#include "text/pretok.h"

#include "base/utf8.h"
#include "text/unicat.h"
#include "text/vocab.h"

void lls_pieces_init(lls_pieces_t *p, lls_mem_t *mem)
{
    memset(p, 0, sizeof *p);
    p->mem = mem;
    p->spans.mem = p->next.mem = p->segments.mem = mem;
    p->hits.mem = p->made[0].mem = p->made[1].mem = p->mapped.mem = mem;
}

void lls_pieces_deinit(lls_pieces_t *p)
{
    if (p->mem == NULL)
        return;
    lls_free(p->mem, p->spans.data);
    lls_free(p->mem, p->next.data);
    lls_free(p->mem, p->segments.data);
    lls_buf_deinit(&p->hits);
    lls_buf_deinit(&p->made[0]);
    lls_buf_deinit(&p->made[1]);
    lls_buf_deinit(&p->mapped);
}

static llm_status_t no_memory(const lls_pattern_ctx_t *ctx)
{
    return lls_fail(ctx->err, LLM_ERR_NO_MEMORY, "no memory to cut a text into pieces");
}

/* ---- Segments: matches and gaps of one piece ------------------------------------------------- */

static bool put_segment(lls_pieces_t *p, size_t begin, size_t end, bool hit)
{
    char flag = (char)hit;

    return lls_spans_put(&p->segments, begin, end) && lls_buf_put(&p->hits, &flag, 1);
}

/* 1 = done, 0 = no memory, else a negative llm_status_t; offsets count from text. */
static int find_segments(const lls_pretok_t *s, const lls_pattern_ctx_t *ctx, lls_pieces_t *p,
                         const char *text, size_t len)
{
    size_t done = 0, from = 0, begin, end;

    p->segments.n = p->hits.len = 0;
    while (from <= len) {
        int rc = lls_pattern_find(&s->pattern, ctx, text, len, from, &begin, &end);

        if (rc < 0)
            return rc;
        if (rc == 0)
            break;
        if (begin > done && !put_segment(p, done, begin, s->invert))
            return 0;
        if (!put_segment(p, begin, end, !s->invert))
            return 0;
        done = from = end;
        if (begin == end) { /* an empty match: go on behind a character */
            from++;
            while (from < len && ((uint8_t)text[from] & 0xc0) == 0x80)
                from++;
        }
    }
    return done == len || put_segment(p, done, len, s->invert);
}

/* One byte, seen as its character of GPT-2's alphabet. */
static int find_mapped_class(const lls_pretok_t *s, const lls_pattern_ctx_t *ctx, lls_pieces_t *p,
                             const char *text, size_t len)
{
    size_t done = 0;

    p->segments.n = p->hits.len = 0;
    for (size_t i = 0; i < len; i++) {
        uint32_t cp = lls_byte_to_char((uint8_t)text[i]);

        if ((ctx->classes->plane0[cp] & s->pattern.param) == 0)
            continue;
        if ((done < i && !put_segment(p, done, i, s->invert)) ||
            !put_segment(p, i, i + 1, !s->invert))
            return 0;
        done = i + 1;
    }
    return done == len || put_segment(p, done, len, s->invert);
}

/* Searches the text as it would look after ByteLevel, and puts the offsets back to bytes. */
static int find_mapped(const lls_pretok_t *s, const lls_pattern_ctx_t *ctx, lls_pieces_t *p,
                       const char *text, size_t len)
{
    size_t at = 0, byte = 0;
    int    rc;

    p->mapped.len = 0;
    if (!lls_buf_room(&p->mapped, len * 2))
        return 0;
    for (size_t i = 0; i < len; i++)
        p->mapped.len += lls_utf8_encode(lls_byte_to_char((uint8_t)text[i]),
                                         p->mapped.data + p->mapped.len);
    rc = find_segments(s, ctx, p, p->mapped.data, p->mapped.len);
    for (size_t i = 0; rc == 1 && i < p->segments.n; i++) {
        lls_span_t *seg = &p->segments.data[i];
        uint32_t    end = seg->end;

        seg->begin = (uint32_t)byte;
        for (; at < end; at++)
            byte += ((uint8_t)p->mapped.data[at] & 0xc0) != 0x80;
        seg->end = (uint32_t)byte;
    }
    return rc;
}

/* ---- Split ----------------------------------------------------------------------------------- */

static bool put_piece(lls_pieces_t *p, size_t begin, size_t end)
{
    return begin == end || lls_spans_put(&p->next, begin, end);
}

/* Hugging Face's fold: a segment joins the one before it, or starts a piece. */
static bool fold_forward(lls_pieces_t *p, size_t base, uint8_t behavior)
{
    size_t begin = base, end = base;
    bool   before = false;

    for (size_t i = 0; i < p->segments.n; i++) {
        lls_span_t seg = p->segments.data[i];
        bool       hit = p->hits.data[i] != 0, join;

        join = behavior == LLS_SPLIT_CONTIGUOUS ? hit == before : hit && !before;
        if (!join) {
            if (!put_piece(p, begin, end))
                return false;
            begin = base + seg.begin;
        }
        end = base + seg.end;
        before = hit;
    }
    return put_piece(p, begin, end);
}

static bool fold_next(lls_pieces_t *p, size_t base)
{
    for (size_t i = 0; i < p->segments.n; i++) {
        lls_span_t seg = p->segments.data[i];
        size_t     j = i + 1;

        /* From the right, a match joins what follows it if that is no match. */
        if (p->hits.data[i] != 0 && j < p->segments.n && p->hits.data[j] == 0) {
            seg.end = p->segments.data[j].end;
            i = j;
        }
        if (!put_piece(p, base + seg.begin, base + seg.end))
            return false;
    }
    return true;
}

static bool fold(lls_pieces_t *p, size_t base, uint8_t behavior)
{
    if (behavior == LLS_SPLIT_CONTIGUOUS || behavior == LLS_SPLIT_MERGED_WITH_PREVIOUS)
        return fold_forward(p, base, behavior);
    if (behavior == LLS_SPLIT_MERGED_WITH_NEXT)
        return fold_next(p, base);
    for (size_t i = 0; i < p->segments.n; i++) {
        lls_span_t seg = p->segments.data[i];

        if (behavior == LLS_SPLIT_REMOVED && p->hits.data[i] != 0)
            continue;
        if (!put_piece(p, base + seg.begin, base + seg.end))
            return false;
    }
    return true;
}

static bool scan_piece(const lls_pretok_t *s, const lls_pattern_ctx_t *ctx, lls_pieces_t *p,
                       lls_span_t piece)
{
    for (size_t i = piece.begin; i < piece.end;) {
        size_t n = lls_pattern_scan(&s->pattern, ctx, p->text + i, piece.end - i);

        if (!lls_spans_put(&p->next, i, i + n))
            return false;
        i += n;
    }
    return true;
}

static llm_status_t split(const lls_pretok_t *s, const lls_pattern_ctx_t *ctx, lls_pieces_t *p)
{
    bool total = lls_pattern_is_total(&s->pattern) && s->behavior == LLS_SPLIT_ISOLATED;

    for (size_t i = 0; i < p->spans.n; i++) {
        lls_span_t  piece = p->spans.data[i];
        const char *text = p->text + piece.begin;
        size_t      len = piece.end - piece.begin;
        int         rc;

        if (total) {
            if (!scan_piece(s, ctx, p, piece))
                return no_memory(ctx);
            continue;
        }
        if (!s->mapped || s->pattern.kind == LLS_PAT_DIGITS3)
            rc = find_segments(s, ctx, p, text, len);
        else if (s->pattern.kind == LLS_PAT_CLASS)
            rc = find_mapped_class(s, ctx, p, text, len);
        else
            rc = find_mapped(s, ctx, p, text, len);
        if (rc < 0)
            return (llm_status_t)rc;
        if (rc == 0 || !fold(p, piece.begin, s->behavior))
            return no_memory(ctx);
    }
    return LLM_OK;
}

/* ---- Steps that write a new text ------------------------------------------------------------- */

static lls_buf_t *other_text(lls_pieces_t *p)
{
    lls_buf_t *b = p->text == p->made[0].data ? &p->made[1] : &p->made[0];

    b->len = 0;
    return b;
}

static bool prefix_space(lls_pieces_t *p, lls_buf_t *out)
{
    for (size_t i = 0; i < p->spans.n; i++) {
        lls_span_t piece = p->spans.data[i];
        size_t     begin = out->len;

        if ((p->text[piece.begin] != ' ' && !lls_buf_put(out, " ", 1)) ||
            !lls_buf_put(out, p->text + piece.begin, piece.end - piece.begin) ||
            !lls_spans_put(&p->next, begin, out->len))
            return false;
    }
    return true;
}

/* One piece with its blanks replaced, and the replacement before it where the scheme wants it. */
static bool metaspace_piece(const lls_pretok_t *s, const char *text, size_t len, bool first,
                            lls_buf_t *out)
{
    const lls_pattern_t *r = &s->pattern;
    bool starts = text[0] == ' ' || (len >= r->len && memcmp(text, r->text, r->len) == 0);
    bool prepend = s->scheme == LLS_PREPEND_ALWAYS || (s->scheme == LLS_PREPEND_FIRST && first);

    if (prepend && !starts && !lls_buf_put(out, r->text, r->len))
        return false;
    for (size_t i = 0; i < len;) {
        const char *blank = memchr(text + i, ' ', len - i);
        size_t      n = blank != NULL ? (size_t)(blank - text) - i : len - i;

        if (!lls_buf_put(out, text + i, n) || (blank != NULL && !lls_buf_put(out, r->text, r->len)))
            return false;
        i += n + (blank != NULL);
    }
    return true;
}

static bool metaspace(const lls_pretok_t *s, lls_pieces_t *p, lls_buf_t *out)
{
    for (size_t i = 0; i < p->spans.n; i++) {
        lls_span_t piece = p->spans.data[i];
        size_t     begin = out->len;

        if (!metaspace_piece(s, p->text + piece.begin, piece.end - piece.begin,
                             piece.begin < p->lead, out) ||
            !lls_spans_put(&p->next, begin, out->len))
            return false;
    }
    return true;
}

static bool map_bytes(lls_pieces_t *p, lls_buf_t *out)
{
    if (!lls_buf_room(out, p->len * 2))
        return false;
    for (size_t i = 0; i < p->spans.n; i++) {
        lls_span_t piece = p->spans.data[i];
        size_t     begin = out->len;

        for (size_t k = piece.begin; k < piece.end; k++)
            out->len += lls_utf8_encode(lls_byte_to_char((uint8_t)p->text[k]),
                                        out->data + out->len);
        if (!lls_spans_put(&p->next, begin, out->len))
            return false;
    }
    return true;
}

/* ---- Steps that cut by a rule of their own --------------------------------------------------- */

static bool cut_fixed(const lls_pretok_t *s, lls_pieces_t *p, lls_span_t piece)
{
    size_t   begin = piece.begin;
    uint64_t n = 0;

    for (size_t i = piece.begin; i < piece.end; i++) {
        if (((uint8_t)p->text[i] & 0xc0) == 0x80)
            continue;
        if (n++ == s->length) {
            if (!lls_spans_put(&p->next, begin, i))
                return false;
            begin = i;
            n = 1;
        }
    }
    return lls_spans_put(&p->next, begin, piece.end);
}

/* As Hugging Face's: characters of any script before the first other one are lost. */
static bool cut_scripts(lls_pieces_t *p, lls_span_t piece)
{
    size_t  begin = SIZE_MAX, n;
    uint8_t last = 0;
    bool    started = false;

    for (size_t i = piece.begin; i < piece.end; i += n) {
        uint32_t cp;
        uint8_t  script;

        n = lls_utf8_decode(p->text + i, piece.end - i, &cp);
        script = lls_script_of(cp);
        if (script == 0)
            continue;
        if (!started || script != last) {
            if (begin != SIZE_MAX && !lls_spans_put(&p->next, begin, i))
                return false;
            begin = i;
        }
        started = true;
        last = script;
    }
    return begin == SIZE_MAX || lls_spans_put(&p->next, begin, piece.end);
}

static llm_status_t cut(const lls_pretok_t *s, const lls_pattern_ctx_t *ctx, lls_pieces_t *p)
{
    for (size_t i = 0; i < p->spans.n; i++)
        if (!(s->kind == LLS_PRETOK_FIXED ? cut_fixed(s, p, p->spans.data[i])
                                          : cut_scripts(p, p->spans.data[i])))
            return no_memory(ctx);
    return LLM_OK;
}

/* ---- Running --------------------------------------------------------------------------------- */

static void take_next(lls_pieces_t *p)
{
    lls_spans_t old = p->spans;

    p->spans = p->next;
    p->next = old;
    p->next.n = 0;
}

static bool is_cut(const lls_pretok_t *s)
{
    return s->kind == LLS_PRETOK_SPLIT || s->kind == LLS_PRETOK_FIXED ||
           s->kind == LLS_PRETOK_SCRIPTS;
}

static llm_status_t run_cut(const lls_pretok_t *s, const lls_pattern_ctx_t *ctx, lls_pieces_t *p)
{
    llm_status_t st;

    p->next.n = 0;
    st = s->kind == LLS_PRETOK_SPLIT ? split(s, ctx, p) : cut(s, ctx, p);
    take_next(p);
    return st;
}

/* Behind the beginning of the last piece that begins what the user gave. */
static size_t new_lead(const lls_pieces_t *p)
{
    size_t lead = 0;

    for (size_t i = 0; i < p->spans.n && p->spans.data[i].begin < p->lead; i++)
        lead = p->next.data[i].begin + 1;
    return lead;
}

static llm_status_t run_rewrite(const lls_pretok_t *s, const lls_pattern_ctx_t *ctx,
                                lls_pieces_t *p)
{
    lls_buf_t *out = other_text(p);
    bool       ok;

    p->next.n = 0;
    switch (s->kind) {
    case LLS_PRETOK_METASPACE: ok = metaspace(s, p, out); break;
    case LLS_PRETOK_BYTES: ok = map_bytes(p, out); break;
    default: ok = prefix_space(p, out); break;
    }
    if (!ok)
        return no_memory(ctx);
    if (out->len > UINT32_MAX / 2)
        return lls_fail(ctx->err, LLM_ERR_TOO_LONG, "a text of %zu bytes", out->len);
    p->lead = new_lead(p);
    take_next(p);
    p->text = out->data;
    p->len = out->len;
    return LLM_OK;
}

static llm_status_t run_step(const lls_pretok_t *s, const lls_pattern_ctx_t *ctx, lls_pieces_t *p)
{
    lls_pretok_t again = *s;
    llm_status_t st;

    if (is_cut(s))
        return run_cut(s, ctx, p);
    st = run_rewrite(s, ctx, p);
    if (st != LLM_OK || s->kind != LLS_PRETOK_METASPACE || !s->split)
        return st;
    again.kind = LLS_PRETOK_SPLIT;
    again.behavior = LLS_SPLIT_MERGED_WITH_NEXT;
    return run_cut(&again, ctx, p);
}

llm_status_t lls_pretok_run(const lls_pretok_t *steps, size_t n_steps, const lls_pattern_ctx_t *ctx,
                            lls_pieces_t *p, const char *text, size_t len, size_t lead)
{
    p->text = text;
    p->len = len;
    p->lead = lead;
    p->spans.n = 0;
    if (len == 0)
        return LLM_OK;
    if (!lls_spans_put(&p->spans, 0, len))
        return no_memory(ctx);
    for (size_t i = 0; i < n_steps; i++) {
        llm_status_t st = run_step(&steps[i], ctx, p);
        if (st != LLM_OK)
            return st;
    }
    return LLM_OK;
}
