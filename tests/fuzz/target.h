/* SPDX-License-Identifier: Apache-2.0 */
/*
 * target - what the fuzz targets of lib/text share: memory that is counted, errors that read well,
 * inputs that cost at most a second, and the run over the files of a corpus.
 *
 * A target defines try_input().  Built with -DLLS_LIBFUZZER libFuzzer calls it; otherwise the
 * target's own main() does, for each file of tests/fuzz/corpus/<name> and for mutations of them.
 */
#ifndef LLS_TEST_TARGET_H
#define LLS_TEST_TARGET_H

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "fuzz/count.h"
#include "fuzz/mutate.h"

#define FUZZ_CAP 65536u                 /* bytes of an input */
#define FUZZ_MEMORY ((size_t)512 << 20)

#if defined(__SANITIZE_ADDRESS__) || defined(LLS_LIBFUZZER)
#define FUZZ_SECONDS 10.0               /* sanitizers make everything some times slower */
#else
#define FUZZ_SECONDS 1.0
#endif

static const char *fuzz_input = "libFuzzer's input";
static uint64_t    fuzz_n_good, fuzz_n_refused;
static double      fuzz_began;          /* processor time of this thread, in seconds */

static inline void fuzz_check(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "%s: %s\n", fuzz_input, what);
    abort();
}

static inline double fuzz_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static inline void fuzz_begin(fuzz_count_t *c, lls_mem_t *mem)
{
    fuzz_began = fuzz_seconds();
    fuzz_count(c, mem);
}

static inline void fuzz_end(const fuzz_count_t *c)
{
    fuzz_check(c->live == 0, "memory is lost");
    fuzz_check(c->peak < FUZZ_MEMORY, "a small input took much memory");
    fuzz_check(fuzz_seconds() - fuzz_began < FUZZ_SECONDS, "an input took too long");
}

/* Whether it went well; counts both, and reads the message of a failure. */
static inline bool fuzz_went_well(llm_status_t st, const llm_error_t *err)
{
    size_t n;

    fuzz_n_good += st == LLM_OK;
    fuzz_n_refused += st != LLM_OK;
    if (st == LLM_OK)
        return true;
    n = strnlen(err->message, sizeof err->message);
    fuzz_check(st < 0 && n > 0 && n < sizeof err->message, "an error without a message");
    fuzz_check(memchr(err->message, '\n', n) == NULL, "a message of more than one line");
    fuzz_check(lls_utf8_valid(err->message, n) == n, "a message that is not UTF-8");
    return false;
}

#ifndef LLS_LIBFUZZER

typedef void fuzz_try_t(const uint8_t *data, size_t n);

/* Each file of the corpus as it is; then n mutations of each. */
static inline void fuzz_run_file(const char *path, uint64_t n, fuzz_try_t *try_input)
{
    static uint8_t room[FUZZ_CAP];
    char          *data, what[640];
    size_t         len;
    lls_mem_t      mem;
    llm_error_t    err;

    lls_mem_init(&mem, NULL);
    fuzz_input = path;
    fuzz_check(lls_read_file(&mem, path, FUZZ_CAP, &data, &len, &err) == LLM_OK, "cannot read it");
    try_input((const uint8_t *)data, len);
    fuzz_input = what;
    for (uint64_t i = 1; i <= n; i++) {
        mutator_t m = {.data = room, .cap = sizeof room, .state = i * 0x9e3779b97f4a7c15u | 1};
        uint8_t  *copy;                 /* of exactly its bytes, for ASan */

        snprintf(what, sizeof what, "mutation %llu of %s", (unsigned long long)i, path);
        mut_next(&m), mut_next(&m);
        mutate(&m, (const uint8_t *)data, len);
        copy = malloc(m.n + (m.n == 0));
        fuzz_check(copy != NULL, "no memory");
        memcpy(copy, m.data, m.n);
        try_input(copy, m.n);
        free(copy);
    }
    lls_free(&mem, data);
}

/* The files of tests/fuzz/corpus/<name>, each and n mutations of it; at least one must be there. */
static inline void fuzz_run_corpus(const char *name, uint64_t n, fuzz_try_t *try_input)
{
    char           dir[256], path[600];
    DIR           *d;
    struct dirent *e;
    size_t         n_files = 0;

    snprintf(dir, sizeof dir, TEST_DIR "/fuzz/corpus/%s", name);
    fuzz_input = dir;
    d = opendir(dir);
    fuzz_check(d != NULL, "no such corpus");
    while ((e = readdir(d)) != NULL) {
        if (e->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        fuzz_run_file(path, n, try_input);
        n_files++;
    }
    closedir(d);
    fuzz_input = dir;
    fuzz_check(n_files > 0, "the corpus is empty");
    printf("%s: %zu files, %llu mutations of each: %llu good, %llu refused\n", name, n_files,
           (unsigned long long)n, (unsigned long long)fuzz_n_good,
           (unsigned long long)fuzz_n_refused);
}

#endif
#endif
