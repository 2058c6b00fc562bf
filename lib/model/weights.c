/* SPDX-License-Identifier: Apache-2.0 */
#include "model/weights.h"

#include <dirent.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/json.h"
#include "base/sort.h"
#include "model/safetensors.h"

#define SINGLE "model.safetensors"
#define INDEX "model.safetensors.index.json"
#define PICKLE "pytorch_model.bin"
#define MAX_INDEX_BYTES 100000000u

typedef struct shard {
    char             *file; /* as the index names it */
    lls_map_t         map;
    lls_safetensors_t table; /* its items move into the one table, its names stay */
} shard_t;

struct lls_weights {
    lls_mem_t    *mem;
    lls_gguf_t   *gguf; /* or shards */
    char         *gguf_names;
    shard_t      *shards;
    size_t        n_shards, cap_shards;
    lls_weight_t *items;
    uint32_t     *order; /* sorted by name */
    uint32_t      n;
};

static llm_status_t no_memory(const char *path, llm_error_t *err)
{
    return lls_fail(err, LLM_ERR_NO_MEMORY, "%s: no memory for the table of tensors", path);
}

/* ---- The table ---- */

static int cmp_names(const void *ctx, uint32_t a, uint32_t b)
{
    const lls_weight_t *items = ctx;

    return strcmp(items[a].name, items[b].name);
}

static llm_status_t index_names(lls_weights_t *w, const char *path, llm_error_t *err)
{
    w->order = lls_calloc(w->mem, w->n, sizeof *w->order);
    if (w->order == NULL)
        return no_memory(path, err);
    for (uint32_t i = 0; i < w->n; i++)
        w->order[i] = i;
    lls_sort_ids(w->order, w->n, cmp_names, w->items);
    for (uint32_t i = 1; i < w->n; i++)
        if (cmp_names(w->items, w->order[i - 1], w->order[i]) == 0)
            return lls_fail(err, LLM_ERR_FORMAT, "%s: tensor %.100s is in two of its files", path,
                            w->items[w->order[i]].name);
    return LLM_OK;
}

const lls_weight_t *lls_weights_find(const lls_weights_t *w, const char *name)
{
    uint32_t lo = 0, hi = w->n;

    while (lo < hi) {
        uint32_t            mid = lo + (hi - lo) / 2;
        const lls_weight_t *t = &w->items[w->order[mid]];
        int                 c = strcmp(name, t->name);

        if (c == 0)
            return t;
        if (c < 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    return NULL;
}

/* ---- GGUF ---- */

static bool scheme_of(uint32_t ggml_type, uint32_t *scheme)
{
    static const struct {
        uint32_t ggml_type, scheme;
    } known[] = {
        /* ORDER scheme */
        { 0, LLS_W_F32 },     { 1, LLS_W_F16 },   { 30, LLS_W_BF16 },   { 2, LLS_W_Q4_0 },
        { 3, LLS_W_Q4_1 },    { 6, LLS_W_Q5_0 },  { 7, LLS_W_Q5_1 },    { 8, LLS_W_Q8_0 },
        { 20, LLS_W_IQ4_NL }, { 10, LLS_W_Q2_K }, { 11, LLS_W_Q3_K },   { 12, LLS_W_Q4_K },
        { 13, LLS_W_Q5_K },   { 14, LLS_W_Q6_K }, { 23, LLS_W_IQ4_XS },
    };

    for (size_t i = 0; i < LLS_ARRAY_LEN(known); i++)
        if (known[i].ggml_type == ggml_type) {
            *scheme = known[i].scheme;
            return true;
        }
    return false;
}

static llm_status_t refuse_type(const char *path, const lls_weight_t *t, uint32_t ggml_type,
                                llm_error_t *err)
{
    static const char way_out[] = "use a file of F32, F16, BF16, Q8_0, Q2_K to Q6_K, Q4_0 to "
                                  "Q5_1, IQ4_NL or IQ4_XS";
    const char       *type = lls_gguf_type_name(ggml_type);

    if (type != NULL)
        return lls_fail(err, LLM_ERR_UNSUPPORTED,
                        "%s: tensor %.100s has type %s, which is not supported; %s", path, t->name,
                        type, way_out);
    return lls_fail(err, LLM_ERR_UNSUPPORTED,
                    "%s: tensor %.100s has type %u, which is not known; %s", path, t->name,
                    ggml_type, way_out);
}

static llm_status_t adopt_gguf_tensor(const char *path, const lls_gguf_tensor_t *from,
                                      lls_weight_t *t, llm_error_t *err)
{
    if (!scheme_of(from->ggml_type, &t->scheme))
        return refuse_type(path, t, from->ggml_type, err);
    t->n_dims = from->n_dims;
    for (uint32_t d = 0; d < LLS_ARRAY_LEN(t->shape); d++)
        t->shape[d] = d < t->n_dims ? from->shape[t->n_dims - 1 - d] : 1;
    t->data = from->data;
    t->bytes = from->bytes;
    return LLM_OK;
}

static llm_status_t adopt_gguf(lls_weights_t *w, const char *path, llm_error_t *err)
{
    uint64_t     n = lls_gguf_n_tensors(w->gguf), bytes = 0;
    llm_status_t st = LLM_OK;
    char        *text;

    for (uint64_t i = 0; i < n; i++)
        bytes += lls_gguf_tensor(w->gguf, i)->name.len + 1;
    w->items = lls_calloc(w->mem, n, sizeof *w->items);
    w->gguf_names = lls_zalloc(w->mem, bytes);
    if (w->items == NULL || w->gguf_names == NULL)
        return no_memory(path, err);
    text = w->gguf_names;
    for (uint64_t i = 0; i < n && st == LLM_OK; i++) {
        const lls_gguf_tensor_t *t = lls_gguf_tensor(w->gguf, i);

        w->items[i].name = memcpy(text, t->name.text, t->name.len);
        text += t->name.len + 1;
        st = adopt_gguf_tensor(path, t, &w->items[i], err);
    }
    w->n = (uint32_t)n;
    return st == LLM_OK ? index_names(w, path, err) : st;
}

static llm_status_t open_gguf(lls_weights_t *w, const char *path, llm_error_t *err)
{
    uint64_t     n_parts;
    llm_status_t st = lls_gguf_open(w->mem, path, &w->gguf, err);

    if (st != LLM_OK)
        return st;
    if (lls_gguf_get_u64(w->gguf, "split.count", &n_parts) && n_parts > 1)
        return lls_fail(err, LLM_ERR_UNSUPPORTED,
                        "%s: one of %llu parts of a split GGUF, which is not supported; merge them",
                        path, (unsigned long long)n_parts);
    return adopt_gguf(w, path, err);
}

/* ---- Safetensors ---- */

static llm_status_t add_shard(lls_weights_t *w, const char *dir, const char *file, llm_error_t *err)
{
    shard_t     *s;
    char        *path;
    llm_status_t st;

    if (!lls_reserve(w->mem, (void **)&w->shards, &w->cap_shards, w->n_shards + 1,
                     sizeof *w->shards))
        return no_memory(dir, err);
    s = &w->shards[w->n_shards];
    *s = (shard_t){ .file = lls_strdup(w->mem, file) };
    w->n_shards++;
    path = lls_path_join(w->mem, dir, file);
    if (s->file == NULL || path == NULL) {
        lls_free(w->mem, path);
        return no_memory(dir, err);
    }
    st = lls_map_file(path, &s->map, err);
    if (st != LLM_OK)
        s->map = (lls_map_t){ 0 };
    else
        st = lls_safetensors_init(w->mem, &s->table, s->map.data, s->map.size, path, err);
    lls_free(w->mem, path);
    return st;
}

/* One table of what all shards have. */
static llm_status_t merge_shards(lls_weights_t *w, const char *dir, llm_error_t *err)
{
    uint64_t n = 0;

    for (size_t i = 0; i < w->n_shards; i++)
        n += w->shards[i].table.n;
    if (n >= LLS_NONE)
        return lls_fail(err, LLM_ERR_FORMAT, "%s: %llu tensors are too many", dir,
                        (unsigned long long)n);
    w->items = lls_calloc(w->mem, n, sizeof *w->items);
    if (w->items == NULL)
        return no_memory(dir, err);
    for (size_t i = 0; i < w->n_shards; i++) {
        lls_safetensors_t *table = &w->shards[i].table;

        if (table->n > 0)
            memcpy(w->items + w->n, table->items, table->n * sizeof *w->items);
        w->n += table->n;
        lls_free(w->mem, table->items);
        table->items = NULL;
    }
    return index_names(w, dir, err);
}

static llm_status_t open_single(lls_weights_t *w, const char *dir, llm_error_t *err)
{
    llm_status_t st = add_shard(w, dir, SINGLE, err);

    return st == LLM_OK ? merge_shards(w, dir, err) : st;
}

static const shard_t *find_shard(const lls_weights_t *w, const char *file)
{
    for (size_t i = w->n_shards; i-- > 0;) /* an index names the same one many times in a row */
        if (strcmp(w->shards[i].file, file) == 0)
            return &w->shards[i];
    return NULL;
}

/* The file of a tensor: a plain name, so that an index cannot point out of its directory. */
static llm_status_t shard_name(const char *dir, const char *tensor, const json_t *value,
                               const char **file, llm_error_t *err)
{
    *file = json_string_value(value);
    if (*file == NULL)
        return lls_fail(err, LLM_ERR_FORMAT,
                        "%s/" INDEX ": the file of tensor %.100s is not a string", dir, tensor);
    if (**file == '\0' || strlen(*file) != json_string_length(value) ||
        strchr(*file, '/') != NULL || strchr(*file, '\\') != NULL || strstr(*file, "..") != NULL)
        return lls_fail(err, LLM_ERR_FORMAT,
                        "%s/" INDEX ": tensor %.100s is in %.100s, which is not a plain file name",
                        dir, tensor, *file);
    return LLM_OK;
}

static llm_status_t open_shards(lls_weights_t *w, const char *dir, json_t *map, llm_error_t *err)
{
    llm_status_t st = LLM_OK;
    const char  *tensor, *file;
    json_t      *value;

    json_object_foreach(map, tensor, value)
    {
        st = shard_name(dir, tensor, value, &file, err);
        if (st == LLM_OK && find_shard(w, file) == NULL)
            st = add_shard(w, dir, file, err);
        if (st != LLM_OK)
            break;
    }
    return st;
}

/* Every tensor of the index is in the file that the index says. */
static llm_status_t check_index(const lls_weights_t *w, const char *dir, json_t *map,
                                llm_error_t *err)
{
    const char *tensor;
    json_t     *value;

    json_object_foreach(map, tensor, value)
    {
        const lls_weight_t *t = lls_weights_find(w, tensor);
        const shard_t      *s = find_shard(w, json_string_value(value));

        if (t == NULL || t->data < s->map.data || t->data > s->map.data + s->map.size)
            return lls_fail(err, LLM_ERR_FORMAT,
                            "%s: tensor %.100s is not in %.100s, where " INDEX " has it", dir,
                            tensor, s->file);
    }
    return LLM_OK;
}

static llm_status_t open_indexed(lls_weights_t *w, const char *dir, json_t *index, llm_error_t *err)
{
    json_t      *map = json_object_get(index, "weight_map");
    llm_status_t st;

    if (json_object_size(map) == 0)
        return lls_fail(err, LLM_ERR_FORMAT, "%s/" INDEX ": weight_map is absent or empty", dir);
    st = open_shards(w, dir, map, err);
    if (st == LLM_OK)
        st = merge_shards(w, dir, err);
    return st == LLM_OK ? check_index(w, dir, map, err) : st;
}

static llm_status_t open_sharded(lls_weights_t *w, const char *dir, llm_error_t *err)
{
    char        *path = lls_path_join(w->mem, dir, INDEX);
    json_t      *index;
    llm_status_t st;

    if (path == NULL)
        return no_memory(dir, err);
    st = lls_json_load(w->mem, path, MAX_INDEX_BYTES, &index, err);
    lls_free(w->mem, path);
    if (st != LLM_OK)
        return st;
    st = open_indexed(w, dir, index, err);
    json_decref(index);
    return st;
}

/* ---- Which container ---- */

static bool ends_with(const char *text, const char *end)
{
    size_t a = strlen(text), b = strlen(end);

    return a >= b && strcmp(text + a - b, end) == 0;
}

static llm_status_t has_file(lls_weights_t *w, const char *dir, const char *file, bool *yes,
                             llm_error_t *err)
{
    char *path = lls_path_join(w->mem, dir, file);

    *yes = path != NULL && lls_path_exists(path);
    if (path == NULL)
        return no_memory(dir, err);
    lls_free(w->mem, path);
    return LLM_OK;
}

/* The path of the one .gguf file of a directory, for the caller to free; NULL if there is none. */
static llm_status_t find_gguf(lls_weights_t *w, const char *dir, char **path, llm_error_t *err)
{
    DIR           *d = opendir(dir);
    struct dirent *entry;
    uint32_t       n = 0;

    *path = NULL;
    if (d == NULL)
        return lls_fail(err, LLM_ERR_IO, "%s: the directory cannot be read", dir);
    while ((entry = readdir(d)) != NULL)
        if (ends_with(entry->d_name, ".gguf") && n++ == 0)
            *path = lls_path_join(w->mem, dir, entry->d_name);
    closedir(d);
    if (n == 0 || (n == 1 && *path != NULL))
        return LLM_OK;
    lls_free(w->mem, *path);
    *path = NULL;
    if (n == 1)
        return no_memory(dir, err);
    return lls_fail(err, LLM_ERR_INVALID, "%s: %u .gguf files; give the path of one", dir, n);
}

static llm_status_t nothing_found(lls_weights_t *w, const char *dir, bool safetensors, bool gguf,
                                  llm_error_t *err)
{
    bool         pickle, parts;
    llm_status_t st = has_file(w, dir, PICKLE, &pickle, err);

    if (st == LLM_OK)
        st = has_file(w, dir, PICKLE ".index.json", &parts, err);
    if (st != LLM_OK)
        return st;
    if (pickle || parts)
        return lls_fail(
            err, LLM_ERR_UNSUPPORTED,
            "%s: pickle checkpoints (" PICKLE ") are not supported; convert to safetensors", dir);
    return lls_fail(err, LLM_ERR_IO, "%s: no %s%s%s found", dir,
                    safetensors ? SINGLE " or " INDEX : "", safetensors && gguf ? " or " : "",
                    gguf ? ".gguf file" : "");
}

static llm_status_t open_dir(lls_weights_t *w, const char *dir, bool safetensors, bool gguf,
                             llm_error_t *err)
{
    bool         single, sharded;
    char        *path = NULL;
    llm_status_t st = has_file(w, dir, SINGLE, &single, err);

    if (st == LLM_OK)
        st = has_file(w, dir, INDEX, &sharded, err);
    if (st != LLM_OK)
        return st;
    if (safetensors && single)
        return open_single(w, dir, err);
    if (safetensors && sharded)
        return open_sharded(w, dir, err);
    if (gguf)
        st = find_gguf(w, dir, &path, err);
    if (st != LLM_OK)
        return st;
    if (path == NULL)
        return nothing_found(w, dir, safetensors, gguf, err);
    st = open_gguf(w, path, err);
    lls_free(w->mem, path);
    return st;
}

static llm_status_t open_any(lls_weights_t *w, const char *path, const char *load_format,
                             llm_error_t *err)
{
    bool any = strcmp(load_format, "auto") == 0;
    bool safetensors = any || strcmp(load_format, "safetensors") == 0;
    bool gguf = any || strcmp(load_format, "gguf") == 0;

    if (!safetensors && !gguf)
        return lls_fail_param(err, LLM_ERR_INVALID, "load-format",
                              "load-format %.40s is not auto, safetensors or gguf", load_format);
    if (lls_path_is_dir(path))
        return open_dir(w, path, safetensors, gguf, err);
    if (gguf &&
        (!any || ends_with(path, ".gguf") || !lls_path_exists(path) || lls_gguf_probe(path)))
        return open_gguf(w, path, err);
    if (!lls_path_exists(path))
        return lls_fail(err, LLM_ERR_IO, "%s: no such directory", path);
    return lls_fail(err, LLM_ERR_FORMAT, "%s: not a %s; give the directory of a model%s", path,
                    gguf ? "GGUF file" : "directory", gguf ? " or a .gguf file" : "");
}

llm_status_t lls_weights_open(lls_mem_t *mem, const char *path, const char *load_format,
                              lls_weights_t **out, llm_error_t *err)
{
    lls_weights_t *w = lls_zalloc(mem, sizeof *w);
    llm_status_t   st;

    *out = NULL;
    if (w == NULL)
        return no_memory(path, err);
    w->mem = mem;
    st = open_any(w, path, load_format, err);
    if (st == LLM_OK)
        *out = w;
    else
        lls_weights_close(w);
    return st;
}

void lls_weights_close(lls_weights_t *w)
{
    if (w == NULL)
        return;
    for (size_t i = 0; i < w->n_shards; i++) {
        lls_safetensors_deinit(w->mem, &w->shards[i].table);
        lls_unmap_file(&w->shards[i].map);
        lls_free(w->mem, w->shards[i].file);
    }
    lls_free(w->mem, w->shards);
    lls_free(w->mem, w->gguf_names);
    lls_gguf_close(w->gguf);
    lls_free(w->mem, w->items);
    lls_free(w->mem, w->order);
    lls_free(w->mem, w);
}

static void feed_file(lls_sip_t *s, const lls_map_t *map)
{
    lls_sip_word(s, map->size);
    lls_sip_word(s, (uint64_t)map->changed_ns);
}

uint64_t lls_weights_stamp(const lls_weights_t *w)
{
    static const uint64_t key[2] = { 0, 3 };
    lls_sip_t             s = lls_sip_begin(key);

    if (w->gguf != NULL)
        feed_file(&s, lls_gguf_map(w->gguf));
    for (size_t i = 0; i < w->n_shards; i++)
        feed_file(&s, &w->shards[i].map);
    return lls_sip_end(&s).lo;
}

uint32_t lls_weights_n(const lls_weights_t *w) { return w->n; }

const lls_weight_t *lls_weights_at(const lls_weights_t *w, uint32_t i)
{
    lls_assert(i < w->n);
    return &w->items[i];
}

const lls_gguf_t *lls_weights_gguf(const lls_weights_t *w) { return w->gguf; }

/* ---- Pages ---- */

/* Advice for all pages that n bytes touch.  Those of a neighbour too: it may take no more than one
 * byte to have 2 MB of a file in memory, and giving back less than all of them leaves the rest. */
static void advise(const void *data, uint64_t n, int advice)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t begin = (uintptr_t)data & ~(page - 1), end = (uintptr_t)data + n;

    if (n > 0)
        madvise((void *)begin, lls_align_up(end, page) - begin, advice);    /* it may fail */
}

void lls_weights_will_need(const lls_weight_t *t) { advise(t->data, t->bytes, MADV_WILLNEED); }

void lls_weights_done_with(const lls_weight_t *t) { advise(t->data, t->bytes, MADV_DONTNEED); }

void lls_weights_release(const void *data, size_t n) { advise(data, n, MADV_DONTNEED); }
