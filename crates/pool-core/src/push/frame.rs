//! What the server sends on a push connection, in either protocol.

use std::sync::Arc;

use redis::{PushKind, Value};

use super::topics::Kind;
use crate::codec::ProtocolError;

#[derive(Debug, PartialEq)]
pub(super) enum Frame {
    Message {
        kind: Kind,
        /// The pattern or the channel, whichever was subscribed to.
        topic: Vec<u8>,
        /// Where it was published, if a pattern was subscribed to.
        channel: Option<Vec<u8>>,
        payload: Vec<u8>,
    },
    Subscribed(Kind, Vec<u8>),
    Unsubscribed(Kind, Vec<u8>),
    /// `None` stands for every key.
    Invalidated(Option<Arc<[Vec<u8>]>>),
    /// The reply to a command.
    Reply(Value),
    /// Something pushed that is not meant for us.
    Other,
}

/// RESP2 has no frame of its own for what is pushed: there it is told by an array's first word.
pub(super) fn read(value: Value) -> Result<Frame, ProtocolError> {
    let (kind, data) = match value {
        Value::Push { kind, data } => (kind, data),
        Value::Array(items) => {
            let Some(kind) = items.first().and_then(pushed_by_resp2) else {
                return Ok(Frame::Reply(Value::Array(items)));
            };
            (kind, items.into_iter().skip(1).collect())
        }
        reply => return Ok(Frame::Reply(reply)),
    };
    let mut data = data.into_iter();
    let mut next = || data.next().ok_or(ProtocolError::Malformed("push"));
    Ok(match kind {
        PushKind::Message => message(Kind::Channel, next()?, None, next()?)?,
        PushKind::SMessage => message(Kind::Shard, next()?, None, next()?)?,
        PushKind::PMessage => message(Kind::Pattern, next()?, Some(next()?), next()?)?,
        PushKind::Subscribe => Frame::Subscribed(Kind::Channel, bytes(next()?)?),
        PushKind::PSubscribe => Frame::Subscribed(Kind::Pattern, bytes(next()?)?),
        PushKind::SSubscribe => Frame::Subscribed(Kind::Shard, bytes(next()?)?),
        PushKind::Unsubscribe => Frame::Unsubscribed(Kind::Channel, bytes(next()?)?),
        PushKind::PUnsubscribe => Frame::Unsubscribed(Kind::Pattern, bytes(next()?)?),
        PushKind::SUnsubscribe => Frame::Unsubscribed(Kind::Shard, bytes(next()?)?),
        PushKind::Invalidate => Frame::Invalidated(match next()? {
            Value::Nil => None,
            Value::Array(keys) => Some(keys.into_iter().map(bytes).collect::<Result<_, _>>()?),
            _ => return Err(ProtocolError::Malformed("invalidation")),
        }),
        _ => Frame::Other,
    })
}

fn pushed_by_resp2(first: &Value) -> Option<PushKind> {
    let Value::BulkString(name) = first else { return None };
    Some(match name.as_slice() {
        b"message" => PushKind::Message,
        b"smessage" => PushKind::SMessage,
        b"pmessage" => PushKind::PMessage,
        b"subscribe" => PushKind::Subscribe,
        b"psubscribe" => PushKind::PSubscribe,
        b"ssubscribe" => PushKind::SSubscribe,
        b"unsubscribe" => PushKind::Unsubscribe,
        b"punsubscribe" => PushKind::PUnsubscribe,
        b"sunsubscribe" => PushKind::SUnsubscribe,
        _ => return None,
    })
}

fn message(kind: Kind, topic: Value, channel: Option<Value>, payload: Value) -> Result<Frame, ProtocolError> {
    let channel = channel.map(bytes).transpose()?;
    Ok(Frame::Message { kind, topic: bytes(topic)?, channel, payload: bytes(payload)? })
}

fn bytes(value: Value) -> Result<Vec<u8>, ProtocolError> {
    match value {
        Value::BulkString(bytes) => Ok(bytes),
        Value::SimpleString(text) => Ok(text.into_bytes()),
        _ => Err(ProtocolError::Malformed("push")),
    }
}
