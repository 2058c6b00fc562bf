/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a request gives when it runs alone: tokens from the hash model, text by decoding all bytes
 * again for each token, stops by trying each place.  Slow, plain, and without the library's code.
 */
#include <stdlib.h>
#include <string.h>

#include "simengine/esim.h"
#include "simengine/esim_tokens.h"

/* ---- The model ------------------------------------------------------------------------------- */

static bool is_among(int32_t t, const int32_t *ids, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (ids[i] == t)
            return true;
    return false;
}

int32_t esim_token(uint64_t h, const lls_sample_view_t *v, uint64_t history, uint32_t n_out)
{
    uint32_t n = v->n_allowed > 0 ? v->n_allowed : FAKE_VOCAB, t;
    uint32_t temperature;

    memcpy(&temperature, &v->temperature, 4);
    h = lls_mix64(lls_mix64(h, temperature), v->top_k);
    h = lls_mix64(v->temperature > 0 ? lls_mix64(h, v->seed) : h, history);
    for (uint32_t i = 0; i < v->n_bias; i++)
        h = lls_mix64(h, (uint32_t)v->bias[i].token * 1000u +
                             (uint32_t)(v->bias[i].bias * 4 + 500));
    t = (uint32_t)(h % n);
    for (uint32_t i = 0; i < n; i++, t = (t + 1) % n) {
        int32_t id = v->n_allowed > 0 ? v->allowed[t] : (int32_t)t;
        if (n_out >= v->min_tokens || !is_among(id, v->banned, v->n_banned))
            return id;
    }
    return v->n_allowed > 0 ? v->allowed[t] : (int32_t)t;
}

int32_t esim_hook_says(uint64_t h)
{
    uint64_t x = lls_mix64(h, 0x686f6f6b);

    return x % 61 == 0 ? -1 : (int32_t)(x / 61 % FAKE_VOCAB);
}

llm_logprob_t esim_entry(uint64_t h, int32_t token, uint32_t k)
{
    uint64_t x = lls_mix64(lls_mix64(h, (uint32_t)token), k);

    return (llm_logprob_t){ k == 0 ? token : (int32_t)(x % FAKE_VOCAB),
                            k == 0 ? 1 + (int32_t)(x % 9) : (int32_t)k,
                            -(float)(x % 4096) / 64 };
}

/* ---- Text ------------------------------------------------------------------------------------ */

typedef struct spell {              /* bytes so far; those before `done` are text */
    uint8_t  raw[MAX_LEN * 2 * 40];
    uint32_t n, done;
    char    *text;                  /* or NULL: only count */
    uint32_t len;
} spell_t;

/* Bytes of the longest beginning of one character at p; *whole says whether it is all of it. */
static uint32_t character(const uint8_t *p, uint32_t n, bool *whole)
{
    uint8_t  lo = 0x80, hi = 0xbf;
    uint32_t want = p[0] < 0x80 ? 1 : p[0] >= 0xc2 && p[0] <= 0xdf ? 2 : (p[0] & 0xf0) == 0xe0 ? 3
                    : p[0] >= 0xf0 && p[0] <= 0xf4 ? 4 : 0, i;

    *whole = false;
    if (want == 0)
        return 1;
    lo = p[0] == 0xe0 ? 0xa0 : p[0] == 0xf0 ? 0x90 : lo;
    hi = p[0] == 0xed ? 0x9f : p[0] == 0xf4 ? 0x8f : hi;
    for (i = 1; i < want && i < n && p[i] >= lo && p[i] <= hi; i++) {
        lo = 0x80;
        hi = 0xbf;
    }
    *whole = i == want;
    return i;
}

/* Decodes what is not out yet; it stays in if it ends in U+FFFD. */
static void put_out(spell_t *s)
{
    char     out[sizeof s->raw * 3];
    uint32_t len = 0;

    for (uint32_t at = s->done; at < s->n;) {
        bool     whole;
        uint32_t n = character(s->raw + at, s->n - at, &whole);
        memcpy(out + len, whole ? (const char *)s->raw + at : "\xef\xbf\xbd", whole ? n : 3);
        len += whole ? n : 3;
        at += n;
    }
    if (len >= 3 && memcmp(out + len - 3, "\xef\xbf\xbd", 3) == 0)
        return;
    if (s->text != NULL)
        memcpy(s->text + s->len, out, len);
    s->len += len;
    s->done = s->n;
}

static void spell_token(spell_t *s, int32_t t, bool special_too)
{
    if (t >= N_SPELLED || (t < N_SPECIAL && !special_too))
        return;
    memcpy(s->raw + s->n, spelled[t].bytes, spelled[t].len);
    s->n += spelled[t].len;
    put_out(s);
}

/* The string that ends first in text[0, len), not before `seen`; -1 = none. */
static int32_t find_stop(const es_req_t *q, const char *text, uint32_t seen, uint32_t len,
                         uint32_t *keep)
{
    for (uint32_t end = seen + 1; end <= len; end++)
        for (uint32_t i = 0; i < q->n_stop; i++) {
            uint32_t n = (uint32_t)strlen(q->stop[i]);
            if (n > end || memcmp(text + end - n, q->stop[i], n) != 0)
                continue;
            *keep = q->s.flags & LLM_SAMPLE_KEEP_STOP ? end : end - n;
            return (int32_t)i;
        }
    return -1;
}

static uint32_t count_chars(const char *s)
{
    uint32_t n = 0;

    for (; *s != '\0'; s++)
        n += ((uint8_t)*s & 0xc0) != 0x80;
    return n;
}

uint32_t esim_visible(const es_req_t *q, const char *text, uint32_t len)
{
    uint32_t hold = 0;

    for (uint32_t i = 0; i < q->n_stop && (q->s.flags & LLM_SAMPLE_KEEP_STOP) == 0; i++)
        hold = lls_max_u32(hold, count_chars(q->stop[i]) - 1);
    for (; hold > 0 && len > 0; hold--)
        for (len--; len > 0 && ((uint8_t)text[len] & 0xc0) == 0x80; len--)
            ;
    return len;
}

/* ---- A run ----------------------------------------------------------------------------------- */

/* The sampler's parameters, from what was asked. */
static lls_sample_view_t view_of(const es_req_t *q, const es_comp_t *c, int32_t *banned)
{
    lls_sample_view_t v = { .temperature = q->s.temperature, .seed = q->first_seed + c->index,
                            .top_k = q->s.temperature > 0 ? q->s.top_k : 0,
                            .min_tokens = q->min_tokens, .allowed = q->allowed,
                            .n_allowed = q->n_allowed, .bias = &q->bias, .n_bias = q->n_bias,
                            .banned = banned };

    banned[v.n_banned++] = 0;
    banned[v.n_banned++] = 1;
    for (uint32_t i = 0; i < q->n_stop_ids; i++)
        banned[v.n_banned++] = q->stop_ids[i];
    return v;
}

static bool ends_by_id(const es_req_t *q, int32_t t, uint32_t n)
{
    bool eos = (t == 0 || t == 1) && (q->s.flags & LLM_SAMPLE_IGNORE_EOS) == 0;

    return n >= q->min_tokens && (eos || is_among(t, q->stop_ids, q->n_stop_ids));
}

/* One more token; true if it is the last. */
static bool run_token(const esim_t *m, es_req_t *q, es_comp_t *c, spell_t *s, int32_t t)
{
    bool     by_id, silent, special = (q->s.flags & LLM_SAMPLE_KEEP_SPECIAL) != 0;
    uint32_t seen = s->len, n;

    c->tokens[c->n_solo++] = t;
    n = c->n_solo;
    by_id = ends_by_id(q, t, n);
    silent = by_id && (q->s.flags & LLM_SAMPLE_KEEP_STOP) == 0;
    if (has_text(m, q) && !silent)
        spell_token(s, t, special);
    c->text_at[n] = c->text_end = s->len;
    if (n > q->min_tokens)
        c->stop_which = find_stop(q, s->text, seen, s->len, &c->text_end);
    if (by_id && c->stop_which < 0 && (is_among(t, q->stop_ids, q->n_stop_ids) || t != m->eos_id))
        c->stop_token = t;
    c->solo_finish = c->stop_which >= 0 || by_id ? LLM_FINISH_STOP
                     : q->n_prompt + n >= q->len_cap ? LLM_FINISH_LENGTH : LLM_FINISH_NONE;
    return c->solo_finish != LLM_FINISH_NONE;
}

static void run_tokens(const esim_t *m, es_req_t *q, es_comp_t *c, spell_t *s, uint64_t history)
{
    int32_t           banned[5], t;
    lls_sample_view_t v = view_of(q, c, banned);
    uint64_t          h = c->hash[q->n_prompt];

    for (bool end = false; !end; c->hash[q->n_prompt + c->n_solo] = h) {
        uint64_t mixed = h;
        if (q->hooked) {
            t = esim_hook_says(h);
            if (t < 0) {
                c->solo_finish = LLM_FINISH_ABORT;
                return;
            }
            mixed = lls_mix64(h, (uint64_t)t + 1);
        }
        t = esim_token(mixed, &v, history, c->n_solo);
        h = lls_fake_step(h, (uint32_t)t, 0);
        history += q->penalised || q->hooked ? lls_fake_history(0, t) : 0;
        end = run_token(m, q, c, s, t);
    }
}

void esim_run_alone(const esim_t *m, es_req_t *q, es_comp_t *c)
{
    uint32_t room = q->len_cap - lls_min_u32(q->len_cap, q->n_prompt) + 1;
    spell_t *s = malloc(sizeof *s);
    uint64_t h = lls_fake_start(0), history = 0;

    s->n = s->done = s->len = 0;
    s->text = NULL;
    c->tokens = malloc(room * sizeof *c->tokens);
    c->hash = malloc((q->n_prompt + room + 1) * sizeof *c->hash);
    c->text_at = calloc(room + 1, sizeof *c->text_at);
    c->text = malloc((room + 8) * 120);
    c->stop_which = c->stop_token = -1;
    for (uint32_t i = 0; i < q->n_prompt; i++) {
        c->hash[i] = h;
        h = lls_fake_step(h, (uint32_t)q->prompt[i], 0);
        history += q->penalised || q->hooked ? lls_fake_history(0, q->prompt[i]) : 0;
        if (has_text(m, q))
            spell_token(s, q->prompt[i], (q->s.flags & LLM_SAMPLE_KEEP_SPECIAL) != 0);
    }
    c->hash[q->n_prompt] = h;
    s->text = c->text;              /* what the prompt left unfinished is the output's */
    s->len = 0;
    if (q->r.flags & LLM_REQUEST_PREFILL_ONLY)
        c->solo_finish = LLM_FINISH_STOP;
    else
        run_tokens(m, q, c, s, history);
    free(s);
}

void esim_free_solo(es_comp_t *c)
{
    free(c->tokens);
    free(c->hash);
    free(c->text_at);
    free(c->text);
}
