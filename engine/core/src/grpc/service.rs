//! The methods of DataService: a request becomes one command (or several) of Redis, the reply becomes
//! the typed answer. What a command does is its handler's business; when an answer may leave is the
//! executor's.

use std::sync::Arc;

use bytes::Bytes;
use tonic::{Code, Request, Response, Status, Streaming};

use super::calls::{Ask, Calls, check_keys, duration_ms, instant_ms, parse_durability, refuse};
use super::commands::Commands;
use super::errors::Refusal;
use super::figures::Method;
use super::pipeline::PipelineStream;
use super::queue::{Condition, Expected, Work};
use super::replies::Replies;
use super::scan::ScanStream;
use super::wire::data_service_server::DataService;
use super::wire::value::Kind;
use super::wire::*;

/// DataService over the engine.
pub(super) struct OfData {
    calls: Arc<Calls>,
}

impl OfData {
    pub(super) fn new(calls: Calls) -> Self {
        Self { calls: Arc::new(calls) }
    }

    async fn measured<T>(
        &self,
        method: Method,
        call: impl Future<Output = Result<T, Refusal>>,
    ) -> Result<Response<T>, Status> {
        let mut measured = self.calls.shared.stats.rpc.begin(method);
        match call.await {
            Ok(answer) => {
                measured.end(Code::Ok);
                Ok(Response::new(answer))
            }
            Err(refusal) => {
                let status = Status::from(refusal);
                measured.end(status.code());
                Err(status)
            }
        }
    }

    async fn get_key(&self, request: GetRequest) -> Result<GetResponse, Refusal> {
        let ask = Ask::read(request.database);
        let (mut replies, _) = self.calls.command(&[b"GET", &request.key], ask).await?;
        Ok(GetResponse { value: replies.next_blob()? })
    }

    async fn set_key(&self, request: SetRequest) -> Result<SetResponse, Refusal> {
        let ask = Ask::write(request.database, request.durability)?;
        let time = match &request.expiry {
            Some(set_request::Expiry::Ttl(span)) => duration_ms(span)?.to_string(),
            Some(set_request::Expiry::ExpireTime(instant)) => instant_ms(instant)?.to_string(),
            Some(set_request::Expiry::KeepTtl(())) | None => String::new(),
        };
        let mut args: Vec<&[u8]> = vec![b"SET", &request.key, &request.value];
        match &request.expiry {
            Some(set_request::Expiry::Ttl(_)) => args.extend([b"PX".as_slice(), time.as_bytes()]),
            Some(set_request::Expiry::ExpireTime(_)) => {
                args.extend([b"PXAT".as_slice(), time.as_bytes()]);
            }
            Some(set_request::Expiry::KeepTtl(())) => args.push(b"KEEPTTL"),
            None => {}
        }
        let condition = set_request::Condition::try_from(request.condition)
            .map_err(|_| Refusal::invalid("`condition` has an unknown value"))?;
        match condition {
            set_request::Condition::Unspecified => {}
            set_request::Condition::Absent => args.push(b"NX"),
            set_request::Condition::Present => args.push(b"XX"),
        }
        if request.return_old {
            args.push(b"GET");
        }
        let (mut replies, receipt) = self.calls.command(&args, ask).await?;
        let reply = replies.next_value()?.kind;
        let applied = match (request.return_old, condition) {
            (false, _) => reply.is_some(),
            (true, set_request::Condition::Unspecified) => true,
            (true, set_request::Condition::Absent) => reply.is_none(),
            (true, set_request::Condition::Present) => reply.is_some(),
        };
        let old_value = match reply {
            Some(Kind::Blob(blob)) => Some(blob),
            _ => None,
        };
        Ok(SetResponse { applied, old_value, receipt: Some(receipt) })
    }

    async fn delete_keys(&self, request: DeleteRequest) -> Result<DeleteResponse, Refusal> {
        check_keys(request.keys.len(), "keys")?;
        let ask = Ask::write(request.database, request.durability)?;
        let (mut replies, receipt) = self.calls.command(&named(b"DEL", &request.keys), ask).await?;
        Ok(DeleteResponse { deleted_count: replies.next_integer()?, receipt: Some(receipt) })
    }

    async fn get_keys(&self, request: MultiGetRequest) -> Result<MultiGetResponse, Refusal> {
        check_keys(request.keys.len(), "keys")?;
        let ask = Ask::read(request.database);
        let (mut replies, _) = self.calls.command(&named(b"MGET", &request.keys), ask).await?;
        let count = replies.next_array_head()?.unwrap_or(0);
        let one = |_| Ok(OptionalValue { value: replies.next_blob()? });
        Ok(MultiGetResponse { values: (0..count).map(one).collect::<Result<_, Refusal>>()? })
    }

    async fn set_keys(&self, request: MultiSetRequest) -> Result<MultiSetResponse, Refusal> {
        check_keys(request.entries.len(), "entries")?;
        let ask = Ask::write(request.database, request.durability)?;
        let name: &[u8] = if request.if_none_present { b"MSETNX" } else { b"MSET" };
        let mut args = Vec::with_capacity(1 + request.entries.len() * 2);
        args.push(name);
        for entry in &request.entries {
            args.extend([&*entry.key, &*entry.value]);
        }
        let (mut replies, receipt) = self.calls.command(&args, ask).await?;
        let applied = !matches!(replies.next_value()?.kind, Some(Kind::Integer(0)));
        Ok(MultiSetResponse { applied, receipt: Some(receipt) })
    }

    async fn increment_key(&self, request: IncrementRequest) -> Result<IncrementResponse, Refusal> {
        use increment_request::Amount;
        use increment_response::Sum;
        let ask = Ask::write(request.database, request.durability)?;
        let amount = request.amount.unwrap_or(Amount::Integer(1));
        let (name, text): (&[u8], String) = match amount {
            Amount::Integer(integer) => (b"INCRBY", integer.to_string()),
            Amount::Number(number) if !number.is_finite() => {
                return Err(Refusal::invalid("`number` must be a finite number"));
            }
            Amount::Number(number) => (b"INCRBYFLOAT", format!("{number:e}")),
        };
        let args = [name, &request.key, text.as_bytes()];
        let (mut replies, receipt) = self.calls.command(&args, ask).await?;
        let sum = match replies.next_value()?.kind {
            Some(Kind::Integer(integer)) => Sum::Integer(integer),
            Some(Kind::Blob(text)) => Sum::Number(parse_number(&text)?),
            _ => return Err(Refusal::internal("INCRBY answered no number")),
        };
        Ok(IncrementResponse { sum: Some(sum), receipt: Some(receipt) })
    }

    async fn expire_key(&self, request: ExpireRequest) -> Result<ExpireResponse, Refusal> {
        use expire_request::{Condition as When, Expiry};
        let ask = Ask::write(request.database, request.durability)?;
        let when = When::try_from(request.condition)
            .map_err(|_| Refusal::invalid("`condition` has an unknown value"))?;
        let (name, time): (&[u8], i64) = match &request.expiry {
            None => return Err(Refusal::invalid("`expiry` is unset: say when the key ends")),
            Some(Expiry::Never(())) if when != When::Unspecified => {
                return Err(Refusal::invalid("`condition` cannot be combined with `never`"));
            }
            Some(Expiry::Never(())) => (b"PERSIST", 0),
            Some(Expiry::Ttl(span)) => (b"PEXPIRE", duration_ms(span)?),
            Some(Expiry::ExpireTime(instant)) => (b"PEXPIREAT", instant_ms(instant)?),
        };
        let time = time.to_string();
        let mut args: Vec<&[u8]> = vec![name, &request.key];
        if name != b"PERSIST" {
            args.push(time.as_bytes());
        }
        match when {
            When::Unspecified => {}
            When::None => args.push(b"NX"),
            When::Some => args.push(b"XX"),
            When::Later => args.push(b"GT"),
            When::Earlier => args.push(b"LT"),
        }
        let (mut replies, receipt) = self.calls.command(&args, ask).await?;
        Ok(ExpireResponse { applied: replies.next_integer()? == 1, receipt: Some(receipt) })
    }

    async fn execute_command(&self, request: ExecuteRequest) -> Result<ExecuteResponse, Refusal> {
        let ask = Ask::write(request.database, request.durability)?;
        let sent = request.command.ok_or_else(|| Refusal::invalid("`command` is unset"))?;
        let commands = Commands::all(&[sent])?;
        let answer = self.calls.run(Work::Commands(commands), ask).await?;
        let value = Replies::new(answer.replies).next_value()?;
        Ok(ExecuteResponse { value: Some(value), receipt: Some(answer.receipt) })
    }

    async fn run_transaction(&self, request: TransactRequest) -> Result<TransactResponse, Refusal> {
        let ask = Ask::write(request.database, request.durability)?;
        if !request.conditions.is_empty() {
            check_keys(request.conditions.len(), "conditions")?;
        }
        let conditions = request.conditions.into_iter().map(condition).collect::<Result<_, _>>()?;
        let commands = Commands::all(&request.commands)?;
        let answer = self.calls.run(Work::Transaction(commands, conditions), ask).await?;
        let mut results = Vec::new();
        if answer.is_applied {
            let mut replies = Replies::new(answer.replies);
            let count = replies.next_array_head()?.unwrap_or(0);
            results = (0..count).map(|_| replies.next_result()).collect::<Result<_, _>>()?;
        }
        let (applied, receipt) = (answer.is_applied, Some(answer.receipt));
        Ok(TransactResponse { applied, results, receipt })
    }

    async fn wait(&self, request: WaitDurableRequest) -> Result<WaitDurableResponse, Refusal> {
        let position = request.position.ok_or_else(|| Refusal::invalid("`position` is unset"))?;
        let durability = match parse_durability(request.durability)? {
            Durability::Unspecified => Durability::Fsynced,
            asked => asked,
        };
        let ask = Ask { durability, ..Ask::read(0) };
        let answer = self.calls.run(Work::Durable(position), ask).await?;
        Ok(WaitDurableResponse { receipt: Some(answer.receipt) })
    }
}

/// A command's name and keys.
fn named<'a>(name: &'a [u8], keys: &'a [Bytes]) -> Vec<&'a [u8]> {
    std::iter::once(name).chain(keys.iter().map(|key| &**key)).collect()
}

fn parse_number(text: &[u8]) -> Result<f64, Refusal> {
    let text = std::str::from_utf8(text).ok();
    let number = text.and_then(|text| text.parse().ok());
    number.ok_or_else(|| Refusal::internal("INCRBYFLOAT answered no number"))
}

fn condition(asked: KeyCondition) -> Result<Condition, Refusal> {
    let expected = match asked.expected {
        Some(key_condition::Expected::Value(value)) => Expected::Value(value),
        Some(key_condition::Expected::Present(is_present)) => Expected::Present(is_present),
        None => return Err(Refusal::invalid("a condition says nothing: `expected` is unset")),
    };
    Ok(Condition { key: asked.key, expected })
}

type Answered<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl DataService for OfData {
    type ScanStream = ScanStream;
    type PipelineStream = PipelineStream;

    async fn get(&self, request: Request<GetRequest>) -> Answered<GetResponse> {
        self.measured(Method::Get, self.get_key(request.into_inner())).await
    }

    async fn set(&self, request: Request<SetRequest>) -> Answered<SetResponse> {
        self.measured(Method::Set, self.set_key(request.into_inner())).await
    }

    async fn delete(&self, request: Request<DeleteRequest>) -> Answered<DeleteResponse> {
        self.measured(Method::Delete, self.delete_keys(request.into_inner())).await
    }

    async fn multi_get(&self, request: Request<MultiGetRequest>) -> Answered<MultiGetResponse> {
        self.measured(Method::MultiGet, self.get_keys(request.into_inner())).await
    }

    async fn multi_set(&self, request: Request<MultiSetRequest>) -> Answered<MultiSetResponse> {
        self.measured(Method::MultiSet, self.set_keys(request.into_inner())).await
    }

    async fn increment(&self, request: Request<IncrementRequest>) -> Answered<IncrementResponse> {
        self.measured(Method::Increment, self.increment_key(request.into_inner())).await
    }

    async fn expire(&self, request: Request<ExpireRequest>) -> Answered<ExpireResponse> {
        self.measured(Method::Expire, self.expire_key(request.into_inner())).await
    }

    async fn scan(&self, request: Request<ScanRequest>) -> Answered<ScanStream> {
        Ok(Response::new(ScanStream::open(&self.calls, request.into_inner())))
    }

    async fn execute(&self, request: Request<ExecuteRequest>) -> Answered<ExecuteResponse> {
        self.measured(Method::Execute, self.execute_command(request.into_inner())).await
    }

    async fn transact(&self, request: Request<TransactRequest>) -> Answered<TransactResponse> {
        self.measured(Method::Transact, self.run_transaction(request.into_inner())).await
    }

    async fn pipeline(
        &self,
        request: Request<Streaming<PipelineRequest>>,
    ) -> Answered<PipelineStream> {
        match PipelineStream::open(&self.calls, request.into_inner()) {
            Ok(stream) => Ok(Response::new(stream)),
            Err(refusal) => refuse(refusal),
        }
    }

    async fn wait_durable(
        &self,
        request: Request<WaitDurableRequest>,
    ) -> Answered<WaitDurableResponse> {
        self.measured(Method::WaitDurable, self.wait(request.into_inner())).await
    }
}
