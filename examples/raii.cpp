/* SPDX-License-Identifier: Apache-2.0 */
/* raii MODEL PROMPT... - the C interface in C++17: owners for handles, exceptions for errors. */
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "llm.h"

namespace {

struct error : std::runtime_error {
    llm_status_t status;
    explicit error(const llm_error_t &e) : std::runtime_error(e.message), status(e.status) {}
};

/* check([&](llm_error_t *err) { return llm_...(..., err); }) throws what went wrong. */
template <class F> void check(F call)
{
    llm_error_t err;
    if (call(&err) != LLM_OK)
        throw error(err);
}

struct deleter {
    void operator()(llm_engine_t *engine) const { llm_engine_destroy(engine); }
    void operator()(llm_batch_t *batch) const { llm_batch_destroy(batch); }
};
using batch_ptr = std::unique_ptr<llm_batch_t, deleter>;

class engine {
public:
    explicit engine(const std::string &model)
    {
        auto          cfg = LLM_INIT(llm_engine_config_t);
        llm_engine_t *made = nullptr;

        cfg.model = model.c_str();
        check([&](llm_error_t *err) { return llm_engine_create(&cfg, &made, err); });
        handle_.reset(made);
    }

    std::vector<std::string> generate(const std::vector<std::string> &prompts,
                                      const llm_sampling_params_t    &params)
    {
        std::vector<llm_request_t>         requests(prompts.size(), LLM_INIT(llm_request_t));
        std::vector<const llm_request_t *> pointers;
        llm_batch_t                       *made = nullptr;

        for (size_t i = 0; i < prompts.size(); i++) {
            requests[i].text = prompts[i].data();
            requests[i].text_len = prompts[i].size();
            requests[i].sampling = &params;
            pointers.push_back(&requests[i]);
        }
        check([&](llm_error_t *err) {
            return llm_generate_batch(handle_.get(), pointers.data(), pointers.size(), nullptr,
                                      nullptr, &made, err);
        });
        return texts_of(batch_ptr(made), prompts.size());
    }

private:
    static std::vector<std::string> texts_of(const batch_ptr &batch, size_t n)
    {
        std::vector<std::string> texts;

        for (size_t i = 0; i < n; i++) {
            const llm_output_t *out = llm_batch_output(batch.get(), i, 0);
            if (out->error != nullptr)
                throw error(*out->error);
            texts.emplace_back(out->text, out->text_len);
        }
        return texts;
    }

    std::unique_ptr<llm_engine_t, deleter> handle_;
};

} // namespace

int main(int argc, char **argv)
try {
    if (argc < 3)
        return std::fprintf(stderr, "usage: raii MODEL PROMPT...\n"), 2;
    const std::vector<std::string> prompts(argv + 2, argv + argc);
    auto                           params = LLM_INIT(llm_sampling_params_t);
    engine                         model(argv[1]);

    params.max_tokens = 24;
    const auto texts = model.generate(prompts, params);
    for (size_t i = 0; i < texts.size(); i++)
        std::printf("%s%s\n", prompts[i].c_str(), texts[i].c_str());
    return 0;
} catch (const error &e) {
    std::fprintf(stderr, "%s (%s)\n", e.what(), llm_status_name(e.status));
    return 1;
}
