//! Any history that an agent can have, whoever answered in it, sent through every request wire: the
//! simulator refuses what the vendors refuse, and must refuse none. Answers are not looked at.

use serde_json::{Value, json};
use steadfast_core::{
    ContentBlock, Message, Model, ModelError, ModelRequest, ModelSettings, Reasoning, Role,
    StopReason, ToolResult, ToolSpec, ToolUse,
};
use steadfast_providers::{Anthropic, Gemini, Ollama, OpenAiChat, OpenAiResponses};
use steadfast_sim::{Answer, Simulator, Wire};

type TestResult = Result<(), Box<dyn std::error::Error>>;

/// A generator of numbers that are the same on every machine: xorshift.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }

    #[expect(clippy::indexing_slicing, reason = "the place is below the length")]
    fn one_of<T: Clone>(&mut self, choices: &[T]) -> T {
        let place = self.below(choices.len());
        choices[place].clone()
    }
}

/// Who a part of the history came from: it decides over identities, reasoning and own blocks.
#[derive(Clone, Copy, PartialEq)]
enum Author {
    Anthropic,
    /// A server of the messages wire that never signs, and is careless with identities.
    Compatible,
    OpenAi,
    /// OpenAI's other wire, whose thoughts go back encrypted.
    Responses,
    /// A server of the chat wire that numbers the calls of every turn anew.
    Numbering,
    Bedrock,
    /// Gemini, which signs some of its parts and gives no identities.
    Gemini,
    Foreign,
}

/// More thoughts than any history here has.
const MOST_THOUGHTS: usize = 24;

struct Generator {
    numbers: Numbers,
    /// A thought that the simulator signed.
    signed: ContentBlock,
    /// Thoughts that the simulator encrypted; the vendor takes none of them twice.
    encrypted: Vec<ContentBlock>,
    thoughts: usize,
    /// An end of a text, and what stands behind a call of `look_up`, as Gemini's wire signed them.
    signed_end: ContentBlock,
    signs_call: ContentBlock,
    calls: usize,
}

impl Generator {
    fn history(&mut self) -> Vec<Message> {
        // A conversation may begin with what the agent says first.
        let mut history = Vec::new();
        match self.numbers.below(8) {
            0 => history.push(Message::assistant("Welcome!")),
            1 => self.turn(&mut history),
            _ => history.push(self.prompt()),
        }
        for _ in 0..=self.numbers.below(4) {
            self.turn(&mut history);
            if self.numbers.below(2) == 0 {
                history.push(self.prompt());
            }
            if self.numbers.below(8) == 0 {
                history.push(Message::user(" "));
            }
        }
        // The end: results, a prompt, or an answer to go on with. A blank prompt is refused before
        // it is sent, and an answer behind one came by another wire.
        let ends_in_results = history.last().is_some_and(|last| {
            let is_result = |block: &ContentBlock| matches!(block, ContentBlock::ToolResult(_));
            last.content.iter().any(is_result)
        });
        let has_blank = history.iter().any(|message| message.text() == " ");
        // Somebody has to ask.
        let is_asked = history.iter().any(|message| message.role == Role::User);
        if !ends_in_results && (has_blank || !is_asked || self.numbers.below(2) == 0) {
            history.push(Message::user("end"));
        }
        history
    }

    fn prompt(&mut self) -> Message {
        let text = ContentBlock::text("Who?");
        let image = ContentBlock::image_base64("image/png", "QQ==");
        let own = ContentBlock::Opaque {
            data: json!({"gemini": {"type": "file"}}),
        };
        let content = self.numbers.one_of(&[
            vec![text.clone()],
            vec![text.clone(), ContentBlock::text("")],
            vec![image, text.clone()],
            vec![own, text],
        ]);
        Message::new(Role::User, content)
    }

    /// Adds an answer, its results, and at times what a hook says behind them.
    fn turn(&mut self, history: &mut Vec<Message>) {
        let author = self.numbers.one_of(&[
            Author::Anthropic,
            Author::Compatible,
            Author::OpenAi,
            Author::Responses,
            Author::Numbering,
            Author::Bedrock,
            Author::Gemini,
            Author::Foreign,
        ]);
        let mut content = Vec::new();
        for place in 0..self.numbers.below(5) {
            content.extend(self.block(author, place));
        }
        let mut message = Message::new(Role::Assistant, content);
        let calls: Vec<ToolUse> = message.tool_uses().cloned().collect();
        message.stop_reason = Some(self.stop_reason(author, calls.is_empty()));
        history.push(message);
        if calls.is_empty() {
            return;
        }
        let results: Vec<ToolResult> = calls.iter().map(|call| self.result(call)).collect();
        let mut answered = Message::tool_results(results);
        if self.numbers.below(4) == 0 {
            answered
                .content
                .insert(0, ContentBlock::text("By the way:"));
        }
        history.push(answered);
        if self.numbers.below(4) == 0 {
            history.push(Message::assistant("A hook's own words. "));
        }
    }

    fn stop_reason(&mut self, author: Author, no_calls: bool) -> StopReason {
        if !no_calls {
            return self.numbers.one_of(&[
                StopReason::ToolUse,
                StopReason::EndTurn,
                StopReason::MaxTokens,
                StopReason::Refusal,
            ]);
        }
        let stop_reason = self.numbers.one_of(&[
            StopReason::EndTurn,
            StopReason::StopSequence,
            StopReason::MaxTokens,
            StopReason::Refusal,
            StopReason::ContentFiltered,
            StopReason::PauseTurn,
        ]);
        match stop_reason {
            // Nobody else pauses.
            StopReason::PauseTurn if author != Author::Anthropic => StopReason::EndTurn,
            stop_reason => stop_reason,
        }
    }

    fn block(&mut self, author: Author, place: usize) -> Vec<ContentBlock> {
        match self.numbers.below(7) {
            0 => vec![ContentBlock::text("So ")],
            1 => vec![ContentBlock::text(" \n")],
            2 => vec![ContentBlock::Refusal { text: "No.".into() }],
            3 => vec![self.reasoning(author)],
            4 if author == Author::Anthropic => self.server_call(),
            4 if author == Author::Bedrock => self.bedrock_call(),
            4 if author == Author::Responses => vec![self.own_item()],
            4 if author == Author::Gemini => vec![self.signed_end.clone()],
            4 => vec![ContentBlock::Opaque {
                data: json!({"gemini": {"executableCode": {}}}),
            }],
            _ => {
                let call = self.call(author, place);
                let is_signed = author == Author::Gemini && call.name == "look_up";
                let signature = is_signed.then(|| self.signs_call.clone());
                [ContentBlock::ToolUse(call)]
                    .into_iter()
                    .chain(signature)
                    .collect()
            }
        }
    }

    fn reasoning(&mut self, author: Author) -> ContentBlock {
        let thought = Reasoning::new("Hm");
        let own = match author {
            Author::Anthropic if self.numbers.below(3) == 0 => {
                json!({"anthropic": {"data": "sealed"}})
            }
            Author::Anthropic if self.numbers.below(3) == 0 => {
                // Cut before it was signed.
                json!({"anthropic": {"signature": ""}})
            }
            Author::Anthropic => return self.signed.clone(),
            Author::Compatible => json!({"anthropic": {"signature": ""}}),
            Author::OpenAi => json!({"openai_chat": {"text_in": "reasoning_content"}}),
            Author::Responses if self.numbers.below(4) == 0 => {
                // Of a server that encrypts nothing.
                json!({"openai_responses": {"type": "reasoning", "id": "rs_bare", "summary": []}})
            }
            Author::Responses => return self.encrypted_thought(),
            Author::Numbering => return ContentBlock::Reasoning(thought),
            Author::Bedrock if self.numbers.below(3) == 0 => {
                json!({"bedrock": {"redactedContent": "c2VhbGVk"}})
            }
            Author::Bedrock => match &self.signed {
                // The simulator signs a thought the same way on both wires.
                ContentBlock::Reasoning(Reasoning { text, opaque, .. }) => {
                    let signature = opaque
                        .as_ref()
                        .and_then(|own| own.pointer("/anthropic/signature"));
                    let own = json!({"bedrock": {"signature": signature}});
                    return ContentBlock::Reasoning(Reasoning::new(text).with_opaque(own));
                }
                _ => Value::Null,
            },
            Author::Gemini => json!({"gemini": {}}),
            Author::Foreign => json!({"another": {"signature": "x"}}),
        };
        ContentBlock::Reasoning(thought.with_opaque(own))
    }

    #[expect(clippy::indexing_slicing, reason = "the place is below the length")]
    fn encrypted_thought(&mut self) -> ContentBlock {
        self.thoughts += 1;
        self.encrypted[self.thoughts % self.encrypted.len()].clone()
    }

    /// An item of OpenAI's own, or a call that nobody here has run.
    fn own_item(&mut self) -> ContentBlock {
        let item = self.numbers.one_of(&[
            json!({"type": "web_search_call", "id": "ws_1", "status": "completed"}),
            json!({"type": "custom_tool_call", "call_id": "c_1", "name": "f", "input": "x"}),
            json!({"phase": "commentary"}),
        ]);
        let data = json!({ "openai_responses": item });
        ContentBlock::Opaque { data }
    }

    /// A call that the vendor runs by itself; its result came, or the answer ended before.
    fn server_call(&mut self) -> Vec<ContentBlock> {
        self.calls += 1;
        let own = |block: Value| ContentBlock::Opaque {
            data: json!({ "anthropic": block }),
        };
        let id = format!("srvtoolu_{}", self.calls);
        let call = json!({"type": "server_tool_use", "id": id, "name": "web_search", "input": {}});
        let result = json!({"type": "web_search_tool_result", "tool_use_id": id, "content": []});
        let mut blocks = vec![own(call), own(result)];
        blocks.truncate(1 + self.numbers.below(2));
        blocks
    }

    /// The same of Bedrock.
    fn bedrock_call(&mut self) -> Vec<ContentBlock> {
        self.calls += 1;
        let own = |block: Value| ContentBlock::Opaque {
            data: json!({ "bedrock": block }),
        };
        let id = format!("tooluse_{}", self.calls);
        let call =
            json!({"toolUseId": id, "name": "search", "input": {}, "type": "server_tool_use"});
        let result = json!({"toolUseId": id, "content": [{"text": "x"}], "type": "result"});
        let mut blocks = vec![
            own(json!({"toolUse": call})),
            own(json!({"toolResult": result})),
        ];
        blocks.truncate(1 + self.numbers.below(2));
        blocks
    }

    fn call(&mut self, author: Author, place: usize) -> ToolUse {
        self.calls += 1;
        let number = self.calls;
        let id = match author {
            Author::Anthropic => format!("toolu_{number}"),
            Author::Compatible => self.numbers.one_of(&["", "f.1", "f:1", "f 1"]).to_owned(),
            Author::OpenAi | Author::Responses => format!("call_{number}"),
            Author::Numbering => format!("call_{place}"),
            Author::Bedrock => format!("tooluse_{number}"),
            Author::Gemini => format!("unnumbered_{place}"),
            Author::Foreign => format!("functions/{number}#{}", "x".repeat(60)),
        };
        let long = "é".repeat(70);
        let name = self.numbers.one_of(&["look_up", "", "look up", &long]);
        let input = self.numbers.one_of(&[
            json!({"a": 1}),
            json!({}),
            Value::Null,
            json!("{\"a\": cut"),
            json!([1]),
        ]);
        ToolUse::new(id, name, input)
    }

    fn result(&mut self, call: &ToolUse) -> ToolResult {
        let image = ContentBlock::image_url("http://h/i.png");
        let foreign = ContentBlock::Opaque {
            data: json!({"gemini": {}}),
        };
        match self.numbers.below(6) {
            0 => ToolResult::error(call, "no such tool"),
            1 => ToolResult::error(call, " "),
            2 => ToolResult::ok(call, vec![]),
            3 => ToolResult::ok(call, vec![ContentBlock::text("seen"), image]),
            4 => ToolResult::ok(call, vec![image, foreign]),
            _ => ToolResult::ok(call, vec![ContentBlock::text("dry")]),
        }
    }
}

/// Puts the bytes of images where their addresses are: Ollama fetches nothing.
fn with_bytes(history: &[Message]) -> Vec<Message> {
    let mut history = history.to_vec();
    for block in history.iter_mut().flat_map(|message| &mut message.content) {
        let ContentBlock::ToolResult(result) = block else {
            continue;
        };
        for part in &mut result.content {
            if matches!(part, ContentBlock::Image { .. }) {
                *part = ContentBlock::image_base64("image/png", "QQ==");
            }
        }
    }
    history
}

/// Asks, and returns what refused it; the answer is left unread.
async fn ask(model: &impl Model, request: ModelRequest) -> Result<(), ModelError> {
    model.stream(request).await.map(drop)
}

#[tokio::test]
async fn every_history_is_accepted_by_every_wire() -> TestResult {
    let sim = Simulator::builder()
        .answer(|request| match request.tools() {
            [] => Answer::reasoning("Hm").then_text("Yes."),
            _ => Answer::tool_call("look_up", json!({})),
        })
        .start()
        .await?;
    let messages = Anthropic::builder("claude-sonnet-4-5")
        .base_url(sim.url())
        .api_key("sk-test")
        .build()?;
    let chat = OpenAiChat::builder("gpt-test")
        .base_url(sim.base_url())
        .api_key("sk-test")
        .build()?;
    let responses = OpenAiResponses::builder("gpt-5")
        .base_url(sim.base_url_for(Wire::OpenAiResponses))
        .api_key("sk-test")
        .build()?;
    #[cfg(feature = "bedrock")]
    let bedrock = steadfast_providers::Bedrock::builder("anthropic.claude-test-v1:0")
        .region("us-east-1")
        .credentials("AKIDTEST", "a secret of a test", None)
        .endpoint_url(sim.url())
        .build()?;
    let gemini = |name: &str| {
        let builder = Gemini::builder(name).base_url(sim.url());
        builder.api_key("AIza-test").build()
    };
    let gemini_2 = gemini("gemini-2.5-flash")?;
    let gemini_3 = gemini("gemini-3-pro")?;
    let ollama = Ollama::builder("qwen-test").base_url(sim.url()).build()?;
    let thinking = ModelSettings::new().max_tokens(9_000).extra(
        "thinking",
        json!({"type": "enabled", "budget_tokens": 4_000}),
    );
    let first = ModelRequest::new([Message::user("Hi")]).with_settings(thinking.clone());
    let first = messages.stream(first).await?.response().await?;
    let is_thought = |block: &&ContentBlock| matches!(block, ContentBlock::Reasoning(_));
    let signed = first.message.content.iter().find(is_thought);
    let mut encrypted = Vec::new();
    for _ in 0..MOST_THOUGHTS {
        let first = ModelRequest::new([Message::user("Hi")]);
        let first = responses.stream(first).await?.response().await?;
        encrypted.extend(first.message.content.iter().find(is_thought).cloned());
    }
    assert_eq!(encrypted.len(), MOST_THOUGHTS);
    let hi = ModelRequest::new([Message::user("Hi")]);
    let look_up = ToolSpec::new("look_up", "", json!({"type": "object"}));
    let mut signed_by_gemini = Vec::new();
    for request in [hi.clone(), hi.with_tools([look_up])] {
        let answer = gemini_2.stream(request).await?.response().await?;
        let last = answer.message.content.last().cloned();
        signed_by_gemini.push(last.ok_or("the simulator signs what it says")?);
    }
    let [signed_end, signs_call] = <[ContentBlock; 2]>::try_from(signed_by_gemini)
        .map_err(|blocks| format!("two blocks, not {blocks:?}"))?;
    let mut generator = Generator {
        numbers: Numbers(0x5EED_0FA1_1D15_EA5E),
        signed: signed
            .ok_or("the simulator thinks where it is asked to")?
            .clone(),
        encrypted,
        thoughts: 0,
        signed_end,
        signs_call,
        calls: 0,
    };

    for number in 0..500 {
        let history = generator.history();
        let request = ModelRequest::new(history.clone());
        let thoughtful = request.clone().with_settings(thinking.clone());
        let mut answers = vec![
            ask(&messages, request.clone()).await,
            ask(&messages, thoughtful.clone()).await,
            ask(&gemini_2, request.clone()).await,
            ask(&gemini_3, request.clone()).await,
            ask(&chat, request.clone()).await,
            ask(&responses, request.clone()).await,
            ask(&ollama, ModelRequest::new(with_bytes(&history))).await,
        ];
        #[cfg(feature = "bedrock")]
        answers.extend([
            ask(&bedrock, request.clone()).await,
            ask(&bedrock, thoughtful).await,
        ]);
        for answer in answers {
            if let Err(error) = answer {
                let history = serde_json::to_string_pretty(&history)?;
                return Err(format!("history {number}: {error}\n{history}").into());
            }
        }
    }
    sim.stop().await;
    Ok(())
}
