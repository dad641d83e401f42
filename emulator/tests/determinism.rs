//! Without timestamps equal requests get equal answers.

use crate::client::{CHAT, Client, QUESTION, STREAMED, start_with};

#[tokio::test]
async fn answers_are_equal_to_the_byte() {
    let emulator = start_with(|builder| builder.timestamps(false)).await;
    let mut client = Client::connect(&emulator).await.unwrap();
    for (path, body) in [
        (CHAT, QUESTION),
        (CHAT, STREAMED),
        ("/v1/messages", STREAMED),
        (
            "/v1/responses",
            r#"{"model":"m","stream":true,"input":"x"}"#,
        ),
    ] {
        let mut first = client.post(path, body).await.unwrap();
        let mut second = client.post(path, body).await.unwrap();
        for reply in [&mut first, &mut second] {
            reply.head.retain(|(name, _)| name != "date");
        }
        assert_eq!(first.head, second.head, "{path}");
        assert_eq!(first.body, second.body, "{path}");
        assert!(!first.text().contains("unix_ns"));
    }
}

#[tokio::test]
async fn answers_have_ids_of_their_own_otherwise() {
    let emulator = start_with(|builder| builder).await;
    let mut client = Client::connect(&emulator).await.unwrap();
    let first = client.post(CHAT, QUESTION).await.unwrap();
    let second = client.post(CHAT, QUESTION).await.unwrap();
    assert_ne!(first.json()["id"], second.json()["id"]);
    assert_ne!(first.header("x-request-id"), second.header("x-request-id"));
}
