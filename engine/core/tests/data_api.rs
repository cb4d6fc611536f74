//! The data API over a real connection: each method, the types, what errors look like, and that
//! Redis clients and gRPC callers see the same data. Durability is `data_api_durability`'s.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

mod data_door;
mod support;

use data_door::{Door, assert_refused, blob, bytes, command, integer, reason};
use perdure_engine::grpc::wire::*;
use tonic::Code;

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

#[test]
fn conditions_expiries_and_numbers_are_redis_ones() {
    Door::run(async |door| {
        let mut client = door.client().await;
        let mut redis = door.server.connect();
        let set = |condition: set_request::Condition, expiry| SetRequest {
            key: bytes("k"),
            value: bytes("v"),
            condition: condition.into(),
            expiry,
            ..Default::default()
        };
        use set_request::Condition::{Absent, Present, Unspecified};
        assert!(!client.set(set(Present, None)).await.unwrap().into_inner().applied);
        let ttl = prost_types::Duration { seconds: 100_000, nanos: 500_000_000 };
        let request = set(Absent, Some(set_request::Expiry::Ttl(ttl)));
        assert!(client.set(request.clone()).await.unwrap().into_inner().applied);
        let request = SetRequest { return_old: true, ..request };
        let answer = client.set(request).await.unwrap().into_inner();
        assert_eq!((answer.applied, answer.old_value), (false, Some(bytes("v"))));
        redis.send_command(&[b"PEXPIRETIME", b"k"]);
        let end_at = redis.expect_line(":");
        redis.send_command(&[b"TTL", b"k"]);
        let left = redis.expect_line(":"); // 100,000 s and a half, less what has passed
        assert!(left == ":100001\r\n" || left.starts_with(":100000") || left.starts_with(":9"));
        client.set(set(Unspecified, Some(set_request::Expiry::KeepTtl(())))).await.unwrap();
        redis.ask("PEXPIRETIME k", &end_at);
        assert_ne!(end_at, ":-1\r\n");
        let at = prost_types::Timestamp { seconds: 4_000_000_000, nanos: 7_000_000 };
        client.set(set(Unspecified, Some(set_request::Expiry::ExpireTime(at)))).await.unwrap();
        redis.ask("PEXPIRETIME k", ":4000000000007\r\n");
        let none = prost_types::Duration { seconds: 0, nanos: 0 };
        let answer = client.set(set(Unspecified, Some(set_request::Expiry::Ttl(none)))).await;
        assert_refused(answer, Code::InvalidArgument, "INVALID_EXPIRE");
        let expire = |expiry, condition: expire_request::Condition| ExpireRequest {
            key: bytes("k"),
            expiry,
            condition: condition.into(),
            ..Default::default()
        };
        use expire_request::{Condition as When, Expiry};
        let earlier = prost_types::Duration { seconds: 50, nanos: 0 };
        let request = expire(Some(Expiry::Ttl(earlier)), When::Later);
        assert!(!client.expire(request).await.unwrap().into_inner().applied);
        let request = expire(Some(Expiry::Ttl(earlier)), When::Earlier);
        assert!(client.expire(request).await.unwrap().into_inner().applied);
        let request = expire(Some(Expiry::Never(())), When::Unspecified);
        assert!(client.expire(request).await.unwrap().into_inner().applied);
        redis.ask("TTL k", ":-1\r\n");
        let request = expire(None, When::Unspecified);
        assert_refused(client.expire(request).await, Code::InvalidArgument, "INVALID_REQUEST");
        let request = expire(Some(Expiry::Never(())), When::Later);
        assert_refused(client.expire(request).await, Code::InvalidArgument, "INVALID_REQUEST");
    });
}

#[test]
fn numbers_are_added() {
    Door::run(async |door| {
        let mut client = door.client().await;
        let increment = |key: &str, amount| {
            let (mut client, key) = (client.clone(), bytes(key));
            async move {
                let request = IncrementRequest { key, amount, ..Default::default() };
                client.increment(request).await.map(|answer| answer.into_inner().sum.unwrap())
            }
        };
        use increment_request::Amount;
        use increment_response::Sum;
        assert_eq!(increment("n", None).await.unwrap(), Sum::Integer(1));
        assert_eq!(increment("n", Some(Amount::Integer(-3))).await.unwrap(), Sum::Integer(-2));
        assert_eq!(increment("n", Some(Amount::Number(0.5))).await.unwrap(), Sum::Number(-1.5));
        let answer = increment("n", None).await;
        assert_refused(answer, Code::InvalidArgument, "NOT_INTEGER");
        assert_eq!(increment("f", Some(Amount::Number(1e300))).await.unwrap(), Sum::Number(1e300));
        assert_eq!(increment("g", Some(Amount::Number(1e-7))).await.unwrap(), Sum::Number(1e-7));
        let answer = increment("f", Some(Amount::Number(f64::NAN))).await;
        assert_refused(answer, Code::InvalidArgument, "INVALID_REQUEST");
        increment("max", Some(Amount::Integer(i64::MAX))).await.unwrap();
        assert_refused(increment("max", None).await, Code::OutOfRange, "OVERFLOW");
        let entries = vec![KeyValue { key: bytes("a"), value: bytes("1") }; 2];
        let request = MultiSetRequest { entries, if_none_present: true, ..Default::default() };
        assert!(client.multi_set(request.clone()).await.unwrap().into_inner().applied);
        assert!(!client.multi_set(request).await.unwrap().into_inner().applied);
        let keys = vec![bytes("a"), bytes("none"), bytes("n")];
        let answer = client.multi_get(MultiGetRequest { keys, database: 0 }).await.unwrap();
        let values: Vec<_> = answer.into_inner().values.into_iter().map(|it| it.value).collect();
        assert_eq!(values, [Some(bytes("1")), None, Some(bytes("-1.5"))]);
    });
}

#[test]
fn the_door_describes_itself() {
    use tonic_reflection::pb::v1::ServerReflectionRequest;
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
    Door::run(async |door| {
        let mut client = ServerReflectionClient::new(door.channel().await);
        let ask = |request| ServerReflectionRequest {
            message_request: Some(request),
            ..Default::default()
        };
        let symbol = "perdure.data.v1.DataService.Get".to_owned();
        let asked = [
            ask(MessageRequest::ListServices(String::new())),
            ask(MessageRequest::FileContainingSymbol(symbol)),
            ask(MessageRequest::FileByFilename("google/api/field_behavior.proto".to_owned())),
        ];
        let answers = client.server_reflection_info(tokio_stream::iter(asked)).await.unwrap();
        let mut answers = answers.into_inner();
        let mut next = async || answers.message().await.unwrap().unwrap().message_response.unwrap();
        let MessageResponse::ListServicesResponse(list) = next().await else { panic!("no list") };
        let names: Vec<String> = list.service.into_iter().map(|service| service.name).collect();
        for name in ["perdure.data.v1.DataService", "grpc.health.v1.Health"] {
            assert!(names.iter().any(|listed| listed == name), "{names:?}");
        }
        for _ in 0..2 {
            let found = matches!(next().await, MessageResponse::FileDescriptorResponse(_));
            assert!(found, "the file is described");
        }
    });
}
