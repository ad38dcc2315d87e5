"""Meets the simulator with the official client of Amazon Bedrock, unchanged.

Started by `main.rs`, whose fault script and answers the order of requests here must match. The
client takes its keys, its region and its address from the environment.
"""

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, EventStreamError

MODEL = "amazon.nova-lite-v1:0"
QUESTION = {"role": "user", "content": [{"text": "Should I take an umbrella to Oslo?"}]}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = {"tools": [{"toolSpec": {"name": "get_weather", "inputSchema": {"json": SCHEMA}}}]}


def client(attempts=1):
    retries = {"total_max_attempts": attempts, "mode": "standard"}
    return boto3.client("bedrock-runtime", config=Config(retries=retries))


def raised(code, **changes):
    """Returns the error of a request that is sent once."""
    request = {"modelId": MODEL, "messages": [QUESTION]}
    try:
        client().converse(**(request | changes))
    except ClientError as error:
        assert error.response["Error"]["Code"] == code, error.response
        assert error.response["ResponseMetadata"]["RequestId"], error.response
        return error
    raise AssertionError(f"no {code}")


def streams_a_tool_call():
    answer = client().converse_stream(modelId=MODEL, messages=[QUESTION], toolConfig=TOOLS)
    name, arguments, stop, usage = None, "", None, None
    for event in answer["stream"]:
        if "contentBlockStart" in event:
            call = event["contentBlockStart"]["start"]["toolUse"]
            name, identity = call["name"], call["toolUseId"]
        if "contentBlockDelta" in event:
            arguments += event["contentBlockDelta"]["delta"].get("toolUse", {}).get("input", "")
        if "messageStop" in event:
            stop = event["messageStop"]["stopReason"]
        if "metadata" in event:
            usage = event["metadata"]["usage"]
    assert (name, arguments, stop) == ("get_weather", '{"city":"Oslo"}', "tool_use"), answer
    assert usage["inputTokens"] > 0 and usage["outputTokens"] > 0, usage
    return {"toolUse": {"toolUseId": identity, "name": name, "input": {"city": "Oslo"}}}


def takes_its_own_words_back(call):
    identity = call["toolUse"]["toolUseId"]
    result = {"toolResult": {"toolUseId": identity, "content": [{"json": {"sky": "rain"}}]}}
    history = [
        QUESTION,
        {"role": "assistant", "content": [call]},
        {"role": "user", "content": [result]},
    ]
    answer = client().converse(modelId=MODEL, messages=history, toolConfig=TOOLS)
    text = answer["output"]["message"]["content"][0]["text"]
    assert text == 'I looked it up with get_weather: {"sky":"rain"}.', text
    assert answer["stopReason"] == "end_turn", answer
    assert answer["ResponseMetadata"]["RequestId"], answer


def raises_its_throttling_error():
    bedrock = client()
    try:
        bedrock.converse(modelId=MODEL, messages=[QUESTION])
    except bedrock.exceptions.ThrottlingException as error:
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 429, error.response
    else:
        raise AssertionError("no ThrottlingException")
    # Refused once, and then retried by the client.
    answer = client(attempts=2).converse(modelId=MODEL, messages=[QUESTION])
    assert answer["ResponseMetadata"]["RetryAttempts"] == 1, answer["ResponseMetadata"]


def raises_its_other_errors():
    raised("ServiceUnavailableException")
    raised("ModelTimeoutException")
    lost = [QUESTION, {"role": "assistant", "content": [{"text": "x"}]}, QUESTION, QUESTION]
    assert "alternate" in str(raised("ValidationException", messages=lost))
    blank = [{"role": "user", "content": [{"text": " "}]}]
    assert "is blank" in str(raised("ValidationException", messages=blank))


def raises_an_error_inside_a_stream():
    text = ""
    try:
        for event in client().converse_stream(modelId=MODEL, messages=[QUESTION])["stream"]:
            text += event.get("contentBlockDelta", {}).get("delta", {}).get("text", "")
    except EventStreamError as error:
        assert error.response["Error"]["Code"] == "throttlingException", error.response
        assert text, "the error came before the text"
    else:
        raise AssertionError("no error in the stream")


call = streams_a_tool_call()
takes_its_own_words_back(call)
raises_its_throttling_error()
raises_its_other_errors()
raises_an_error_inside_a_stream()
