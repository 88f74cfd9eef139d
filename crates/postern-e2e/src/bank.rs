//! A bank whose books must balance.
//!
//! Many clients move money between accounts, each transfer in a transaction of its own with a number that
//! can't be booked twice. Whatever happens in between, afterwards: the sum of all accounts is what it was,
//! every transfer a client was told is booked is booked, none that it was told is not booked is, and no
//! answer was somebody else's.

use anyhow::{Context, ensure};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio_postgres::{Client, NoTls};

/// Accounts of the bank.
pub const ACCOUNTS: i32 = 200;
/// What each holds at the start.
pub const OPENING: i64 = 1_000;

/// SQL that makes the bank, for a superuser; `owner` will own it.
pub const SCHEMA: &str = "
    CREATE SCHEMA bank AUTHORIZATION owner;
    CREATE TABLE bank.account (id int PRIMARY KEY, balance bigint NOT NULL);
    INSERT INTO bank.account SELECT i, 1000 FROM generate_series(1, 200) i;
    CREATE TABLE bank.transfer (client int, number bigint, amount bigint NOT NULL, PRIMARY KEY (client, number));
    CREATE TABLE bank.run (client int, number bigint);
    ALTER TABLE bank.account OWNER TO owner;
    ALTER TABLE bank.transfer OWNER TO owner;
    ALTER TABLE bank.run OWNER TO owner;
";

/// What one client was told about one transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// COMMIT was confirmed.
    Booked,
    /// It failed before COMMIT was sent.
    NotBooked,
    /// COMMIT was sent and the connection was lost.
    Unknown,
}

/// Counts of a run.
#[derive(Debug, Default)]
pub struct Counts {
    /// Transfers confirmed.
    pub booked: AtomicU64,
    /// Transfers that failed before COMMIT.
    pub failed: AtomicU64,
    /// Transfers whose outcome the client was not told.
    pub unknown: AtomicU64,
    /// Connections that were lost.
    pub lost: AtomicU64,
    /// SQLSTATEs of errors, as `code:count` is printed from here by the caller.
    pub answered_wrongly: AtomicU64,
}

/// What one client was told: about each transfer, and how often each SQLSTATE.
type Memory = (BTreeMap<i64, Told>, BTreeMap<String, u64>);

/// Clients at work.
pub struct Bank {
    stop: Arc<AtomicBool>,
    /// Counts so far.
    pub counts: Arc<Counts>,
    clients: Vec<tokio::task::JoinHandle<Memory>>,
}

impl Bank {
    /// Starts `clients` clients on this URL.
    pub fn open(url: &str, clients: i32) -> Bank {
        let stop = Arc::new(AtomicBool::new(false));
        let counts = Arc::new(Counts::default());
        let clients = (0..clients)
            .map(|number| {
                tokio::spawn(work(
                    url.to_owned(),
                    number,
                    Arc::clone(&stop),
                    Arc::clone(&counts),
                ))
            })
            .collect();
        Bank {
            stop,
            counts,
            clients,
        }
    }

    /// Transfers confirmed so far.
    pub fn booked(&self) -> u64 {
        self.counts.booked.load(Ordering::Relaxed)
    }

    /// Connections lost so far.
    pub fn lost(&self) -> u64 {
        self.counts.lost.load(Ordering::Relaxed)
    }

    /// Waits until a transfer is confirmed that began after now; gives the time it took.
    ///
    /// # Errors
    /// When none is within `patience`.
    pub async fn next_booking(&self, patience: Duration) -> anyhow::Result<Duration> {
        let start = Instant::now();
        // One transfer of each client may have been under way before.
        let target = self
            .booked()
            .saturating_add(self.clients.len() as u64)
            .saturating_add(1);
        while self.booked() < target {
            ensure!(
                start.elapsed() < patience,
                "no transfer was booked for {patience:?}"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(start.elapsed())
    }

    /// Stops all clients and compares what they were told with the books, read by `sql` (a query runner on
    /// the database itself).
    ///
    /// # Errors
    /// When the books are wrong in any way.
    pub async fn audit(
        self,
        sql: impl Fn(&str) -> anyhow::Result<String>,
    ) -> anyhow::Result<BTreeMap<String, u64>> {
        self.stop.store(true, Ordering::Relaxed);
        let mut told = BTreeMap::new();
        let mut codes: BTreeMap<String, u64> = BTreeMap::new();
        for (number, client) in self.clients.into_iter().enumerate() {
            let (transfers, errors) = client.await.context("a client panicked")?;
            for (code, count) in errors {
                *codes.entry(code).or_default() += count;
            }
            for (transfer, outcome) in transfers {
                told.insert((number as i64, transfer), outcome);
            }
        }
        let sum: i64 = sql("SELECT sum(balance) FROM bank.account")?.parse()?;
        ensure!(
            sum == i64::from(ACCOUNTS) * OPENING,
            "the accounts sum up to {sum}"
        );
        let twice =
            sql("SELECT count(*) FROM (SELECT FROM bank.run GROUP BY client, number HAVING count(*) > 1) x")?;
        ensure!(twice == "0", "{twice} transfers ran twice");
        let books = sql("SELECT client || ' ' || number FROM bank.transfer")?;
        let mut booked = std::collections::BTreeSet::new();
        for line in books.lines() {
            let (client, number) = line.split_once(' ').context("a line of the books")?;
            booked.insert((client.parse::<i64>()?, number.parse::<i64>()?));
        }
        for (transfer, outcome) in &told {
            match outcome {
                Told::Booked => ensure!(
                    booked.contains(transfer),
                    "{transfer:?} was confirmed and is gone"
                ),
                Told::NotBooked => ensure!(!booked.contains(transfer), "{transfer:?} failed and is booked"),
                Told::Unknown => {}
            }
        }
        for transfer in &booked {
            ensure!(
                told.contains_key(transfer),
                "{transfer:?} is booked and nobody asked for it"
            );
        }
        let wrong = self.counts.answered_wrongly.load(Ordering::Relaxed);
        ensure!(wrong == 0, "{wrong} answers were somebody else's");
        Ok(codes)
    }
}

async fn connect(url: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

async fn work(url: String, client: i32, stop: Arc<AtomicBool>, counts: Arc<Counts>) -> Memory {
    let mut told = BTreeMap::new();
    let mut codes = BTreeMap::new();
    let mut number = 0i64;
    let mut connected_before = false;
    while !stop.load(Ordering::Relaxed) {
        let mut connection = match connect(&url).await {
            Ok(connection) => connection,
            Err(_) => {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        if connected_before {
            counts.lost.fetch_add(1, Ordering::Relaxed);
        }
        connected_before = true;
        while !stop.load(Ordering::Relaxed) {
            number += 1;
            let (outcome, error) = transfer(&mut connection, client, number, &counts).await;
            told.insert(number, outcome);
            let counter = match outcome {
                Told::Booked => &counts.booked,
                Told::NotBooked => &counts.failed,
                Told::Unknown => &counts.unknown,
            };
            counter.fetch_add(1, Ordering::Relaxed);
            if let Some(error) = error {
                let code = error
                    .code()
                    .map_or("connection closed".to_owned(), |c| c.code().to_owned());
                *codes.entry(code).or_default() += 1;
                if connection.is_closed() || error.is_closed() || error.code().is_none() {
                    break;
                }
                if error
                    .code()
                    .is_some_and(|c| c.code().starts_with("08") || c.code().starts_with("57P"))
                {
                    break;
                }
            }
        }
    }
    (told, codes)
}

async fn transfer(
    connection: &mut Client,
    client: i32,
    number: i64,
    counts: &Counts,
) -> (Told, Option<tokio_postgres::Error>) {
    match book(connection, client, number, counts).await {
        Ok(()) => (Told::Booked, None),
        Err((told, error)) => (told, Some(error)),
    }
}

async fn book(
    connection: &mut Client,
    client: i32,
    number: i64,
    counts: &Counts,
) -> Result<(), (Told, tokio_postgres::Error)> {
    let not_booked = |error| (Told::NotBooked, error);
    let marker = format!("client {client} transfer {number}");
    let row = connection
        .query_one("SELECT $1::text", &[&marker])
        .await
        .map_err(not_booked)?;
    if row.get::<_, String>(0) != marker {
        counts.answered_wrongly.fetch_add(1, Ordering::Relaxed);
    }
    let from = client * 7 % ACCOUNTS + 1;
    let to = (from as i64 + number) as i32 % ACCOUNTS + 1;
    let amount = number % 10 + 1;
    let transaction = connection.transaction().await.map_err(not_booked)?;
    // Lower account first: no deadlocks.
    let (first, second) = if from < to { (from, to) } else { (to, from) };
    for account in [first, second] {
        let change = if account == from { -amount } else { amount };
        let change = if from == to { 0 } else { change };
        transaction
            .execute(
                "UPDATE bank.account SET balance = balance + $1 WHERE id = $2",
                &[&change, &account],
            )
            .await
            .map_err(not_booked)?;
    }
    transaction
        .execute(
            "INSERT INTO bank.transfer VALUES ($1, $2, $3)",
            &[&client, &number, &amount],
        )
        .await
        .map_err(not_booked)?;
    transaction
        .execute("INSERT INTO bank.run VALUES ($1, $2)", &[&client, &number])
        .await
        .map_err(not_booked)?;
    transaction.commit().await.map_err(|error| {
        // A definite error of COMMIT itself means that nothing was booked.
        let definite = error
            .code()
            .is_some_and(|c| !c.code().starts_with("08") && !c.code().starts_with("57P"));
        (if definite { Told::NotBooked } else { Told::Unknown }, error)
    })
}
