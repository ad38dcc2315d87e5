//! The forms in which Ollama's own clients take the address of a server. Whether anybody is there is
//! not asked.

/// Where a server listens unless it is told otherwise.
const PORT: &str = "11434";

/// Returns the address in full. What is no address stays as it is, and is refused as such.
pub(super) fn of_host(host: &str) -> String {
    let host = host.trim();
    let (scheme, rest) = match host.split_once("://") {
        Some((_, "")) => return host.to_owned(),
        Some((scheme, rest)) => (Some(scheme), rest),
        None => (None, host),
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    // Behind a bracket of IPv6, if there is one: its address has colons too.
    let colon = authority
        .rfind(':')
        .filter(|colon| authority.rfind(']') < Some(*colon));
    let (name, port) = match colon {
        Some(colon) => (
            authority.get(..colon).unwrap_or_default(),
            authority.get(colon + 1..).unwrap_or_default(),
        ),
        None => (authority, ""),
    };
    let name = match name {
        // To a server these are all its addresses; a client is on the same machine.
        "" | "0.0.0.0" => "127.0.0.1",
        "[::]" => "[::1]",
        name => name,
    };
    let port = match port {
        "" if scheme.is_none() => PORT,
        port => port,
    };
    let colon = if port.is_empty() { "" } else { ":" };
    let scheme = scheme.unwrap_or("http");
    format!("{scheme}://{name}{colon}{port}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_has_the_forms_of_the_vendors_clients() {
        for (host, expected) in [
            ("", "http://127.0.0.1:11434"),
            ("1.2.3.4", "http://1.2.3.4:11434"),
            (":56789", "http://127.0.0.1:56789"),
            ("1.2.3.4:56789", "http://1.2.3.4:56789"),
            ("http://1.2.3.4", "http://1.2.3.4"),
            ("https://1.2.3.4", "https://1.2.3.4"),
            ("https://1.2.3.4:56789", "https://1.2.3.4:56789"),
            ("example.com", "http://example.com:11434"),
            ("example.com/", "http://example.com:11434/"),
            ("example.com:56789/path", "http://example.com:56789/path"),
            ("https://example.com/a?b=:1", "https://example.com/a?b=:1"),
            ("[0001::1]", "http://[0001::1]:11434"),
            ("[0001::1]:56789/path", "http://[0001::1]:56789/path"),
            ("http://[0001::1]", "http://[0001::1]"),
            (" 0.0.0.0 ", "http://127.0.0.1:11434"),
            ("http://0.0.0.0:8080", "http://127.0.0.1:8080"),
            ("[::]:8080", "http://[::1]:8080"),
            ("http://", "http://"),
        ] {
            assert_eq!(of_host(host), expected, "{host}");
        }
    }
}
