/* SPDX-License-Identifier: Apache-2.0 */
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static llm_status_t io_error(llm_error_t *err, const char *path, int code)
{
    char        text[128] = "error";
    const char *why = text;

#ifdef __GLIBC__                    /* with _GNU_SOURCE it returns the text, elsewhere a code */
    why = strerror_r(code, text, sizeof text);
#else
    (void)strerror_r(code, text, sizeof text);
#endif
    return lls_fail(err, LLM_ERR_IO, "%s: %s", path, why);
}

static llm_status_t open_regular(const char *path, int *fd, struct stat *st, llm_error_t *err)
{
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);      /* a FIFO must not block us */
    if (*fd < 0)
        return io_error(err, path, errno);
    if (fstat(*fd, st) != 0 || !S_ISREG(st->st_mode)) {
        close(*fd);
        return lls_fail(err, LLM_ERR_IO, "%s: not a regular file", path);
    }
    return LLM_OK;
}

llm_status_t lls_map_file(const char *path, lls_map_t *map, llm_error_t *err)
{
    int          fd;
    void        *p;
    struct stat  is;
    llm_status_t st = open_regular(path, &fd, &is, err);

    *map = (lls_map_t){ .data = (const uint8_t *)"" };
    if (st != LLM_OK)
        return st;
    map->size = (uint64_t)is.st_size;
    map->changed_ns = (int64_t)is.st_mtim.tv_sec * 1000000000 + is.st_mtim.tv_nsec;
    if (map->size > 0) {
        p = mmap(NULL, map->size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p == MAP_FAILED)
            st = io_error(err, path, errno);
        else
            map->data = p;
    }
    close(fd);
    return st;
}

void lls_unmap_file(lls_map_t *map)
{
    if (map->size > 0)
        munmap((void *)(uintptr_t)map->data, map->size);
    *map = (lls_map_t){ 0 };
}

llm_status_t lls_read_at(int fd, const char *path, uint64_t at, void *to, size_t n,
                         llm_error_t *err)
{
    for (size_t done = 0; done < n;) {
        ssize_t got = pread(fd, (uint8_t *)to + done, n - done, (off_t)(at + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got == 0 ? lls_fail(err, LLM_ERR_IO, "%s: shorter than its size says", path)
                            : io_error(err, path, errno);
        done += (size_t)got;
    }
    return LLM_OK;
}

llm_status_t lls_read_file(lls_mem_t *mem, const char *path, uint64_t limit, char **text,
                           size_t *len, llm_error_t *err)
{
    int          fd;
    uint64_t     size;
    struct stat  is;
    llm_status_t st = open_regular(path, &fd, &is, err);

    *text = NULL;
    *len = 0;
    if (st != LLM_OK)
        return st;
    size = (uint64_t)is.st_size;
    if (size > limit) {
        close(fd);
        return lls_fail(err, LLM_ERR_FORMAT, "%s: %llu bytes, at most %llu are expected", path,
                        (unsigned long long)size, (unsigned long long)limit);
    }
    *text = lls_alloc(mem, size + 1);
    if (*text == NULL)
        st = lls_fail(err, LLM_ERR_NO_MEMORY, "%s: no memory for %llu bytes", path,
                      (unsigned long long)size);
    else
        st = lls_read_at(fd, path, 0, *text, size, err);
    close(fd);
    if (st == LLM_OK) {
        (*text)[size] = '\0';
        *len = size;
        return LLM_OK;
    }
    lls_free(mem, *text);
    *text = NULL;
    return st;
}

llm_status_t lls_open_exact(const char *path, uint64_t size, int *fd, llm_error_t *err)
{
    struct stat  is;
    llm_status_t st = open_regular(path, fd, &is, err);

    if (st != LLM_OK || (uint64_t)is.st_size == size)
        return st;
    close(*fd);
    return lls_fail(err, LLM_ERR_FORMAT, "%s: %lld bytes, %llu are expected", path,
                    (long long)is.st_size, (unsigned long long)size);
}

void lls_close(int fd) { close(fd); }

static bool write_all(int fd, const uint8_t *from, uint64_t n)
{
    for (uint64_t at = 0; at < n;) {
        ssize_t put = write(fd, from + at, n - at);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return false;
        at += (uint64_t)put;
    }
    return true;
}

llm_status_t lls_write_whole(lls_mem_t *mem, const char *path, const void *head, uint64_t n_head,
                             const void *from, uint64_t n, llm_error_t *err)
{
    static const char suffix[] = ".XXXXXX";
    size_t            len = strlen(path);
    char             *draft = lls_alloc(mem, len + sizeof suffix);
    llm_status_t      st = LLM_OK;
    int               fd;

    if (draft == NULL)
        return lls_fail(err, LLM_ERR_NO_MEMORY, "%s: no memory for its name", path);
    memcpy(draft, path, len);
    memcpy(draft + len, suffix, sizeof suffix);
    fd = mkostemp(draft, O_CLOEXEC);
    if (fd < 0 || !write_all(fd, head, n_head) || !write_all(fd, from, n) || fsync(fd) != 0)
        st = io_error(err, path, errno);
    if (fd >= 0 && close(fd) != 0 && st == LLM_OK)
        st = io_error(err, path, errno);
    if (st == LLM_OK && rename(draft, path) != 0)
        st = io_error(err, path, errno);
    if (fd >= 0 && st != LLM_OK)
        unlink(draft);
    lls_free(mem, draft);
    return st;
}

bool lls_path_is_dir(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool lls_path_exists(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0;
}

char *lls_path_join(lls_mem_t *mem, const char *dir, const char *name)
{
    size_t a = strlen(dir), b = strlen(name);
    char  *path = lls_alloc(mem, a + b + 2);

    if (path == NULL)
        return NULL;
    memcpy(path, dir, a);
    path[a] = '/';
    memcpy(path + a + 1, name, b + 1);
    return path;
}
