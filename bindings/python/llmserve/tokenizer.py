# SPDX-License-Identifier: Apache-2.0
"""The model's tokenizer, with the methods that scripts use of a transformers tokenizer."""
from __future__ import annotations

import ctypes
from array import array
from collections.abc import Iterable, Sequence
from typing import Any

from . import _ffi, inputs
from ._gate import Gate

__all__ = ["Tokenizer", "BatchEncoding"]


def _byte_letters() -> dict[int, str]:
    """How byte-level vocabularies spell a byte: visible ones as themselves, the others as the
    letters from U+0100 on."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = {b: chr(b) for b in visible}
    hidden = [b for b in range(256) if b not in letters]
    letters.update((b, chr(256 + i)) for i, b in enumerate(hidden))
    return letters


_LETTERS = _byte_letters()


class BatchEncoding(dict):
    """{"input_ids": ..., "attention_mask": ...}, whose keys are attributes as well."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


class Tokenizer:
    """Encodes, decodes and renders chats.

    Ids are ints in [0, len(tokenizer)), texts are str.  It lives as long as its engine; every
    call after that raises EngineDeadError.  All calls may come from any thread.
    """

    is_fast = True

    def __init__(self, address: int, gate: Gate, name_or_path: str = "") -> None:
        self._address, self._gate = address, gate
        self._lib, self._quick = _ffi.lib(), _ffi.quick()
        self._texts: dict[int, str | None] = {}
        self.name_or_path = str(name_or_path)

    def _grown(self, call: Any, *arguments: Any, unit: Any, size: int) -> Any:
        """Calls what fills a buffer, with a larger one if need be; gives the filled part."""
        error, n = _ffi.Error(), ctypes.c_size_t()
        while True:
            buffer = (unit * size)()
            with self._gate:
                status = call(self._address, *arguments, buffer, size, ctypes.byref(n),
                              ctypes.byref(error))
            if n.value <= size:
                break
            size = n.value
        _ffi.check(status, error)
        return bytes(memoryview(buffer).cast("B")[:n.value * ctypes.sizeof(unit)])

    # ---- Text and ids -----------------------------------------------------------------------

    def encode(self, text: str, add_special_tokens: bool = True, **options: Any) -> list[int]:
        """Ids of a text, with BOS, EOS and the like where the model has them.

        Options: truncation and max_length keep the first max_length ids.
        """
        data = text.encode()
        flags = 0 if add_special_tokens else _ffi.ENCODE_NO_SPECIAL
        ids = array("i", self._grown(self._lib.llm_tokenizer_encode, data, len(data), flags,
                                     unit=ctypes.c_int32, size=len(data) + 16)).tolist()
        cut, most = options.pop("truncation", False), options.pop("max_length", None)
        if any(value not in (None, False) for value in options.values()):
            raise NotImplementedError(f"encode() does not know {', '.join(options)}")
        return ids[:most] if cut and most is not None else ids

    def decode(self, token_ids: int | Iterable[int], skip_special_tokens: bool = False,
               **ignored: Any) -> str:
        """Text of ids; bytes that are no UTF-8 become U+FFFD."""
        ids = array("i", [token_ids] if isinstance(token_ids, int) else token_ids)
        flags = 0 if skip_special_tokens else _ffi.DECODE_KEEP_SPECIAL
        return self._grown(self._lib.llm_tokenizer_decode, ids.buffer_info()[0], len(ids), flags,
                           unit=ctypes.c_char, size=8 * len(ids) + 64).decode("utf-8", "replace")

    def batch_decode(self, sequences: Iterable[Iterable[int]], **options: Any) -> list[str]:
        return [self.decode(ids, **options) for ids in sequences]

    def __call__(self, text: str | Sequence[str], add_special_tokens: bool = True,
                 **options: Any) -> BatchEncoding:
        """input_ids and attention_mask of a text, or lists of these for a list of texts."""
        many = not isinstance(text, str)
        rows = [self.encode(t, add_special_tokens, **options) for t in (text if many else [text])]
        masks = [[1] * len(row) for row in rows]
        return BatchEncoding(input_ids=rows if many else rows[0],
                             attention_mask=masks if many else masks[0])

    def tokenize(self, text: str, add_special_tokens: bool = False) -> list[str]:
        return self.convert_ids_to_tokens(self.encode(text, add_special_tokens))

    # ---- Chats ------------------------------------------------------------------------------

    def apply_chat_template(self, conversation: Sequence[Any], tools: list[dict] | None = None,
                            documents: list[dict] | None = None,
                            chat_template: str | None = None, add_generation_prompt: bool = False,
                            continue_final_message: bool = False, tokenize: bool = True,
                            return_dict: bool = False, **template_kwargs: Any) -> Any:
        """A conversation, or a list of them, as ids or (tokenize=False) as text.

        Raises:
            ValueError: the model has no chat template, or the template refuses the messages.
        """
        if conversation and not isinstance(conversation[0], dict):
            rows = [self.apply_chat_template(
                c, tools, documents, chat_template, add_generation_prompt, continue_final_message,
                tokenize, **template_kwargs) for c in conversation]
        else:
            prompt = inputs.chat(conversation, chat_template=chat_template, tools=tools,
                                 documents=documents, chat_template_kwargs=template_kwargs,
                                 add_generation_prompt=add_generation_prompt,
                                 continue_final_message=continue_final_message)
            rows = self._encode_chat(prompt.data) if tokenize else self._render_chat(prompt.data)
        return BatchEncoding(input_ids=rows) if tokenize and return_dict else rows

    def _encode_chat(self, data: bytes) -> list[int]:
        return array("i", self._grown(self._lib.llm_tokenizer_encode_chat, data, len(data),
                                      unit=ctypes.c_int32, size=len(data) + 256)).tolist()

    def _render_chat(self, data: bytes) -> str:
        return self._grown(self._lib.llm_tokenizer_render_chat, data, len(data),
                           unit=ctypes.c_char, size=len(data) + 4096).decode()

    # ---- Tokens -----------------------------------------------------------------------------

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes that a token stands for; they need not be whole UTF-8.

        Raises:
            ValueError: there is no such id.
        """
        n = ctypes.c_size_t()
        with self._gate:
            address = self._quick.llm_tokenizer_token(self._address, token_id, ctypes.byref(n))
            if address:
                return ctypes.string_at(address, n.value)
        raise ValueError(f"token id {token_id} is not in the vocabulary of {len(self)}")

    def token_text(self, token_id: int) -> str | None:
        """The text of one token, for logprobs; None after the engine is gone."""
        text = self._texts.get(token_id)
        if text is None and self._gate.is_open:
            try:
                text = self.token_bytes(token_id).decode("utf-8", "replace")
            except ValueError:      # the model's vocabulary may be padded
                text = ""
            self._texts[token_id] = text
        return text

    def _spelling(self, token_id: int) -> str:
        """How the vocabulary spells a token: one of the ways to write its bytes."""
        raw = self.token_bytes(token_id)
        text = raw.decode("utf-8", "replace")
        ways = [text, "".join(_LETTERS[b] for b in raw), text.replace(" ", "\u2581"),
                "".join(f"<0x{b:02X}>" for b in raw)]
        return next((way for way in ways if self._find(way) == token_id), text)

    def _find(self, token: str) -> int:
        _ffi.need("llm_tokenizer_find", "finding a token by its name")
        data = token.encode()
        with self._gate:
            return self._lib.llm_tokenizer_find(self._address, data, len(data))

    def convert_ids_to_tokens(self, ids: int | Iterable[int]) -> str | list[str]:
        """The vocabulary's spelling of one id, or of each."""
        return self._spelling(ids) if isinstance(ids, int) else [self._spelling(i) for i in ids]

    def convert_tokens_to_ids(self, tokens: str | Iterable[str]) -> int | None | list[int | None]:
        """The id of a spelling such as "<|im_end|>", or of each; None if there is none."""
        if not isinstance(tokens, str):
            return [self.convert_tokens_to_ids(token) for token in tokens]
        found = self._find(tokens)
        return found if found >= 0 else None

    def get_vocab(self) -> dict[str, int]:
        """All spellings and their ids; takes a while."""
        vocab = {}
        for token_id in range(len(self)):
            try:
                vocab[self._spelling(token_id)] = token_id
            except ValueError:      # a gap
                continue
        return vocab

    def __len__(self) -> int:
        _ffi.need("llm_tokenizer_size", "the size of the vocabulary")
        with self._gate:
            return self._lib.llm_tokenizer_size(self._address)

    @property
    def vocab_size(self) -> int:
        """One more than the largest id, added tokens included."""
        return len(self)

    @property
    def max_token_id(self) -> int:
        return len(self) - 1

    def _special(self, which: int) -> int | None:
        _ffi.need("llm_tokenizer_special", "the ids of special tokens")
        with self._gate:
            found = self._lib.llm_tokenizer_special(self._address, which)
        return found if found >= 0 else None

    @property
    def bos_token_id(self) -> int | None:
        return self._special(_ffi.TOKEN_BOS)

    @property
    def eos_token_id(self) -> int | None:
        return self._special(_ffi.TOKEN_EOS)

    @property
    def bos_token(self) -> str | None:
        found = self.bos_token_id
        return None if found is None else self._spelling(found)

    @property
    def eos_token(self) -> str | None:
        found = self.eos_token_id
        return None if found is None else self._spelling(found)

    def __repr__(self) -> str:
        return f"Tokenizer(name_or_path={self.name_or_path!r})"
