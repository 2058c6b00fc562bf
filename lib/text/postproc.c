/* SPDX-License-Identifier: Apache-2.0 */
#include "text/postproc.h"

void lls_postproc_init(lls_postproc_t *p, lls_mem_t *mem)
{
    memset(p, 0, sizeof *p);
    p->single.items.mem = p->single.types.mem = mem;
    p->pair.items.mem = p->pair.types.mem = mem;
}

void lls_postproc_deinit(lls_postproc_t *p)
{
    lls_ids_t *all[] = { &p->single.items, &p->single.types, &p->pair.items, &p->pair.types };

    for (size_t i = 0; i < LLS_ARRAY_LEN(all); i++)
        if (all[i]->mem != NULL)
            lls_free(all[i]->mem, all[i]->data);
    memset(p, 0, sizeof *p);
}

bool lls_template_put(lls_template_t *t, int32_t item, int32_t type)
{
    return lls_ids_room(&t->types, 1) && lls_ids_put(&t->items, item) &&
           lls_ids_put(&t->types, type);
}

static bool wrap(lls_template_t *t, int32_t before, int32_t item, int32_t after, int32_t type)
{
    return (before < 0 || lls_template_put(t, before, type)) && lls_template_put(t, item, type) &&
           (after < 0 || lls_template_put(t, after, type));
}

bool lls_postproc_wrap(lls_postproc_t *p, int32_t before, int32_t after, bool once)
{
    p->single.items.n = p->single.types.n = p->pair.items.n = p->pair.types.n = 0;
    p->set = true;
    return wrap(&p->single, before, LLS_POST_A, after, 0) &&
           wrap(&p->pair, before, LLS_POST_A, after, 0) &&
           wrap(&p->pair, once ? -1 : before, LLS_POST_B, after, 1);
}
