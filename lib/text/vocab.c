/* SPDX-License-Identifier: Apache-2.0 */
#include "text/vocab.h"

#include "base/utf8.h"

#define NAME_MAX_STACK 256

uint32_t lls_byte_to_char(uint8_t b)
{
    if ((b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174)
        return b;
    if (b <= 32)
        return 256u + b;
    if (b <= 160)
        return 256u + 33u + (b - 127u);
    return 256u + 67u;                                  /* 173, the soft hyphen */
}

int lls_char_to_byte(uint32_t cp)
{
    if (cp < 256)
        return (cp >= 33 && cp <= 126) || (cp >= 161 && cp != 173) ? (int)cp : -1;
    if (cp <= 256 + 32)
        return (int)cp - 256;
    if (cp <= 256 + 66)
        return (int)cp - 256 - 33 + 127;
    return cp == 256 + 67 ? 173 : -1;
}

bool lls_bytes_of_spelling(const char *text, size_t len, char *out, size_t *n)
{
    size_t k = 0;

    for (size_t i = 0; i < len; i++) {
        uint8_t c = (uint8_t)text[i];
        int     byte = c;

        if (c < '!' || c > '~') {       /* the others are below U+0144: two bytes */
            if (c < 0xc2 || c > 0xc5 || ++i == len || ((uint8_t)text[i] & 0xc0) != 0x80)
                return false;
            byte = lls_char_to_byte((c & 0x1fu) << 6 | ((uint8_t)text[i] & 0x3fu));
            if (byte < 0)
                return false;
        }
        out[k++] = (char)byte;
    }
    *n = k;
    return true;
}

static uint32_t hash_bytes(const char *p, size_t len, bool literal)
{
    uint64_t h = len * 0x9e3779b97f4a7c15u + literal, w;

    for (; len >= 8; len -= 8, p += 8) {
        memcpy(&w, p, 8);
        h = (h ^ w) * 0x9fb21c651e98df25u;
        h ^= h >> 32;
    }
    h = (h ^ lls_load_short(p, len)) * 0x9fb21c651e98df25u;
    return (uint32_t)(h ^ (h >> 29));
}

bool lls_vocab_init(lls_vocab_t *v, lls_mem_t *mem, uint32_t n, size_t bytes, bool byte_level)
{
    uint64_t n_slots = 16;

    memset(v, 0, sizeof *v);
    v->mem = v->bytes.mem = mem;
    v->byte_level = byte_level;
    v->n = n;
    while (n_slots < (uint64_t)n * 2)
        n_slots *= 2;
    if (n_slots > UINT32_MAX)
        return false;
    v->mask = (uint32_t)n_slots - 1;
    v->cap = n == 0 ? 1 : n;
    v->entries = lls_calloc(mem, v->cap, sizeof *v->entries);
    v->slots = lls_calloc(mem, n_slots, sizeof *v->slots);
    return v->entries != NULL && v->slots != NULL && lls_buf_room(&v->bytes, bytes + 1);
}

bool lls_vocab_reach(lls_vocab_t *v, uint32_t n)
{
    size_t cap = v->cap;

    if (n > cap) {
        if (!lls_reserve(v->mem, (void **)&v->entries, &v->cap, n, sizeof *v->entries))
            return false;
        memset(v->entries + cap, 0, (v->cap - cap) * sizeof *v->entries);
    }
    v->n = n > v->n ? n : v->n;
    return true;
}

void lls_vocab_deinit(lls_vocab_t *v)
{
    if (v->mem == NULL)
        return;
    lls_buf_deinit(&v->bytes);
    lls_free(v->mem, v->entries);
    lls_free(v->mem, v->slots);
    memset(v, 0, sizeof *v);
}

static bool same(const lls_vocab_t *v, uint32_t id, const char *bytes, size_t len, bool literal)
{
    const lls_vocab_entry_t *e = &v->entries[id];

    return e->len == len && e->literal == literal &&
           memcmp(v->bytes.data + e->off, bytes, len) == 0;
}

static void index_token(lls_vocab_t *v, uint32_t id)
{
    const lls_vocab_entry_t *e = &v->entries[id];
    const char              *bytes = v->bytes.data + e->off;
    uint32_t                 i = hash_bytes(bytes, e->len, e->literal) & v->mask;

    while (v->slots[i] != 0 && !same(v, v->slots[i] - 1, bytes, e->len, e->literal))
        i = (i + 1) & v->mask;
    v->any_double = v->any_double || v->slots[i] != 0;
    v->slots[i] = id + 1;
}

bool lls_vocab_add(lls_vocab_t *v, uint32_t id, const char *text, size_t len)
{
    lls_vocab_entry_t *e = &v->entries[id];
    size_t             n = len;

    lls_assert(id < v->n && !e->used);
    if (v->bytes.len > UINT32_MAX - len || !lls_buf_room(&v->bytes, len + 1))
        return false;
    e->off = (uint32_t)v->bytes.len;
    e->literal = v->byte_level &&
                 !lls_bytes_of_spelling(text, len, v->bytes.data + v->bytes.len, &n);
    if (!v->byte_level || e->literal) {
        n = len;
        memcpy(v->bytes.data + v->bytes.len, text, len);
    }
    e->len = (uint32_t)n;
    e->used = 1;
    v->bytes.len += n;
    v->n_used++;
    index_token(v, id);
    return true;
}

bool lls_vocab_add_bytes(lls_vocab_t *v, uint32_t id, const char *bytes, size_t len)
{
    lls_assert(id < v->n && !v->entries[id].used);
    if (v->bytes.len > UINT32_MAX - len)
        return false;
    v->entries[id] = (lls_vocab_entry_t){ (uint32_t)v->bytes.len, (uint32_t)len, 1, 0 };
    if (!lls_buf_put(&v->bytes, bytes, len))
        return false;
    v->n_used++;
    index_token(v, id);
    return true;
}

int32_t lls_vocab_find(const lls_vocab_t *v, const char *bytes, size_t len, bool literal)
{
    uint32_t i = hash_bytes(bytes, len, literal) & v->mask;

    for (; v->slots[i] != 0; i = (i + 1) & v->mask)
        if (same(v, v->slots[i] - 1, bytes, len, literal))
            return (int32_t)(v->slots[i] - 1);
    return -1;
}

int32_t lls_vocab_find_near(const lls_vocab_t *v, const char *bytes, size_t len, int32_t guess)
{
    for (uint32_t id = (uint32_t)guess; !v->any_double && id < v->n && id - guess < 2; id++)
        if (v->entries[id].used && same(v, id, bytes, len, false))
            return (int32_t)id;
    return lls_vocab_find(v, bytes, len, false);
}

int32_t lls_vocab_find_spelling(const lls_vocab_t *v, const char *text, size_t len)
{
    char   bytes[NAME_MAX_STACK];
    size_t n;

    if (!v->byte_level)
        return lls_vocab_find(v, text, len, false);
    if (len <= sizeof bytes) {
        if (lls_bytes_of_spelling(text, len, bytes, &n))
            return lls_vocab_find(v, bytes, n, false);
        return lls_vocab_find(v, text, len, true);
    }
    for (uint32_t id = 0; id < v->n; id++) {            /* long spellings are rare */
        const lls_vocab_entry_t *e = &v->entries[id];
        const char              *p = v->bytes.data + e->off;
        size_t                   at = 0;

        if (!e->used || (e->literal && !same(v, id, text, len, true)))
            continue;
        if (e->literal)
            return (int32_t)id;
        for (n = 0; n < e->len; n++) {
            char   c[4];
            size_t k = lls_utf8_encode(lls_byte_to_char((uint8_t)p[n]), c);
            if (len - at < k || memcmp(text + at, c, k) != 0)
                break;
            at += k;
        }
        if (n == e->len && at == len)
            return (int32_t)id;
    }
    return -1;
}

void lls_vocab_byte_ids(const lls_vocab_t *v, int32_t ids[256])
{
    static const char hex[] = "0123456789ABCDEF";

    for (int i = 0; i < 256; i++) {
        char name[] = { '<', '0', 'x', hex[i >> 4], hex[i & 15], '>' };

        ids[i] = lls_vocab_find(v, name, sizeof name, false);
    }
}

bool lls_vocab_trie(const lls_vocab_t *v, lls_mem_t *mem, const char *prefix, size_t prefix_len,
                    const uint8_t *kinds, uint32_t wanted, lls_datrie_t *out)
{
    lls_datrie_key_t *keys = lls_calloc(mem, v->n + 1u, sizeof *keys);
    uint32_t          n = 0;
    bool              ok;

    for (uint32_t id = 0; keys != NULL && id < v->n; id++) {
        size_t      len;
        const char *text = lls_vocab_bytes(v, id, &len);
        uint8_t     kind = kinds != NULL ? kinds[id] : 0;

        if (v->entries[id].used && (wanted >> kind & 1) != 0 && len > prefix_len &&
            (prefix_len == 0 || memcmp(text, prefix, prefix_len) == 0))
            keys[n++] = (lls_datrie_key_t){ text + prefix_len, (uint32_t)(len - prefix_len), id };
    }
    ok = keys != NULL && lls_datrie_build(out, mem, keys, n);
    lls_free(mem, keys);
    return ok;
}
