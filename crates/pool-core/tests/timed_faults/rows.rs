//! The table: every fault, and what each column sees of it.

use crate::call::Class::{
    Closed, CutOff, Fallback, Gap, Lagged, RuntimeEnded, Said, Silence, TimedOut, TurnedAway, Unavailable,
};
use crate::reach::Reach;
use crate::sees::Sees;

/// One line of the table. The order of `sees` is that of the columns.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// What is done.
    pub(crate) what: &'static str,
    pub(crate) sees: [Sees; 4],
}

impl Row {
    /// What is seen of it by this way to the server.
    pub(crate) fn reached(self, reach: Reach) -> Self {
        match reach {
            Reach::Plain => self,
            // A replica is left at the first such answer, and refused from then on.
            Reach::Sentinel if self.name == "role change" => {
                let left = |says: Sees, then, reads| says.then(then).reads(reads);
                let says = || Sees::first(Said("READONLY"));
                // Often it is an increment that is told so, and not a write.
                let perhaps = Sees::nothing().perhaps(Said("READONLY"));
                let sees = columns(
                    left(says(), Unavailable, Sees::first(Unavailable)),
                    left(perhaps, Fallback, Sees::first(Fallback)),
                    left(says(), Unavailable, Sees::nothing().perhaps(Unavailable)),
                    Sees::nothing(),
                );
                Self { sees, ..self }
            }
            Reach::Sentinel => self,
            // A server that is full says so before TLS begins, where nobody can hear it.
            #[cfg(feature = "tls")]
            Reach::Tls => {
                let sees =
                    self.sees.map(|sees| sees.instead_of(TurnedAway("max number of clients"), Unavailable));
                Self { sees, ..self }
            }
        }
    }
}

#[derive(Debug)]
pub(crate) struct Family {
    pub(crate) title: &'static str,
    pub(crate) rows: Vec<Row>,
}

pub(crate) fn row(name: &str) -> Row {
    let found = table().into_iter().flat_map(|family| family.rows).find(|row| row.name == name);
    found.unwrap_or_else(|| panic!("{name} is no row of the table"))
}

pub(crate) fn table() -> Vec<Family> {
    vec![
        Family { title: "The network", rows: network() },
        Family { title: "The server's process", rows: process() },
        Family { title: "What the server answers", rows: answers() },
        Family { title: "What the server does to its clients", rows: clients() },
        Family { title: "This process", rows: ours() },
    ]
}

fn all(sees: &Sees) -> [Sees; 4] {
    [sees.clone(), sees.clone(), sees.clone(), sees.clone()]
}

fn columns(strict: Sees, degradable: Sees, dedicated: Sees, subscriber: Sees) -> [Sees; 4] {
    [strict, degradable, dedicated, subscriber]
}

/// The same for all who call, and something else for who listens.
fn calls(sees: &Sees, subscriber: Sees) -> [Sees; 4] {
    columns(sees.clone(), sees.clone(), sees.clone(), subscriber)
}

fn network() -> Vec<Row> {
    let (first, nothing) = (Sees::first, Sees::nothing);
    vec![
        Row {
            name: "refused",
            what: "nobody listens for 0.8 s, from the first call on",
            sees: columns(first(Unavailable), first(Fallback), first(Unavailable), first(Unavailable)),
        },
        Row {
            name: "accepted, then closed",
            what: "connections are reset, and for 0.8 s new ones closed as soon as they are made",
            sees: columns(
                first(CutOff).then(Unavailable),
                first(Fallback),
                first(CutOff).then(Unavailable),
                first(Silence).then(Gap).subscribing(first(Unavailable)),
            ),
        },
        Row {
            name: "blackhole",
            what: "for 2 s all bytes are lost, those of new connections too",
            sees: columns(
                first(TimedOut).then(CutOff).then(Unavailable),
                first(Fallback),
                first(TimedOut).then(Unavailable),
                first(Silence).then(Gap).subscribing(first(TimedOut).then(Unavailable)),
            ),
        },
        Row {
            name: "half-open",
            what: "open connections go silent for good, new ones work",
            sees: columns(
                first(TimedOut).then(CutOff).perhaps(Unavailable),
                first(Fallback),
                first(TimedOut),
                first(Silence).then(Gap).subscribing(first(TimedOut).perhaps(Unavailable)),
            ),
        },
        Row {
            name: "reset mid-reply",
            what: "again and again a connection is reset as a reply comes back",
            sees: columns(
                first(CutOff).reads(nothing()),
                first(Fallback),
                first(CutOff).perhaps(Unavailable),
                first(Gap).perhaps(Silence).subscribing(nothing().perhaps(Unavailable)),
            ),
        },
        Row {
            name: "truncated reply",
            what: "again and again a connection ends in the middle of a reply",
            sees: columns(
                first(CutOff).reads(nothing()),
                first(Fallback),
                first(CutOff).perhaps(Unavailable),
                first(Gap).perhaps(Silence).subscribing(nothing().perhaps(Unavailable)),
            ),
        },
        Row { name: "latency", what: "each round trip takes 200 ms", sees: all(&nothing()) },
        Row { name: "one byte at a time", what: "requests and replies", sees: all(&nothing()) },
    ]
}

fn process() -> Vec<Row> {
    let (first, nothing) = (Sees::first, Sees::nothing);
    vec![
        Row {
            name: "kill",
            what: "SIGKILL, and started again after 0.8 s",
            sees: columns(
                first(CutOff).then(Unavailable),
                first(Fallback),
                first(CutOff).then(Unavailable),
                first(Silence).then(Gap).subscribing(first(Unavailable)),
            ),
        },
        Row {
            name: "restart",
            what: "SIGKILL, and started again at once",
            sees: columns(
                first(CutOff).perhaps(Unavailable),
                first(Fallback),
                first(CutOff).perhaps(Unavailable),
                first(Gap).perhaps(Silence).subscribing(nothing().perhaps(Unavailable)),
            ),
        },
        Row {
            name: "freeze",
            what: "SIGSTOP for 2 s",
            sees: columns(
                first(TimedOut).then(CutOff).then(Unavailable),
                first(Fallback),
                first(TimedOut).then(Unavailable),
                first(Silence).then(Gap).subscribing(first(TimedOut).then(Unavailable)),
            ),
        },
        Row {
            name: "loading",
            what: "started again, and over a second busy with loading its data",
            sees: columns(
                nothing().perhaps(CutOff).then(Unavailable).perhaps(TurnedAway("LOADING")),
                first(Fallback),
                nothing().perhaps(CutOff).then(Unavailable).perhaps(TurnedAway("LOADING")),
                first(Silence).then(Gap).subscribing(first(Unavailable).perhaps(TurnedAway("LOADING"))),
            ),
        },
    ]
}

fn answers() -> Vec<Row> {
    let (first, nothing) = (Sees::first, Sees::nothing);
    vec![
        Row {
            name: "role change",
            what: "a replica for 0.8 s",
            sees: calls(&first(Said("READONLY")).reads(nothing()), nothing()),
        },
        Row {
            name: "busy",
            what: "for 0.8 s a script runs that does not end",
            sees: calls(&first(Said("BUSY")), first(Silence).subscribing(first(Said("BUSY")))),
        },
        Row {
            name: "out of memory",
            what: "for 0.8 s `maxmemory` is exceeded",
            sees: calls(&first(Said("OOM")).reads(nothing()), nothing()),
        },
    ]
}

fn clients() -> Vec<Row> {
    let (first, nothing) = (Sees::first, Sees::nothing);
    vec![
        Row {
            name: "password changed",
            what: "for 0.8 s there is another password, and all connections are ended",
            sees: columns(
                first(CutOff).then(TurnedAway("NOAUTH")),
                first(Fallback),
                first(CutOff).then(TurnedAway("NOAUTH")),
                first(Silence).then(Gap).subscribing(first(TurnedAway("NOAUTH"))),
            ),
        },
        Row {
            name: "too many clients",
            what: "for 0.8 s `maxclients` is reached, and all connections are ended",
            sees: columns(
                first(CutOff).then(TurnedAway("max number of clients")),
                first(Fallback),
                first(CutOff).then(TurnedAway("max number of clients")),
                first(Silence).then(Gap).subscribing(first(TurnedAway("max number of clients"))),
            ),
        },
        Row {
            name: "`CLIENT KILL`",
            what: "of all connections, again and again",
            sees: columns(
                first(CutOff).perhaps(Unavailable).reads(nothing().perhaps(Unavailable)),
                first(Fallback),
                first(CutOff).perhaps(Unavailable),
                first(Gap).perhaps(Silence).subscribing(nothing().perhaps(Unavailable)),
            ),
        },
        Row {
            name: "`CLIENT PAUSE`",
            what: "of all clients, for 0.9 s",
            sees: columns(
                first(TimedOut),
                first(Fallback),
                first(TimedOut),
                first(Silence).subscribing(first(TimedOut)),
            ),
        },
        Row { name: "`FLUSHALL`", what: "again and again; a read may find nothing", sees: all(&nothing()) },
    ]
}

fn ours() -> Vec<Row> {
    let (first, nothing) = (Sees::first, Sees::nothing);
    vec![
        Row {
            name: "runtime dropped",
            what: "with commands in flight, and for 0.3 s calls go on there; then in another one",
            sees: calls(&first(RuntimeEnded), first(Silence).then(Gap).subscribing(first(RuntimeEnded))),
        },
        Row {
            name: "slow consumer",
            what: "for 1.5 s no subscriber reads what is published, and 50 events may wait",
            sees: columns(nothing(), nothing(), nothing(), first(Lagged).subscribing(nothing())),
        },
        Row { name: "close", what: "under load; after 0.3 s there is a new pool", sees: all(&first(Closed)) },
    ]
}
