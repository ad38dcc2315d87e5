"""Meets the simulator with OpenAI's own client, unchanged.

Started by `main.rs`, whose fault script the order of requests here must match.
The client takes its key and its base URL from the environment.
"""

import json

import openai

QUESTION = [{"role": "user", "content": "Should I take an umbrella to Oslo?"}]
GET_WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


def streams_a_tool_call(client):
    stream = client.chat.completions.create(
        model="sim", messages=QUESTION, tools=[GET_WEATHER], stream=True
    )
    name, arguments, finish = None, "", None
    for chunk in stream:
        choice = chunk.choices[0]
        finish = choice.finish_reason or finish
        for call in choice.delta.tool_calls or []:
            name = call.function.name or name
            arguments += call.function.arguments or ""
    assert name == "get_weather", name
    assert json.loads(arguments) == {"city": "Oslo"}, arguments
    assert finish == "tool_calls", finish


def streams_text(client):
    stream = client.chat.completions.create(
        model="sim", messages=QUESTION, stream=True, stream_options={"include_usage": True}
    )
    text, usage = "", None
    for chunk in stream:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
    assert "Should I take an umbrella to Oslo?" in text, text
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens, usage


def raises_a_rate_limit_error(client):
    try:
        client.with_options(max_retries=0).chat.completions.create(model="sim", messages=QUESTION)
    except openai.RateLimitError as error:
        assert error.status_code == 429
        assert error.code == "rate_limit_exceeded", error.code
        assert error.request_id.startswith("req_"), error.request_id
    else:
        raise AssertionError("no rate-limit error")


def retries_a_rate_limit(client):
    answer = client.chat.completions.create(model="sim", messages=QUESTION)
    assert answer.choices[0].finish_reason == "stop", answer
    assert answer.choices[0].message.content, answer


def raises_an_error_inside_a_stream(client):
    text = ""
    try:
        stream = client.chat.completions.create(model="sim", messages=QUESTION, stream=True)
        for chunk in stream:
            text += chunk.choices[0].delta.content or ""
    except openai.APIError as error:
        assert error.code == "server_is_overloaded", error.code
        assert text, "the error came before the text"
    else:
        raise AssertionError("no error in the stream")


def lists_the_models(client):
    assert "steadfast-sim" in [model.id for model in client.models.list()]


with openai.OpenAI() as client:
    streams_a_tool_call(client)
    streams_text(client)
    raises_a_rate_limit_error(client)
    retries_a_rate_limit(client)
    raises_an_error_inside_a_stream(client)
    lists_the_models(client)
