/* SPDX-License-Identifier: Apache-2.0 */
#include "text/charsmap.h"

#include <string.h>

#include "base/utf8.h"

/* Fields of a unit of the double array. */
static inline uint32_t unit_offset(uint32_t u) { return (u >> 10) << ((u & (1u << 9)) >> 6); }
static inline uint32_t unit_label(uint32_t u) { return u & (1u << 31 | 0xff); }
static inline bool     unit_has_leaf(uint32_t u) { return (u >> 8 & 1) != 0; }
static inline uint32_t unit_value(uint32_t u) { return u & ~(1u << 31); }

/* Not inside a character: keys and replacements of a damaged map might be.  The shortest key stands
 * for its whole cluster, so that its end does not matter. */
static inline bool is_cut(const char *text, size_t len, size_t at)
{
    return at >= len || ((uint8_t)text[at] & 0xc0) != 0x80;
}

llm_status_t lls_charsmap_init(lls_charsmap_t *c, lls_mem_t *mem, const char *where,
                               const uint8_t *data, size_t n, llm_error_t *err)
{
    uint32_t bytes = 0;

    memset(c, 0, sizeof *c);
    if (n == 0)
        return LLM_OK;
    if (n >= 4)
        bytes = (uint32_t)data[0] | (uint32_t)data[1] << 8 | (uint32_t)data[2] << 16 |
                (uint32_t)data[3] << 24;
    if (n < 4 || bytes % 4 != 0 || bytes == 0 || bytes > n - 4)
        return lls_fail(err, LLM_ERR_FORMAT, "%s: a charsmap of %zu bytes with an array of %u",
                        where, n, bytes);
    c->n_units = bytes / 4;
    c->n_texts = n - 4 - bytes;
    c->units = lls_alloc(mem, bytes);
    c->texts = lls_strndup(mem, (const char *)data + 4 + bytes, c->n_texts);
    if (c->units == NULL || c->texts == NULL)
        return lls_fail(err, LLM_ERR_NO_MEMORY, "%s: no memory for a charsmap", where);
    memcpy(c->units, data + 4, bytes);
    if (lls_utf8_valid(c->texts, c->n_texts) != c->n_texts)
        return lls_fail(err, LLM_ERR_FORMAT, "%s: a charsmap with texts that are not UTF-8", where);
    for (uint32_t cp = 0; cp < 0x10000; cp++) {
        const char *to;
        char        bytes[4];
        size_t      to_len, len = lls_utf8_encode(cp, bytes);

        if (lls_charsmap_find(c, bytes, len, false, &to, &to_len) != 0)
            c->alone[cp / 64] |= 1ull << cp % 64;
    }
    return LLM_OK;
}

void lls_charsmap_deinit(lls_charsmap_t *c, lls_mem_t *mem)
{
    lls_free(mem, c->units);
    lls_free(mem, c->texts);
    memset(c, 0, sizeof *c);
}

size_t lls_charsmap_find(const lls_charsmap_t *c, const char *text, size_t len, bool longest,
                         const char **to, size_t *to_len)
{
    uint32_t at, value = UINT32_MAX;
    size_t   found = 0;

    if (c->n_units == 0)
        return 0;
    at = unit_offset(c->units[0]);
    for (size_t i = 0; i < len && text[i] != '\0'; i++) {
        uint32_t unit;

        at ^= (uint8_t)text[i];
        if (at >= c->n_units)
            break;
        unit = c->units[at];
        if (unit_label(unit) != (uint8_t)text[i])
            break;
        at ^= unit_offset(unit);
        if (!unit_has_leaf(unit) || at >= c->n_units || (longest && !is_cut(text, len, i + 1)))
            continue;
        value = unit_value(c->units[at]);
        found = i + 1;
        if (!longest)
            break;
    }
    if (found == 0 || value > c->n_texts || !is_cut(c->texts, c->n_texts, value))
        return 0;
    *to = c->texts + value;
    *to_len = strnlen(*to, c->n_texts - value);
    return found;
}
