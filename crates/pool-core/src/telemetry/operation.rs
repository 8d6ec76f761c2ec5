//! What a call is called: by the names of its commands as far as they are known, and never by anything else of them.

use std::fmt;

use crate::command::{self, Payload};

/// A call by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Operation {
    pub(super) form: Form,
    /// The name that all its commands have, by its place among those that are known.
    pub(super) name: Option<usize>,
    pub(super) commands: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    One,
    Pipeline,
    Transaction,
}

impl Operation {
    pub(crate) fn of(payload: Payload<'_>) -> Self {
        let (form, commands) = match payload {
            Payload::One(_) => (Form::One, 1),
            Payload::Batch(pipeline) if pipeline.is_transaction() => (Form::Transaction, pipeline.len()),
            // OpenTelemetry has it that a batch of one is no batch.
            Payload::Batch(pipeline) if pipeline.len() == 1 => (Form::One, 1),
            Payload::Batch(pipeline) => (Form::Pipeline, pipeline.len()),
        };
        let mut names = payload.commands().map(command::known);
        let first = names.next().flatten();
        let name = first.filter(|_| names.all(|name| name == first));
        Self { form, name, commands }
    }

    /// How many commands it has, if it is a batch.
    pub(super) fn batch(self) -> Option<i64> {
        (self.form != Form::One && self.commands != 1).then_some(self.commands as i64)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name.map(command::known_name);
        match self.form {
            Form::One => f.write_str(name.unwrap_or("other")),
            form => {
                f.write_str(if form == Form::Pipeline { "PIPELINE" } else { "MULTI" })?;
                name.map_or(Ok(()), |name| write!(f, " {name}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use redis::{Cmd, Pipeline};

    use super::*;

    fn batch(names: &[&str], atomic: bool) -> Pipeline {
        let mut pipeline = redis::pipe();
        if atomic {
            pipeline.atomic();
        }
        for name in names {
            pipeline.cmd(name).arg("key");
        }
        pipeline
    }

    #[test]
    fn a_call_has_the_name_that_opentelemetry_gives_it_and_no_other_word_of_its_commands() {
        let one = |cmd: &Cmd| Operation::of(Payload::One(cmd)).to_string();
        assert_eq!(one(redis::cmd("get").arg("secret")), "GET");
        assert_eq!(one(&redis::cmd("hunter2")), "other");
        let table: [(&[&str], bool, &str, Option<i64>); 6] = [
            (&["GET", "get"], false, "PIPELINE GET", Some(2)),
            (&["GET", "SET"], false, "PIPELINE", Some(2)),
            (&["GET", "hunter2"], false, "PIPELINE", Some(2)),
            (&["SET", "SET", "SET"], true, "MULTI SET", Some(3)),
            (&["GET"], false, "GET", None),
            (&[], true, "MULTI", Some(0)),
        ];
        for (names, atomic, name, size) in table {
            let batch = batch(names, atomic);
            let operation = Operation::of(Payload::Batch(&batch));
            assert_eq!((operation.to_string().as_str(), operation.batch()), (name, size), "{names:?}");
        }
    }
}
