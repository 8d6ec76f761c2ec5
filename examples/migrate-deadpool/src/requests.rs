//! What the shop is asked, and what it says.

use std::io;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::problem::Problem;
use crate::stock::Sale;
use crate::{First, Last, health, orders, prices, sales, stock};

#[derive(Clone)]
pub struct Shop {
    pub first: First,
    pub last: Last,
}

impl Shop {
    pub async fn answer(&self, request: &str) -> String {
        match self.try_answer(request).await {
            Ok(reply) => reply,
            Err(problem) => problem.to_string(),
        }
    }

    async fn try_answer(&self, request: &str) -> Result<String, Problem> {
        let words: Vec<_> = request.split_whitespace().collect();
        Ok(match words[..] {
            ["health"] => (if health::is_up(&self.first).await { "up" } else { "down" }).to_owned(),
            ["price", article] => match prices::of(&self.first, article).await? {
                Some(price) => price.to_string(),
                None => "nobody knows".to_owned(),
            },
            ["price", article, price] => {
                prices::set(&self.first, article, number(price)?).await?;
                "ok".to_owned()
            }
            ["stock", article, count] => {
                stock::set(&self.last, article, number(count)?).await?;
                "ok".to_owned()
            }
            ["buy", article, count] => match self.buy(article, number(count)?).await? {
                Sale::Sold(left) => format!("{left} left"),
                Sale::Short(left) => format!("there are only {left}"),
            },
            ["rush", article, buyers] => self.rush(article, number(buyers)?).await?,
            ["sales", article] => {
                let (sold, price) = sales::today(&self.first, article).await?;
                format!("{sold} sold for {}", sold * price)
            }
            ["shipped"] => orders::shipped(&self.last).await?.to_string(),
            _ => return Err(Problem::Request),
        })
    }

    async fn buy(&self, article: &str, count: u64) -> Result<Sale, Problem> {
        let sale = stock::sell(&self.last, article, count).await?;
        if let Sale::Sold(_) = sale {
            sales::count(&self.first, article, count).await?;
        }
        Ok(sale)
    }

    /// So many buyers at once, each of whom wants one.
    async fn rush(&self, article: &str, buyers: u64) -> Result<String, Problem> {
        let mut rush = JoinSet::new();
        for _ in 0..buyers {
            let (shop, article) = (self.clone(), article.to_owned());
            rush.spawn(async move { shop.buy(&article, 1).await });
        }
        let mut sold = 0;
        for sale in rush.join_all().await {
            sold += u64::from(matches!(sale?, Sale::Sold(_)));
        }
        Ok(format!("{sold} of {buyers} got one"))
    }
}

fn number(text: &str) -> Result<u64, Problem> {
    text.parse().map_err(|_| Problem::Request)
}

/// Standard input, line by line. A thread reads it, as that blocks.
pub fn from_stdin() -> mpsc::Receiver<String> {
    let (sender, requests) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in io::stdin().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                break;
            }
        }
    });
    requests
}
