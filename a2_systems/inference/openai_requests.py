"""What clients of OpenAI's interface send, checked word by word: nothing that is asked for is silently left out.

Source: [openai-api] completions and chat; `top_k`, `min_p` and `repetition_penalty` are names that other servers added.
"""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.doors.inference import SamplingParams
from shared.errors import ConfigError
from shared.runs.config import did_you_mean
from shared.serve.answers import Refused
from shared.serve.refusals import Refusal

MOST_CHOICES = 16
SAMPLING = {
    "temperature": float,
    "top_p": float,
    "top_k": int,
    "min_p": float,
    "repetition_penalty": float,
    "seed": int,
}
COMMON = {"model", "n", "stream", "stream_options", "stop", "max_tokens", "user", *SAMPLING}
COMPLETION = COMMON | {"prompt", "echo", "logprobs", "best_of"}
CHAT = COMMON | {"messages", "max_completion_tokens", "logprobs", "top_logprobs"}
# What many clients send although it is the default; anything else of it is refused.
NEUTRAL = {
    "presence_penalty": 0,
    "frequency_penalty": 0,
    "logit_bias": {},
    "suffix": "",
    "tools": [],
    "best_of": 1,
    "response_format": {"type": "text"},
}


@dataclass(frozen=True)
class Asked:
    """One request, understood."""

    prompts: tuple[str | tuple[int, ...], ...]  # of a chat: none
    messages: tuple[tuple[str, str], ...]  # role and text; of a completion: none
    num_choices: int
    params: SamplingParams
    is_stream: bool
    has_usage: bool  # at a stream's end
    has_logprobs: bool
    is_echo: bool


def refused(field: str, came: object, wanted: str, do: str = "Mend the request and send it again") -> Refused:
    """A request that is not understood."""
    return Refused(Refusal(400, "bad_request", f"{field} = {json.dumps(came)[:100]}", wanted, do))


def read_body(body: bytes) -> dict[str, Any]:
    """The JSON object of a body.

    Raises:
        Refused: it is none.
    """
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused(
            Refusal(
                400, "bad_json", f"a body that is no JSON ({str(error)[:80]})", "a JSON object", "Mend it"
            )
        ) from None
    if not isinstance(found, dict):
        raise refused("the body", found, "a JSON object")
    return found


def completion(body: Mapping[str, Any], model: str) -> Asked:
    """A request to /v1/completions. Raises: Refused: see above."""
    _require_known(body, COMPLETION, model)
    num_logprobs = _number(body, "logprobs", int, 0)
    prompt = body.get("prompt")
    many: Any = [prompt] if isinstance(prompt, str) or _is_tokens(prompt) else prompt
    if not isinstance(many, list) or not many or not all(isinstance(p, str) or _is_tokens(p) for p in many):
        raise refused("prompt", prompt, "a text, a list of token ids, or a list of either")
    if len(many) > MOST_CHOICES:
        raise refused("prompt", f"{len(many)} prompts", f"at most {MOST_CHOICES} at once")
    prompts = tuple(one if isinstance(one, str) else tuple(one) for one in many)
    return _asked(body, prompts, (), _number(body, "max_tokens", int, 16), num_logprobs, "logprobs" in body)


def chat(body: Mapping[str, Any], model: str) -> Asked:
    """A request to /v1/chat/completions. Raises: Refused: see above."""
    _require_known(body, CHAT, model)
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise refused("messages", messages, 'a list of {"role": "user", "content": "..."}')
    read = []
    for message in messages:
        role = message.get("role") if isinstance(message, dict) else None
        content = message.get("content") if isinstance(message, dict) else None
        if isinstance(content, list):  # parts, of which only texts are understood
            content = "".join(p.get("text", "") for p in content if isinstance(p, dict)) or None
        if role not in ("system", "developer", "user", "assistant") or not isinstance(content, str):
            raise refused(
                "messages", message, "a role (system, user, assistant) and a content that is a text"
            )
        read.append((role, content))
    longest = _number(body, "max_completion_tokens", int, _number(body, "max_tokens", int, 256))
    has_logprobs = _flag(body, "logprobs")
    num_logprobs = _number(body, "top_logprobs", int, 0)
    return _asked(body, (), tuple(read), longest, num_logprobs, has_logprobs)


def _asked(
    body: Mapping[str, Any],
    prompts: tuple[str | tuple[int, ...], ...],
    messages: tuple[tuple[str, str], ...],
    max_new_tokens: int,
    num_logprobs: int,
    has_logprobs: bool,
) -> Asked:
    stop = body.get("stop") or []
    stop = [stop] if isinstance(stop, str) else stop
    if not isinstance(stop, list) or not all(isinstance(one, str) for one in stop) or len(stop) > 16:
        raise refused("stop", stop, "a text, or a list of at most 16")
    num_choices = _number(body, "n", int, 1)
    if not 1 <= num_choices <= MOST_CHOICES:
        raise refused("n", num_choices, f"1 to {MOST_CHOICES}")
    options = body.get("stream_options") or {}
    chosen = {name: _number(body, name, kind, None) for name, kind in SAMPLING.items()}
    chosen = {name: value for name, value in chosen.items() if value is not None}
    params = SamplingParams(
        **{
            "seed": secrets.randbits(31),
            **chosen,
            "max_new_tokens": max_new_tokens,
            "stop": tuple(stop),
            "num_logprobs": num_logprobs,
        }
    )
    try:
        params.check()
    except ConfigError as error:
        raise Refused(Refusal(400, "bad_request", "a setting", str(error), "Mend it")) from None
    return Asked(
        prompts,
        messages,
        num_choices,
        params,
        is_stream=_flag(body, "stream"),
        has_usage=bool(isinstance(options, dict) and options.get("include_usage")),
        has_logprobs=has_logprobs,
        is_echo=_flag(body, "echo"),
    )


def _require_known(body: Mapping[str, Any], known: set[str], model: str) -> None:
    for name, value in body.items():
        if name in NEUTRAL and value in (None, NEUTRAL[name]):
            continue
        if name not in known or name in NEUTRAL:
            hint = did_you_mean(name, known)
            raise refused(
                name, value, f"one of {', '.join(sorted(known - set(NEUTRAL)))}{hint}", "Leave it out"
            )
    if body.get("model", model) != model:
        do = "GET /v1/models lists what there is"
        raise Refused(Refusal(404, "no_such_model", f"model {str(body['model'])[:80]!r}", f"{model!r}", do))


def _number(body: Mapping[str, Any], name: str, kind: type, default: Any) -> Any:
    value = body.get(name)
    if value is None:
        return default
    is_number = isinstance(value, (int, float) if kind is float else int) and not isinstance(value, bool)
    if not is_number or abs(value) > 1 << 53:
        raise refused(name, value, "a whole number" if kind is int else "a number")
    return kind(value)


def _flag(body: Mapping[str, Any], name: str) -> bool:
    value = body.get(name) or False
    if not isinstance(value, bool):
        raise refused(name, value, "true or false")
    return value


def _is_tokens(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(type(token) is int for token in value)
