/* SPDX-License-Identifier: Apache-2.0 */
#include "text/chat_json.h"

#include "text/jscan.h"

#define MAX_DEPTH 32
#define MAX_KEY 128

typedef struct reader {
    lls_jscan_t scan;
    lls_buf_t   string; /* the last one */
} reader_t;

/* These give NULL for what is left to jansson: mistakes, and what is rare, such as fractions. */
static json_t *read_value(reader_t *rd, int depth);

static bool read_member(reader_t *rd, json_t *object, int depth)
{
    char   key[MAX_KEY];
    size_t len = rd->string.len;

    if (len == 0 || len > MAX_KEY || memchr(rd->string.data, '\0', len) != NULL)
        return false;
    memcpy(key, rd->string.data, len);
    return json_object_setn_new_nocheck(object, key, len, read_value(rd, depth)) == 0;
}

static json_t *read_object(reader_t *rd, int depth)
{
    json_t *out = json_object();
    bool    first = true, end = false;

    while (out != NULL && lls_jscan_next(&rd->scan, '{', &first, &rd->string, &end))
        if (!read_member(rd, out, depth))
            break;
    if (end)
        return out;
    json_decref(out);
    return NULL;
}

static json_t *read_array(reader_t *rd, int depth)
{
    json_t *out = json_array();
    bool    first = true, end = false;

    while (out != NULL && lls_jscan_next(&rd->scan, '[', &first, NULL, &end))
        if (json_array_append_new(out, read_value(rd, depth)) != 0)
            break;
    if (end)
        return out;
    json_decref(out);
    return NULL;
}

static json_t *read_string(reader_t *rd)
{
    if (!lls_jscan_string(&rd->scan, &rd->string))
        return NULL;
    return json_stringn_nocheck(rd->string.len != 0 ? rd->string.data : "", rd->string.len);
}

/* Without fraction, exponent or needless zeros, and below 2^63. */
static json_t *read_integer(reader_t *rd)
{
    lls_jscan_t *s = &rd->scan;
    size_t       at = s->at + (s->text[s->at] == '-');
    int64_t      v;

    if (s->len - at < 2 || (s->text[at] == '0' && s->text[at + 1] >= '0' && s->text[at + 1] <= '9'))
        return NULL;
    return lls_jscan_integer(s, &v) ? json_integer(v) : NULL;
}

static bool take_word(lls_jscan_t *s, const char *word, size_t len)
{
    if (s->len - s->at < len || memcmp(s->text + s->at, word, len) != 0)
        return false;
    s->at += len;
    return true;
}

static json_t *read_word(reader_t *rd)
{
    if (take_word(&rd->scan, "true", 4))
        return json_true();
    if (take_word(&rd->scan, "false", 5))
        return json_false();
    return take_word(&rd->scan, "null", 4) ? json_null() : NULL;
}

static json_t *read_value(reader_t *rd, int depth)
{
    char c = lls_jscan_peek(&rd->scan);

    if (depth >= MAX_DEPTH)
        return NULL;
    if (c == '{')
        return read_object(rd, depth + 1);
    if (c == '[')
        return read_array(rd, depth + 1);
    if (c == '"')
        return read_string(rd);
    return c == '-' || (c >= '0' && c <= '9') ? read_integer(rd) : read_word(rd);
}

llm_status_t lls_chat_read_json(lls_mem_t *mem, const char *text, size_t len, json_t **out,
                                llm_error_t *err)
{
    reader_t rd = {{.text = text, .len = len}, {.mem = mem}};

    *out = read_value(&rd, 0);
    lls_buf_deinit(&rd.string);
    if (*out != NULL && lls_jscan_peek(&rd.scan) == '\0' && rd.scan.at == len)
        return LLM_OK;
    json_decref(*out);
    return lls_json_parse("chat", text, len, out, err);
}
