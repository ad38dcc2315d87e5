"""Meets the simulator with Anthropic's own client, unchanged.

Started by `main.rs`, whose fault script and answers the order of requests here must match. The
client takes its key and its base URL from the environment.
"""

import anthropic

QUESTION = {"role": "user", "content": "Should I take an umbrella to Oslo?"}
GET_WEATHER = {
    "name": "get_weather",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}
THINKING = {"type": "enabled", "budget_tokens": 1024}


def ask(client, **changes):
    request = {"model": "sim", "max_tokens": 2000, "messages": [QUESTION]}
    return client.messages.create(**(request | changes))


def raised(kind, client, **changes):
    """Returns the error of a request that is sent once."""
    try:
        ask(client.with_options(max_retries=0), **changes)
    except anthropic.APIStatusError as error:
        assert type(error) is kind, repr(error)
        assert error.request_id.startswith("req_"), error.request_id
        return error
    raise AssertionError(f"no {kind.__name__}")


def streams_a_tool_call_with_thinking(client):
    seen = []
    with client.messages.stream(
        model="sim", max_tokens=2000, messages=[QUESTION], tools=[GET_WEATHER], thinking=THINKING
    ) as stream:
        for event in stream:
            seen.append(event.type)
        message = stream.get_final_message()
    for kind in ["thinking", "signature", "text", "input_json"]:
        assert kind in seen, seen
    thinking, text, call = message.content
    assert thinking.thinking == "The user asks for Oslo.", thinking
    assert thinking.signature, thinking
    assert text.text == "I look it up.", text
    assert (call.name, call.input) == ("get_weather", {"city": "Oslo"}), call
    assert message.stop_reason == "tool_use", message.stop_reason
    assert message.usage.input_tokens > 0 and message.usage.output_tokens > 1, message.usage
    return message


def takes_its_own_words_back(client, asked):
    result = {"type": "tool_result", "tool_use_id": asked.content[2].id, "content": "rain, 7 °C"}
    history = [
        QUESTION,
        {"role": "assistant", "content": asked.content},
        {"role": "user", "content": [result]},
    ]
    answer = ask(client, messages=history, tools=[GET_WEATHER], thinking=THINKING)
    assert answer.content[-1].text == "I looked it up with get_weather: rain, 7 °C.", answer
    assert answer.stop_reason == "end_turn", answer
    assert answer._request_id.startswith("req_"), answer._request_id


def raises_its_rate_limit_errors(client):
    error = raised(anthropic.RateLimitError, client)
    assert error.response.headers["retry-after"] == "7", error.response.headers
    assert error.type == "rate_limit_error", error.body
    assert error.error_code is None, error.body
    answer = ask(client)  # refused once, and then retried by the client
    assert answer.content[0].text, answer
    error = raised(anthropic.EnforcedSpendLimitReachedError, client)
    assert error.error_code == "enforced_spend_limit_reached", error.body


def raises_its_server_errors(client):
    error = raised(anthropic.OverloadedError, client)
    assert error.type == "overloaded_error", error.body
    error = raised(anthropic.InternalServerError, client)
    assert error.type == "api_error", error.body
    error = raised(anthropic.GatewayTimeoutError, client)
    assert error.type == "timeout_error", error.body


def raises_an_error_inside_a_stream(client):
    text = ""
    try:
        with client.messages.stream(model="sim", max_tokens=2000, messages=[QUESTION]) as stream:
            for piece in stream.text_stream:
                text += piece
    except anthropic.APIStatusError as error:
        assert error.type == "overloaded_error", error.body
        assert error.status_code == 200, error.status_code
        assert text, "the error came before the text"
    else:
        raise AssertionError("no error in the stream")


def notices_a_broken_stream(client):
    arguments = ""
    try:
        for event in ask(client, tools=[GET_WEATHER], stream=True):
            if event.type == "content_block_delta" and event.delta.type == "input_json_delta":
                arguments += event.delta.partial_json
    except Exception as error:  # of the HTTP library below, which the client lets through
        assert "closed" in str(error) or "peer" in str(error), repr(error)
    else:
        raise AssertionError("the stream ended in order")
    assert arguments == '{"city":"Oslo"}', arguments


def raises_its_errors_for_wrong_requests(client):
    error = raised(anthropic.AuthenticationError, client, extra_headers={"Authorization": "none"})
    assert error.type == "authentication_error", error.body
    call = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {}}
    lost = [QUESTION, {"role": "assistant", "content": [call]}, QUESTION]
    error = raised(anthropic.BadRequestError, client, messages=lost, tools=[GET_WEATHER])
    assert "without `tool_result` blocks immediately after: toolu_1" in error.api_message
    thought = {"type": "thinking", "thinking": "Hm.", "signature": "made up"}
    text = {"type": "text", "text": "Yes."}
    forged = [QUESTION, {"role": "assistant", "content": [thought, text]}, QUESTION]
    error = raised(anthropic.BadRequestError, client, messages=forged)
    assert "Invalid `signature` in `thinking` block" in error.api_message, error.api_message
    error = raised(anthropic.NotFoundError, client, model="nonexistent-7b")
    assert error.api_message == "model: nonexistent-7b", error.api_message


def lists_the_models(client):
    assert "steadfast-sim" in [model.id for model in client.models.list()]


with anthropic.Anthropic() as client:
    asked = streams_a_tool_call_with_thinking(client)
    takes_its_own_words_back(client, asked)
    raises_its_rate_limit_errors(client)
    raises_its_server_errors(client)
    raises_an_error_inside_a_stream(client)
    notices_a_broken_stream(client)
    raises_its_errors_for_wrong_requests(client)
    lists_the_models(client)
