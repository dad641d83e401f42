//! `holysheep-proxy config`: what it shows, and what it says of files that cannot be used.

use serde_json::Value;

use crate::harness::Directory;
use crate::harness::program::{command, run, text};

#[test]
fn what_file_environment_and_flags_come_to_is_shown_without_secrets() {
    let directory = Directory::new();
    let file = directory.write("config.yaml", "workers: 3\ntimeouts: {idle: 7s}\n");
    let mut program = command(["config", file.to_str().unwrap(), "--auth=open"]);
    program.env("HOLYSHEEP_API_KEY", "cr_very_secret");
    program.env("HOLYSHEEP_WORKERS", "2");
    let output = program.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(shown["workers"], 2);
    assert_eq!(shown["timeouts"]["idle"], "7s");
    assert_eq!(shown["timeouts"]["first_byte"], "1m");
    assert_eq!(shown["upstream"]["api_key"], "(redacted)");
    assert!(!text(&output.stdout).contains("very_secret"));
}

#[test]
fn a_file_is_checked() {
    let directory = Directory::new();
    let good = directory.write("good.yaml", "workers: 3\n");
    let good = good.to_str().unwrap();
    let output = run(["config", "--check", good]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(text(&output.stdout), format!("{good}: OK\n"));

    let bad = directory.write(
        "bad.yaml",
        "workers: many\nlog:\n  levle: info\nlimits: {in_flight: 0}\n",
    );
    let bad = bad.to_str().unwrap();
    for arguments in [
        vec!["config", "--check", bad],
        vec!["config", bad],
        vec!["config", "--check", "--config", bad],
        vec!["serve", "--config", bad],
    ] {
        let output = command(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert_eq!(text(&output.stdout), "");
        let error = text(&output.stderr);
        let lines: Vec<_> = error.lines().skip(1).collect();
        let expected = [
            format!("{bad}:1:10: workers: got \"many\", expected a whole number"),
            format!("{bad}:3:3: log.levle: unknown field; did you mean `level`?"),
            format!(
                "{bad}:4:21: limits.in_flight: 0 would refuse every request; expected at least 1"
            ),
        ];
        assert_eq!(lines, expected);
    }
}

#[test]
fn what_comes_from_a_flag_or_a_variable_is_called_by_its_name() {
    let directory = Directory::new();
    let file = directory.write("config.yaml", "workers: 3\nlimits: {headers: 1}\n");
    let file = file.to_str().unwrap();
    let said = |program: &mut std::process::Command| text(&program.output().unwrap().stderr);
    let error = said(&mut command(["config", "--check", file, "--workers=0"]));
    assert!(
        error.contains("\n--workers: workers: 0 is out of range"),
        "{error}"
    );
    assert!(
        error.contains("config.yaml:2:19: limits.headers: 1 is out of range"),
        "{error}"
    );
    let mut program = command(["config", "--check"]);
    let error = said(program.env("HOLYSHEEP_API_BASE_URL", "ftp://x"));
    assert!(
        error.contains("\nHOLYSHEEP_API_BASE_URL: upstream.base_url: "),
        "{error}"
    );
}

#[test]
fn the_schema_is_printed_for_editors() {
    let output = run(["config", "--schema"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let schema: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#");
    let connect = &schema["properties"]["timeouts"]["properties"]["connect"];
    assert_eq!(connect["default"], "10s");
    // It is of no configuration.
    let output = run(["config", "--schema", "--workers=2"]);
    assert_eq!(output.status.code(), Some(2));
}
