//! All sentinels asked at once, and the servers they name tried until one says that it is a master.
//!
//! Servers are tried one at a time, in the order in which they were first named: a connection is one place in the
//! budget. One that keeps us waiting gives way to another that was named meanwhile, and is tried again after it.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::tell::Tale;
use crate::error::{Error, Kind};
use crate::timer::Timer;

/// How long a server may keep another waiting that some sentinel takes for the master; doubled each time.
const PATIENCE: Duration = Duration::from_millis(100);

pub(super) type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
pub(super) type Answer = Result<(String, u16), String>;

pub(super) struct Search<'a, T, F> {
    questions: Vec<Option<Boxed<'a, Answer>>>,
    /// Who becomes the master meanwhile.
    announced: Option<Boxed<'a, (String, u16)>>,
    /// What each said, in the same order.
    answers: Vec<Option<Answer>>,
    reach: F,
    named: Vec<(String, u16)>,
    waiting: VecDeque<usize>,
    trying: Option<(usize, Boxed<'a, Result<T, Error>>)>,
    /// Why a server was of no use.
    failures: Vec<(usize, Error)>,
    patience: Duration,
    rival_since: Option<Instant>,
    timer: Timer,
    pub(super) first: Option<usize>,
}

impl<'a, T, F: FnMut(&str, u16) -> Boxed<'a, Result<T, Error>>> Search<'a, T, F> {
    pub(super) fn new(
        questions: Vec<Boxed<'a, Answer>>,
        announced: Boxed<'a, (String, u16)>,
        reach: F,
    ) -> Self {
        Self {
            answers: questions.iter().map(|_| None).collect(),
            questions: questions.into_iter().map(Some).collect(),
            announced: Some(announced),
            reach,
            named: Vec::new(),
            waiting: VecDeque::new(),
            trying: None,
            failures: Vec::new(),
            patience: PATIENCE,
            rival_since: None,
            timer: Timer::default(),
            first: None,
        }
    }

    /// `Ready(None)` once nobody is left to ask or to try.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T, Error>>> {
        self.hear(cx);
        self.hear_of_another(cx);
        loop {
            if let Some((index, attempt)) = &mut self.trying {
                match attempt.as_mut().poll(cx) {
                    Poll::Ready(Ok(reached)) => return Poll::Ready(Some(Ok(reached))),
                    Poll::Ready(Err(error)) if error.kind() != Kind::Away => {
                        return Poll::Ready(Some(Err(error)));
                    }
                    Poll::Ready(Err(error)) => {
                        self.failures.push((*index, error));
                        self.trying = None;
                        continue;
                    }
                    Poll::Pending => {}
                }
                if self.waiting.is_empty() {
                    return Poll::Pending;
                }
                let since = *self.rival_since.get_or_insert_with(Instant::now);
                if self.timer.poll(Some(since + self.patience), cx).is_pending() {
                    return Poll::Pending;
                }
                if let Some((index, _)) = self.trying.take() {
                    self.waiting.push_back(index);
                }
                self.patience *= 2;
            }
            self.rival_since = None;
            let Some(next) = self.waiting.pop_front() else { break };
            let (host, port) = &self.named[next];
            self.trying = Some((next, (self.reach)(host, *port)));
        }
        if self.questions.iter().all(Option::is_none) { Poll::Ready(None) } else { Poll::Pending }
    }

    fn hear(&mut self, cx: &mut Context<'_>) {
        for (index, place) in self.questions.iter_mut().enumerate() {
            let Some(question) = place else { continue };
            let Poll::Ready(answer) = question.as_mut().poll(cx) else { continue };
            *place = None;
            if let Ok(address) = &answer {
                self.first.get_or_insert(index);
                if !self.named.contains(address) {
                    self.waiting.push_back(self.named.len());
                    self.named.push(address.clone());
                }
            }
            self.answers[index] = Some(answer);
        }
    }

    /// A server that is stopped would keep us although its successor is known.
    fn hear_of_another(&mut self, cx: &mut Context<'_>) {
        let Some(announced) = &mut self.announced else { return };
        let Poll::Ready(address) = announced.as_mut().poll(cx) else { return };
        self.announced = None;
        let index = self.named.iter().position(|named| *named == address).unwrap_or(self.named.len());
        if index == self.named.len() {
            self.named.push(address);
        }
        if self.trying.as_ref().is_some_and(|(trying, _)| *trying == index) {
            return;
        }
        if let Some((left, _)) = self.trying.take() {
            self.waiting.push_back(left);
        }
        self.waiting.retain(|waiting| *waiting != index);
        self.waiting.push_front(index);
    }

    /// What there is to tell if nothing was found.
    pub(super) fn tale<'t>(&'t self, names: &'t [String], limit: &'t str) -> Tale<'t> {
        Tale { names, answers: &self.answers, named: &self.named, failures: &self.failures, limit }
    }
}
