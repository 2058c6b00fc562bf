/* SPDX-License-Identifier: Apache-2.0 */
#include "base/forked.h"

#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

void lls_forked_init(lls_forked_t *f)
{
    size_t size = (size_t)sysconf(_SC_PAGESIZE);
    char  *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    f->pid = getpid();
    f->mark = NULL;
    if (page == MAP_FAILED)
        return;
    if (madvise(page, size, MADV_WIPEONFORK) != 0) {
        munmap(page, size);
        return;
    }
    *page = 1;
    f->mark = page;
}

void lls_forked_deinit(lls_forked_t *f)
{
    if (f->mark != NULL)
        munmap((void *)(uintptr_t)f->mark, (size_t)sysconf(_SC_PAGESIZE));
    f->mark = NULL;
}

bool lls_forked_compare(const lls_forked_t *f) { return f->pid != getpid(); }
