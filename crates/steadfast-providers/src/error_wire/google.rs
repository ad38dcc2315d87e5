//! The details of Google's errors, which its compatible endpoint sends too. What they mean is decided
//! next door.

use serde_json::Value;

/// Returns the reasons, such as `API_KEY_INVALID`.
pub(crate) fn reasons(error: &Value) -> impl Iterator<Item = &str> {
    details(error).filter_map(|detail| detail.get("reason")?.as_str())
}

/// Returns whether a quota of a day is used up.
#[cfg(feature = "openai")]
pub(crate) fn names_daily_quota(error: &Value) -> bool {
    daily_quota(error).is_some()
}

/// Returns the quota of a day that is used up.
pub(crate) fn daily_quota(error: &Value) -> Option<&str> {
    violations(error)
        .filter_map(|violation| violation.get("quotaId")?.as_str())
        .find(|quota| quota.contains("PerDay") || quota.contains("Daily"))
}

/// Returns whether the plan has nothing of a quota.
#[cfg(feature = "gemini")]
pub(crate) fn has_empty_quota(error: &Value) -> bool {
    violations(error).any(|violation| {
        let value = violation.get("quotaValue");
        value.is_some_and(|value| value == 0 || value == "0")
    })
}

fn violations(error: &Value) -> impl Iterator<Item = &Value> {
    details(error)
        .filter_map(|detail| detail.get("violations")?.as_array())
        .flatten()
}

fn details(error: &Value) -> impl Iterator<Item = &Value> {
    let details = error.get("details").and_then(Value::as_array);
    details.into_iter().flatten()
}
