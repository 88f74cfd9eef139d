use crate::server::{Server, binaries, hop, soon};
use bytes::Bytes;
use postern_bus::provision::{Storage, provision, server_version};
use postern_bus::relay::{self, Output, RelayError, Step};
use postern_bus::{Inlet, Outlet, is_advised_against};
use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Passes everything on, all inputs of a set as one output, and records it.
#[derive(Clone, Default)]
struct PassOn {
    ledger: Arc<Mutex<Ledger>>,
}

#[derive(Default)]
struct Ledger {
    buffered: usize,
    committed: usize,
    broken: bool,
}

impl Step for PassOn {
    fn step(&mut self, inputs: Vec<Bytes>) -> Vec<Output> {
        let mut ledger = self.ledger.lock().unwrap();
        assert_eq!(
            ledger.buffered, 0,
            "stepped again before the records were written"
        );
        ledger.buffered = inputs.len();
        let joined: Vec<&str> = inputs
            .iter()
            .map(|input| std::str::from_utf8(input).unwrap())
            .collect();
        vec![Output {
            subject: "hop".into(),
            payload: joined.join(",").into(),
        }]
    }

    fn commit(&mut self) -> io::Result<()> {
        let mut ledger = self.ledger.lock().unwrap();
        if ledger.broken {
            return Err(io::Error::other("disk is full"));
        }
        ledger.committed += std::mem::take(&mut ledger.buffered);
        Ok(())
    }
}

async fn pair(binary: &std::path::Path) -> (Server, Server) {
    let mut servers = (Server::new(binary), Server::new(binary));
    for server in [&mut servers.0, &mut servers.1] {
        server.start();
        soon("provisioning", provision(&server.admin(), &[hop(Storage::File)]))
            .await
            .unwrap();
    }
    servers
}

/// Reads numbers until all up to `count` were seen.
async fn collect(inlet: &mut Inlet, count: u32) {
    let mut missing: BTreeSet<u32> = (0..count).collect();
    while !missing.is_empty() {
        for delivery in inlet.next(100).await {
            for number in std::str::from_utf8(&delivery.payload).unwrap().split(',') {
                missing.remove(&number.parse().unwrap());
            }
            delivery.ack();
        }
    }
}

#[tokio::test]
async fn nothing_is_lost_while_both_servers_are_killed() {
    for binary in binaries() {
        let (mut before, mut after) = pair(&binary).await;
        let source = soon("an outlet", Outlet::connect(&before.outlet()))
            .await
            .unwrap();
        let mut sink = soon("an inlet", Inlet::connect(&after.inlet("reader", "c1")))
            .await
            .unwrap();
        let inlet = soon("an inlet", Inlet::connect(&before.inlet("reader", "c1")))
            .await
            .unwrap();
        let outlet = soon("an outlet", Outlet::connect(&after.outlet())).await.unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let pass_on = PassOn::default();
        let mut step = pass_on.clone();
        let relay =
            tokio::spawn(
                async move { relay::run(inlet, outlet, &mut step, async { drop(stopped.await) }).await },
            );

        const COUNT: u32 = 5000;
        let feeding = async {
            for number in 0..COUNT {
                source.deliver("hop", number.to_string().into()).await.unwrap();
            }
        };
        let breaking = async {
            for _ in 0..2 {
                tokio::time::sleep(Duration::from_millis(200)).await;
                after.kill();
                tokio::time::sleep(Duration::from_millis(300)).await;
                after.start();
                tokio::time::sleep(Duration::from_millis(200)).await;
                before.kill();
                before.start();
            }
        };
        soon("all messages", async {
            tokio::join!(feeding, breaking, collect(&mut sink, COUNT))
        })
        .await;
        // All came through. That all were acknowledged too is more than a killed 2.9.10 always knows: at
        // times it keeps messages it counts as acknowledged, or waits for an acknowledgement for ever
        // without delivering the message again (seen in about one run of ten, never with 2.15.1).
        let version = soon("the version", server_version(&before.admin()))
            .await
            .unwrap()
            .unwrap();
        if !is_advised_against(version) {
            before.all_acknowledged().await;
            assert_eq!(before.state().await.messages, 0);
        }
        assert!(pass_on.ledger.lock().unwrap().committed >= COUNT as usize);
        drop(stop);
        soon("the end", relay).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_full_next_hop_holds_inputs_back_and_drops_none() {
    for binary in binaries() {
        let (before, after) = pair(&binary).await;
        let version = soon("the version", server_version(&after.admin()))
            .await
            .unwrap()
            .unwrap();
        if is_advised_against(version) {
            // Seen with 2.9.10: it leaves its own overhead out when it decides whether a message still
            // fits, then drops the oldest to get below the limit. Nothing on this side can make up for it.
            eprintln!("skipping {version}, which drops messages from full streams");
            continue;
        }
        let mut small = hop(Storage::File);
        small.max_bytes = 2_000;
        soon("provisioning", provision(&after.admin(), &[small]))
            .await
            .unwrap();
        let source = soon("an outlet", Outlet::connect(&before.outlet()))
            .await
            .unwrap();
        let inlet = soon("an inlet", Inlet::connect(&before.inlet("reader", "c1")))
            .await
            .unwrap();
        let outlet = soon("an outlet", Outlet::connect(&after.outlet())).await.unwrap();
        let mut step = PassOn::default();
        let relay =
            tokio::spawn(async move { relay::run(inlet, outlet, &mut step, std::future::pending()).await });

        const COUNT: u32 = 300;
        for number in 0..COUNT {
            soon("a confirmation", source.deliver("hop", number.to_string().into()))
                .await
                .unwrap();
        }
        // Longer than the server's patience for an acknowledgement: what waits must not be stepped again
        // and must not be given up.
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert!(
            before.state().await.messages > 0,
            "acknowledged before it was passed on"
        );
        let mut sink = soon("an inlet", Inlet::connect(&after.inlet("reader", "c1")))
            .await
            .unwrap();
        soon("all messages", collect(&mut sink, COUNT)).await;
        relay.abort();
    }
}

#[tokio::test]
async fn nothing_goes_on_without_a_record() {
    for binary in binaries() {
        let (before, after) = pair(&binary).await;
        let source = soon("an outlet", Outlet::connect(&before.outlet()))
            .await
            .unwrap();
        let inlet = soon("an inlet", Inlet::connect(&before.inlet("reader", "c1")))
            .await
            .unwrap();
        let outlet = soon("an outlet", Outlet::connect(&after.outlet())).await.unwrap();
        soon("a confirmation", source.deliver("hop", "0".into()))
            .await
            .unwrap();
        let mut step = PassOn::default();
        step.ledger.lock().unwrap().broken = true;
        let ended = soon(
            "the end",
            relay::run(inlet, outlet, &mut step, std::future::pending()),
        )
        .await;
        assert!(matches!(ended, Err(RelayError::Commit(_))));
        assert_eq!(after.state().await.messages, 0);
        assert_eq!(before.state().await.messages, 1);
    }
}
