//! The control paths: the same as the library's calls, over HTTP, with no key.

use crate::client::{CHAT, Client, QUESTION, start};

const FAULT: &str = "/emulator/fault";

#[tokio::test]
async fn faults_are_set_listed_and_cleared() {
    let emulator = start().await;
    let mut client = Client::connect(&emulator).await.unwrap();
    let set = client.post(FAULT, "503;next=1\n").await.unwrap();
    assert_eq!(set.json()["faults"][0], "status;code=503");
    assert_eq!(client.post(CHAT, QUESTION).await.unwrap().status, 503);
    assert_eq!(client.post(CHAT, QUESTION).await.unwrap().status, 200);
    client.post(FAULT, "500").await.unwrap();
    client.exchange("DELETE", FAULT, "", "").await.unwrap();
    assert_eq!(
        client.get(FAULT).await.unwrap().json()["faults"]
            .as_array()
            .unwrap()
            .len(),
        0
    );
    assert_eq!(client.post(CHAT, QUESTION).await.unwrap().status, 200);
}

#[tokio::test]
async fn mistakes_come_with_the_grammar() {
    let emulator = start().await;
    let mut client = Client::connect(&emulator).await.unwrap();
    for fault in ["explode", "refuse", "refuse;next=1", "cut;next=x"] {
        let reply = client.post(FAULT, fault).await.unwrap();
        assert_eq!(reply.status, 400, "{fault}");
        assert!(reply.json()["grammar"].is_array());
    }
    assert_eq!(client.get("/emulator/none").await.unwrap().status, 404);
}

#[tokio::test]
async fn counters_and_requests_can_be_read_and_reset() {
    let emulator = start().await;
    let mut client = Client::connect(&emulator).await.unwrap().with_key("none");
    client.post(CHAT, QUESTION).await.unwrap();
    let stats = client.get("/emulator/stats").await.unwrap().json();
    assert_eq!(stats["requests_by_path"][CHAT], 1);
    assert_eq!(stats["unauthorized"], 1);
    let requests = client.get("/emulator/requests").await.unwrap().json();
    assert_eq!(requests[0]["body"], QUESTION);
    client.post("/emulator/reset", "").await.unwrap();
    let stats = emulator.stats();
    assert_eq!((stats.requests, stats.connections_open), (0, 1));
    assert!(emulator.requests().is_empty());
}
