//! What the image is called after: version, commit and its time, which is every time in the image.

use std::fmt;
use std::process::Command;

use crate::command;
use crate::workspace::Workspace;

/// The state of the sources.
pub(crate) struct Commit {
    /// Seconds since 1970.
    pub(super) epoch: String,
    created: String,
    revision: String,
    source: String,
}

impl Commit {
    /// Asks git; without it the image says that it does not know.
    pub(crate) fn of(workspace: &Workspace, source: Option<&str>) -> Self {
        let git = |arguments: &[&str]| {
            let mut git = Command::new("git");
            git.args(arguments).current_dir(workspace.root());
            command::first_line(git.env("TZ", "UTC"))
        };
        let last = |format: &str| {
            let date = "--date=format-local:%Y-%m-%dT%H:%M:%SZ";
            git(&["log", "-1", date, &format!("--format={format}")])
        };
        let is_changed = git(&["status", "--porcelain"]).is_some_and(|line| !line.is_empty());
        let revision = last("%H").map(|hash| if is_changed { hash + "-modified" } else { hash });
        let origin = || git(&["remote", "get-url", "origin"]).filter(|url| is_of_the_web(url));
        Self {
            epoch: last("%ct").unwrap_or_else(|| "0".to_owned()),
            created: last("%cd").unwrap_or_else(|| "1970-01-01T00:00:00Z".to_owned()),
            revision: revision.unwrap_or_else(|| "unknown".to_owned()),
            source: source
                .map(str::to_owned)
                .or_else(origin)
                .unwrap_or_else(|| "unknown".to_owned()),
        }
    }

    /// For the Dockerfile.
    pub(super) fn arguments(&self) -> Vec<String> {
        [
            ("SOURCE_DATE_EPOCH", self.epoch.as_str()),
            ("VERSION", env!("CARGO_PKG_VERSION")),
            ("REVISION", &self.revision),
            ("CREATED", &self.created),
            ("SOURCE", &self.source),
        ]
        .iter()
        .map(|(name, value)| format!("--build-arg={name}={value}"))
        .collect()
    }
}

/// Neither a path of this machine nor somebody's credentials belong into a label.
fn is_of_the_web(url: &str) -> bool {
    url.starts_with("https://") && !url.contains('@')
}

impl fmt::Display for Commit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (revision, created, source) = (&self.revision, &self.created, &self.source);
        write!(f, "{revision} of {created}, source {source}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_names_no_paths_and_no_credentials() {
        assert!(is_of_the_web("https://git.example/holysheep-proxy"));
        assert!(!is_of_the_web(
            "https://me:secret@git.example/holysheep-proxy"
        ));
        assert!(!is_of_the_web("/srv/git/holysheep-proxy"));
    }
}
