//! Why no master was found: what each sentinel said, and what became of the servers they named, each thing once.

use super::ask::is_refused_login;
use super::search::Answer;
use crate::config::name_of;
use crate::error::Error;

const LOGIN: &str = "this is the sentinels' own login, which is not that of the URL: REDIS_SENTINEL_PASSWORD \
                     (sentinel_password), and REDIS_SENTINEL_USERNAME if they have users";

pub(super) struct Tale<'a> {
    pub(super) names: &'a [String],
    /// In the same order.
    pub(super) answers: &'a [Option<Answer>],
    pub(super) named: &'a [(String, u16)],
    /// Why a server was of no use, by its place among those named.
    pub(super) failures: &'a [(usize, Error)],
    pub(super) limit: &'a str,
}

impl Tale<'_> {
    /// The words, and the error of a server that turned us away.
    pub(super) fn tell(&self, master: &str) -> (String, Option<Error>) {
        let mut told: Vec<String> = Vec::new();
        for (index, (host, port)) in self.named.iter().enumerate() {
            let by = self.who(|answer| matches!(answer, Some(Ok((h, p))) if h == host && p == port));
            let by = by.map_or_else(|| "a sentinel announced".to_owned(), |who| format!("{who} named"));
            told.push(format!("{by} {}: {}", name_of(host, *port), self.why(index)));
        }
        let mut others: Vec<&str> = Vec::new();
        for why in self.answers.iter().filter_map(|answer| answer.as_ref()?.as_ref().err()) {
            if !others.contains(&why.as_str()) {
                others.push(why);
            }
        }
        for why in &others {
            let who = self.who(|answer| matches!(answer, Some(Err(said)) if said == why));
            told.extend(who.map(|who| format!("{who} {why}")));
        }
        let late = self.who(Option::is_none);
        told.extend(late.map(|who| format!("{who} has not answered within {}", self.limit)));
        let is_refused = others.iter().any(|why| is_refused_login(why));
        let told = told.join(if self.named.is_empty() { ", " } else { "; " });
        let told = if is_refused { format!("{told}: {LOGIN}") } else { told };
        if !self.named.is_empty() {
            let errors = self.failures.iter().map(|(_, error)| error);
            let cause = errors.into_iter().find(|error| error.server_error().is_some()).cloned();
            return (format!("the master {master:?} cannot be used: {told}"), cause);
        }
        let nobody = match (self.names.len(), is_refused) {
            (1, false) => "the one sentinel does not know".to_owned(),
            (1, true) => "the one sentinel did not tell of".to_owned(),
            (count, false) => format!("no sentinel of {count} knows"),
            (count, true) => format!("no sentinel of {count} told of"),
        };
        (format!("{nobody} the master {master:?}: {told}"), None)
    }

    /// The sentinels of whose answer this is true.
    fn who(&self, is_so: impl Fn(&Option<Answer>) -> bool) -> Option<String> {
        let pairs = self.names.iter().zip(self.answers);
        let names: Vec<&str> =
            pairs.filter(|(_, answer)| is_so(answer)).map(|(name, _)| name.as_str()).collect();
        match names.as_slice() {
            all if all.len() > 1 && all.len() == self.names.len() => {
                Some(format!("each of the {} sentinels", all.len()))
            }
            [most @ .., last] if !most.is_empty() => Some(format!("each of {} and {last}", most.join(", "))),
            [one] => Some((*one).to_owned()),
            _ => None,
        }
    }

    /// Without the server's address, which was told.
    fn why(&self, index: usize) -> String {
        let Some((_, error)) = self.failures.iter().find(|(failed, _)| *failed == index) else {
            return format!("no answer within {}", self.limit);
        };
        let message = error.message();
        if let Some((_, why)) = message.split_once(" is unavailable: ") {
            return why.to_owned();
        }
        message.split_once(" turned us away: ").map_or(message, |(_, said)| said).to_owned()
    }
}
