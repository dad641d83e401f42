//! Requests are recorded exactly as they arrived.

use holysheep_emulator::body_hash;

use crate::client::{CHAT, Client, QUESTION, start, start_with};

#[tokio::test]
async fn heads_and_bodies_are_kept() {
    let emulator = start().await;
    let mut client = Client::connect(&emulator).await.unwrap();
    let fields = "Via: 1.1 proxy\r\nx-many: a\r\nx-many: b\r\n";
    let path = format!("{CHAT}?a=1");
    client
        .exchange("POST", &path, fields, QUESTION)
        .await
        .unwrap();
    let request = &emulator.requests()[0];
    assert_eq!(request.method, "POST");
    assert_eq!(request.path_and_query, path);
    assert_eq!(request.header("via"), Some("1.1 proxy"));
    assert_eq!(request.header("x-many"), None);
    assert_eq!(request.headers.get_all("x-many").iter().count(), 2);
    assert!(!request.has_header("x-forwarded-for"));
    assert_eq!(request.server_name.as_deref(), Some("localhost"));
    assert_eq!(
        (request.complete, &request.body[..]),
        (true, QUESTION.as_bytes())
    );
    assert_eq!(request.body_hash, body_hash(QUESTION.as_bytes()));
}

#[tokio::test]
async fn chunked_bodies_and_trailers_are_told_from_others() {
    let emulator = start().await;
    let mut client = Client::connect(&emulator).await.unwrap();
    let request = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\
         trailer: x-end\r\n\r\n3\r\n{{\"m\r\n6\r\nodel\":\r\n4\r\n\"m\"}}\r\n0\r\nx-end: yes\r\n\r\n"
    );
    client.write(request.as_bytes()).await.unwrap();
    client.reply().await.unwrap();
    let request = &emulator.requests()[0];
    assert_eq!(request.header("transfer-encoding"), Some("chunked"));
    assert!(!request.has_header("content-length"));
    assert_eq!(&request.body[..], br#"{"model":"m"}"#);
    assert_eq!(request.trailers.as_ref().unwrap()["x-end"], "yes");
}

#[tokio::test]
async fn connections_are_told_apart() {
    let emulator = start().await;
    let mut first = Client::connect(&emulator).await.unwrap();
    let mut second = Client::connect(&emulator).await.unwrap();
    for client in [&mut first, &mut second] {
        client.post(CHAT, QUESTION).await.unwrap();
    }
    first.post(CHAT, QUESTION).await.unwrap();
    let connections: Vec<_> = emulator.requests().iter().map(|r| r.connection).collect();
    assert_eq!(connections, [0, 1, 0]);
}

#[tokio::test]
async fn limits_bound_what_is_kept() {
    let emulator = start_with(|builder| builder.record(2).record_body(4)).await;
    let mut client = Client::connect(&emulator).await.unwrap();
    for _ in 0..3 {
        client.post(CHAT, QUESTION).await.unwrap();
    }
    let requests = emulator.requests();
    let sequences: Vec<_> = requests.iter().map(|r| r.sequence).collect();
    assert_eq!(sequences, [1, 2]);
    assert_eq!(&requests[0].body[..], &QUESTION.as_bytes()[..4]);
    assert_eq!(requests[0].body_length, QUESTION.len() as u64);
    assert_eq!(requests[0].body_hash, body_hash(QUESTION.as_bytes()));
}
