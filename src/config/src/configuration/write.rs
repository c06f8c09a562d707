//! A configuration as kube-proxy writes it: YAML for `--write-config-to`, JSON for /configz.

use serde::{Serialize, Serializer};

use super::{Configuration, default, yaml};
use crate::duration::GoDuration;

impl Configuration {
    /// As a file, sorted by name.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        yaml::write(&self.to_value())
    }

    /// As JSON, in the order of kube-proxy's type.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Every key is a string and every number finite, so that this cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    fn to_value(&self) -> serde_json::Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

/// A number without fraction has none in Go's JSON: `5`, not `5.0`.
#[expect(clippy::cast_possible_truncation, reason = "within the range that is exact")]
pub(super) fn number<S: Serializer>(number: &f32, serializer: S) -> Result<S::Ok, S::Error> {
    if number.fract() == 0.0 && number.abs() < 1e15 {
        serializer.serialize_i64(*number as i64)
    } else {
        // By way of its text, for 0.3 is 0.30000001192092896 as a double.
        serializer.serialize_f64(number.to_string().parse().unwrap_or_default())
    }
}

/// kube-proxy shows the default that it acts on, although Portolan's is none.
pub(super) fn min_sync_period<S: Serializer>(period: &Option<GoDuration>, serializer: S) -> Result<S::Ok, S::Error> {
    period.unwrap_or(default::MIN_SYNC_PERIOD).serialize(serializer)
}
