/* SPDX-License-Identifier: Apache-2.0 */
/*
 * closeness - two models over one text: mean KL(exact || quick) and how often their first choices
 * agree.
 */
#ifndef LLS_TEST_CLOSENESS_H
#define LLS_TEST_CLOSENESS_H

#include "golden/drive.h"

#include <stdio.h>
#include <time.h>

#define CLOSENESS_PIECE 250u        /* tokens; n is a multiple */

typedef struct closeness {
    double kl, same;                /* mean; share of n */
} closeness_t;

static inline void closeness_add(const drive_t *d, float *exact, float *quick, closeness_t *sum)
{
    for (uint32_t i = 0; i < CLOSENESS_PIECE; i++) {
        float *p = exact + (size_t)i * d->n_vocab, *q = quick + (size_t)i * d->n_vocab;

        sum->same += drive_argmax(p, d->n_vocab) == drive_argmax(q, d->n_vocab);
        drive_logprobs(p, d->n_vocab);
        drive_logprobs(q, d->n_vocab);
        sum->kl += drive_kl(p, q, 1, d->n_vocab);
    }
}

/* Both from their empty sequences, of n tokens at least. */
static inline closeness_t closeness_of(drive_t *exact, drive_t *quick, const int32_t *ids,
                                       uint32_t n, const char *what)
{
    size_t      size = (size_t)CLOSENESS_PIECE * exact->n_vocab * sizeof(float);
    float      *p = malloc(size), *q = malloc(size);
    closeness_t c = { 0 };
    clock_t     start = clock();

    for (uint32_t at = 0; at < n; at += CLOSENESS_PIECE) {
        drive_run(exact, ids + at, at, CLOSENESS_PIECE, CLOSENESS_PIECE, CLOSENESS_PIECE, p);
        drive_run(quick, ids + at, at, CLOSENESS_PIECE, CLOSENESS_PIECE, CLOSENESS_PIECE, q);
        closeness_add(exact, p, q, &c);
    }
    c.kl /= n;
    c.same /= n;
    print_message("%s, %s: mean KL to float32 %.5f, top-1 agreement %.2f %%, %.1f s\n",
                  quick->ops->name, what, c.kl, 100 * c.same,
                  (double)(clock() - start) / CLOCKS_PER_SEC);
    free(p);
    free(q);
    return c;
}

#endif
