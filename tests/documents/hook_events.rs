//! The hook events on `docs/events.md` are those of the code: their order, fields and methods are read
//! from where they are declared, since nothing lists them at run time.

use std::collections::BTreeSet;

use crate::page::{names, read, rows, section};

const SOURCES: [&str; 6] = [
    "crates/steadfast-core/src/hook_event/invocation.rs",
    "crates/steadfast-core/src/hook_event/before_model_call.rs",
    "crates/steadfast-core/src/hook_event/model_call_accepted.rs",
    "crates/steadfast-core/src/hook_event/after_model_call.rs",
    "crates/steadfast-core/src/hook_event/tool_call.rs",
    "crates/steadfast-core/src/event/payload.rs",
];

/// The part of a source between two texts.
fn between<'a>(source: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let (_, rest) = source.split_once(start)?;
    rest.split(end).next()
}

/// The name after `pub` on a line, if the line declares it for everybody.
fn public<'a>(line: &'a str, before: &[&str], after: char) -> Option<&'a str> {
    let declared = before.iter().find_map(|start| line.strip_prefix(start))?;
    declared.split([after, '<']).next()
}

/// What an event shows, and what may be written to it.
fn declared(event: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let sources = SOURCES.map(read).concat();
    let (mut shown, mut written) = (BTreeSet::new(), BTreeSet::new());
    let fields = between(&sources, &format!("\npub struct {event} {{"), "\n}").unwrap();
    for line in fields.lines() {
        written.extend(public(line, &["    pub "], ':').map(str::to_owned));
    }
    let methods = between(&sources, &format!("\nimpl {event} {{"), "\n}").unwrap_or_default();
    for method in methods.split("\n\n") {
        for (at, line) in method.lines().enumerate() {
            let Some(name) = public(line, &["    pub fn ", "    pub const fn "], '(') else {
                continue;
            };
            let signature: String = method.lines().skip(at).collect();
            let signature = signature.split('{').next().unwrap();
            let list = if signature.contains("&mut self") {
                &mut written
            } else {
                &mut shown
            };
            // Without its type parameters.
            list.insert(name.split('<').next().unwrap().to_owned());
        }
    }
    (shown, written)
}

#[test]
fn hook_events_stand_on_the_page_as_they_are_declared() {
    let callbacks = read("crates/steadfast-core/src/hook/callbacks.rs");
    let slots = between(&callbacks, "\nslots! {\n", "\n}").unwrap();
    let page = read("docs/events.md");
    let rows = rows(section(&page, "## Hook events"));

    let mut listed = Vec::new();
    for slot in slots.lines() {
        let (_, rest) = slot.split_once(": ").unwrap();
        let (event, rest) = rest.split_once(", reversed: ").unwrap();
        let order = if rest.starts_with("true") {
            "reversed"
        } else {
            "forward"
        };
        let can_await = callbacks.contains(&format!("impl AsyncHookEvent for {event} {{}}"));
        let (shown, written) = declared(event);
        let row = rows.iter().find(|row| row[0] == format!("`{event}`"));
        let row = row.unwrap_or_else(|| panic!("no row of `{event}`: {shown:?}, {written:?}"));

        assert_eq!(names(row[2]), shown, "{event} shows");
        assert_eq!(names(row[3]), written, "{event} lets hooks write");
        assert_eq!(row[4], order, "{event}");
        assert_eq!(row[5], if can_await { "yes" } else { "no" }, "{event}");
        listed.push(event);
    }

    let rows: Vec<&str> = rows.iter().map(|row| row[0].trim_matches('`')).collect();
    assert_eq!(rows.len(), listed.len());
    assert!(listed.len() > 10 && callbacks.matches("impl AsyncHookEvent for").count() > 10);
}
