"""Meets the simulator with Ollama's own client, unchanged.

Started by `main.rs`, whose fault script the order of requests here must match.
The client takes its host from the environment. It never retries, and it has one error for all that
a server answers: `ResponseError`, whose status tells a throttling (429) from a busy server (503).
"""

import ollama

QUESTION = [{"role": "user", "content": "Should I take an umbrella to Oslo?"}]
GET_WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tells the weather.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


def goes_once_round_the_loop(client):
    messages = list(QUESTION)
    calls, last = [], None
    for part in client.chat(model="sim", messages=messages, tools=[GET_WEATHER], stream=True):
        calls += part.message.tool_calls or []
        last = part
    assert [call.function.name for call in calls] == ["get_weather"], calls
    assert calls[0].function.arguments == {"city": "Oslo"}, calls
    assert last.done and last.done_reason == "stop", last
    assert last.eval_count > 0 and last.prompt_eval_count > 0, last
    messages.append({"role": "assistant", "content": "", "tool_calls": calls})
    messages.append({"role": "tool", "tool_name": "get_weather", "content": "rain"})
    told = client.chat(model="sim", messages=messages, tools=[GET_WEATHER])
    assert told.message.content == "I looked it up with get_weather: rain.", told


def streams_text(client):
    parts = client.chat(model="sim", messages=QUESTION, stream=True)
    text = "".join(part.message.content or "" for part in parts)
    assert "Should I take an umbrella to Oslo?" in text, text


def refused(client, stream):
    try:
        answer = client.chat(model="sim", messages=QUESTION, stream=stream)
        for _ in answer if stream else []:
            pass
    except ollama.ResponseError as error:
        return error
    raise AssertionError("no error")


def raises_its_throttling_error(client):
    for stream in (True, False):
        error = refused(client, stream)
        assert (error.status_code, error.error) == (429, "too many requests"), error


def raises_its_error_of_a_busy_server(client):
    error = refused(client, stream=True)
    assert error.status_code == 503, error
    assert "maximum pending requests exceeded" in error.error, error


def raises_an_error_inside_a_stream(client):
    text = ""
    try:
        for part in client.chat(model="sim", messages=QUESTION, stream=True):
            text += part.message.content or ""
    except ollama.ResponseError as error:
        # The status was 200 by then: the client says -1.
        assert error.status_code == -1, error
        assert error.error == "Server overloaded, please retry shortly", error
        assert text, "the error came before the text"
    else:
        raise AssertionError("no error in the stream")


def is_told_of_a_model_that_is_not_there(client):
    try:
        client.chat(model="nonexistent", messages=QUESTION)
    except ollama.ResponseError as error:
        assert error.status_code == 404, error
        assert "try pulling it first" in error.error, error
    else:
        raise AssertionError("no error")


def lists_the_models(client):
    assert "steadfast-sim:latest" in [model.model for model in client.list().models]


client = ollama.Client()
goes_once_round_the_loop(client)
streams_text(client)
raises_its_throttling_error(client)
raises_its_error_of_a_busy_server(client)
raises_an_error_inside_a_stream(client)
is_told_of_a_model_that_is_not_there(client)
lists_the_models(client)
