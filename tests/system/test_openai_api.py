"""A model served by OpenAI's interface, over loopback: whole and streamed answers, many at once, clients that leave."""

import http.client
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from shared.doors.inference import SamplingParams
from tests.system.http_client import PATIENCE_SECONDS, ask
from tests.system.served import serving, small_engine


@pytest.fixture(scope="module")
def engine():
    return small_engine()


@pytest.fixture(scope="module")
def port(engine):
    with serving(engine) as server:
        yield server.port


def post(port, path, **body):
    return ask(port, f"/v1/{path}", "POST", json.dumps(body).encode(), content_type="application/json")


def alone(prompt, **settings):
    """The same from an engine of its own, in this thread."""
    params = SamplingParams(**{"max_new_tokens": 20, "temperature": 0} | settings)
    [one] = small_engine(page_size=16).generate([prompt.encode()], params)
    return one


def events(response):
    """The server-sent events of a response, decoded."""
    lines = [line for line in response.read().decode().split("\n") if line]
    assert all(line.startswith("data: ") for line in lines)
    data = [line.removeprefix("data: ") for line in lines]
    assert data[-1] == "[DONE]"
    return [json.loads(one) for one in data[:-1]]


def streamed(port, path, **body):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
    connection.request("POST", f"/v1/{path}", json.dumps({**body, "stream": True}))
    found = events(connection.getresponse())
    connection.close()
    return found


def test_the_models_are_listed(port):
    [one] = ask(port, "/v1/models").json["data"]
    assert (one["id"], one["object"]) == ("tiny", "model")


def test_a_completion_is_the_engines_whole_and_in_pieces(port):
    wanted = alone("Once upon")
    body = {"model": "tiny", "prompt": "Once upon", "max_tokens": 20, "temperature": 0}
    whole = post(port, "completions", **body).json
    assert whole["choices"][0]["text"] == wanted.text
    assert whole["choices"][0]["finish_reason"] == "length"
    assert whole["usage"] == {"prompt_tokens": 9, "completion_tokens": 20, "total_tokens": 29}
    pieces = streamed(port, "completions", **body, stream_options={"include_usage": True})
    assert "".join(piece["choices"][0]["text"] for piece in pieces[:-1]) == wanted.text
    assert pieces[-1]["usage"] == whole["usage"]
    assert len(pieces) > 15
    assert len({piece["id"] for piece in pieces}) == 1


def test_a_chat_answers_with_a_role_and_deltas(port):
    wanted = alone("Hello")
    body = {
        "model": "tiny",
        "messages": [{"role": "user", "content": "Hello"}],
        "temperature": 0,
        "max_tokens": 20,
    }
    whole = post(port, "chat/completions", **body).json
    assert whole["choices"][0]["message"] == {"role": "assistant", "content": wanted.text}
    pieces = streamed(port, "chat/completions", **body)
    deltas = [piece["choices"][0]["delta"] for piece in pieces]
    assert deltas[0]["role"] == "assistant"
    assert "".join(delta["content"] for delta in deltas) == wanted.text
    assert pieces[-1]["choices"][0]["finish_reason"] == "length"


def test_a_long_talk_loses_its_beginning_and_goes_on(port):
    """96 tokens of context: at most 48 of them are what was said."""
    talk = [{"role": "user", "content": f"{number}" * 20} for number in range(5)]
    asked = post(port, "chat/completions", messages=talk, temperature=0, max_tokens=4)
    kept = alone("3" * 20 + "\n\n" + "4" * 20, max_new_tokens=4)
    assert asked.json["choices"][0]["message"]["content"] == kept.text
    assert asked.json["usage"]["prompt_tokens"] == 42


def test_logprobs_and_echo_tell_of_every_token(port, engine):
    wanted = alone("abc")
    body = {"prompt": "abc", "max_tokens": 20, "temperature": 0, "logprobs": 3, "echo": True}
    [choice] = post(port, "completions", **body).json["choices"]
    told = choice["logprobs"]
    assert choice["text"] == "abc" + wanted.text
    assert "".join(told["tokens"]) == choice["text"]
    assert told["token_logprobs"][0] is None
    assert told["token_logprobs"][3:] == pytest.approx(wanted.logprobs, abs=1e-5)  # float32
    assert all(len(top) == 3 for top in told["top_logprobs"][3:])
    assert told["text_offset"] == list(range(len(choice["text"])))
    ids = torch.tensor([[*b"abc"]])
    with torch.inference_mode():
        logprobs = engine._model(ids)[0].float().log_softmax(-1)
    assert told["token_logprobs"][1:3] == pytest.approx(
        [float(logprobs[0, ord("b")]), float(logprobs[1, ord("c")])], abs=1e-5
    )


def test_several_choices_draw_each_for_itself_and_a_seed_repeats_them(port):
    body = {"prompt": "x", "n": 3, "max_tokens": 12, "seed": 5}
    first, second = (post(port, "completions", **body).json["choices"] for _ in range(2))
    assert [one["text"] for one in first] == [one["text"] for one in second]
    assert [one["index"] for one in first] == [0, 1, 2]
    assert len({one["text"] for one in first}) == 3
    drawn = [alone("x", temperature=1.0, max_new_tokens=12, seed=seed).text for seed in (5, 6, 7)]
    assert [one["text"] for one in first] == drawn


def test_sixty_four_at_once_get_what_each_gets_alone(port):
    prompts = [f"{number} is a number" for number in range(16)]
    wanted = [alone(prompt).text for prompt in prompts]
    with ThreadPoolExecutor(64) as pool:
        answers = list(
            pool.map(
                lambda prompt: post(port, "completions", prompt=prompt, max_tokens=20, temperature=0),
                prompts * 4,
            )
        )
    assert [answer.status for answer in answers] == [200] * 64
    assert [answer.json["choices"][0]["text"] for answer in answers] == wanted * 4


@pytest.mark.parametrize("is_stream", [True, False], ids=["stream", "whole"])
def test_who_leaves_frees_the_pages(engine, is_stream):
    """The model waits in the middle of an answer until the client has gone."""
    gone, inside = threading.Event(), threading.Event()

    class Waiting:
        """The engine, told to wait after some tokens."""

        steps = 0
        max_length = engine.max_length
        is_idle = property(lambda self: engine.is_idle)
        add, cancel = (
            staticmethod(engine.add),
            staticmethod(lambda number: (engine.cancel(number), gone.set())),
        )

        def step(self):
            self.steps += 1
            if self.steps > 3:
                inside.set()
                gone.wait(0.01)  # slow, so that the answer is not over before the client leaves
            return engine.step()

    with serving(Waiting()) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_SECONDS)
        body = {"prompt": "leave", "max_tokens": 90, "temperature": 0, "stream": is_stream}
        connection.request("POST", "/v1/completions", json.dumps(body))
        assert inside.wait(PATIENCE_SECONDS)
        connection.close()
        assert gone.wait(PATIENCE_SECONDS)
    assert engine.is_idle
    assert engine._pool.num_available == engine._pool.num_pages


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("completions", {"prompt": "x" * 200}, 400, "leaves no room for an answer"),
        ("completions", {"prompt": ""}, 400, "the prompt is empty"),
        ("completions", {}, 400, "a text, a list of token ids"),
        ("completions", {"prompt": [1, 999]}, 400, "token 999 is none of the model's 128"),
        ("completions", {"prompt": "x", "temperature": -1}, 400, "temperature must not be negative"),
        ("completions", {"prompt": "x", "temperature": "hot"}, 400, "a number"),
        ("completions", {"prompt": "x", "temperatur": 1}, 400, "did you mean 'temperature'"),
        ("completions", {"prompt": "x", "presence_penalty": 1}, 400, "Leave it out"),
        ("completions", {"prompt": "x", "n": 99}, 400, "1 to 16"),
        ("completions", {"prompt": "x", "model": "other"}, 404, "'tiny'"),
        ("completions", {"prompt": "x", "stream": 1}, 400, "true or false"),
        ("completions", {"prompt": "x" * 200, "stream": True}, 400, "leaves no room for an answer"),
        ("chat/completions", {"messages": []}, 400, "messages = []"),
        ("chat/completions", {"messages": [{"role": "tool", "content": "x"}]}, 400, "a role"),
    ],
)
def test_what_cannot_be_answered_says_why_and_what_to_do(port, path, body, status, words):
    answer = post(port, path, **body)
    assert answer.status == status, answer.body
    assert words in answer.json["error"]["message"]


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b"\xff\xfe", b'{"prompt": 1e999}', b"[" * 100_000])
def test_a_body_that_is_no_request_is_refused(port, body):
    answer = ask(port, "/v1/completions", "POST", body)
    assert answer.status == 400
    assert answer.json["error"]["type"] == "invalid_request_error"


def test_a_body_of_ten_megabytes_is_refused_before_it_is_kept(port):
    assert post(port, "completions", prompt="x" * 10_000_000).status == 413


def test_neutral_settings_that_clients_send_anyway_are_taken(port):
    body = {
        "prompt": "x",
        "max_tokens": 2,
        "presence_penalty": 0,
        "logit_bias": {},
        "user": "me",
        "best_of": 1,
    }
    assert post(port, "completions", **body).status == 200


def test_an_engine_that_fails_says_so_and_goes_on(engine):
    class Failing:
        fails = True
        max_length = engine.max_length
        is_idle = property(lambda self: engine.is_idle)
        add, cancel = staticmethod(engine.add), staticmethod(engine.cancel)

        def step(self):
            if self.fails:
                self.fails = False
                raise RuntimeError("out of memory")
            return engine.step()

    with serving(Failing()) as server:
        first = post(server.port, "completions", prompt="x", max_tokens=3)
        second = post(server.port, "completions", prompt="x", max_tokens=3)
    assert (first.status, second.status) == (500, 200)
    assert "out of memory" not in first.body.decode()
