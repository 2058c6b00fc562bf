/* SPDX-License-Identifier: Apache-2.0 */
/*
 * llm.hpp - llm.h for C++17: owners that free, views that borrow, results instead of exceptions.
 *
 *     auto engine = llm::engine::create({.model = path});      // C++20; in C++17 set the members
 *     if (!engine)
 *         return std::puts(engine.error().message);
 *     llm::request request;
 *     request.text = "The sky is";
 *     if (auto id = engine->add(request); !id)
 *         return std::puts(id.error().message);
 *     while (engine->unfinished() > 0 && engine->step())
 *         while (llm::output out = engine->next_output())
 *             std::cout << out.text();
 *
 * Meanings, units, ranges, defaults and threads are those of llm.h, whose names are kept; this
 * file says only what differs.  Owners (engine, tokenizer, batch) are move-only and may be empty
 * after a move.  What is handed in (string_view, span) is borrowed for the call.  Nothing here
 * throws but std::bad_alloc; it builds with -fno-exceptions.  An exception that leaves a callback
 * of yours stops what called it, as a non-zero return does in C.
 */
#ifndef LLM_HPP
#define LLM_HPP

#include <llm.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace llm {

using request_id = llm_request_id_t;

/* A pointer and a length; made from an array and from whatever has data() and size(). */
template <class T> class span {
public:
    constexpr span() = default;
    constexpr span(const T *data, size_t size) : data_(data), size_(size) {}
    template <size_t N> constexpr span(const T (&array)[N]) : data_(array), size_(N) {}
    template <class C, class = decltype(static_cast<const T *>(std::declval<const C &>().data()))>
    constexpr span(const C &c) : data_(c.data()), size_(c.size()) {}

    constexpr const T *data() const { return data_; }
    constexpr size_t   size() const { return size_; }
    constexpr bool     empty() const { return size_ == 0; }
    constexpr const T *begin() const { return data_; }
    constexpr const T *end() const { return data_ + size_; }
    constexpr const T &operator[](size_t i) const { return data_[i]; }

private:
    const T *data_ = nullptr;
    size_t   size_ = 0;
};

/* ---- Results ------------------------------------------------------------- */

/* A value, or why there is none.  Look at it before * and ->. */
template <class T> class [[nodiscard]] result {
public:
    result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
    result(const llm_error_t &error) : state_(std::in_place_index<1>, error) {}

    explicit operator bool() const { return state_.index() == 0; }
    llm_status_t       status() const { return *this ? LLM_OK : error().status; }
    const llm_error_t &error() const { return *std::get_if<1>(&state_); }
    T                 &operator*() & { return *std::get_if<0>(&state_); }
    const T           &operator*() const & { return *std::get_if<0>(&state_); }
    T                &&operator*() && { return std::move(*std::get_if<0>(&state_)); }
    T                 *operator->() { return std::get_if<0>(&state_); }
    const T           *operator->() const { return std::get_if<0>(&state_); }

private:
    std::variant<T, llm_error_t> state_;
};

template <> class [[nodiscard]] result<void> {
public:
    result() : error_() {}
    result(const llm_error_t &error) : error_(error) {}

    explicit operator bool() const { return error_.status == LLM_OK; }
    llm_status_t       status() const { return error_.status; }
    const llm_error_t &error() const { return error_; }

private:
    llm_error_t error_;
};

namespace detail {

template <class T> T sized()
{
    T t = T();
    t.struct_size = sizeof t;
    return t;
}

inline const char *or_null(const std::string &s) { return s.empty() ? nullptr : s.c_str(); }

/* For calls that give a status and no error. */
inline result<void> from_status(llm_status_t status)
{
    llm_error_t error = llm_error_t();

    error.status = status;
    std::string_view(llm_strerror(status)).copy(error.message, sizeof error.message - 1);
    return error;
}

template <class F> result<void> call(F f)
{
    llm_error_t error;

    return f(&error) == LLM_OK ? result<void>() : result<void>(error);
}

/* Calls what user points at; an exception is a refusal. */
template <class F, class... A> int32_t guarded(void *user, A &&...args)
{
#ifdef __cpp_exceptions
    try {
        return (*static_cast<F *>(user))(std::forward<A>(args)...) ? 0 : 1;
    } catch (...) {
        return 1;
    }
#else
    return (*static_cast<F *>(user))(std::forward<A>(args)...) ? 0 : 1;
#endif
}

template <class F> int32_t on_progress(void *user, const llm_progress_t *progress)
{
    return guarded<F>(user, *progress);
}

template <class F> int32_t on_logits(void *user, llm_logits_t *row)
{
    return guarded<F>(user, *row);
}

/* Two calls: how much, then all of it.  f(buffer, capacity, &n, &error). */
template <class C, class F> result<C> collect(F f)
{
    llm_error_t  error;
    size_t       n = 0;
    llm_status_t status = f(nullptr, 0, &n, &error);
    C            all;

    while (status == LLM_OK || status == LLM_ERR_NO_SPACE) {
        all.resize(n);
        status = n == 0 ? LLM_OK : f(&all[0], all.size(), &n, &error);
        if (status == LLM_OK) {
            all.resize(n);
            return all;
        }
    }
    return error;
}

} // namespace detail

/* ---- What goes in -------------------------------------------------------- */

using option = std::pair<std::string, std::string>;     /* name, value */

struct engine_config {
    std::string         model, tokenizer, device, dtype;    /* "" = the default */
    uint64_t            kv_cache_memory_bytes = 0;
    uint64_t            seed = 0;
    uint32_t            max_model_len = 0;
    uint32_t            max_num_seqs = 0;
    uint32_t            max_num_batched_tokens = 0;
    uint32_t            max_num_queued_reqs = 0;
    float               gpu_memory_utilization = 0;
    uint32_t            n_threads = 0;
    std::vector<option> options;
    int32_t             log_level = 0;
    llm_log_fn          log = nullptr;
    void               *log_user = nullptr;
    llm_progress_fn     progress = nullptr;
    void               *progress_user = nullptr;
    const llm_allocator_t *allocator = nullptr;
};

struct sampling_params {            /* all zero: greedy, 16 tokens */
    uint32_t flags = 0;
    float    temperature = 0, top_p = 0, min_p = 0;
    float    repetition_penalty = 0, presence_penalty = 0, frequency_penalty = 0;
    uint32_t top_k = 0, n = 0, max_tokens = 0, min_tokens = 0;
    int32_t  n_logprobs = 0, n_prompt_logprobs = 0;
    uint64_t seed = 0;
    std::vector<std::string>      stop, bad_words;
    std::vector<int32_t>          stop_token_ids, allowed_token_ids;
    std::vector<llm_logit_bias_t> logit_bias;
    std::string                   guide;
    int32_t                       guide_kind = LLM_GUIDE_NONE;
    llm_logits_fn                 logits_fn = nullptr;
    void                         *logits_user = nullptr;

    /* f is bool(llm_logits_t &); false ends the completion.  It must outlive the request. */
    template <class F> void set_logits_fn(F &f)
    {
        logits_fn = detail::on_logits<F>;
        logits_user = &f;
    }
};

/* Set exactly one of text, tokens and chat. */
struct request {
    std::string_view       text, chat;
    span<int32_t>          tokens;
    const sampling_params *sampling = nullptr;  /* nullptr = the engine's defaults */
    uint32_t               flags = 0;
    void                  *user_data = nullptr;
    std::string            cache_salt;
    std::vector<option>    options;
    int32_t                priority = 0;
    int32_t                output_kind = LLM_OUTPUT_DELTA;
    uint32_t               stream_interval = 0;
    uint32_t               queue_timeout_ms = 0;
    uint32_t               timeout_ms = 0;
};

namespace detail {

/* The C form of a list of options, of sampling parameters, of requests; borrows from it. */
class c_options {
public:
    explicit c_options(const std::vector<option> &from)
    {
        for (const option &o : from)
            list_.push_back({o.first.c_str(), o.second.c_str()});
    }
    const llm_option_t *data() const { return list_.data(); }
    size_t              size() const { return list_.size(); }

private:
    std::vector<llm_option_t> list_;
};

inline std::vector<const char *> c_strings(const std::vector<std::string> &from)
{
    std::vector<const char *> list;

    for (const std::string &s : from)
        list.push_back(s.c_str());
    return list;
}

/* Between the two forms of sampling parameters: all but lists and the guide's text. */
template <class From, class To> void copy_scalars(const From &from, To &to)
{
    to.flags = from.flags;
    to.temperature = from.temperature;
    to.top_p = from.top_p;
    to.min_p = from.min_p;
    to.repetition_penalty = from.repetition_penalty;
    to.presence_penalty = from.presence_penalty;
    to.frequency_penalty = from.frequency_penalty;
    to.top_k = from.top_k;
    to.n = from.n;
    to.max_tokens = from.max_tokens;
    to.min_tokens = from.min_tokens;
    to.n_logprobs = from.n_logprobs;
    to.n_prompt_logprobs = from.n_prompt_logprobs;
    to.seed = from.seed;
    to.guide_kind = from.guide_kind;
    to.logits_fn = from.logits_fn;
    to.logits_user = from.logits_user;
}

class c_sampling {
public:
    explicit c_sampling(const sampling_params &p)
        : stop_(c_strings(p.stop)), bad_words_(c_strings(p.bad_words)),
          c_(sized<llm_sampling_params_t>())
    {
        copy_scalars(p, c_);
        c_.stop = stop_.data();
        c_.n_stop = stop_.size();
        c_.bad_words = bad_words_.data();
        c_.n_bad_words = bad_words_.size();
        c_.stop_token_ids = p.stop_token_ids.data();
        c_.n_stop_token_ids = p.stop_token_ids.size();
        c_.allowed_token_ids = p.allowed_token_ids.data();
        c_.n_allowed_token_ids = p.allowed_token_ids.size();
        c_.logit_bias = p.logit_bias.data();
        c_.n_logit_bias = p.logit_bias.size();
        c_.guide = or_null(p.guide);
        c_.guide_len = p.guide.size();
    }
    c_sampling(const c_sampling &) = delete;
    const llm_sampling_params_t *get() const { return &c_; }

private:
    std::vector<const char *> stop_, bad_words_;
    llm_sampling_params_t     c_;
};

class c_request {
public:
    explicit c_request(const request &r)
        : options_(r.options), c_(sized<llm_request_t>())
    {
        c_.flags = r.flags;
        c_.text = r.text.data();
        c_.text_len = r.text.size();
        c_.tokens = r.tokens.data();
        c_.n_tokens = r.tokens.size();
        c_.chat = r.chat.data();
        c_.chat_len = r.chat.size();
        c_.user_data = r.user_data;
        c_.cache_salt = or_null(r.cache_salt);
        c_.options = options_.data();
        c_.n_options = options_.size();
        c_.priority = r.priority;
        c_.output_kind = r.output_kind;
        c_.stream_interval = r.stream_interval;
        c_.queue_timeout_ms = r.queue_timeout_ms;
        c_.timeout_ms = r.timeout_ms;
    }
    void set_sampling(const llm_sampling_params_t *p) { c_.sampling = p; }
    const llm_request_t *get() const { return &c_; }

private:
    c_options     options_;
    llm_request_t c_;
};

/* Sampling parameters that several requests share are made once. */
class c_requests {
public:
    explicit c_requests(span<request> from)
    {
        requests_.reserve(from.size());
        for (const request &r : from) {
            requests_.emplace_back(r);
            requests_.back().set_sampling(r.sampling == nullptr ? nullptr : c_form(r.sampling));
            pointers_.push_back(requests_.back().get());
        }
    }
    const llm_request_t *const *data() const { return pointers_.data(); }

private:
    const llm_sampling_params_t *c_form(const sampling_params *p)
    {
        if (p != last_) {
            last_ = p;
            sampling_.push_back(std::make_unique<c_sampling>(*p));
        }
        return sampling_.back()->get();
    }

    std::vector<c_request>                   requests_;
    std::vector<const llm_request_t *>       pointers_;
    std::vector<std::unique_ptr<c_sampling>> sampling_;
    const sampling_params                   *last_ = nullptr;
};

} // namespace detail

/* ---- What comes out ------------------------------------------------------ */

/* A borrowed record: as long-lived as llm_output_t says.  False where there is none. */
class output {
public:
    output() = default;
    explicit output(const llm_output_t *record) : c_(record) {}

    explicit operator bool() const { return c_ != nullptr; }
    const llm_output_t &operator*() const { return *c_; }
    const llm_output_t *operator->() const { return c_; }

    std::string_view text() const { return {c_->text, c_->text_len}; }
    span<int32_t>    tokens() const { return {c_->tokens, c_->n_tokens}; }
    bool             finished() const { return c_->finish_reason != LLM_FINISH_NONE; }
    const char      *finish_name() const { return llm_finish_name(c_->finish_reason); }
    /* The entries of token i, or none without logprobs; of prompt token i. */
    span<llm_logprob_t> logprobs(size_t i) const { return row(c_->logprobs, c_->n_logprobs, i); }
    span<llm_logprob_t> prompt_logprobs(size_t i) const
    {
        return row(c_->prompt_logprobs, c_->n_prompt_logprobs, i);
    }

private:
    static span<llm_logprob_t> row(const llm_logprob_t *all, uint32_t width, size_t i)
    {
        return all == nullptr ? span<llm_logprob_t>() : span<llm_logprob_t>(all + i * width, width);
    }

    const llm_output_t *c_ = nullptr;
};

/* The outputs of generate() or beam_search(); may outlive the engine. */
class batch {
public:
    batch(llm_batch_t *owned, const llm_error_t &stopped) : c_(owned), stopped_(stopped) {}

    /* False: all ran.  Else why not; then outputs hold what there was. */
    bool               stopped() const { return stopped_.status != LLM_OK; }
    const llm_error_t &error() const { return stopped_; }
    /* Index 0 is always there for a request that was given; false past the last. */
    output operator()(size_t request, size_t index = 0) const
    {
        return output(llm_batch_output(c_.get(), request, index));
    }

private:
    struct deleter {
        void operator()(llm_batch_t *b) const { llm_batch_destroy(b); }
    };
    std::unique_ptr<llm_batch_t, deleter> c_;
    llm_error_t                           stopped_;
};

/* ---- Tokenizer ----------------------------------------------------------- */

/* Borrows an engine's; the calls of both kinds. */
class tokenizer_view {
public:
    tokenizer_view() = default;
    explicit tokenizer_view(const llm_tokenizer_t *c) : c_(c) {}

    explicit operator bool() const { return c_ != nullptr; }
    const llm_tokenizer_t *get() const { return c_; }
    size_t  size() const { return llm_tokenizer_size(c_); }
    int32_t bos() const { return llm_tokenizer_special(c_, LLM_TOKEN_BOS); }
    int32_t eos() const { return llm_tokenizer_special(c_, LLM_TOKEN_EOS); }
    int32_t find(std::string_view token) const
    {
        return llm_tokenizer_find(c_, token.data(), token.size());
    }
    std::string_view token(int32_t id) const
    {
        size_t      len = 0;
        const char *bytes = llm_tokenizer_token(c_, id, &len);
        return bytes == nullptr ? std::string_view() : std::string_view(bytes, len);
    }
    result<std::vector<int32_t>> encode(std::string_view text, uint32_t flags = 0) const
    {
        return detail::collect<std::vector<int32_t>>(
            [&](int32_t *to, size_t cap, size_t *n, llm_error_t *error) {
                return llm_tokenizer_encode(c_, chars(text), text.size(), flags, to, cap, n, error);
            });
    }
    result<std::vector<int32_t>> encode_chat(std::string_view chat) const
    {
        return detail::collect<std::vector<int32_t>>(
            [&](int32_t *to, size_t cap, size_t *n, llm_error_t *error) {
                return llm_tokenizer_encode_chat(c_, chars(chat), chat.size(), to, cap, n, error);
            });
    }
    result<std::string> render_chat(std::string_view chat) const
    {
        return detail::collect<std::string>(
            [&](char *to, size_t cap, size_t *n, llm_error_t *error) {
                return llm_tokenizer_render_chat(c_, chars(chat), chat.size(), to, cap, n, error);
            });
    }
    result<std::string> decode(span<int32_t> tokens, uint32_t flags = 0) const
    {
        return detail::collect<std::string>(
            [&](char *to, size_t cap, size_t *n, llm_error_t *error) {
                return llm_tokenizer_decode(c_, tokens.data(), tokens.size(), flags, to, cap, n,
                                            error);
            });
    }

private:
    static const char *chars(std::string_view s) { return s.data() == nullptr ? "" : s.data(); }

    const llm_tokenizer_t *c_ = nullptr;
};

class tokenizer : public tokenizer_view {
public:
    static result<tokenizer> create(const std::string &path,
                                    const llm_allocator_t *allocator = nullptr)
    {
        llm_tokenizer_t *made = nullptr;
        result<void>     done = detail::call([&](llm_error_t *error) {
            return llm_tokenizer_create(path.c_str(), allocator, &made, error);
        });
        if (!done)
            return done.error();
        return tokenizer(made);
    }
    tokenizer(tokenizer &&from) noexcept
        : tokenizer_view(std::exchange(static_cast<tokenizer_view &>(from), tokenizer_view())),
          owned_(std::move(from.owned_))
    {
    }
    tokenizer &operator=(tokenizer &&from) noexcept
    {
        static_cast<tokenizer_view &>(*this) =
            std::exchange(static_cast<tokenizer_view &>(from), tokenizer_view());
        owned_ = std::move(from.owned_);
        return *this;
    }

private:
    explicit tokenizer(llm_tokenizer_t *made) : tokenizer_view(made), owned_(made) {}

    struct deleter {
        void operator()(llm_tokenizer_t *t) const { llm_tokenizer_destroy(t); }
    };
    std::unique_ptr<llm_tokenizer_t, deleter> owned_;
};

/* ---- Engine -------------------------------------------------------------- */

/* progress of generate() and beam_search() where none is wanted. */
struct no_progress {
    bool operator()(const llm_progress_t &) const { return true; }
};

class engine {
public:
    static result<engine> create(const engine_config &config)
    {
        llm_engine_t *made = nullptr;
        result<void>  done = with_c(config, [&](const llm_engine_config_t *c, llm_error_t *error) {
            return llm_engine_create(c, &made, error);
        });
        if (!done)
            return done.error();
        return engine(made);
    }
    /* What create() would need; loads nothing. */
    static result<llm_plan_t> plan(const engine_config &config)
    {
        llm_plan_t   p = detail::sized<llm_plan_t>();
        result<void> done = with_c(config, [&](const llm_engine_config_t *c, llm_error_t *error) {
            return llm_plan(c, &p, error);
        });
        if (!done)
            return done.error();
        return p;
    }

    llm_engine_t  *get() const { return c_.get(); }
    tokenizer_view tokenizer() const { return tokenizer_view(llm_engine_tokenizer(get())); }
    llm_plan_t     plan() const
    {
        llm_plan_t p = detail::sized<llm_plan_t>();
        llm_engine_plan(get(), &p);
        return p;
    }

    result<request_id> add(const request &r)
    {
        detail::c_requests c(span<request>(&r, 1));
        request_id         id = 0;
        result<void>       done = detail::call([&](llm_error_t *error) {
            return llm_engine_add_request(get(), c.data()[0], &id, error);
        });
        if (!done)
            return done.error();
        return id;
    }
    bool   abort(request_id id) { return llm_engine_abort(get(), id) == LLM_OK; }
    void   abort_all() { llm_engine_abort_all(get()); }
    size_t unfinished() const { return llm_engine_unfinished(get()); }

    result<void> step()
    {
        return detail::call([&](llm_error_t *error) { return llm_engine_step(get(), error); });
    }
    output next_output() { return output(llm_engine_next_output(get())); }
    /* False when the time is up. */
    bool wait(int64_t timeout_us = -1) { return llm_engine_wait(get(), timeout_us) == LLM_OK; }
    void notify() { llm_engine_notify(get()); }

    /* progress is bool(const llm_progress_t &); false stops.  There is a batch also then and when
     * the engine dies: see batch::stopped(). */
    template <class F = no_progress> result<batch> generate(span<request> requests, F progress = {})
    {
        detail::c_requests c(requests);
        return make_batch([&](llm_batch_t **made, llm_error_t *error) {
            return llm_generate_batch(get(), c.data(), requests.size(), detail::on_progress<F>,
                                      &progress, made, error);
        });
    }
    /* params.struct_size need not be set. */
    template <class F = no_progress>
    result<batch> beam_search(span<request> requests, llm_beam_params_t params, F progress = {})
    {
        detail::c_requests c(requests);
        params.struct_size = sizeof params;
        return make_batch([&](llm_batch_t **made, llm_error_t *error) {
            return llm_beam_search(get(), c.data(), requests.size(), &params,
                                   detail::on_progress<F>, &progress, made, error);
        });
    }

    llm_stats_t stats() const
    {
        llm_stats_t s = detail::sized<llm_stats_t>();
        llm_engine_stats(get(), &s);
        return s;
    }
    result<std::string> metrics() const
    {
        return detail::collect<std::string>(
            [&](char *to, size_t cap, size_t *n, llm_error_t *error) {
                llm_status_t status = llm_engine_metrics(get(), to, cap, n);
                *error = detail::from_status(status).error();
                return status;
            });
    }
    result<void> reset_prefix_cache()
    {
        return detail::from_status(llm_engine_reset_prefix_cache(get()));
    }
    result<void> pause(int32_t mode)
    {
        return detail::call(
            [&](llm_error_t *error) { return llm_engine_pause(get(), mode, error); });
    }
    result<void> resume()
    {
        return detail::call([&](llm_error_t *error) { return llm_engine_resume(get(), error); });
    }

private:
    explicit engine(llm_engine_t *made) : c_(made) {}

    template <class F> static result<void> with_c(const engine_config &from, F f)
    {
        detail::c_options   options(from.options);
        llm_engine_config_t c = detail::sized<llm_engine_config_t>();

        c.model = detail::or_null(from.model);
        c.tokenizer = detail::or_null(from.tokenizer);
        c.device = detail::or_null(from.device);
        c.dtype = detail::or_null(from.dtype);
        c.kv_cache_memory_bytes = from.kv_cache_memory_bytes;
        c.seed = from.seed;
        c.max_model_len = from.max_model_len;
        c.max_num_seqs = from.max_num_seqs;
        c.max_num_batched_tokens = from.max_num_batched_tokens;
        c.max_num_queued_reqs = from.max_num_queued_reqs;
        c.gpu_memory_utilization = from.gpu_memory_utilization;
        c.n_threads = from.n_threads;
        c.options = options.data();
        c.n_options = options.size();
        c.allocator = from.allocator;
        c.log_level = from.log_level;
        c.log = from.log;
        c.log_user = from.log_user;
        c.progress = from.progress;
        c.progress_user = from.progress_user;
        return detail::call([&](llm_error_t *error) { return f(&c, error); });
    }

    template <class F> static result<batch> make_batch(F f)
    {
        llm_batch_t *made = nullptr;
        llm_error_t  error = llm_error_t();

        if (f(&made, &error) != LLM_OK && made == nullptr)
            return error;
        return batch(made, error);
    }

    struct deleter {
        void operator()(llm_engine_t *e) const { llm_engine_destroy(e); }
    };
    std::unique_ptr<llm_engine_t, deleter> c_;
};

/* vLLM's SamplingParams(), laid under the model's generation_config.json where there is an engine:
 * lists are empty. */
inline sampling_params sampling_defaults(const engine *e = nullptr)
{
    llm_sampling_params_t c = detail::sized<llm_sampling_params_t>();
    sampling_params       p;

    llm_sampling_defaults(e == nullptr ? nullptr : e->get(), &c);
    detail::copy_scalars(c, p);
    return p;
}

} // namespace llm

#endif
