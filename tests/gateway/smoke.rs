//! The shortest walk through everything.

use crate::harness::{Closed, Harness};

#[tokio::test]
async fn a_message_reaches_its_subscriber_stamped_with_the_verified_sender() {
    let harness = Harness::start().await;
    let mut reader = harness.connect("billing", &["reader"]).await;
    let mut writer = harness.connect("checkout", &["writer"]).await;
    assert_eq!(reader.hello["service"], "billing");
    reader.ok(r#"{"op":"sub","id":1,"sid":"o","topic":"orders.*"}"#).await;
    writer.ok(r#"{"op":"pub","id":1,"topic":"orders.new","data":{"n": 1.0}}"#).await;
    let message = reader.next_text().await;
    assert!(
        message.contains(r#""from":"checkout""#) && message.contains(r#""data":{"n": 1.0}"#),
        "{message}"
    );
}

#[tokio::test]
async fn a_revoked_session_is_closed_and_the_others_stay() {
    let harness = Harness::start().await;
    let issued = harness.pki.issue(&crate::harness::Profile::service("mallory", &[]));
    let mut revoked = harness.connect_as(&issued).await;
    let mut stays = harness.connect("billing", &[]).await;
    harness.pki.revoke(&issued);
    assert_eq!(revoked.closed().await, Closed::Frame(4403, "revoked".into()));
    stays.nothing_came().await;
}
