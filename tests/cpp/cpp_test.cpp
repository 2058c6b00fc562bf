/* SPDX-License-Identifier: Apache-2.0 */
/* llm.hpp on a golden model: the same tokens as llm.h, owners, errors, callbacks. */
#include <llm.hpp>

#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <type_traits>

#define CHECK(condition)                                                                     \
    do {                                                                                     \
        if (!(condition)) {                                                                  \
            std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);             \
            std::exit(1);                                                                    \
        }                                                                                    \
    } while (0)

namespace {

const std::string          MODEL = TEST_DIR "/golden/llama";
const std::vector<int32_t> PROMPT = {5, 9, 2, 40, 33, 21, 8};

static_assert(std::is_nothrow_move_constructible_v<llm::engine>);
static_assert(!std::is_copy_constructible_v<llm::engine>);
static_assert(!std::is_copy_constructible_v<llm::batch>);
static_assert(!std::is_copy_constructible_v<llm::tokenizer>);
static_assert(std::is_move_assignable_v<llm::tokenizer>);

/* A field of llm.h that this header does not know would be left at its default without a word. */
static_assert(sizeof(llm_engine_config_t) == 136 && sizeof(llm_sampling_params_t) == 184 &&
              sizeof(llm_request_t) == 120 && sizeof(llm_beam_params_t) == 24);

llm::engine_config config()
{
    llm::engine_config c;

    c.model = MODEL;
    c.n_threads = 1;
    c.max_model_len = 64;
    c.options = {{"skip-tokenizer-init", "true"}, {"num-gpu-blocks-override", "64"}};
    return c;
}

llm::engine make()
{
    auto made = llm::engine::create(config());

    if (!made)
        std::fprintf(stderr, "%s\n", made.error().message);
    CHECK(made);
    return *std::move(made);
}

llm::request ask(const llm::sampling_params *sampling)
{
    llm::request r;

    r.tokens = PROMPT;
    r.sampling = sampling;
    return r;
}

std::vector<llm::request> one(const llm::sampling_params *sampling) { return {ask(sampling)}; }

llm::sampling_params greedy(uint32_t n)
{
    llm::sampling_params p;

    p.flags = LLM_SAMPLE_IGNORE_EOS;
    p.max_tokens = n;
    return p;
}

std::vector<int32_t> tokens_of(const llm::batch &batch, size_t i)
{
    const llm::span<int32_t> t = batch(i).tokens();

    return {t.begin(), t.end()};
}

/* What llm.h gives. */
std::vector<int32_t> reference(llm::engine &engine, uint32_t n)
{
    llm_sampling_params_t p = LLM_INIT(llm_sampling_params_t);
    llm_request_t         r = LLM_INIT(llm_request_t);
    const llm_request_t  *list = &r;
    llm_batch_t          *batch;
    llm_error_t           error;

    p.flags = LLM_SAMPLE_IGNORE_EOS;
    p.max_tokens = n;
    r.tokens = PROMPT.data();
    r.n_tokens = PROMPT.size();
    r.sampling = &p;
    CHECK(llm_generate_batch(engine.get(), &list, 1, nullptr, nullptr, &batch, &error) == LLM_OK);
    const llm_output_t  *out = llm_batch_output(batch, 0, 0);
    std::vector<int32_t> tokens(out->tokens, out->tokens + out->n_tokens);
    llm_batch_destroy(batch);
    return tokens;
}

void errors_are_values()
{
    llm::engine_config c = config();

    c.model = "/nonexistent/model";
    const auto made = llm::engine::create(c);
    CHECK(!made && made.status() == LLM_ERR_IO);
    CHECK(std::string_view(made.error().message).find("/nonexistent/model") !=
          std::string_view::npos);
    c = config();
    c.options.push_back({"no-such-option", "1"});
    CHECK(llm::engine::create(c).status() == LLM_ERR_INVALID);
    CHECK(!llm::tokenizer::create("/nonexistent/tokenizer.json"));

    llm::engine          engine = make();
    llm::sampling_params p = greedy(4);
    p.top_p = 1.5f;
    const auto id = engine.add(ask(&p));
    CHECK(!id && std::string_view(id.error().param) == "top_p");
    CHECK(!engine.abort(12345));
    CHECK(!engine.pause(99));
}

void batch_equals_c()
{
    llm::engine                     engine = make();
    const llm::sampling_params      p = greedy(6), bad = [] {
        llm::sampling_params s = greedy(6);
        s.temperature = 9;
        return s;
    }();
    const std::vector<llm::request> requests = {ask(&p), ask(&bad), ask(&p)};
    auto                            batch = engine.generate(requests);

    CHECK(batch && !batch->stopped());
    CHECK(tokens_of(*batch, 0) == reference(engine, 6));
    CHECK(tokens_of(*batch, 2) == reference(engine, 6));
    CHECK((*batch)(1)->error != nullptr && (*batch)(1).tokens().empty());
    CHECK(!(*batch)(3) && !(*batch)(0, 1));
    llm::engine other = std::move(engine);      /* the batch outlives it */
    {
        const llm::engine gone = std::move(other);
    }
    CHECK((*batch)(0)->n_tokens == 6 && (*batch)(0).finished());
}

void streams_with_logprobs()
{
    llm::engine          engine = make();
    llm::sampling_params p = greedy(5);
    std::vector<int32_t> got;

    p.n_logprobs = 3;
    const auto id = engine.add(ask(&p));
    CHECK(id && *id != 0 && engine.unfinished() == 1);
    while (engine.unfinished() > 0) {
        CHECK(engine.step());
        while (const llm::output out = engine.next_output()) {
            CHECK(out->id == *id && out.logprobs(0).size() == 3);
            CHECK(out.logprobs(0)[0].token == out.tokens()[0]);
            got.insert(got.end(), out.tokens().begin(), out.tokens().end());
        }
    }
    CHECK(got == reference(engine, 5));
    CHECK(engine.stats().requests_finished == 2);
    const auto metrics = engine.metrics();
    CHECK(metrics && metrics->find("vllm:") != std::string::npos);
}

void callbacks_stop_what_called_them()
{
    llm::engine          engine = make();
    llm::sampling_params p = greedy(8);
    uint32_t             rows = 0;
    auto                 third_throws = [&](llm_logits_t &row) {
        if (++rows == 3)
            throw std::runtime_error("enough");
        row.logits[7] = 1e9f;
        return true;
    };

    p.set_logits_fn(third_throws);
    auto batch = engine.generate(one(&p));
    CHECK(batch && !batch->stopped());
    CHECK((*batch)(0)->finish_reason == LLM_FINISH_ABORT);
    CHECK(tokens_of(*batch, 0) == std::vector<int32_t>({7, 7}));

    const llm::sampling_params plain = greedy(8);
    batch = engine.generate(one(&plain), [](const llm_progress_t &) -> bool {
        throw std::runtime_error("stop");
    });
    CHECK(batch && batch->stopped() && batch->error().status == LLM_ERR_CANCELLED);
    CHECK((*batch)(0)->finish_reason == LLM_FINISH_ABORT);
}

void beams_pause_plan()
{
    llm::engine       engine = make();
    llm_beam_params_t beams = llm_beam_params_t();

    beams.beam_width = 3;
    beams.max_tokens = 4;
    beams.flags = LLM_BEAM_IGNORE_EOS;
    const auto batch = engine.beam_search(one(nullptr), beams);
    CHECK(batch && (*batch)(0) && (*batch)(0, 2) && !(*batch)(0, 3));
    CHECK((*batch)(0)->cumulative_logprob >= (*batch)(0, 1)->cumulative_logprob);

    const llm::sampling_params p = greedy(3);
    CHECK(engine.pause(LLM_PAUSE_KEEP) && engine.stats().paused == 1);
    CHECK(engine.add(ask(&p)) && engine.step() && !engine.next_output());
    engine.wait(0);                 /* takes what add() has signalled */
    CHECK(!engine.wait(1000));
    CHECK(engine.resume() && engine.stats().paused == 0);
    while (engine.unfinished() > 0)
        CHECK(engine.step());
    CHECK(engine.next_output()->n_tokens == 3);
    CHECK(engine.reset_prefix_cache());

    const auto before = llm::engine::plan(config());
    CHECK(before && before->fits == 1 && before->kv_blocks == engine.plan().kv_blocks);
    CHECK(!engine.tokenizer());     /* skip-tokenizer-init */
}

void defaults_are_the_model_s()
{
    llm::engine_config c = config();

    c.options.push_back({"override-generation-config",
                         R"({"temperature": 0.5, "top_p": 0.75, "min_p": 0.25, "top_k": 30,
                             "repetition_penalty": 1.5, "max_new_tokens": 9})"});
    const auto                 made = llm::engine::create(c);
    const llm::sampling_params plain = llm::sampling_defaults();
    CHECK(plain.temperature == 1 && plain.top_p == 1 && plain.max_tokens == 16 && plain.n == 1);
    CHECK(made);
    const llm::sampling_params p = llm::sampling_defaults(&*made);
    CHECK(p.temperature == 0.5f && p.top_p == 0.75f && p.min_p == 0.25f && p.top_k == 30);
    CHECK(p.repetition_penalty == 1.5f && p.max_tokens == 9 && p.n == 1);
}

void tokenizer_round_trip()
{
    const char *model = std::getenv("LLM_DEMO_MODEL");

    if (model == nullptr)
        return;
    auto first = llm::tokenizer::create(model);
    CHECK(first);
    llm::tokenizer t = *std::move(first);
    const auto     ids = t.encode("Hello, world");
    CHECK(ids && ids->size() > 1);
    const auto text = t.decode(*ids);
    CHECK(text && *text == "Hello, world");
    CHECK(t.encode("")->empty() && t.decode({})->empty());
    CHECK(t.find("<|im_end|>") == t.eos() && t.token(t.eos()) == "<|im_end|>");
    CHECK(t.find("no such token") == -1 && t.size() > 1000);
    const std::string_view chat = R"({"messages":[{"role":"user","content":"Hi"}]})";
    CHECK(t.render_chat(chat) && t.encode_chat(chat)->size() > 3);
    CHECK(t.render_chat("{").status() == LLM_ERR_FORMAT ||
          t.render_chat("{").status() == LLM_ERR_INVALID);
}

} // namespace

int main()
{
    errors_are_values();
    batch_equals_c();
    streams_with_logprobs();
    callbacks_stop_what_called_them();
    beams_pause_plan();
    defaults_are_the_model_s();
    tokenizer_round_trip();
}
