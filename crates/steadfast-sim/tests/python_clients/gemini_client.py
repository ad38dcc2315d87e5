"""Meets the simulator with Google's own client for Gemini, unchanged.

Started by `main.rs`, whose fault script the order of requests here must match. The client takes its
base URL from the environment; it tries each request once.
"""

import os

from google import genai
from google.genai import errors, types

MODEL = "gemini-3-sim"
QUESTION = "Should I take an umbrella to Oslo?"
GET_WEATHER = types.FunctionDeclaration(
    name="get_weather",
    parameters_json_schema={
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
)
WITH_TOOL = types.GenerateContentConfig(
    tools=[types.Tool(function_declarations=[GET_WEATHER])],
    automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
)


def asked():
    return types.Content(role="user", parts=[types.Part(text=QUESTION)])


def streams_a_function_call(client):
    parts, finish, usage = [], None, None
    for chunk in client.models.generate_content_stream(
        model=MODEL, contents=QUESTION, config=WITH_TOOL
    ):
        candidate = chunk.candidates[0]
        parts += candidate.content.parts
        finish = candidate.finish_reason or finish
        usage = chunk.usage_metadata or usage
    (part,) = [part for part in parts if part.function_call]
    assert part.function_call.name == "get_weather", part
    assert part.function_call.args == {"city": "Oslo"}, part
    assert part.function_call.id and part.thought_signature, part
    assert finish == types.FinishReason.STOP, finish
    assert usage.prompt_token_count > 0 and usage.candidates_token_count > 0, usage
    return part


def takes_its_own_words_back(client, call):
    response = types.FunctionResponse(
        id=call.function_call.id, name="get_weather", response={"output": "rain, 7 °C"}
    )
    history = [
        asked(),
        types.Content(role="model", parts=[call]),
        types.Content(role="user", parts=[types.Part(function_response=response)]),
    ]
    answer = client.models.generate_content(model=MODEL, contents=history, config=WITH_TOOL)
    assert answer.text == "I looked it up with get_weather: rain, 7 °C.", answer


def raised(kind, client, **changes):
    """Returns the error of a request that is sent once."""
    request = {"model": MODEL, "contents": QUESTION}
    try:
        client.models.generate_content(**(request | changes))
    except errors.APIError as error:
        assert type(error) is kind, repr(error)
        return error
    raise AssertionError(f"no {kind.__name__}")


def raises_its_throttling_error(client):
    error = raised(errors.ClientError, client)
    assert (error.code, error.status) == (429, "RESOURCE_EXHAUSTED"), error
    delays = [detail.get("retryDelay") for detail in error.details["error"]["details"]]
    assert "7s" in delays, delays
    error = raised(errors.ClientError, client)
    assert "PerDay" in str(error.details), error.details


def raises_its_server_errors(client):
    for code, status in [(503, "UNAVAILABLE"), (500, "INTERNAL"), (504, "DEADLINE_EXCEEDED")]:
        error = raised(errors.ServerError, client)
        assert (error.code, error.status) == (code, status), error


def raises_an_error_inside_a_stream(client):
    text = ""
    try:
        for chunk in client.models.generate_content_stream(model=MODEL, contents=QUESTION):
            text += chunk.text or ""
    except errors.APIError as error:
        assert (error.code, error.status) == (503, "UNAVAILABLE"), error
        assert text, "the error came before the text"
    else:
        raise AssertionError("no error in the stream")


def raises_its_errors_for_wrong_requests(client):
    call = types.Part(function_call=types.FunctionCall(name="get_weather", args={}))
    lost = [asked(), types.Content(role="model", parts=[call]), asked()]
    error = raised(errors.ClientError, client, contents=lost)
    assert "number of function response parts" in error.message, error
    forged = types.Part(text="Yes.", thought_signature=b"made up")
    changed = [asked(), types.Content(role="model", parts=[forged]), asked()]
    error = raised(errors.ClientError, client, contents=changed)
    assert "Corrupted thought signature" in error.message, error
    error = raised(errors.ClientError, client, model="nonexistent-7b")
    assert (error.code, error.status) == (404, "NOT_FOUND"), error


def lists_the_models(client):
    assert "models/steadfast-sim" in [model.name for model in client.models.list()]


client = genai.Client(api_key=os.environ["GOOGLE_GEMINI_API_KEY"])
call = streams_a_function_call(client)
takes_its_own_words_back(client, call)
raises_its_throttling_error(client)
raises_its_server_errors(client)
raises_an_error_inside_a_stream(client)
raises_its_errors_for_wrong_requests(client)
lists_the_models(client)
