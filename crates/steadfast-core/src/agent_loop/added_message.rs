//! Messages that join the history outside a model call: hooks are asked about them first. Which
//! messages do is decided elsewhere.

use std::sync::Arc;

use crate::{
    event::{AgentEvent, MessageAddedEvent, TextDeltaEvent},
    interrupt::Watch,
    message::Message,
    run::Run,
    run_context::{RunContext, Unanswered},
    usage::StopReason,
};

/// An answer that a hook gives in the model's place.
pub(crate) fn answer_of_hook(text: String) -> Arc<Message> {
    let mut message = Message::assistant(text);
    message.stop_reason = Some(StopReason::EndTurn);
    Arc::new(message)
}

/// Tells such an answer like the model's own, so that a viewer who shows the deltas shows it too.
pub(super) fn tell_answer_of_hook(cx: &RunContext<'_>, added: MessageAddedEvent) -> Arc<Message> {
    let message = Arc::clone(&added.message);
    cx.tell(AgentEvent::TextDelta(TextDeltaEvent {
        scope: added.scope,
        text: message.text().into_owned(),
    }));
    cx.tell(AgentEvent::Message(added));
    message
}

/// Asks the hooks about a message that is to join the history.
pub(super) async fn ask_added(
    cx: &RunContext<'_>,
    run: &Run,
    watch: &mut Watch,
    message: Arc<Message>,
) -> Result<MessageAddedEvent, Unanswered> {
    let mut event = MessageAddedEvent {
        scope: cx.scope(run.turn(), run.attempts_in_turn()),
        message,
    };
    cx.ask_before(watch, &mut event).await?;
    Ok(event)
}
