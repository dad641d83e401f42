//! Programs that are run to their end.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Says what is run, runs it with the terminal as its own, and fails with `remedy`.
pub(crate) fn run(command: &mut Command, remedy: &str) -> Result<()> {
    let line = shown(command);
    println!("$ {line}");
    let status = command
        .status()
        .with_context(|| format!("cannot start `{line}`; {remedy}"))?;
    if !status.success() {
        bail!("`{line}` failed ({status}); {remedy}");
    }
    Ok(())
}

/// What a program prints; an error, with its message, if it fails.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let line = shown(command);
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start `{line}`"))?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        bail!("`{line}` failed ({}): {}", output.status, message.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The first line a program prints, if it can be run and succeeds.
pub(crate) fn first_line(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output();
    let output = output.ok().filter(|output| output.status.success())?;
    let text = String::from_utf8_lossy(&output.stdout);
    Some(text.lines().next().unwrap_or_default().trim().to_owned())
}

/// Has a command write both its outputs to a file.
pub(crate) fn log_to(command: &mut Command, file: &Path) -> Result<()> {
    let output = File::create(file).with_context(|| format!("cannot write {}", file.display()))?;
    command.stderr(output.try_clone()?).stdout(output);
    Ok(())
}

/// The command as one would type it.
pub(crate) fn shown(command: &Command) -> String {
    let program = command.get_program().to_string_lossy();
    // Cargo gives us its whole path; nobody types that.
    let program = match program.rsplit_once('/') {
        Some((_, "cargo")) => "cargo".into(),
        _ => program,
    };
    let mut line = program.into_owned();
    for argument in command.get_args() {
        let argument = argument.to_string_lossy();
        line.push(' ');
        if argument.contains([' ', '"', ';', '$']) || argument.is_empty() {
            line.push_str(&format!("'{argument}'"));
        } else {
            line.push_str(&argument);
        }
    }
    line
}

/// Takes the developer's own settings of the proxy away, where they must not matter.
pub(crate) fn without_settings(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("HOLYSHEEP_") {
            command.env_remove(name);
        }
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_shown_as_typed() {
        let mut command = Command::new("/opt/rust/bin/cargo");
        command.args(["test", "a b"]);
        assert_eq!(shown(&command), "cargo test 'a b'");
    }

    #[test]
    fn a_failing_program_has_no_first_line() {
        assert_eq!(first_line(&mut Command::new("false")), None);
        assert_eq!(
            first_line(Command::new("echo").arg("version 1")),
            Some("version 1".to_owned())
        );
    }

    #[test]
    fn a_failure_names_the_command_and_the_remedy() {
        let error = run(&mut Command::new("false"), "try true").unwrap_err();
        assert!(error.to_string().contains("`false` failed"), "{error}");
        assert!(error.to_string().ends_with("try true"), "{error}");
    }
}
