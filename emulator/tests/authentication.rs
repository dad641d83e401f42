//! Keys are checked as the real API checks them, and refused in the dialect of the path. There may be
//! several, with faults of their own.

use holysheep_emulator::{Fault, FaultError, FaultScope};

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

#[tokio::test]
async fn a_fault_of_one_key_spares_the_other() {
    let emulator = start_with(|builder| builder.api_keys(["cr_first", "cr_second"])).await;
    assert_eq!(emulator.api_keys(), ["cr_first", "cr_second"]);
    assert_eq!(emulator.api_key(), "cr_first");
    emulator
        .set_fault_of_key(0, Fault::status(429), FaultScope::Always)
        .unwrap();
    let mut client = Client::connect(&emulator).await.unwrap();
    for (key, status) in [
        ("cr_first", 429),
        ("cr_second", 200),
        ("cr_third", 401),
        ("cr_first", 429),
    ] {
        client = client.with_key(key);
        assert_eq!(client.post(CHAT, QUESTION).await.unwrap().status, status);
    }
    emulator.clear_faults().unwrap();
    assert_eq!(client.post(CHAT, QUESTION).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_fault_of_one_key_is_set_over_http_too() {
    let emulator = start_with(|builder| builder.api_keys(["cr_first", "cr_second"])).await;
    let mut client = Client::connect(&emulator).await.unwrap();
    let set = client
        .post("/emulator/fault", "429;retry-after=1;key=1;next=1")
        .await
        .unwrap();
    let listed = &set.json()["faults"][0];
    assert_eq!(listed, "status;code=429;retry-after=1;key=1");
    assert_eq!(client.post(CHAT, QUESTION).await.unwrap().status, 200);
    client = client.with_key("cr_second");
    assert_eq!(client.post(CHAT, QUESTION).await.unwrap().status, 429);
    assert_eq!(client.post(CHAT, QUESTION).await.unwrap().status, 200);
    for fault in ["429;key=2", "reset-on-accept;key=0", "429;key=first"] {
        let reply = client.post("/emulator/fault", fault).await.unwrap();
        assert_eq!(reply.status, 400, "{fault}");
    }
    let set = emulator.set_fault_of_key(2, Fault::status(500), FaultScope::Always);
    assert!(matches!(set, Err(FaultError::KeyScope { key: 2, .. })));
}
