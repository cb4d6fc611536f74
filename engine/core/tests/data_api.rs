//! The data API over a real connection: each method, the types, what errors look like, and that
//! Redis clients and gRPC callers see the same data. Durability is `data_api_durability`'s.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

mod data_door;
mod support;

use bytes::Bytes;
use data_door::{Door, blob, command, integer, reason};
use perdure_engine::grpc::wire::*;
use tonic::Code;

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

#[test]
fn a_key_is_set_read_and_deleted() {
    Door::run(async |door| {
        let mut client = door.client().await;
        let request = SetRequest { key: bytes("k"), value: bytes("v"), ..Default::default() };
        let answer = client.set(request.clone()).await.unwrap().into_inner();
        assert!(answer.applied && answer.old_value.is_none());
        let receipt = answer.receipt.unwrap();
        assert_eq!(receipt.durability(), Durability::Memory);
        let get = GetRequest { key: bytes("k"), ..Default::default() };
        let answer = client.get(get.clone()).await.unwrap().into_inner();
        assert_eq!(answer.value, Some(bytes("v")));
        let again = SetRequest { value: bytes("w"), return_old: true, ..request };
        let answer = client.set(again).await.unwrap().into_inner();
        assert_eq!((answer.applied, answer.old_value), (true, Some(bytes("v"))));
        let delete = DeleteRequest { keys: vec![bytes("k"), bytes("no")], ..Default::default() };
        let answer = client.delete(delete).await.unwrap().into_inner();
        assert_eq!(answer.deleted_count, 1);
        assert_eq!(client.get(get).await.unwrap().into_inner().value, None);
    });
}

#[test]
fn redis_clients_and_callers_see_each_others_writes() {
    Door::run(async |door| {
        let mut client = door.client().await;
        let mut redis = door.server.connect();
        redis.ask("SET a 1", "+OK\r\n");
        let request =
            ExecuteRequest { command: Some(command("INCRBY a 41")), ..Default::default() };
        let value = client.execute(request).await.unwrap().into_inner().value.unwrap();
        assert_eq!(value, integer(42));
        redis.ask("GET a", "$2\r\n42\r\n");
        redis.ask("SELECT 3", "+OK\r\n");
        redis.ask("SET b x", "+OK\r\n");
        let request = GetRequest { key: bytes("b"), database: 3 };
        assert_eq!(client.get(request).await.unwrap().into_inner().value, Some(bytes("x")));
    });
}

#[test]
fn refusals_carry_a_status_and_a_reason() {
    Door::run(async |door| {
        let mut client = door.client().await;
        door.server.connect().ask("RPUSH list a", ":1\r\n");
        let cases = [
            ("GET list", Code::FailedPrecondition, "WRONGTYPE"),
            ("GET", Code::InvalidArgument, "ARITY"),
            ("NOSUCH x", Code::InvalidArgument, "UNKNOWN_COMMAND"),
            ("SET k v WHAT", Code::InvalidArgument, "SYNTAX"),
            ("SELECT 1", Code::InvalidArgument, "NEEDS_CONNECTION"),
            ("client id", Code::InvalidArgument, "NEEDS_CONNECTION"),
            ("RENAME nokey other", Code::NotFound, "NO_SUCH_KEY"),
            ("DEBUG DIGEST", Code::PermissionDenied, "NOT_ALLOWED"),
        ];
        for (line, code, expected) in cases {
            let request = ExecuteRequest { command: Some(command(line)), ..Default::default() };
            let status = client.execute(request).await.unwrap_err();
            assert_eq!((status.code(), reason(&status).as_str()), (code, expected), "{line}");
        }
        let status = client.get(GetRequest { key: bytes("k"), database: 99 }).await.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (Code::OutOfRange, "OUT_OF_RANGE"));
        let value = client.get(GetRequest { key: bytes("k"), database: 0 }).await;
        assert_eq!(value.unwrap().into_inner().value, None, "nothing was set meanwhile");
    });
}

#[test]
fn replies_have_their_types() {
    Door::run(async |door| {
        let mut client = door.client().await;
        let mut run = async |line: &str| {
            let request = ExecuteRequest { command: Some(command(line)), ..Default::default() };
            client.execute(request).await.unwrap().into_inner().value.unwrap().kind
        };
        use value::Kind;
        assert_eq!(run("PING").await, Some(Kind::Status("PONG".to_owned())));
        assert_eq!(run("GET none").await, None);
        assert_eq!(run("HSET h f v").await, Some(Kind::Integer(1)));
        let pair = ValuePair { key: Some(blob("f")), value: Some(blob("v")) };
        assert_eq!(run("HGETALL h").await, Some(Kind::Map(ValueMap { entries: vec![pair] })));
        run("SADD s a").await;
        let members = ValueList { values: vec![blob("a")] };
        assert_eq!(run("SMEMBERS s").await, Some(Kind::Set(members.clone())));
        run("ZADD z 1.5 a").await;
        assert_eq!(run("ZSCORE z a").await, Some(Kind::Number(1.5)));
        run("RPUSH l a").await;
        assert_eq!(run("LRANGE l 0 -1").await, Some(Kind::Array(members)));
        let Some(Kind::Text(text)) = run("INFO server").await else { panic!("no text") };
        assert_eq!(text.format, "txt");
        assert!(text.content.starts_with(b"# Server"));
    });
}
