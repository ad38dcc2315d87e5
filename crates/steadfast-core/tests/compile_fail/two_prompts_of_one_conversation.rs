//! Strands 63: a conversation answers one prompt at a time, so that no lock can be left held.

use steadfast_core::Conversation;

fn at_once(conversation: &mut Conversation) {
    let one = conversation.prompt("One?").stream();
    let two = conversation.prompt("Two?").stream();
    drop((one, two));
}

fn main() {}
