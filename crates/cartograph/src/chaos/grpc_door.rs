//! Sets, counters and registers through gRPC's `KeyService`.

use std::net::SocketAddr;
use std::time::Duration;

use cartograph_proto::v1;
use cartograph_proto::v1::key_service_client::KeyServiceClient;
use cartograph_proto::v1::operation::Op as Asked;
use cartograph_proto::v1::reply::Reply as Answer;
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use super::doors::{Door, Names, Reply, Replying};
use super::history::{Object, Op, Outcome, View};

const SESSION: &str = "cartograph-session";

/// The gRPC API of a region.
#[derive(Debug)]
pub(crate) struct GrpcDoor {
    names: Names,
    timeout: Duration,
    client: Result<KeyServiceClient<Channel>, String>,
}

impl GrpcDoor {
    /// The door at an address; it connects when it is used, and again when the connection broke.
    pub(crate) fn new(address: SocketAddr, names: Names, timeout: Duration) -> Self {
        let client = Endpoint::from_shared(format!("http://{address}"))
            .map(|endpoint| {
                let endpoint = endpoint.connect_timeout(timeout).tcp_nodelay(true);
                KeyServiceClient::new(endpoint.connect_lazy())
            })
            .map_err(|error| error.to_string());
        Self {
            names,
            timeout,
            client,
        }
    }

    async fn ask(&self, object: Object, op: Op, token: Option<&str>) -> Reply {
        let bare = |outcome| Reply { outcome, token: None };
        let mut client = match &self.client {
            Ok(client) => client.clone(),
            Err(why) => return bare(Outcome::Failed(why.clone())),
        };
        let Some(asked) = operation(self.names.key(object).into_bytes(), object, op) else {
            return bare(Outcome::Failed(format!("{object} takes no {op:?}")));
        };
        let mut request = Request::new(v1::ExecuteRequest {
            operation: Some(v1::Operation { op: Some(asked) }),
        });
        if let Some(token) = token.and_then(|token| token.parse().ok()) {
            request.metadata_mut().insert(SESSION, token);
        }
        match client.execute(request).await {
            Ok(response) => {
                let token = response
                    .metadata()
                    .get(SESSION)
                    .and_then(|token| Some(token.to_str().ok()?.to_owned()));
                let answer = response.into_inner().reply.and_then(|reply| reply.reply);
                Reply {
                    outcome: understood(object, op, answer),
                    token,
                }
            }
            Err(status) => bare(refused(&status)),
        }
    }
}

/// The operation on the wire.
fn operation(key: Vec<u8>, object: Object, op: Op) -> Option<Asked> {
    let members = |member: u32| vec![Names::member(member).into_bytes()];
    Some(match (object, op) {
        (Object::Set(_), Op::Add(member)) => Asked::SAdd(v1::KeyMembers {
            key,
            members: members(member),
        }),
        (Object::Set(_), Op::Remove(member)) => Asked::SRem(v1::KeyMembers {
            key,
            members: members(member),
        }),
        (Object::Set(_), Op::Read) => Asked::SMembers(v1::Key { key }),
        (Object::Rising(_) | Object::Counter(_), Op::Bump { sum: 0, by }) => {
            Asked::IncrBy(v1::IncrBy { key, by })
        }
        (Object::Register(_), Op::Write(value)) => Asked::Set(v1::Set {
            key,
            // Text, so that it is a register and no number that increments could join.
            value: format!("v{value}").into_bytes(),
            ..v1::Set::default()
        }),
        (Object::Rising(_) | Object::Counter(_) | Object::Register(_), Op::Read) => {
            Asked::Get(v1::Key { key })
        }
        (Object::Cart(_), _)
        | (Object::Set(_), Op::Bump { .. } | Op::Write(_))
        | (
            Object::Rising(_) | Object::Counter(_),
            Op::Add(_) | Op::Remove(_) | Op::Write(_) | Op::Bump { .. },
        )
        | (Object::Register(_), Op::Add(_) | Op::Remove(_) | Op::Bump { .. }) => return None,
    })
}

/// What the answer says of the object. One that makes no sense is no acknowledgement.
fn understood(object: Object, op: Op, answer: Option<Answer>) -> Outcome {
    let nonsense =
        |answer: &Option<Answer>| Outcome::Unknown(format!("an answer that makes no sense: {answer:?}"));
    match (object, op, answer) {
        (_, Op::Add(_), Some(Answer::Integer(_))) | (_, Op::Write(_), Some(Answer::Ok(_))) => {
            Outcome::Ok(None)
        }
        (_, Op::Remove(_), Some(Answer::Integer(count))) => Outcome::Removed(count > 0),
        (_, Op::Bump { .. }, Some(Answer::Integer(value))) => Outcome::Ok(Some(Names::sum_view(value))),
        (Object::Set(_), Op::Read, Some(Answer::List(list))) => {
            let members = list.items.iter().filter_map(|item| match &item.reply {
                Some(Answer::Value(member)) => Some(member.as_slice()),
                Some(_) | None => None,
            });
            Outcome::Ok(Some(Names::set_view(members)))
        }
        (_, Op::Read, Some(Answer::Nil(_))) => Outcome::Ok(Some(View::default())),
        (Object::Rising(_) | Object::Counter(_), Op::Read, Some(Answer::Value(value))) => {
            match std::str::from_utf8(&value)
                .ok()
                .and_then(|text| text.parse().ok())
            {
                Some(value) => Outcome::Ok(Some(Names::sum_view(value))),
                None => nonsense(&Some(Answer::Value(value))),
            }
        }
        (Object::Register(_), Op::Read, Some(Answer::Value(value))) => {
            let number = value
                .strip_prefix(b"v")
                .and_then(|text| std::str::from_utf8(text).ok());
            match number.and_then(|text| text.parse().ok()) {
                Some(number) => Outcome::Ok(Some(View {
                    value: Some(number),
                    ..View::default()
                })),
                None => nonsense(&Some(Answer::Value(value))),
            }
        }
        (_, _, answer) => nonsense(&answer),
    }
}

/// What an error means: the server's own word counts; without one only a connection that never came to be is certain.
fn refused(status: &Status) -> Outcome {
    let why = || {
        let message = status.message();
        let code = message.split(':').next().filter(|code| code.starts_with("CG-"));
        format!("{:?} {}", status.code(), code.unwrap_or("without a code"))
    };
    match status
        .metadata()
        .get("cartograph-outcome")
        .map(tonic::metadata::MetadataValue::as_bytes)
    {
        Some(b"definite") => Outcome::Failed(why()),
        None if never_connected(status) => Outcome::Failed("cannot connect".to_owned()),
        Some(_) | None => Outcome::Unknown(why()),
    }
}

/// Whether the system refused the connection itself.
fn never_connected(status: &Status) -> bool {
    let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(status);
    while let Some(error) = cause {
        let refused = error
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused);
        if refused {
            return true;
        }
        cause = error.source();
    }
    false
}

impl Door for GrpcDoor {
    fn word(&self) -> &'static str {
        "grpc"
    }

    fn takes(&self, object: Object) -> bool {
        match object {
            Object::Set(_) | Object::Rising(_) | Object::Counter(_) | Object::Register(_) => true,
            Object::Cart(_) => false,
        }
    }

    fn perform<'a>(&'a self, object: Object, op: Op, token: Option<&'a str>) -> Replying<'a> {
        Box::pin(async move {
            let asked = self.ask(object, op, token);
            timeout(self.timeout, asked).await.unwrap_or_else(|_| Reply {
                outcome: Outcome::Unknown("no answer in time".to_owned()),
                token: None,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_understood_and_nonsense_is_no_acknowledgement() {
        let number = |value| Some(Answer::Integer(value));
        let set = Object::Set(1);
        assert_eq!(understood(set, Op::Remove(1), number(0)), Outcome::Removed(false));
        assert_eq!(
            understood(Object::Counter(0), Op::Bump { sum: 0, by: 2 }, number(7)),
            Outcome::Ok(Some(Names::sum_view(7)))
        );
        let value = |text: &str| Some(Answer::Value(text.as_bytes().to_vec()));
        assert_eq!(
            understood(Object::Register(0), Op::Read, value("v9")),
            Outcome::Ok(Some(View {
                value: Some(9),
                ..View::default()
            }))
        );
        for (object, op, answer) in [
            (Object::Register(0), Op::Read, value("9")),
            (Object::Counter(0), Op::Read, value("x")),
            (set, Op::Add(1), None),
            (set, Op::Read, number(1)),
        ] {
            assert!(
                matches!(understood(object, op, answer), Outcome::Unknown(_)),
                "{object} {op:?}"
            );
        }
    }

    #[test]
    fn an_error_is_certain_only_with_the_servers_word() {
        let mut status = Status::unavailable("CG-3001: not ready");
        assert!(matches!(refused(&status), Outcome::Unknown(_)));
        status
            .metadata_mut()
            .insert("cartograph-outcome", "definite".parse().unwrap());
        assert_eq!(
            refused(&status),
            Outcome::Failed("Unavailable CG-3001".to_owned())
        );
    }

    #[test]
    fn what_an_object_cannot_do_is_never_sent() {
        assert!(operation(Vec::new(), Object::Set(1), Op::Write(1)).is_none());
        assert!(operation(Vec::new(), Object::Cart(1), Op::Read).is_none());
        assert!(operation(Vec::new(), Object::Counter(1), Op::Bump { sum: 1, by: 1 }).is_none());
    }
}
