#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""chat.py MODEL - a conversation, several at once, and one with a template of its own."""
import sys

from llmserve import LLM, SamplingParams

SHORT = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:"


def show(outputs):
    for output in outputs:
        print(f"Prompt:    {output.prompt!r}\nGenerated: {output.outputs[0].text!r}\n" + "-" * 60)


def main(model):
    llm = LLM(model=model, max_model_len=512)
    params = SamplingParams(temperature=0, max_tokens=32)
    conversation = [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": "Hello!"},
        {"role": "assistant", "content": "Hello! How can I help you today?"},
        {"role": "user", "content": "What is the capital of France?"},
    ]
    show(llm.chat(conversation, params, use_tqdm=False))
    many = [[{"role": "user", "content": f"Name {n} animals."}] for n in (2, 3, 4)]
    show(llm.chat(many, params, use_tqdm=True))
    show(llm.chat(conversation, params, use_tqdm=False, chat_template=SHORT))


if __name__ == "__main__":
    main(sys.argv[1])
