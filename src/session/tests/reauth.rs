//! Proof of another certificate on a live session, and every way in which it is none.

use serde_json::json;

use super::world::World;

#[tokio::test(start_paused = true)]
async fn a_proof_of_a_later_certificate_moves_the_deadline_and_nothing_else() {
    let world = World::new();
    let (mut peer, mut sender) = (world.connect_for("orders", 600).await, world.connect("billing").await);
    peer.subscribe(1, "a").await;
    let leaf = world.authority.client("orders", 77, 1_200);
    let answer = peer.ask(2, peer.attempt(&leaf).message()).await;
    assert_eq!(answer["op"], "ok", "{answer}");
    let (before, after) = (peer.hello["deadline"].as_u64().unwrap(), answer["deadline"].as_u64().unwrap());
    assert!((599_000..=601_000).contains(&(after - before)), "{before} {after}");
    sender.done(1, json!({"op": "pub", "topic": "a", "data": 1})).await;
    assert_eq!(peer.receive().await["data"], 1);
    let whoami = peer.ask(3, json!({"op": "whoami"})).await;
    assert_eq!((&whoami["deadline"], &whoami["challenge"]), (&answer["deadline"], &answer["challenge"]));
}
