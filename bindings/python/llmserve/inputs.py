# SPDX-License-Identifier: Apache-2.0
"""Forms of a prompt, and what becomes of each on its way to the library."""
from __future__ import annotations

import json
from array import array
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypedDict, Union

from .exceptions import VLLMValidationError

__all__ = ["TextPrompt", "TokensPrompt", "PromptType", "SingletonPrompt"]


class _Common(TypedDict, total=False):
    cache_salt: str
    """Only prompts with equal ones share a cached prefix."""


class TextPrompt(_Common):
    """A prompt as text, which the model's tokenizer encodes."""

    prompt: str


class _WithText(_Common, total=False):
    prompt: str
    """Its text, if known; it is handed back and not read."""


class TokensPrompt(_WithText):
    """A prompt as token ids."""

    prompt_token_ids: list[int]


SingletonPrompt = Union[str, Sequence[int], TextPrompt, TokensPrompt]
PromptType = SingletonPrompt

TEXT, TOKENS, CHAT = "text", "tokens", "chat"
_LATER = {"prompt_embeds": "give prompt or prompt_token_ids",
          "encoder_prompt": "encoder-decoder models are not supported",
          "decoder_prompt": "encoder-decoder models are not supported",
          "multi_modal_data": "give text or token ids only",
          "multi_modal_uuids": "give text or token ids only",
          "mm_processor_kwargs": "give text or token ids only",
          "data": "there are no input plugins"}


class Prompt(NamedTuple):
    """A prompt that is ready: data is UTF-8 for TEXT and CHAT (JSON), array('i') for TOKENS."""

    kind: str
    data: bytes | array
    text: str | None = None         # handed back as RequestOutput.prompt
    ids: list[int] | None = None    # likewise
    cache_salt: bytes | None = None


def _is_ids(value: Any) -> bool:
    if isinstance(value, (str, bytes, Mapping)) or not hasattr(value, "__len__"):
        return False
    return len(value) > 0 and not hasattr(value[0], "__len__") and \
        hasattr(type(value[0]), "__index__")


def as_list(prompts: Any) -> list:
    """One prompt or several to a list of prompts."""
    if isinstance(prompts, (str, Mapping)) or _is_ids(prompts):
        return [prompts]
    if not hasattr(prompts, "__iter__"):
        raise TypeError("prompts must be a string, token ids, a dict or a list of these, got "
                        f"{type(prompts).__name__}")
    return list(prompts)


def _from_ids(ids: Any, text: str | None, salt: bytes | None) -> Prompt:
    try:
        data = array("i", ids)
    except OverflowError:
        raise VLLMValidationError(f"Token id {max(ids, key=abs)} is out of vocabulary",
                                  parameter="prompt_token_ids") from None
    except TypeError:
        raise TypeError("prompt_token_ids must be integers") from None
    return Prompt(TOKENS, data, text, data.tolist(), salt)


def _salt(prompt: Mapping) -> bytes | None:
    salt = prompt.get("cache_salt")
    if salt is None:
        return None
    if not isinstance(salt, str) or not salt or "\0" in salt:
        raise VLLMValidationError("cache_salt must be a non-empty string without NULs, got "
                                  f"{salt!r}", parameter="cache_salt", value=salt)
    return salt.encode()


def parse(prompt: Any) -> Prompt:
    """Raises TypeError for what is no prompt, NotImplementedError for kinds that are not here, and
    an exception that stands for a prompt."""
    if isinstance(prompt, Exception):
        raise prompt
    if isinstance(prompt, str):
        return Prompt(TEXT, prompt.encode(), prompt)
    if isinstance(prompt, Prompt):
        return prompt
    if not isinstance(prompt, Mapping):
        if hasattr(prompt, "__iter__") and not isinstance(prompt, bytes):
            return _from_ids(prompt, None, None)
        raise TypeError(f"a prompt must be a string, token ids or a dict, got "
                        f"{type(prompt).__name__}")
    for name, way_out in _LATER.items():
        if prompt.get(name):
            raise NotImplementedError(f"{name} in a prompt is not supported by llmserve: {way_out}")
    if prompt.get("prompt_token_ids") is not None:
        return _from_ids(prompt["prompt_token_ids"], prompt.get("prompt"), _salt(prompt))
    if isinstance(prompt.get("prompt"), str):
        return Prompt(TEXT, prompt["prompt"].encode(), prompt["prompt"], None, _salt(prompt))
    raise TypeError("a prompt dict needs prompt (a string) or prompt_token_ids, got the keys "
                    f"{sorted(prompt)}")


def chat(messages: Sequence[Mapping], *, chat_template: str | None = None,
         add_generation_prompt: bool = True, continue_final_message: bool = False,
         tools: list[dict] | None = None, documents: list[dict] | None = None,
         chat_template_kwargs: Mapping[str, Any] | None = None) -> Prompt:
    """A conversation as a prompt; the library renders and encodes it."""
    if add_generation_prompt and continue_final_message:
        raise VLLMValidationError("Cannot set both `continue_final_message` and "
                                  "`add_generation_prompt` to True.")
    body: dict[str, Any] = {"messages": [dict(m) for m in messages],
                            "add_generation_prompt": add_generation_prompt,
                            "continue_final_message": continue_final_message}
    given = {"chat_template": chat_template, "tools": tools, "documents": documents,
             "chat_template_kwargs": dict(chat_template_kwargs or {}) or None}
    body.update((name, value) for name, value in given.items() if value is not None)
    return Prompt(CHAT, json.dumps(body, ensure_ascii=False).encode())
