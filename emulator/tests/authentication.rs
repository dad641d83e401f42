//! Keys are checked as the real API checks them, and refused in the dialect of the path.

use crate::client::{CHAT, Client, QUESTION, start, start_with};

#[tokio::test]
async fn a_wrong_key_is_refused_with_all_four_members() {
    let emulator = start().await;
    let client = Client::connect(&emulator).await.unwrap();
    let reply = client
        .with_key("cr_wrong")
        .post(CHAT, QUESTION)
        .await
        .unwrap();
    assert_eq!(reply.status, 401);
    let error = &reply.json()["error"];
    assert_eq!(error["code"], "invalid_api_key");
    assert_eq!(error["type"], "invalid_request_error");
    assert!(error.get("param").unwrap().is_null() && error["message"].is_string());
    assert_eq!(emulator.stats().unauthorized, 1);
}

#[tokio::test]
async fn messages_paths_refuse_in_their_own_shape() {
    let emulator = start().await;
    let mut client = Client::connect(&emulator)
        .await
        .unwrap()
        .with_key("cr_wrong");
    for path in ["/v1/messages", "/minimax/v1/messages"] {
        let reply = client.post(path, QUESTION).await.unwrap();
        assert_eq!(reply.status, 401);
        assert_eq!(reply.json()["type"], "error");
        assert_eq!(reply.json()["error"]["type"], "authentication_error");
    }
}

#[tokio::test]
async fn the_configured_key_is_accepted_in_either_field() {
    let emulator = start_with(|builder| builder.api_key("cr_mine")).await;
    let mut client = Client::connect(&emulator).await.unwrap();
    assert_eq!(client.post(CHAT, QUESTION).await.unwrap().status, 200);
    let mut client = client.with_key("cr_other");
    let field = "x-api-key: cr_mine\r\n";
    let reply = client
        .exchange("POST", "/v1/messages", field, QUESTION)
        .await;
    assert_eq!(reply.unwrap().status, 200);
}
