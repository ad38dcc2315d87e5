//! The details of Google's errors, which its compatible endpoint sends too. What they mean is decided
//! next door.

use serde_json::Value;

/// Returns the reasons, such as `API_KEY_INVALID`.
pub(super) fn reasons(error: &Value) -> impl Iterator<Item = &str> {
    details(error).filter_map(|detail| detail.get("reason")?.as_str())
}

/// Returns whether a quota of a day is used up.
pub(super) fn names_daily_quota(error: &Value) -> bool {
    details(error)
        .filter_map(|detail| detail.get("violations")?.as_array())
        .flatten()
        .filter_map(|violation| violation.get("quotaId")?.as_str())
        .any(|quota| quota.contains("PerDay") || quota.contains("Daily"))
}

fn details(error: &Value) -> impl Iterator<Item = &Value> {
    let details = error.get("details").and_then(Value::as_array);
    details.into_iter().flatten()
}
