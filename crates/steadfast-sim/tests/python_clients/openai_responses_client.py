"""Meets the simulator's responses wire with OpenAI's own client, unchanged.

Started by `main.rs`, whose fault script the order of requests here must match.
The client takes its key and its base URL from the environment.
"""

import json

import openai

QUESTION = "Should I take an umbrella to Oslo?"
GET_WEATHER = {
    "type": "function",
    "name": "get_weather",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
    "strict": False,
}
THOUGHTFUL = {
    "model": "sim",
    "tools": [GET_WEATHER],
    "store": False,
    "include": ["reasoning.encrypted_content"],
}


def streams_a_tool_call(client):
    stream = client.responses.create(input=QUESTION, stream=True, **THOUGHTFUL)
    text, thoughts, arguments, answer = "", "", "", None
    for event in stream:
        if event.type == "response.output_text.delta":
            text += event.delta
        elif event.type == "response.reasoning_summary_text.delta":
            thoughts += event.delta
        elif event.type == "response.function_call_arguments.delta":
            arguments += event.delta
        elif event.type == "response.completed":
            answer = event.response
    assert text == "I look it up.", text
    assert thoughts == "The user asks for Oslo.", thoughts
    assert json.loads(arguments) == {"city": "Oslo"}, arguments
    kinds = [item.type for item in answer.output]
    assert kinds == ["reasoning", "message", "function_call"], kinds
    assert answer.output[2].name == "get_weather", answer
    return answer


def goes_on_with_the_result(client, answer):
    call = answer.output[-1]
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}
    history = [{"role": "user", "content": QUESTION}, *answer.output, result]
    answer = client.responses.create(input=history, **THOUGHTFUL)
    assert "rain" in answer.output_text, answer.output_text
    usage = answer.usage
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens, usage


def raises_a_rate_limit_error(client):
    try:
        client.with_options(max_retries=0).responses.create(model="sim", input=QUESTION)
    except openai.RateLimitError as error:
        assert error.status_code == 429
        assert error.code == "rate_limit_exceeded", error.code
        assert error.request_id.startswith("req_"), error.request_id
    else:
        raise AssertionError("no rate-limit error")


def retries_a_rate_limit(client):
    answer = client.responses.create(model="sim", input=QUESTION)
    assert answer.status == "completed", answer
    assert QUESTION in answer.output_text, answer


def raises_an_error_inside_a_stream(client):
    text = ""
    try:
        for event in client.responses.create(model="sim", input=QUESTION, stream=True):
            if event.type == "response.output_text.delta":
                text += event.delta
    except openai.APIError as error:
        assert error.code == "server_is_overloaded", error.code
        assert text, "the error came before the text"
    else:
        raise AssertionError("no error in the stream")


def is_refused_for_a_lost_result(client, answer):
    try:
        client.responses.create(input=answer.output, **THOUGHTFUL)
    except openai.BadRequestError as error:
        assert "No tool output found" in error.message, error.message
    else:
        raise AssertionError("a call without its result was taken")


with openai.OpenAI() as client:
    answer = streams_a_tool_call(client)
    goes_on_with_the_result(client, answer)
    raises_a_rate_limit_error(client)
    retries_a_rate_limit(client)
    raises_an_error_inside_a_stream(client)
    is_refused_for_a_lost_result(client, answer)
