//! What Gemini refuses in a conversation: above all calls without as many results, results without
//! calls, and signatures that are not its own.
//!
//! Contents of one role in a row are one turn. Kinds of parts that are not known here are not
//! refused.

use serde_json::Value;

use super::{NO_SIGNATURE, request_check::check_name, signs_calls};
use crate::conversation::{list, string};
use crate::signature::signature;

/// The most characters that the name of a call may have.
const LONGEST_NAME: usize = 128;

/// What a part may hold; exactly one of them.
const DATA: [&str; 8] = [
    "text",
    "inlineData",
    "fileData",
    "functionCall",
    "functionResponse",
    "executableCode",
    "codeExecutionResult",
    "toolCall",
];

/// Refuses contents that Gemini would refuse, with the first thing that is wrong.
pub(super) fn check(contents: &[Value], model: &str) -> Result<(), String> {
    for (place, content) in contents.iter().enumerate() {
        let at = format!("GenerateContentRequest.contents[{place}]");
        check_content(&at, content)?;
    }
    let turns: Vec<Vec<&Value>> = contents
        .chunk_by(|one, next| is_model(one) == is_model(next))
        .map(|turn| {
            turn.iter()
                .flat_map(|content| list(content, "parts"))
                .collect()
        })
        .collect();
    if contents.first().is_some_and(is_model) {
        return Err(begins_with_the_model(turns.first()));
    }
    pairs(&turns)?;
    if signs_calls(model) {
        signed(&turns)?;
    }
    Ok(())
}

/// Says what is wrong with a history that the user does not begin. For one that begins with words,
/// the vendor's own clients refuse to send it, and what newer models say to it is not documented.
fn begins_with_the_model(turn: Option<&Vec<&Value>>) -> String {
    let is_call = |part: &&Value| part.get("functionCall").is_some();
    if turn.is_some_and(|turn| turn.iter().any(is_call)) {
        "Please ensure that function call turn comes immediately after a user turn or after a \
         function response turn."
            .to_owned()
    } else {
        "Please ensure that multiturn requests alternate between user and model.".to_owned()
    }
}

fn is_model(content: &Value) -> bool {
    string(content, "role") == "model"
}

fn check_content(at: &str, content: &Value) -> Result<(), String> {
    match content.get("role").map(|role| role.as_str()) {
        None | Some(Some("user" | "model")) => {}
        Some(_) => return Err("Please use a valid role: user, model.".to_owned()),
    }
    let parts = list(content, "parts");
    if parts.is_empty() {
        return Err(format!("* {at}.parts: contents.parts must not be empty."));
    }
    for (place, part) in parts.iter().enumerate() {
        let at = format!("{at}.parts[{place}]");
        let mut held = DATA.iter().filter(|data| part.get(data).is_some());
        let (first, second) = (held.next(), held.next());
        if let Some(second) = second {
            return Err(format!(
                "Invalid value at '{at}' (oneof), oneof field 'data' is already set. Cannot set \
                 '{second}'"
            ));
        }
        let unknown = part.as_object().is_some_and(|part| {
            let is_known = |field: &String| {
                let field = field.as_str();
                DATA.contains(&field) || matches!(field, "thought" | "thoughtSignature")
            };
            part.keys().any(|field| !is_known(field))
        });
        if first.is_none() && !unknown {
            return Err(format!(
                "* {at}.data: required oneof field 'data' must have one initialized field"
            ));
        }
        check_part(&at, part, is_model(content))?;
    }
    Ok(())
}

fn check_part(at: &str, part: &Value, of_model: bool) -> Result<(), String> {
    if let Some(call) = part.get("functionCall") {
        if !of_model {
            return Err("Please ensure that function call turns are of the role model.".to_owned());
        }
        let name = string(call, "name");
        check_name(&format!("{at}.function_call.name"), name, LONGEST_NAME)?;
        if call.get("args").is_some_and(|args| !args.is_object()) {
            return Err(format!("Invalid value at '{at}.function_call.args'"));
        }
        own_signature(part, name)?;
    } else if let Some(response) = part.get("functionResponse") {
        if of_model {
            return Err("Please ensure that function responses are of the role user.".to_owned());
        }
        let name = string(response, "name");
        check_name(&format!("{at}.function_response.name"), name, LONGEST_NAME)?;
        if !response.get("response").is_some_and(Value::is_object) {
            return Err(format!(
                "Invalid value at '{at}.function_response.response'"
            ));
        }
    } else if let Some(text) = part.get("text") {
        own_signature(part, text.as_str().unwrap_or_default())?;
    } else if let Some(blob) = part.get("inlineData") {
        if ["mimeType", "data"]
            .iter()
            .any(|field| string(blob, field).is_empty())
        {
            return Err(format!(
                "* {at}.inline_data: mime_type and data are required"
            ));
        }
    } else if let Some(file) = part.get("fileData")
        && string(file, "fileUri").is_empty()
    {
        return Err(format!("* {at}.file_data.file_uri: must not be empty"));
    }
    Ok(())
}

/// Refuses a signature that was changed, or that stood on another part.
fn own_signature(part: &Value, words: &str) -> Result<(), String> {
    let Some(sent) = part.get("thoughtSignature") else {
        return Ok(());
    };
    // The vendor's own client spells base64 for addresses.
    let sent = sent.as_str().unwrap_or_default();
    let sent = sent.replace('-', "+").replace('_', "/");
    if sent == signature(words) || sent == NO_SIGNATURE.replace('_', "/") {
        return Ok(());
    }
    Err("Corrupted thought signature.".to_owned())
}

/// Refuses calls and results that do not belong together.
fn pairs(turns: &[Vec<&Value>]) -> Result<(), String> {
    let named = |turn: &[&Value], field: &str| -> Vec<String> {
        let held = turn.iter().filter_map(|part| part.get(field));
        held.map(|held| string(held, "name").to_owned()).collect()
    };
    let mut open: Vec<String> = Vec::new();
    for turn in turns {
        let responses = named(turn, "functionResponse");
        if open.is_empty() && !responses.is_empty() {
            return Err(
                "Please ensure that function response turn comes immediately after a \
                        function call turn."
                    .to_owned(),
            );
        }
        if responses.len() != open.len() {
            return Err(
                "Please ensure that the number of function response parts is equal to the \
                        number of function call parts of the function call turn."
                    .to_owned(),
            );
        }
        // Without identities, results are told by their names and their order.
        if let Some((name, _)) = responses.iter().zip(&open).find(|(one, two)| one != two) {
            return Err(format!(
                "The function response `{name}` is not that of its call"
            ));
        }
        open = named(turn, "functionCall");
    }
    if open.is_empty() {
        return Ok(());
    }
    Err("Please ensure that function call turn is followed by a function response turn.".to_owned())
}

/// Refuses calls without a signature in the turn that is not over: what comes after the last prompt.
fn signed(turns: &[Vec<&Value>]) -> Result<(), String> {
    let is_prompt = |turn: &Vec<&Value>| {
        turn.iter()
            .all(|part| part.get("functionResponse").is_none())
    };
    let users = (0..turns.len()).step_by(2);
    let prompt = users
        .rev()
        .find(|place| turns.get(*place).is_some_and(is_prompt));
    let steps = turns.iter().skip(prompt.unwrap_or_default());
    for step in steps {
        let call = step
            .iter()
            .enumerate()
            .find(|(_, part)| part.get("functionCall").is_some());
        if let Some((place, part)) = call
            && part.get("thoughtSignature").is_none()
        {
            let name = part.pointer("/functionCall/name").and_then(Value::as_str);
            return Err(format!(
                "Function call is missing a thought_signature in functionCall parts. This is \
                 required for tools to work correctly. Additional data, function call \
                 `default_api:{}`, position {}.",
                name.unwrap_or_default(),
                place + 1,
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn user(parts: Value) -> Value {
        json!({"role": "user", "parts": parts})
    }

    fn model(parts: Value) -> Value {
        json!({"role": "model", "parts": parts})
    }

    fn hi() -> Value {
        user(json!([{"text": "Hi"}]))
    }

    fn call(name: &str) -> Value {
        json!({"functionCall": {"name": name, "args": {}}})
    }

    fn result(name: &str) -> Value {
        json!({"functionResponse": {"name": name, "response": {"output": "x"}}})
    }

    #[test]
    fn conversations_that_belong_together_pass() {
        let signed = json!({"text": "a", "thoughtSignature": signature("a")});
        for contents in [
            vec![hi()],
            vec![json!({"parts": [{"text": "Hi"}]})],
            vec![hi(), model(json!([signed])), hi()],
            vec![
                hi(),
                model(json!([{"text": "a"}, call("f"), call("g")])),
                user(json!([result("f"), result("g"), {"text": "b"}])),
            ],
            vec![
                hi(),
                model(json!([call("f")])),
                user(json!([result("f")])),
                model(json!([call("f")])),
                user(json!([result("f")])),
            ],
            vec![
                hi(),
                model(json!([{"executableCode": {}, "thoughtSignature": "x"}, {"new": 1}])),
                hi(),
            ],
            vec![hi(), model(json!([{"text": "a"}]))],
        ] {
            assert_eq!(check(&contents, "m"), Ok(()), "{contents:?}");
        }
    }

    #[test]
    fn mistakes_are_named_as_the_vendor_does() {
        let forged = json!({"text": "a", "thoughtSignature": signature("b")});
        for (contents, expected) in [
            (
                vec![model(json!([{"text": "a"}])), hi()],
                "alternate between user and model",
            ),
            (
                vec![model(json!([call("f")])), user(json!([result("f")]))],
                "function call turn comes immediately after a user turn",
            ),
            (
                vec![json!({"role": "system", "parts": [{"text": "a"}]})],
                "valid role",
            ),
            (vec![user(json!([]))], "parts must not be empty"),
            (vec![user(json!([{}]))], "required oneof field 'data'"),
            (
                vec![user(json!([{"thought": true}]))],
                "required oneof field 'data'",
            ),
            (
                vec![user(json!([{"text": "a", "inlineData": {}}]))],
                "oneof field 'data' is already set. Cannot set 'inlineData'",
            ),
            (
                vec![user(json!([{"text": "a", "fileData": {}, "new": 1}]))],
                "oneof field 'data' is already set",
            ),
            (
                vec![user(json!([{"inlineData": {"data": "QQ=="}}]))],
                "mime_type and data",
            ),
            (
                vec![hi(), model(json!([forged])), hi()],
                "Corrupted thought signature",
            ),
            (
                vec![hi(), model(json!([call("")])), user(json!([result("")]))],
                "Name cannot be empty",
            ),
            (
                vec![
                    hi(),
                    model(json!([call("a b")])),
                    user(json!([result("a b")])),
                ],
                "Invalid function name",
            ),
            (
                vec![
                    hi(),
                    model(json!([call("f"), call("g")])),
                    user(json!([result("f")])),
                ],
                "number of function response parts",
            ),
            (
                vec![hi(), model(json!([call("f")])), hi()],
                "number of function response parts",
            ),
            (
                vec![user(json!([result("f")]))],
                "comes immediately after a function call turn",
            ),
            (
                vec![hi(), model(json!([call("f")]))],
                "followed by a function response turn",
            ),
            (
                vec![hi(), model(json!([call("f")])), user(json!([result("g")]))],
                "not that of its call",
            ),
        ] {
            let error = check(&contents, "m").unwrap_err();

            assert!(error.contains(expected), "{contents:?}: {error}");
        }
    }

    #[test]
    fn calls_of_the_turn_that_is_not_over_are_signed_with_gemini_3() {
        let mut signed = call("f");
        signed["thoughtSignature"] = json!(signature("f"));
        let mut foreign = call("f");
        foreign["thoughtSignature"] = json!(NO_SIGNATURE);
        let one = |call: Value| vec![hi(), model(json!([call])), user(json!([result("f")]))];
        let over = [one(call("f")), vec![model(json!([{"text": "a"}])), hi()]].concat();

        for contents in [one(signed), one(foreign), over] {
            assert_eq!(check(&contents, "gemini-3-pro"), Ok(()), "{contents:?}");
        }
        assert_eq!(check(&one(call("f")), "gemini-2.5-pro"), Ok(()));
        let error = check(&one(call("f")), "gemini-3-pro").unwrap_err();
        assert!(error.contains("missing a thought_signature"), "{error}");
    }
}
