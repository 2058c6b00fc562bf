/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The key post_processor of a tokenizer.json.
 */
#include "text/load_int.h"

/* One that puts tokens in; only ByteLevel, which changes offsets, may be beside it. */
static llm_status_t claim(lls_load_t *l)
{
    if (l->t->post.set)
        return lls_load_fail(l, LLM_ERR_UNSUPPORTED, "", "a second post-processor with tokens");
    l->t->post.set = true;
    return LLM_OK;
}

static llm_status_t type_of(const lls_load_t *l, const json_t *o, const char *where, int32_t *type)
{
    const json_t *v = json_object_get(o, "type_id");

    *type = 0;
    if (v == NULL)
        return LLM_OK;
    if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > INT32_MAX)
        return lls_load_fail(l, LLM_ERR_FORMAT, where, "a type_id is no number");
    *type = (int32_t)json_integer_value(v);
    return LLM_OK;
}

static llm_status_t put_special(const lls_load_t *l, const json_t *tokens, const json_t *special,
                                lls_template_t *out)
{
    const json_t *name = json_object_get(special, "id");
    const json_t *ids = json_object_get(
        json_is_string(name) ? json_object_get(tokens, json_string_value(name)) : NULL, "ids");
    int32_t       type;
    llm_status_t  st = type_of(l, special, "special_tokens", &type);

    if (st == LLM_OK && !json_is_array(ids))
        st = lls_load_fail(l, LLM_ERR_FORMAT, "special_tokens", "lacks a token of the template");
    for (size_t i = 0; st == LLM_OK && i < json_array_size(ids); i++) {
        const json_t *id = json_array_get(ids, i);
        json_int_t    v = json_is_integer(id) ? json_integer_value(id) : -1;

        if (v < 0 || v > INT32_MAX)
            st = lls_load_fail(l, LLM_ERR_FORMAT, "special_tokens", "an id is no token id");
        else if (!lls_template_put(out, (int32_t)v, type))
            st = lls_load_no_memory(l);
    }
    return st;
}

static llm_status_t put_sequence(const lls_load_t *l, const json_t *sequence, const char *key,
                                 lls_template_t *out)
{
    const char  *name;
    size_t       len;
    int32_t      type;
    llm_status_t st = lls_load_need_str(l, sequence, "id", &name, &len);

    if (st == LLM_OK)
        st = type_of(l, sequence, key, &type);
    if (st == LLM_OK && strcmp(name, "A") != 0 && strcmp(name, "B") != 0)
        st = lls_load_fail(l, LLM_ERR_FORMAT, key, "a Sequence is neither A nor B");
    if (st == LLM_OK && !lls_template_put(out, name[0] == 'A' ? LLS_POST_A : LLS_POST_B, type))
        st = lls_load_no_memory(l);
    return st;
}

static llm_status_t template_items(const lls_load_t *l, const json_t *o, const char *key,
                                   lls_template_t *out)
{
    const json_t *list = json_object_get(o, key);
    llm_status_t  st = LLM_OK;

    if (!json_is_array(list))
        return lls_load_fail(l, LLM_ERR_FORMAT, key, "must be an array");
    for (size_t i = 0; st == LLM_OK && i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i), *part = json_object_get(item, "Sequence");

        if (part != NULL)
            st = put_sequence(l, part, key, out);
        else
            st = put_special(l, json_object_get(o, "special_tokens"),
                             json_object_get(item, "SpecialToken"), out);
    }
    return st;
}

static bool has_item(const lls_template_t *t, int32_t item)
{
    for (size_t i = 0; i < t->items.n; i++)
        if (t->items.data[i] == item)
            return true;
    return false;
}

static llm_status_t post_template(lls_load_t *l, const json_t *o)
{
    lls_postproc_t *p = &l->t->post;
    llm_status_t    st = claim(l);

    if (st == LLM_OK)
        st = template_items(l, o, "single", &p->single);
    if (st == LLM_OK)
        st = template_items(l, o, "pair", &p->pair);
    if (st == LLM_OK && has_item(&p->single, LLS_POST_B))
        st = lls_load_fail(l, LLM_ERR_FORMAT, "single", "must not hold Sequence B");
    if (st == LLM_OK && !(has_item(&p->pair, LLS_POST_A) && has_item(&p->pair, LLS_POST_B)))
        st = lls_load_fail(l, LLM_ERR_FORMAT, "pair", "must hold Sequences A and B");
    return st;
}

/* ["[SEP]", 102] */
static llm_status_t named_id(const lls_load_t *l, const json_t *o, const char *key, int32_t *id)
{
    const json_t *v = json_array_get(json_object_get(o, key), 1);

    if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > INT32_MAX)
        return lls_load_fail(l, LLM_ERR_FORMAT, key, "must be a token and its id");
    *id = (int32_t)json_integer_value(v);
    return LLM_OK;
}

/* cls A sep, and then B sep, or sep B sep of the same segment as A. */
static llm_status_t cls_sep(lls_load_t *l, const json_t *o, bool roberta)
{
    lls_template_t *one = &l->t->post.single, *two = &l->t->post.pair;
    int32_t         cls, sep, type = roberta ? 0 : 1;
    llm_status_t    st = claim(l);

    if (st == LLM_OK)
        st = named_id(l, o, "cls", &cls);
    if (st == LLM_OK)
        st = named_id(l, o, "sep", &sep);
    if (st != LLM_OK)
        return st;
    if (!lls_template_put(one, cls, 0) || !lls_template_put(one, LLS_POST_A, 0) ||
        !lls_template_put(one, sep, 0) || !lls_template_put(two, cls, 0) ||
        !lls_template_put(two, LLS_POST_A, 0) || !lls_template_put(two, sep, 0) ||
        (roberta && !lls_template_put(two, sep, 0)) || !lls_template_put(two, LLS_POST_B, type) ||
        !lls_template_put(two, sep, type))
        return lls_load_no_memory(l);
    return LLM_OK;
}

static llm_status_t post_bert(lls_load_t *l, const json_t *o)
{
    return cls_sep(l, o, false);
}

static llm_status_t post_roberta(lls_load_t *l, const json_t *o)
{
    return cls_sep(l, o, true);
}

static llm_status_t post_bytelevel(lls_load_t *l, const json_t *o)
{
    (void)l, (void)o;                   /* changes offsets only */
    return LLM_OK;
}

static llm_status_t post_sequence(lls_load_t *l, const json_t *o)
{
    return lls_load_sequence(l, o, "processors", lls_load_post_processor);
}

llm_status_t lls_load_post_processor(lls_load_t *l, const json_t *o)
{
    static const lls_load_kind_t kinds[] = {
        { "TemplateProcessing", post_template }, { "ByteLevel", post_bytelevel },
        { "BertProcessing", post_bert }, { "RobertaProcessing", post_roberta },
        { "Sequence", post_sequence },
    };

    return json_is_null(o) || o == NULL ? LLM_OK
                                        : lls_load_dispatch(l, o, kinds, LLS_ARRAY_LEN(kinds));
}
