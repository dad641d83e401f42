//! Tests of `log.rs`: lines of every kind.

use super::*;

/// A line with these fields; the last of one name stands.
fn line(more: &str) -> String {
    let time = "\"time\":\"2026-11-10T12:00:00.000Z\"";
    format!(
        "{{{time},\"route\":\"/v1/chat/completions\",\"status\":200,\"attempts\":1,{more},\"kernel\":{{}}}}\n"
    )
}

fn used(client: &str, model: &str, output: u64, cost: &str) -> String {
    line(&format!(
        "\"client\":\"{client}\",\"model\":\"{model}\",\
         \"usage\":{{\"source\":\"reported\",\"model\":\"{model}\",\"input\":10,\"output\":{output}}},\"cost_usd\":{cost}"
    ))
}

fn read_with(reader: &Reader<'_>, text: &[u8]) -> (Bill, Read) {
    let (mut bill, mut read) = (Bill::default(), Read::default());
    reader.lines(text, "a.log", &mut bill, &mut read).unwrap();
    (bill, read)
}

fn read(text: &str) -> (Bill, Read) {
    let prices = Catalogue::default();
    let reader = Reader {
        since: None,
        until: None,
        reprices: false,
        prices: &prices,
    };
    read_with(&reader, text.as_bytes())
}

#[test]
fn lines_add_up_by_client_and_model() {
    let text = [
        used("a", "gpt-4.1", 1, "0.000028"),
        used("a", "gpt-4.1-2025-04-14", 2, "2.8e-05"),
        used("b", "claude-sonnet-4-5", 3, "1"),
        used("b", "mine", 4, "null"),
        line("\"model\":\"gpt-4.1\",\"usage\":{\"source\":\"estimated\",\"model\":null,\"output\":5},\"cost_usd\":0.5"),
    ]
    .concat();
    let (bill, read) = read(&text);
    assert_eq!((read.good, read.bad), (5, 0));
    let charge = bill.charges["a"]["gpt-4.1"];
    assert_eq!((charge.requests, charge.tokens.output), (2, 3));
    assert_eq!(charge.usd.to_string(), "0.000056");
    assert_eq!(bill.charges["b"]["claude-sonnet-4.5"].usd.to_string(), "1");
    assert_eq!(bill.unpriced["b"]["mine"], [10, 4]);
    let estimate = bill.charges["anonymous"]["gpt-4.1"];
    assert_eq!((estimate.requests, estimate.tokens.output), (0, 0));
    assert_eq!(estimate.estimated.to_string(), "0.5");
    assert_eq!(bill.total().cost().to_string(), "1.500056");
}

#[test]
fn without_an_amount_in_the_log_prices_are_those_of_now() {
    let old = line(
        "\"model\":\"gpt-4.1\",\"usage\":{\"source\":\"reported\",\"model\":\"gpt-4.1\",\"input\":1000,\"output\":100}",
    );
    let (bill, _) = read(&old);
    let expected = "0.0028";
    assert_eq!(bill.total().usd.to_string(), expected);
    let prices = Catalogue::default();
    let reader = Reader {
        since: None,
        until: None,
        reprices: true,
        prices: &prices,
    };
    let (bill, _) = read_with(&reader, used("a", "gpt-4.1", 1, "77").as_bytes());
    assert_eq!(bill.total().usd.to_string(), "0.000028");
}

#[test]
fn the_time_asked_for_begins_with_its_first_moment_and_ends_before_its_last() {
    let prices = Catalogue::default();
    let moment = |text: &str| Some(text.parse::<Moment>().unwrap());
    for (since, until, count) in [
        (None, None, 1),
        (moment("2026-11-10T12:00:00Z"), None, 1),
        (moment("2026-11-10T12:00:01Z"), None, 0),
        (None, moment("2026-11-10T12:00:00Z"), 0),
        (moment("2026-11-01"), moment("2026-12-01"), 1),
    ] {
        let reader = Reader {
            since: since.as_ref(),
            until: until.as_ref(),
            reprices: false,
            prices: &prices,
        };
        let (bill, read) = read_with(&reader, used("a", "gpt-4.1", 1, "1").as_bytes());
        assert_eq!(bill.total().requests, count, "{since:?} {until:?}");
        assert_eq!(read.good, 1);
    }
}

#[test]
fn what_is_no_line_is_counted_and_the_first_is_named() {
    let text = format!(
        "{}\n\n10.1.2.3 - - [24/Nov/2026:14:03:37 +0000]\n{{\"message\":\"serving\"}}\n\u{fffd}\n{}",
        used("a", "gpt-4.1", 1, "1").trim(),
        used("a", "gpt-4.1", 1, "-1"),
    );
    let (bill, read) = read(&text);
    assert_eq!((read.good, read.bad), (1, 4));
    assert_eq!(bill.total().requests, 1);
    let told = read.in_words().unwrap();
    assert!(
        told.starts_with("4 of 5 lines are no lines of the access log; the first: a.log, line 3: "),
        "{told}"
    );
}

#[test]
fn what_may_have_been_billed_without_being_seen_is_counted() {
    let text = [
        line("\"model\":\"m\",\"usage\":{\"source\":\"unknown\",\"model\":null}"),
        line("\"model\":\"m\",\"usage\":null"),
        // Refused, not sent, and free.
        line("\"model\":\"m\",\"usage\":null").replace(":200", ":400"),
        line("\"model\":\"m\",\"usage\":null").replace("\"attempts\":1", "\"attempts\":0"),
        line("\"model\":\"m\",\"usage\":null").replace("/v1/chat/completions", "/v1/moderations"),
    ]
    .concat();
    let (bill, read) = read(&text);
    assert_eq!((bill.unknown, read.good), (2, 5));
    assert!(bill.charges.is_empty() && bill.unpriced.is_empty());
}

#[test]
fn a_line_without_end_is_passed_over() {
    let length = usize::try_from(MAX_LINE).unwrap();
    for more in [0, 1, length] {
        let text = format!(
            "{}\n{}",
            "x".repeat(length + more),
            used("a", "gpt-4.1", 1, "1")
        );
        let (bill, read) = read(&text);
        assert_eq!((read.good, read.bad), (1, 1), "{more}");
        assert_eq!(bill.total().requests, 1);
    }
}
