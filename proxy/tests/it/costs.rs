//! `costs`: what it prints, what it refuses, and that the documentation shows just that.

use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};

use crate::harness::program::{command, text};
use crate::harness::{Directory, Rig};

fn costs(args: &[&str]) -> Output {
    command(["costs"]).args(args).output().unwrap()
}

fn printed(args: &[&str]) -> String {
    let output = costs(args);
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

fn parsed(args: &[&str]) -> Value {
    let text = printed(&[args, &["--format", "json"]].concat());
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A line of the log of an hour of a day.
fn line(day: u32, client: &str, model: &str, output: u64, cost: &str) -> String {
    format!(
        "{{\"time\":\"2026-11-{day:02}T10:00:00.000Z\",\"route\":\"/v1/chat/completions\",\"status\":200,\
         \"attempts\":1,\"client\":\"{client}\",\"model\":\"{model}\",\"usage\":{{\"source\":\"reported\",\
         \"model\":\"{model}\",\"input\":1,\"output\":{output}}},\"cost_usd\":{cost}}}\n"
    )
}

#[test]
fn the_articles_month_is_computed() {
    let all = parsed(&[]);
    let total = &all["total"];
    assert_eq!(total["official_usd"], json!(259.2));
    assert_eq!(total["official_cny"], json!(1892.16));
    assert_eq!(total["relay_cny"], json!(259.2));
    assert_eq!(total["saved_percent"], json!(86.3));
    assert_eq!(all["models"].as_array().unwrap().len(), 4);
    let mixed = parsed(&[
        "--mix",
        "gpt-4.1=5M:output",
        "claude-sonnet-4-5=5M:output",
        "--exchange-rate",
        "7.3",
        "--fee",
        "7300",
    ]);
    assert_eq!(mixed["total"]["official_cny"], json!(839.5));
    assert_eq!(mixed["flat_fee"]["saved_cny"], json!(-6460.5));
    let csv = printed(&["--mix", "gpt-4.1=1M:input,500k:cached", "--format", "csv"]);
    assert!(
        csv.contains("\ngpt-4.1,1000000,500000,0,0,1.25,9.125,1.25,7.875\n"),
        "{csv}"
    );
}

#[test]
fn a_terminals_width_is_enough() {
    for args in [
        &[][..],
        &["--fee", "7300"],
        &[
            "--mix",
            "claude-sonnet-4.5=1234567:input,123456:cached,12345:cache_write,7654321:output",
        ],
        &["--prices"],
    ] {
        for line in printed(args).lines() {
            assert!(line.chars().count() <= 100, "{line}");
        }
    }
}

#[test]
fn what_cannot_be_asked_for_is_refused_with_its_flag() {
    let directory = Directory::new();
    let broken = directory.write("broken.yaml", "prices: {m: {input: cheap, output: 1}}");
    let broken = broken.to_str().unwrap();
    for (args, expected) in [
        (
            &["--mix", "gpt-4.1"][..],
            "expected such as gpt-4.1=30M:input",
        ),
        (
            &["--mix", "nobody=1M:output"],
            "--mix nobody: it has no price; known are gpt-4.1, claude-sonnet-4.5",
        ),
        (&["--exchange-rate", "0"], "0 yuan make no dollar"),
        (
            &["--exchange-rate", "seven"],
            "expected a number such as 7.3",
        ),
        (&["--fee=-1"], "expected no negative number"),
        (&["--invoice", "100"], "--invoice needs --from or --admin"),
        (
            &["--invoice", "0.001", "--from", "-"],
            "at most two decimals",
        ),
        (&["--since", "2026-11-01"], "--from"),
        (
            &["--since", "yesterday", "--from", "-"],
            "expected such as 2026-11-01",
        ),
        (
            &["--from", "-", "--mix", "gpt-4.1=1M:output"],
            "cannot be used with",
        ),
        (
            &["--from", "-", "--admin", "http://127.0.0.1:1"],
            "cannot be used with",
        ),
        (
            &["--config", broken],
            "prices.m.input: \"cheap\" is no price",
        ),
        (
            &["--config", "/does/not/exist"],
            "cannot read the configuration file",
        ),
        (&["--format", "xml"], "json"),
    ] {
        let output = costs(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        let told = text(&output.stderr);
        assert!(told.contains(expected), "{args:?}: {told}");
        assert_eq!(text(&output.stdout), "");
    }
}

#[test]
fn what_is_not_there_is_named() {
    let directory = Directory::new();
    let empty = directory.write("empty.log", "\n");
    let free = directory.write("free.log", &line(1, "a", "gpt-4.1", 0, "0"));
    let [empty, free] = [&empty, &free].map(|path| path.to_str().unwrap());
    for (args, expected) in [
        (
            &["--from", "/does/not/exist"][..],
            "/does/not/exist: No such file",
        ),
        (&["--from", empty], "no line of the access log was found"),
        (&["--from", free, "--invoice", "1"], "nothing was charged"),
        (
            &["--admin", "https://127.0.0.1:1"],
            "expected the URL of an admin port",
        ),
        (
            &["--admin", "http://127.0.0.1:1"],
            "http://127.0.0.1:1: Connection refused",
        ),
    ] {
        let output = costs(args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        let told = text(&output.stderr);
        assert!(told.contains(expected), "{args:?}: {told}");
    }
    let rig = Rig::start();
    let output = costs(&["--admin", &format!("http://{}", rig.data_addr())]);
    let told = text(&output.stderr);
    assert!(told.contains("GET /status: 404"), "{told}");
}

#[test]
fn several_logs_make_one_bill_and_an_invoice_is_split_to_the_cent() {
    let directory = Directory::new();
    let first = [
        line(1, "team-a", "gpt-4.1", 1, "1"),
        line(2, "team-b", "gpt-4.1", 2, "1.0"),
        "what is this\n".to_owned(),
    ];
    let second = [
        line(3, "team-c", "claude-sonnet-4-5", 3, "1e0"),
        line(9, "team-c", "gpt-4.1", 3, "5"),
    ];
    let first = directory.write("1.log", &first.concat());
    let second = directory.write("2.log", &second.concat());
    let [first, second] = [&first, &second].map(|path| path.to_str().unwrap());
    let window = ["--since", "2026-11-01", "--until", "2026-11-09"];
    let args = [
        &["--from", first, second][..],
        &window,
        &["--invoice", "100"],
    ]
    .concat();
    let bill = parsed(&args);
    assert_eq!(bill["usd"], json!(3));
    assert_eq!(bill["lines"], json!({"read": 4, "unreadable": 1}));
    let shares: Vec<_> = bill["clients"]
        .as_array()
        .unwrap()
        .iter()
        .map(|client| {
            (
                client["client"].as_str().unwrap(),
                client["invoice"].to_string(),
            )
        })
        .collect();
    let third = |client, amount: &str| (client, amount.to_owned());
    assert_eq!(
        shares,
        [
            third("team-a", "33.34"),
            third("team-b", "33.33"),
            third("team-c", "33.33")
        ]
    );
    let table = printed(&args);
    assert!(
        table.contains("\nAn invoice of 100.00 in proportion to these costs\n"),
        "{table}"
    );
    assert!(
        table.contains("team-a  1.0000   33.3%   33.34\n"),
        "{table}"
    );
    let whole = parsed(&["--from", first, second]);
    assert_eq!(whole["usd"], json!(8));
}

#[test]
fn running_proxies_are_added_up() {
    let rigs = [Rig::start(), Rig::start()];
    let body = r#"{"model":"gpt-4.1","messages":[{"role":"user","content":"hello"}]}"#;
    for rig in &rigs {
        assert_eq!(rig.post(crate::harness::CHAT, body).status, 200);
        rig.wait_log(1);
    }
    let urls = rigs
        .each_ref()
        .map(|rig| format!("http://{}/", rig.admin_addr()));
    let bill = parsed(&["--admin", &urls[0], &urls[1]]);
    let model = &bill["clients"][0]["models"][0];
    assert_eq!(
        (&model["requests"], &model["output_tokens"]),
        (&json!(2), &json!(32))
    );
    assert!(bill.get("lines").is_none());
}

/// Commands and what they print, as they stand in blocks of the documentation.
fn shown(document: &str) -> Vec<(Vec<String>, String)> {
    let blocks = document.split("```console\n").skip(1);
    let blocks = blocks.map(|block| block.split("```").next().unwrap());
    let mut shown = Vec::new();
    for command in blocks.flat_map(|block| block.split("$ holysheep-proxy costs").skip(1)) {
        let (args, output) = command.split_once('\n').unwrap();
        let args = args.split_whitespace().map(str::to_owned).collect();
        shown.push((args, output.trim_end().to_owned()));
    }
    shown
}

#[test]
fn the_documentation_shows_what_is_printed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let document = std::fs::read_to_string(root.join("docs/costs.md")).unwrap();
    let shown = shown(&document);
    assert!(shown.len() >= 6, "{}", shown.len());
    for (args, expected) in shown {
        // Logs it names are those of the tests.
        let output = command(["costs"])
            .args(&args)
            .current_dir(root.join("proxy/tests/fixtures/logs"))
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{args:?}: {}",
            text(&output.stderr)
        );
        assert_eq!(text(&output.stdout).trim_end(), expected, "{args:?}");
    }
}
