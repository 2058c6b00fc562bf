/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The walk of a for loop, and what `loop` tells about it.
 */
#include "text/jinja_val.h"

/* Elements that are tested are unpacked for that, and what the body gets is packed anew: tuples. */
static lls_jval_t packed(lls_jrun_t *r, uint32_t target)
{
    const lls_jnode_t *n = &r->j->nodes[target];
    lls_jval_t         out;
    size_t             cap = 0;

    if (n->kind == JN_NAME)
        return r->act->slots[n->slot];
    out = lls_jlist(r, JV_TUPLE, 0);
    for (uint32_t at = n->a; r->st == LLM_OK && at != LLS_NONE; at = r->j->nodes[at].next)
        lls_jpush(r, out.u.list, &cap, packed(r, at));
    return out;
}

/* The next element that passes the loop's test. */
static bool fetch(lls_jrun_t *r, lls_jloop_t *loop, lls_jval_t *out)
{
    lls_jact_t *act = r->act;
    lls_jval_t  passes;
    bool        found = false;

    if (loop->tested)
        return lls_jiter_next(r, &loop->it, out);
    r->act = loop->act;
    while (!found && lls_jcharge(r, 1) && lls_jiter_next(r, &loop->it, out)) {
        lls_jassign(r, loop->node->f, *out);
        passes = r->st == LLM_OK ? lls_jeval(r, loop->node->e) : lls_jmissing();
        found = r->st == LLM_OK && lls_jtrue(passes);
    }
    if (found)
        *out = packed(r, loop->node->f);
    r->act = act;
    return found && r->st == LLM_OK;
}

bool lls_jloop_next(lls_jrun_t *r, lls_jloop_t *loop, lls_jval_t *out)
{
    if (loop->after.type != JV_MISSING) {
        *out = loop->after;
        loop->after = lls_jmissing();
    } else if (!fetch(r, loop, out)) {
        return false;
    }
    loop->index0++;
    loop->before = loop->current;
    loop->current = *out;
    return r->st == LLM_OK;
}

static bool peek(lls_jrun_t *r, lls_jloop_t *loop)
{
    lls_jval_t v;

    if (loop->after.type == JV_MISSING && fetch(r, loop, &v))
        loop->after = v;
    return loop->after.type != JV_MISSING;
}

/* Where the length is not known, what is left is worked out. */
static int64_t length(lls_jrun_t *r, lls_jloop_t *loop)
{
    lls_jval_t rest, v;
    size_t     cap = 0;

    if (loop->length >= 0)
        return loop->length;
    if (loop->tested)
        loop->length = lls_jlength(loop->it.of);
    if (loop->length >= 0)
        return loop->length;
    rest = lls_jlist(r, JV_LIST, 0);
    while (r->st == LLM_OK && fetch(r, loop, &v))
        lls_jpush(r, rest.u.list, &cap, v);
    if (r->st != LLM_OK)
        return 0;
    loop->it = (lls_jiter_t){.of = rest};
    loop->tested = true;
    loop->length = (int64_t)rest.u.list->n + loop->index0 + 1 + (loop->after.type != JV_MISSING);
    return loop->length;
}

static lls_jval_t m_cycle(lls_jrun_t *r, const lls_jfunc_t *f, lls_jval_t self, const lls_jval_t *a,
                          const lls_jargs_t *args)
{
    (void)f, (void)a;
    if (args->n_pos == 0 || args->n_kw != 0)
        return lls_jraise(r, LLM_ERR_INVALID, "cycle needs items");
    return args->pos[(size_t)self.u.loop->index0 % args->n_pos];
}

static lls_jval_t m_changed(lls_jrun_t *r, const lls_jfunc_t *f, lls_jval_t self,
                            const lls_jval_t *a, const lls_jargs_t *args)
{
    lls_jval_t now = lls_jlist(r, JV_TUPLE, args->n_pos);

    (void)f, (void)a;
    if (r->st == LLM_OK && args->n_kw != 0)
        lls_jraise(r, LLM_ERR_INVALID, "changed takes no names");
    if (r->st != LLM_OK)
        return lls_jmissing();
    if (args->n_pos != 0)
        memcpy(now.u.list->items, args->pos, args->n_pos * sizeof now);
    if (lls_jequal(r, now, self.u.loop->changed))
        return lls_jbool(false);
    self.u.loop->changed = now;
    return lls_jbool(true);
}

static lls_jval_t bound(lls_jrun_t *r, lls_jloop_t *loop, const lls_jfunc_t *f)
{
    lls_jmethod_t *m = lls_jalloc(r, sizeof *m);

    if (m == NULL)
        return lls_jmissing();
    *m = (lls_jmethod_t){{.type = JV_LOOP, .u.loop = loop}, f};
    return (lls_jval_t){.type = JV_METHOD, .u.method = m};
}

lls_jval_t lls_jloop_attr(lls_jrun_t *r, lls_jloop_t *loop, const lls_jstr_t *name)
{
    static const lls_jfunc_t cycle = {"cycle", NULL, 0, 0, m_cycle},
                             changed = {"changed", NULL, 0, 0, m_changed};

    if (lls_jstr_is(name, "index"))
        return lls_jint(loop->index0 + 1);
    if (lls_jstr_is(name, "index0"))
        return lls_jint(loop->index0);
    if (lls_jstr_is(name, "first"))
        return lls_jbool(loop->index0 == 0);
    if (lls_jstr_is(name, "last"))
        return lls_jbool(!peek(r, loop));
    if (lls_jstr_is(name, "length"))
        return lls_jint(length(r, loop));
    if (lls_jstr_is(name, "revindex"))
        return lls_jint(length(r, loop) - loop->index0);
    if (lls_jstr_is(name, "revindex0"))
        return lls_jint(length(r, loop) - loop->index0 - 1);
    if (lls_jstr_is(name, "depth"))
        return lls_jint(loop->depth0 + 1);
    if (lls_jstr_is(name, "depth0"))
        return lls_jint(loop->depth0);
    if (lls_jstr_is(name, "previtem"))
        return loop->index0 == 0 ? lls_jundefined(JU_ATTR, name) : loop->before;
    if (lls_jstr_is(name, "nextitem"))
        return peek(r, loop) ? loop->after : lls_jundefined(JU_ATTR, name);
    if (lls_jstr_is(name, "cycle"))
        return bound(r, loop, &cycle);
    if (lls_jstr_is(name, "changed"))
        return bound(r, loop, &changed);
    return lls_jmissing();
}
