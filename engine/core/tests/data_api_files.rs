//! The data API over a log in files, under each policy: what a receipt claims is so on the disk when
//! the answer comes, and a start on a copy of the files taken at that moment has the write.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

mod running;

use std::path::Path;

use bytes::Bytes;
use perdure_engine::clock::Clock;
use perdure_engine::grpc::wire::data_service_client::DataServiceClient;
use perdure_engine::grpc::wire::*;
use running::{Dir, options, start_with, wait_until};
use tonic::transport::Channel;

type Client = DataServiceClient<Channel>;

async fn connect(port: u16) -> Client {
    let address = format!("http://127.0.0.1:{port}");
    DataServiceClient::new(Channel::from_shared(address).unwrap().connect().await.unwrap())
}

async fn set(client: &mut Client, key: &str, durability: Durability) -> WriteReceipt {
    let key = Bytes::copy_from_slice(key.as_bytes());
    let value = Bytes::from_static(b"value");
    let durability = durability.into();
    let request = SetRequest { key, value, durability, ..Default::default() };
    client.set(request).await.unwrap().into_inner().receipt.unwrap()
}

fn start_logged(dir: &Dir, policy: &str) -> running::Engine {
    let mut options = options(&dir.0);
    let args = options["redis_args"].as_array_mut().unwrap();
    for word in ["--appendonly", "yes", "--appendfsync", policy] {
        args.push(word.into());
    }
    start_with(&options, Clock::system())
}

/// Everything in the files now, in a new directory: what a killed process leaves.
fn copy_of(dir: &Dir) -> Dir {
    let copy = Dir::new();
    copy_folder(&dir.0, &copy.0);
    copy
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn position(stats: &serde_json::Value, name: &str) -> (u64, u64) {
    let position = &stats["log"][name];
    (position["epoch"].as_u64().unwrap(), position["offset"].as_u64().unwrap())
}

#[test]
fn a_receipt_says_what_is_on_the_disk_under_each_policy() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for policy in ["always", "everysec", "no"] {
        let dir = Dir::new();
        let engine = start_logged(&dir, policy);
        runtime.block_on(async {
            let mut client = connect(engine.handle.ports().1).await;
            let plain = set(&mut client, "plain", Durability::Unspecified).await;
            let left = copy_of(&dir);
            let survivor = start_logged(&left, policy);
            assert_eq!(survivor.client().command(&["GET", "plain"]), "value", "{policy}");
            assert!(plain.durability() >= Durability::Written, "{policy}: {plain:?}");
            if policy == "always" {
                assert_eq!(plain.durability(), Durability::Fsynced);
            }
            let asked = set(&mut client, "asked", Durability::Fsynced).await;
            assert_eq!(asked.durability(), Durability::Fsynced, "{policy}");
            let (first, second) = (plain.position.unwrap(), asked.position.unwrap());
            assert_eq!(first.epoch, second.epoch);
            assert!(first.offset < second.offset);
            let fsynced = position(&engine.stats(), "fsynced_position");
            assert!(fsynced >= (second.epoch, second.offset), "{policy}: {fsynced:?}");
            let later = set(&mut client, "later", Durability::Unspecified).await;
            let request = WaitDurableRequest { position: later.position, ..Default::default() };
            let waited = client.wait_durable(request).await.unwrap().into_inner().receipt.unwrap();
            assert_eq!(waited.durability(), Durability::Fsynced, "{policy}");
            assert!(waited.position.unwrap().offset >= later.position.unwrap().offset);
        });
        engine.stop();
    }
}

#[test]
fn a_log_that_is_switched_on_by_a_call_answers_when_it_is_durable() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let dir = Dir::new();
    let engine = running::start(&dir);
    runtime.block_on(async {
        let mut client = connect(engine.handle.ports().1).await;
        let before = set(&mut client, "before", Durability::Unspecified).await;
        assert_eq!((before.durability(), before.position), (Durability::Memory, None));
        let words = ["CONFIG", "SET", "appendonly", "yes"];
        let args = words.iter().map(|word| Bytes::from_static(word.as_bytes())).collect();
        let request = ExecuteRequest { command: Some(Command { args }), ..Default::default() };
        client.execute(request).await.unwrap();
        let after = set(&mut client, "after", Durability::Fsynced).await;
        assert_eq!(after.durability(), Durability::Fsynced);
    });
    let mut redis = engine.client();
    assert_eq!(redis.command(&["CONFIG", "SET", "appendonly", "no"]), "+OK");
    wait_until("nobody is blocked", || engine.stats()["blocked_clients"] == 0);
    engine.stop();
    assert!(dir.names().contains(&"appendonlydir".to_owned()));
}
