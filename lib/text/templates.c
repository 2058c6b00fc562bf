/* SPDX-License-Identifier: Apache-2.0 */
#include "text/templates.h"

#include <string.h>

void lls_templates_init(lls_templates_t *s, lls_mem_t *mem)
{
    *s = (lls_templates_t){.mem = mem, .now = -1};
}

static void free_one(lls_mem_t *mem, lls_chat_template_t *t)
{
    if (t == NULL)
        return;
    lls_jinja_free(atomic_load(&t->compiled));
    lls_free(mem, t->name);
    lls_free(mem, t->text);
    lls_free(mem, t);
}

void lls_templates_deinit(lls_templates_t *s)
{
    for (size_t i = 0; i < s->n; i++)
        free_one(s->mem, s->items[i]);
    for (size_t i = 0; i < s->n_specials; i++)
        free_one(s->mem, s->specials[i]);
    lls_free(s->mem, s->items);
    lls_free(s->mem, s->specials);
}

static lls_chat_template_t *find(lls_chat_template_t *const *items, size_t n, const char *name,
                                 size_t len)
{
    for (size_t i = 0; i < n; i++)
        if (strlen(items[i]->name) == len && memcmp(items[i]->name, name, len) == 0)
            return items[i];
    return NULL;
}

lls_chat_template_t *lls_templates_find(const lls_templates_t *s, const char *name, size_t len)
{
    return find(s->items, s->n, name, len);
}

static bool add(lls_mem_t *mem, lls_chat_template_t ***items, size_t *n, size_t *cap,
                const char *name, const char *text, size_t len)
{
    lls_chat_template_t *t;

    if (find(*items, *n, name, strlen(name)) != NULL)
        return true;
    if (!lls_reserve(mem, (void **)items, cap, *n + 1, sizeof **items))
        return false;
    t = lls_zalloc(mem, sizeof *t);
    if (t == NULL)
        return false;
    t->name = lls_strdup(mem, name);
    t->text = lls_strndup(mem, text, len);
    t->len = len;
    if (t->name == NULL || t->text == NULL) {
        free_one(mem, t);
        return false;
    }
    (*items)[(*n)++] = t;
    return true;
}

bool lls_templates_add(lls_templates_t *s, const char *name, const char *text, size_t len)
{
    return add(s->mem, &s->items, &s->n, &s->cap, name, text, len);
}

bool lls_templates_add_special(lls_templates_t *s, const char *name, const char *text, size_t len)
{
    return add(s->mem, &s->specials, &s->n_specials, &s->specials_cap, name, text, len);
}

bool lls_templates_replace(lls_templates_t *s, const char *name, const char *text, size_t len)
{
    lls_chat_template_t *old = lls_templates_find(s, name, strlen(name));
    char                *copy;

    if (old == NULL)
        return lls_templates_add(s, name, text, len);
    copy = lls_strndup(s->mem, text, len);
    if (copy == NULL)
        return false;
    lls_free(s->mem, old->text);
    old->text = copy;
    old->len = len;
    lls_jinja_free(atomic_exchange(&old->compiled, NULL));
    return true;
}

llm_status_t lls_templates_get(const lls_templates_t *s, lls_chat_template_t *t,
                               const lls_jinja_t **out, llm_error_t *err)
{
    lls_jinja_t *known = atomic_load(&t->compiled), *made;
    llm_status_t st;

    *out = known;
    if (known != NULL)
        return LLM_OK;
    st = lls_jinja_compile(s->mem, t->text, t->len, &made, err);
    if (st != LLM_OK)
        return st;
    /* Of threads that compile at the same time, the first one's stays. */
    if (atomic_compare_exchange_strong(&t->compiled, &known, made)) {
        *out = made;
    } else {
        lls_jinja_free(made);
        *out = known;
    }
    return LLM_OK;
}
