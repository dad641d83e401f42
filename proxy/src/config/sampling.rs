//! `log.sample` and `log.slow`: which requests get a line in the access log.

use std::time::Duration;

use serde::Serialize;

use super::Problem;
use super::file::{LogFile, as_text};

/// Which requests that went well get a line. All others do.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Sampling {
    /// Their share: 1 is all of them, 0 none.
    pub share: f64,
    /// Whatever took so long gets one anyway.
    #[serde(serialize_with = "as_text")]
    pub slow: Duration,
}

impl LogFile {
    pub(super) fn sampling(&self, problems: &mut Vec<Problem>) -> Sampling {
        let share = self.sample.unwrap_or(1.0);
        if !(0.0..=1.0).contains(&share) {
            problems.push(Problem {
                field: "log.sample".into(),
                message: format!("{share} is no share; expected 0 to 1, such as 0.1 for a tenth"),
            });
        }
        Sampling {
            share,
            slow: self.slow.map_or(Duration::from_secs(10), |slow| slow.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, ConfigFile};

    #[test]
    fn a_share_is_between_nothing_and_all() {
        for (text, good) in [
            ("0", true),
            ("0.25", true),
            ("1", true),
            ("-0.1", false),
            ("10", false),
        ] {
            let file = ConfigFile::parse(&format!("log: {{sample: {text}}}")).unwrap();
            let error = Config::build(file).err().map(|error| error.to_string());
            assert_eq!(error.is_none(), good, "{text}: {error:?}");
            assert!(error.is_none_or(|error| error.starts_with("log.sample: ")));
        }
    }
}
