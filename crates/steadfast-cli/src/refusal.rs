//! Why the program does not begin: what is wrong on the command line, and what to do about it.

use std::{error::Error, fmt};

use steadfast::ConfigError;

/// The fields of the libraries that are flags here.
const FIELDS_WITH_A_FLAG: [&str; 10] = [
    "model",
    "base_url",
    "max_tokens",
    "max_attempts",
    "initial_delay",
    "max_delay",
    "max_hint",
    "deadline",
    "max_turns",
    "max_total_tokens",
];

/// Something that cannot work, found before anything was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    problem: String,
    hint: String,
}

impl Refusal {
    /// Names the problem, in one clause, and what to do about it.
    pub(crate) fn new(problem: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            problem: problem.into(),
            hint: hint.into(),
        }
    }

    pub(crate) fn problem(&self) -> &str {
        &self.problem
    }

    pub(crate) fn hint(&self) -> &str {
        &self.hint
    }
}

/// Calls every field that has a flag by it: `max_attempts` is `--max-attempts`.
pub(crate) fn with_flags(text: &str) -> String {
    // AWS's word for what is one flag here for all strategies.
    let text = text.replace("`total_max_attempts`", "`max_attempts`");
    FIELDS_WITH_A_FLAG.iter().fold(text, |text, field| {
        let flag = format!("`--{}`", field.replace('_', "-"));
        text.replace(&format!("`{field}`"), &flag)
    })
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem)
    }
}

impl Error for Refusal {}

/// Says it in the words of the command line, where a field that has a flag is called by it.
impl From<ConfigError> for Refusal {
    fn from(error: ConfigError) -> Self {
        let field = error.field();
        let hint = match (error.hint(), field) {
            (Some(hint), _) => hint,
            (None, "tls" | "http") => {
                "install the system's certificates, such as the package `ca-certificates`"
            }
            (None, _) => "look at the command line and the environment variables",
        };
        let problem = if FIELDS_WITH_A_FLAG.contains(&field) {
            with_flags(&error.to_string())
        } else {
            error.to_string().replacen(&format!("`{field}`"), field, 1)
        };
        Self::new(problem, hint)
    }
}

impl From<steadfast_sim::Error> for Refusal {
    fn from(error: steadfast_sim::Error) -> Self {
        let hint = error.hint();
        match error.source() {
            Some(source) => Self::new(format!("{error}: {source}"), hint),
            None => Self::new(error.to_string(), hint),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_called_by_their_flag_if_they_have_one() {
        let cases = [
            ("max_total_tokens", "`--max-total-tokens` is wrong"),
            ("tls", "tls is wrong"),
        ];
        for (field, expected) in cases {
            let error = ConfigError::new(field, "is wrong").with_hint("do right");

            let refusal = Refusal::from(error);

            assert_eq!((refusal.problem(), refusal.hint()), (expected, "do right"));
        }
    }
}
