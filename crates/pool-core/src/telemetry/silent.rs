//! Without the feature `metrics`: the names of `meters`, which cost nothing here.

use std::time::Duration;

use redis::Value;

use super::Operation;
use crate::command::Payload;

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Meters;

#[derive(Debug)]
pub(crate) struct Counted;

macro_rules! nothing {
    ($($name:ident($($type:ty),*);)*) => {
        impl Meters {
            pub(crate) fn new(_connections: usize) -> Self {
                Self
            }

            pub(crate) const fn is_heard(&self) -> bool {
                false
            }

            $(pub(crate) fn $name(&self, $(_: $type),*) {})*
        }
    };
}

nothing! {
    call_begins();
    call_ends(Operation, Duration);
    call_failed(&'static str);
    call_left();
    retried();
    queue_waited(Duration);
    dialled(bool);
    connection_lost();
    reconnected();
    breaker_opened();
    breaker_closed();
    credentials_refused(bool);
    sentinel_heard(bool);
    dedicated_waited(Duration);
    answered_by_redis();
    answered_by_fallback();
    looked_up(Payload<'_>, &[Value]);
    journalled(usize, usize);
    journal_refused();
    journal_removed(usize);
    lagged(u64);
    gap();
}

impl Meters {
    pub(crate) fn connection(&self) -> Counted {
        Counted
    }

    pub(crate) fn dedicated(&self) -> Counted {
        Counted
    }

    pub(crate) fn subscriber(&self) -> Counted {
        Counted
    }
}
