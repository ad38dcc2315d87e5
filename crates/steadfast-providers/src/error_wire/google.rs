//! The details of Google's errors, which its compatible endpoint sends too. What they mean is decided
//! next door.

use serde_json::Value;

/// Returns the reasons, such as `API_KEY_INVALID`.
#[cfg(any(feature = "gemini", feature = "openai"))]
pub(crate) fn reasons(error: &Value) -> impl Iterator<Item = &str> {
    details(error).filter_map(|detail| detail.get("reason")?.as_str())
}

/// Returns whether a quota of a day is used up.
#[cfg(feature = "openai")]
pub(crate) fn names_daily_quota(error: &Value) -> bool {
    daily_quota(error).is_some()
}

/// Returns the quota of a day that is used up.
#[cfg(any(feature = "gemini", feature = "openai"))]
pub(crate) fn daily_quota(error: &Value) -> Option<&str> {
    quotas(error).find(|quota| quota.contains("PerDay") || quota.contains("Daily"))
}

/// Returns the part of a sentence that says that there is no money left.
#[cfg(any(feature = "gemini", feature = "openai"))]
pub(crate) fn says_no_money(message: &str) -> Option<&'static str> {
    [
        // "Your prepayment credits are depleted. Please go to AI Studio …"
        "prepayment credits are depleted",
        // "Your project has exceeded its monthly spending cap. …"
        "exceeded its monthly spending cap",
    ]
    .into_iter()
    .find(|part| message.contains(part))
}

/// Returns whether the plan has nothing of a quota.
#[cfg(feature = "gemini")]
pub(crate) fn has_empty_quota(error: &Value) -> bool {
    violations(error).any(|violation| {
        let value = violation.get("quotaValue");
        value.is_some_and(|value| value == 0 || value == "0")
    })
}

/// Returns the quotas that are used up, such as `GenerateRequestsPerMinutePerProjectPerModel`.
pub(crate) fn quotas(error: &Value) -> impl Iterator<Item = &str> {
    violations(error).filter_map(|violation| violation.get("quotaId")?.as_str())
}

fn violations(error: &Value) -> impl Iterator<Item = &Value> {
    details(error)
        .filter_map(|detail| detail.get("violations")?.as_array())
        .flatten()
}

/// Returns the details of an error.
pub(crate) fn details(error: &Value) -> impl Iterator<Item = &Value> {
    let details = error.get("details").and_then(Value::as_array);
    details.into_iter().flatten()
}
